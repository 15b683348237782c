"""The whole evaluator on toy pictures and Gaussian features, with planted leaks and faulty splits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.api import DatasetInfo, Images, ImageSet, Material, Rows, Split
from evaluators.privacy.evaluator import Privacy
from evaluators.privacy.metrics import MEMBERSHIP
from tests.toy import Given, GivenUnits, described, image_set, material

INFO = described()
TRAIN, HOLDOUT, MADE, WIDTH = 600, 300, 600, 12


@dataclass
class World:
    """Pictures and features of 450 patients, 300 in train, and of an honest generator; tests spoil it."""

    pixels: dict[str, Images]
    rows: dict[str, Rows]
    patients: dict[str, list[str]]
    info: DatasetInfo = field(default=INFO)

    def material(self, folder: Path) -> Material:
        sets = {name: self._set(folder, name) for name in ("train", "holdout", "privacy")}
        split = Split(sets["train"], sets["holdout"], sets["holdout"].select(range(4)))
        digests = {each.digest: name for name, each in sets.items()}

        def features(encoder: str, images: ImageSet) -> Rows:
            rows = self.rows[digests[images.digest]]
            return rows if encoder == "pixels" else rows[:, ::-1] * np.float32(3) + np.float32(5)

        encoders, rng = {"pixels": Given(), "radiomics": GivenUnits()}, np.random.default_rng(7)
        return material(split, {"privacy": sets["privacy"]}, folder, encoders=encoders, features=features, rng=rng)

    def _set(self, folder: Path, name: str) -> ImageSet:
        patients = self.patients[name]
        return image_set(self.pixels[name], self.info, folder / "sets" / name, f"{name}-", patient_id=patients)


def draw(rng: np.random.Generator, count: int) -> Images:
    coarse = rng.uniform(20, 220, (count, 6, 6)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((32, 32), Image.Resampling.BICUBIC)) for each in coarse])


@pytest.fixture
def world() -> World:
    # The blind baseline refuses about 3 random splits in 100 of this size; those of seeds 11 and 1011, for example.
    rng = np.random.default_rng(0)
    owners = np.arange(TRAIN + HOLDOUT) // 2
    features = (rng.normal(size=(450, WIDTH))[owners] + 0.35 * rng.normal(size=(len(owners), WIDTH))).astype(np.float32)
    made = (rng.normal(size=(MADE, WIDTH)) + 0.35 * rng.normal(size=(MADE, WIDTH))).astype(np.float32)
    return World(
        {"train": draw(rng, TRAIN), "holdout": draw(rng, HOLDOUT), "privacy": draw(rng, MADE)},
        {"train": features[:TRAIN], "holdout": features[TRAIN:], "privacy": made},
        {
            "train": [f"p{owner}" for owner in owners[:TRAIN]],
            "holdout": [f"p{owner}" for owner in owners[TRAIN:]],
            "privacy": [f"privacy-{i}" for i in range(MADE)],
        },
    )


def measure(world: World, folder: Path) -> dict[tuple[str, str | None], Any]:
    scores = list(Privacy()(world.material(folder)))
    assert {score.metric for score in scores} <= {metric.key for metric in Privacy.metrics}
    found = {(score.metric, score.encoder): score for score in scores}
    assert len(found) == len(scores)
    return found


def verdict(folder: Path) -> str:
    return str(json.loads((folder / "privacy.json").read_text())["verdict"])


def test_honest_generator(world: World, tmp_path: Path) -> None:
    scores = measure(world, tmp_path)
    assert {metric for metric, _ in scores} == {metric.key for metric in Privacy.metrics}
    assert scores["duplicates", None].value == scores["near_duplicates", None].value == 0
    for encoder in ("pixels", "radiomics"):
        assert scores["tail_p", encoder].value > 0.05
        assert scores["nn_distance_ratio", encoder].value == pytest.approx(1, abs=0.06)
        assert scores["mia_auc", encoder].low < 0.5 < scores["mia_auc", encoder].high
        assert 0.005 < scores["detectable_leak", encoder].value < 0.05
        assert scores["mia_tpr", encoder].value is None
    assert scores["leak_found", None].value == 0
    assert scores["leak_found", None].words == verdict(tmp_path) == "no leak found by this test"
    assert "re-posed, blended, parts of a picture" in str(scores["leak_found", None].reason)
    assert not (tmp_path / "privacy_pairs.png").exists()


def test_same_material_gives_the_same_scores(world: World, tmp_path: Path) -> None:
    assert measure(world, tmp_path / "a") == measure(world, tmp_path / "b")


def test_memoriser(world: World, tmp_path: Path) -> None:
    chosen = np.random.default_rng(0).integers(0, TRAIN, MADE)
    world.pixels["privacy"] = world.pixels["train"][chosen]
    world.rows["privacy"] = world.rows["train"][chosen]
    world.info = replace(INFO, redistributable=True)
    scores = measure(world, tmp_path)
    assert scores["duplicates", None].value == scores["near_duplicates", None].value == 1
    assert scores["near_duplicates_holdout", None].value == 0
    for encoder in ("pixels", "radiomics"):
        assert scores["tail_p", encoder].value <= 0.002
        assert scores["excess_copy_share", encoder].value == pytest.approx(1)
        assert scores["nn_distance_ratio", encoder].high < 1
        assert scores["mia_auc", encoder].low > 0.6
        assert scores["detectable_leak", encoder].value is None
    assert verdict(tmp_path) == scores["leak_found", None].words == "leak found (600 exact copies of training images)"
    assert scores["leak_found", None].value == 1
    assert (tmp_path / "privacy_pairs.png").exists()


def test_a_tenth_of_near_copies_is_found(world: World, tmp_path: Path) -> None:
    count = MADE // 10
    noise = 0.05 * np.random.default_rng(0).normal(size=(count, WIDTH))
    world.rows["privacy"][:count] = world.rows["train"][:count] + noise
    world.pixels["privacy"][:count] = world.pixels["train"][:count, :, ::-1] // 2 + np.uint8(40)
    scores = measure(world, tmp_path)
    assert scores["duplicates", None].value == 0
    assert scores["near_duplicates", None].value == pytest.approx(0.1)
    assert scores["tail_p", "pixels"].value <= 0.05
    assert scores["excess_copy_share", "pixels"].low <= 0.1 <= scores["excess_copy_share", "pixels"].high
    assert verdict(tmp_path) == "leak found (pixels, radiomics)"


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_copies_that_do_not_stand_out_are_given_no_bound(world: World, tmp_path: Path, share: float) -> None:
    """A copy of a training image whose features lie half way to another patient's, as a blend of two pictures."""
    count = round(share * MADE)
    rng = np.random.default_rng(3)
    one, other = (rng.choice(TRAIN, count, replace=False) for _ in range(2))
    world.rows["privacy"][:count] = (world.rows["train"][one] + world.rows["train"][other]) / 2
    scores = measure(world, tmp_path)
    upper = [score.high for (key, _), score in scores.items() if key == "excess_copy_share"]
    assert max(upper) < share, "the interval of the closest images bounds no copies, so nothing may say that it does"
    said = json.dumps(json.loads((tmp_path / "privacy.json").read_text()) | {"tail": None})
    for score in scores.values():
        said += f" {score.words} {score.reason}"
    assert "leak above" not in said and "at most" not in said
    assert verdict(tmp_path) == "no leak found by this test"
    assert "blended" in json.loads((tmp_path / "privacy.json").read_text())["not_seen"]


