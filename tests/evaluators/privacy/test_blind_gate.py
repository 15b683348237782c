from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from bench.api import BenchError, Images, Refused, Rows
from evaluators.privacy import blind_gate
from evaluators.privacy.acquisition import CUES, acquisition_cues
from evaluators.privacy.blind_gate import LEVEL, PENALTY, Blind, gate
from tests.evaluators.privacy.test_near_duplicates import jpeg, pictures

NAMES = [str(i) for i in range(400)]


def checked(rows: Rows, seed: int = 0, shuffles: int = 100) -> list[Blind]:
    half = len(rows) // 2
    rng = np.random.default_rng(seed)
    return gate({"rows": (rows[:half], rows[half:])}, NAMES[: len(rows)], rng, shuffles=shuffles)


def test_random_splits_are_refused_as_rarely_as_said_whatever_the_number_of_checks() -> None:
    """Six checks a split: each at 2% of its own would refuse one split in nine."""
    refused = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(3, 120, 6)).astype(np.float32)
        views = {str(number): (each[:70], each[70:]) for number, each in enumerate(rows)}
        refused += any(check.p <= 0.2 for check in gate(views, NAMES[:120], rng, shuffles=49))
    assert 1 <= refused <= 11


def test_corrected_p_values_are_those_of_the_largest_of_all_checks() -> None:
    areas = np.random.default_rng(0).normal(0.5, 0.02, (5, 4000, 40))
    small = [blind_gate.corrected(areas[:, :, number]).min() for number in range(40)]
    assert np.mean(np.array(small) <= 0.5) == pytest.approx(0.5, abs=0.25)
    areas[2, 0, 0] = 0.7
    assert blind_gate.corrected(areas[:, :, 0])[2] == 1 / 4000


def test_images_of_one_patient_do_not_give_the_split_away() -> None:
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(60), 6)
    rows = (rng.normal(size=(60, 30))[owners] + 0.01 * rng.normal(size=(360, 30))).astype(np.float32)
    found = gate({"rows": (rows[:180], rows[180:])}, [str(i) for i in owners], rng, shuffles=100)
    assert not any(check.fault for check in found)
    assert max(check.area for check in found) < 0.75


def shifted(rows: Rows) -> Rows:
    rows[:200, 3] += 1
    return rows


def alternating(rows: Rows) -> Rows:
    """The first set in the first and third quarter of a plane, the second in the other two."""
    rows[:200, 1] = np.abs(rows[:200, 1]) * np.sign(rows[:200, 0])
    rows[200:, 1] = -np.abs(rows[200:, 1]) * np.sign(rows[200:, 0])
    return rows


def wider(rows: Rows) -> Rows:
    rows[:200] *= 1.5
    return rows


def ring(rows: Rows) -> Rows:
    """The first set on a circle, with the means and covariances of the second."""
    rows[:, 2:] = 0
    rows[:200] *= np.sqrt(2) / np.linalg.norm(rows[:200], axis=1, keepdims=True)
    return rows


@pytest.mark.parametrize(("change", "linear"), [(shifted, True), (alternating, False), (wider, False), (ring, False)])
def test_differences_are_seen_that_a_linear_classifier_sees_and_does_not_see(
    change: Callable[[Rows], Rows], linear: bool
) -> None:
    rows = change(np.random.default_rng(3).normal(size=(400, 8)).astype(np.float32))
    first, second = checked(rows)
    assert (first.kind, second.kind) == ("linear", "nonlinear")
    assert bool(first.fault) == linear
    assert second.fault
    assert second.p <= LEVEL
    assert second.area > 0.6


def test_the_sentence_names_sets_view_classifier_and_figures() -> None:
    rows = shifted(np.random.default_rng(3).normal(size=(400, 8)).astype(np.float32))
    views = {"toy": (rows[:200], rows[200:])}
    fault = gate(views, NAMES, np.random.default_rng(0), ("test", "train"), 100)[0].fault
    assert fault is not None
    words = r"test and train are told apart .* linear .* blind AUC of 0\.\d{3} \[.*\] in toy features.* for 2 checks"
    assert re.search(words, fault)


def test_a_difference_too_small_to_matter_is_no_fault() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(12_000, 2)).astype(np.float32)
    rows[:6000] += 0.05
    found = gate({"rows": (rows[:6000], rows[6000:])}, [str(i) for i in range(12_000)], rng, shuffles=60)[0]
    assert found.p <= LEVEL
    assert found.area < 0.55
    assert found.fault is None


def test_unfit_sets_are_refused_with_what_is_needed() -> None:
    rows = np.zeros((30, 3), np.float32)
    with pytest.raises(Refused, match="needs 20 patients in train and in holdout, got 10"):
        gate({"rows": (rows[:20], rows[20:])}, NAMES[:30], np.random.default_rng(0))
    with pytest.raises(BenchError, match="patient 3 and 0 others are in train and in holdout"):
        gate({"rows": (rows, rows)}, [*NAMES[:30], "3", *NAMES[100:129]], np.random.default_rng(0))


