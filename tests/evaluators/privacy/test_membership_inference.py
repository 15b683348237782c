from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluators.privacy import membership_inference
from evaluators.privacy.membership_inference import Neighbours


def test_random_split_is_not_told_apart_and_the_interval_covers_one_half() -> None:
    covered = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(200, 10)).astype(np.float32)
        _, (low, high) = membership_inference.blind_auc(rows[:120], rows[120:], [str(i) for i in range(200)], rng)
        covered += low <= 0.5 <= high
    assert covered >= 25


def test_images_of_one_patient_do_not_give_the_split_away() -> None:
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(60), 8)
    rows = (rng.normal(size=(60, 40))[owners] + 0.01 * rng.normal(size=(480, 40))).astype(np.float32)
    value, (low, _) = membership_inference.blind_auc(rows[:240], rows[240:], [str(i) for i in owners], rng)
    assert low <= 0.5
    assert value < 0.75


def test_shifted_holdout_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 10)).astype(np.float32)
    rows[:150, 3] += 1
    value, (low, _) = membership_inference.blind_auc(rows[:150], rows[150:], [str(i) for i in range(300)], rng)
    assert value > 0.7
    assert low > 0.5


@pytest.mark.parametrize("columns", [5, 80])
def test_ridge_is_that_of_normal_equations_narrow_or_wide(columns: int) -> None:
    rng = np.random.default_rng(0)
    rows, new = rng.normal(2, 3, (40, columns)), rng.normal(2, 3, (7, columns))
    labels = rng.random((40, 2)) < 0.5
    z = (rows - rows.mean(0)) / rows.std(0)
    weights = np.linalg.inv(z.T @ z + 4.0 * np.eye(columns)) @ z.T @ (labels - labels.mean(0))
    expected = (new - rows.mean(0)) / rows.std(0) @ weights
    assert membership_inference.ridge_scores(rows, labels, new) == pytest.approx(expected)


def test_column_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, (50, 3)).astype(float), rng.random((50, 3)) < 0.4
    expected = [roc_auc_score(truth[:, k], scores[:, k]) for k in range(3)]
    assert membership_inference.column_auc(scores, truth) == pytest.approx(expected)


def test_highest_score_of_each_patient() -> None:
    highest, names = membership_inference.by_patient(np.array([1.0, 5.0, 3.0, -2.0]), ["b", "a", "b", "c"])
    assert dict(zip(names, highest, strict=True)) == {"a": 5.0, "b": 3.0, "c": -2.0}


def line(positions: np.ndarray, targets: np.ndarray) -> Neighbours:
    """Neighbours on a line, one image a patient."""
    distances = np.abs(positions[:, None] - targets[None])
    order = np.argsort(distances, axis=1)
    return Neighbours(np.take_along_axis(distances, order, 1), order, len(targets))


def test_ratio_is_one_for_equal_laws_whatever_the_numbers_of_patients() -> None:
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        made, train, holdout = rng.uniform(size=300), rng.uniform(size=300), rng.uniform(size=100)
        found = membership_inference.matched_ratio(line(made, train), line(made, holdout), rng)
        assert found is not None
        covered += found[1][0] <= 1 <= found[1][1]
    assert covered >= 16


def test_ratio_falls_when_training_images_are_copied() -> None:
    rng = np.random.default_rng(0)
    train, holdout = rng.uniform(size=300), rng.uniform(size=100)
    found = membership_inference.matched_ratio(line(train, train), line(train, holdout), rng)
    assert found is not None
    assert found[0] == pytest.approx(2 / 3, abs=0.12)
    assert found[1][1] < 1


def test_ratio_has_no_meaning_for_copies_of_the_holdout() -> None:
    rng = np.random.default_rng(0)
    train, holdout = rng.uniform(size=30), rng.uniform(size=30)
    assert membership_inference.matched_ratio(line(holdout, train), line(holdout, holdout), rng) is None


def test_resamples_drawn_in_parts_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    scores, member, patients = rng.normal(size=60), rng.random(60) < 0.5, [str(i // 2) for i in range(60)]
    whole = membership_inference.patient_auc(scores, member, patients, np.random.default_rng(5))
    monkeypatch.setattr(membership_inference, "WEIGHTS", 60 * 7)
    assert membership_inference.patient_auc(scores, member, patients, np.random.default_rng(5)) == whole