STATED = {"trained_on": "train", "trained_on_stated": "train"}


def test_p_values_and_design_figures_are_never_ranked() -> None:
    better = {metric.key: metric.better for metric in Privacy.metrics}
    assert {better[key] for key in ("leak_found", "tail_p", "excess_copy_share", "detectable_leak")} == {"neither"}
    assert "leak_bound" not in better


def test_one_exact_copy_is_a_leak_whatever_the_split_allows(world: World, tmp_path: Path) -> None:
    world.pixels["privacy"][7] = world.pixels["train"][11]
    scores = measure(world, tmp_path / "fit")
    assert scores["leak_found", None].words == "leak found (1 exact copy of training images)"
    world.rows["holdout"] = world.rows["holdout"] + np.float32(0.5)
    scores = measure(world, tmp_path / "unfit")
    assert scores["leak_found", None].value == 1 and refused_membership(scores, "told apart")


def test_a_generator_trained_elsewhere_is_told_that_the_holdout_may_be_no_control(world: World, tmp_path: Path) -> None:
    said = []
    for place, told in enumerate(({"trained_on": "train"}, {"trained_on": "unknown"}, STATED)):
        material = replace(world.material(tmp_path / str(place)), generator=told)
        said += [score.reason for score in Privacy()(material) if score.metric == "leak_found"]
    assert ["learned from is unknown" in each for each in said] == [False, True, False]
    assert ["stated by a person" in each for each in said] == [False, False, True]