def test_constant_features_are_chance() -> None:
    assert {check.fault for check in checked(np.ones((100, 5), np.float32))} == {None}


def test_more_images_than_can_be_seen_are_drawn_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind_gate, "MOST_BLIND", 150)
    rows = shifted(np.random.default_rng(3).normal(size=(400, 8)).astype(np.float32))
    found = checked(rows)[0]
    assert found.images == 150
    assert found.fault


@pytest.mark.parametrize("columns", [5, 80])
def test_ridge_is_that_of_normal_equations_narrow_or_wide(columns: int) -> None:
    rng = np.random.default_rng(0)
    rows, new = (rng.normal(2, 3, (count, columns)).astype(np.float32) for count in (40, 7))
    labels = rng.random((40, 2)) < 0.5
    z = rows - rows.mean(0)
    weights = np.linalg.inv(z.T @ z + 40 * PENALTY * np.eye(columns)) @ z.T @ (labels - labels.mean(0))
    expected = (new - rows.mean(0)) @ weights
    assert blind_gate.ridge_scores(rows, labels, new) == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_column_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, (50, 3)).astype(np.float32), rng.random((50, 3)) < 0.4
    expected = [roc_auc_score(truth[:, k], scores[:, k]) for k in range(3)]
    assert blind_gate.column_auc(scores, truth) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(200, 30), (30, 200)])
def test_components_are_those_of_scikit_learn(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=shape) * np.geomspace(30, 0.1, shape[1])).astype(np.float32)
    rows -= rows.mean(axis=0)
    expected = PCA(5, whiten=True, svd_solver="full").fit_transform(rows)
    found = blind_gate.principal(rows, 5, rng)
    agree = np.abs((found * expected).mean(axis=0))
    assert agree == pytest.approx(1.0, abs=0.02)


def combed(images: Images) -> Images:
    levels = np.round(np.round(np.arange(256) * 0.9) / 0.9).clip(0, 255).astype(np.uint8)
    return levels[images]


def framed(images: Images) -> Images:
    framed = images.copy()
    framed[:, :2] = framed[:, -2:] = framed[:, :, :2] = framed[:, :, -2:] = 0
    return framed


ACQUISITIONS: dict[str, Callable[[Images], Images]] = {
    "gamma": lambda images: (255 * (images / 255) ** 0.9).round().astype(np.uint8),
    "blur": lambda images: np.stack([gaussian_filter(each, 0.6) for each in images]),
    "frame": framed,
    "jpeg": lambda images: np.stack([jpeg(each) for each in images]),
    "noise": lambda images: (
        (images + np.random.default_rng(1).normal(0, 2, images.shape)).clip(0, 255).astype(np.uint8)
    ),
    "comb": combed,
}


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_another_acquisition_of_the_holdout_is_seen(acquisition: str) -> None:
    images = pictures(11, 300)
    rows = acquisition_cues(images[:200]), acquisition_cues(ACQUISITIONS[acquisition](images[200:]))
    found = gate({"acquisition": rows}, NAMES[:300], np.random.default_rng(0), shuffles=60)
    assert any(check.fault for check in found)


def test_cues_say_what_they_are_called() -> None:
    image = np.zeros((1, 40, 32), np.uint8)
    image[0, 10:36, 4:30] = np.random.default_rng(0).choice([20, 22, 255], (26, 26))
    cues = dict(zip(CUES, acquisition_cues(image)[0].tolist(), strict=True))
    assert cues["mean"] == pytest.approx(image.mean(), rel=1e-5)
    assert cues["share of black"] == pytest.approx((image == 0).mean())
    assert cues["share of white"] == pytest.approx((image == 255).mean())
    borders = [cues[f"dark border {side}"] for side in ("above", "below", "on the left", "on the right")]
    assert borders == pytest.approx([10 / 40, 4 / 40, 4 / 32, 2 / 32])
    assert cues["proportion of the rest"] == pytest.approx(0, abs=1e-5)
    assert cues["share of levels used between them"] == pytest.approx(4 / 256)
    assert cues["mean of the outermost lines"] == 0


def test_blocks_of_jpeg_are_found_in_their_direction() -> None:
    image = np.random.default_rng(0).normal(100, 2, (1, 64, 64)) + 20 * (np.arange(64) // 8 % 2)
    cues = dict(zip(CUES, acquisition_cues(image.astype(np.uint8))[0].tolist(), strict=True))
    assert cues["blocks across"] > 1
    assert abs(cues["blocks down"]) < 0.3


def test_uniform_and_least_images_have_finite_cues() -> None:
    for images in (np.zeros((2, 64, 64), np.uint8), np.full((2, 16, 16), 255, np.uint8)):
        assert np.isfinite(acquisition_cues(images)).all()
