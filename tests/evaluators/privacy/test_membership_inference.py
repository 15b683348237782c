from __future__ import annotations

import numpy as np
import pytest

from evaluators.privacy import membership_inference
from evaluators.privacy.membership_inference import Neighbours


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