def test_the_rate_at_a_false_positive_rate_says_what_rate_was_achieved(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.privacy.evaluator.FEWEST_FOR_TPR", 100)
    score = measure(world, tmp_path)["mia_tpr", "pixels"]
    assert score.value is not None and score.low is not None and score.low <= score.value <= float(str(score.high))
    assert re.search(r"achieved false positive rate \d\.\d\d% on holdout patients", str(score.reason))


def test_two_generators_on_one_split_are_compared_patient_by_patient(world: World, tmp_path: Path) -> None:
    spread = measure(world, tmp_path)["mia_auc", "pixels"].spread
    assert spread is not None and len(spread.deviations) == 20


def test_copies_of_the_holdout_are_no_leak_and_void_the_control(world: World, tmp_path: Path) -> None:
    chosen = np.arange(MADE) % HOLDOUT
    world.pixels["privacy"], world.rows["privacy"] = world.pixels["holdout"][chosen], world.rows["holdout"][chosen]
    scores = measure(world, tmp_path)
    assert scores["near_duplicates_holdout", None].value == 1
    assert scores["duplicates", None].value == 0
    assert scores["leak_found", None].value is None
    assert refused_membership(scores, "600 of 600 synthetic images have exactly the pixels of a holdout image")


def refused_membership(scores: dict[tuple[str, str | None], Any], reason: str) -> bool:
    cells = [scores[metric.key, encoder] for metric in MEMBERSHIP for encoder in ("pixels", "radiomics")]
    return all(cell.value is None and reason in str(cell.reason) for cell in cells)


def test_holdout_of_another_kind_is_refused(world: World, tmp_path: Path) -> None:
    world.rows["holdout"] = world.rows["holdout"] + np.float32(0.5)
    scores = measure(world, tmp_path)
    assert refused_membership(scores, "told apart")
    assert scores["blind_auc", "pixels"].low > 0.5
    assert scores["duplicates", None].value == 0
    assert verdict(tmp_path).startswith("not measurable") and scores["leak_found", None].value is None


def test_picture_in_both_parts_is_refused_by_name(world: World, tmp_path: Path) -> None:
    world.pixels["holdout"][42] = world.pixels["train"][137, ::-1]
    scores = measure(world, tmp_path)
    assert refused_membership(scores, "holdout-42 and train train-137")


def test_few_images_refuse_the_tail_test_only(world: World, tmp_path: Path) -> None:
    parts: list[dict[str, Any]] = [world.pixels, world.rows, world.patients]
    for part in parts:
        part["privacy"] = part["privacy"][:499]
    scores = measure(world, tmp_path)
    for metric in ("tail_p", "excess_copy_share", "detectable_leak"):
        assert scores[metric, "pixels"].value is None
        assert "needs 500 synthetic images, got 499" in str(scores[metric, "pixels"].reason)
    assert scores["mia_auc", "pixels"].value is not None


def test_columns_of_different_units_are_divided_by_their_spread_over_train(world: World, tmp_path: Path) -> None:
    seen = replace(world.material(tmp_path), encoders={"given": Given(), "scaled": GivenUnits()})
    given, scaled = (Privacy()._view(name, seen, seen.rng) for name in ("given", "scaled"))
    spread = given.train.std(axis=0, dtype=np.float64).astype(np.float32)
    for part in ("synthetic", "train", "holdout"):
        np.testing.assert_array_equal(getattr(scaled, part), getattr(given, part) / spread)


def test_a_blind_classifier_sees_at_most_so_many_images_and_says_so(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.privacy.blind_gate.MOST_BLIND", 700)
    scores = measure(world, tmp_path)
    blind = scores["blind_auc", "pixels"]
    assert blind.n == 700 and blind.low < 0.5 < blind.high
    assert scores["mia_auc", "pixels"].n == TRAIN + HOLDOUT, "only the blind classifier holds features in float64"
