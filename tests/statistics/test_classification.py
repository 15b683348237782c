from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, roc_auc_score

from bench.statistics.classification import (
    auc,
    balanced_accuracy,
    confusion,
    macro_auc,
    macro_f1,
    patient_weights,
    percentile_interval,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 90)
SCORES = RNG.normal(size=(90, 3)) + np.eye(3)[TRUTH]
WEIGHTS = np.vstack([np.ones(90), RNG.integers(0, 4, (20, 90))]).astype(float)


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_auc_is_that_of_scikit_learn_with_and_without_ties(levels: int) -> None:
    scores, positive = np.floor(levels * SCORES[:, 0]) / levels, TRUTH == 0
    expected = [roc_auc_score(positive, scores, sample_weight=weights) for weights in WEIGHTS]
    assert auc(scores, positive, WEIGHTS) == pytest.approx(expected)


def test_macro_auc_is_that_of_scikit_learn() -> None:
    share = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
    expected = roc_auc_score(TRUTH, share, multi_class="ovr", average="macro")
    assert macro_auc(share, TRUTH, WEIGHTS[:1])[0] == pytest.approx(expected)


def test_two_classes_give_the_ordinary_auc() -> None:
    truth = (TRUTH > 0).astype(np.int64)
    expected = roc_auc_score(truth, SCORES[:, 1] - SCORES[:, 0])
    assert macro_auc(SCORES[:, :2], truth, WEIGHTS[:1])[0] == pytest.approx(expected)


def test_confusion_balanced_accuracy_and_f1_are_those_of_scikit_learn() -> None:
    predicted = SCORES.argmax(axis=1)
    tables = confusion(TRUTH, predicted, 3, WEIGHTS)
    for row, weights in enumerate(WEIGHTS):
        assert tables[row] == pytest.approx(confusion_matrix(TRUTH, predicted, sample_weight=weights))
        expected = balanced_accuracy_score(TRUTH, predicted, sample_weight=weights)
        assert balanced_accuracy(tables)[row] == pytest.approx(expected)
        assert macro_f1(tables)[row] == pytest.approx(
            f1_score(TRUTH, predicted, average="macro", sample_weight=weights)
        )


def test_class_without_weight_is_undefined_not_zero() -> None:
    weights = (TRUTH != 2)[None].astype(float)
    table = confusion(TRUTH, SCORES.argmax(axis=1), 3, weights)
    assert np.isnan(balanced_accuracy(table)[0])
    assert np.isnan(macro_f1(table)[0])
    assert np.isnan(macro_auc(SCORES, TRUTH, weights)[0])


def test_images_of_a_patient_are_drawn_together() -> None:
    patients = [f"p{i // 3}" for i in range(90)]
    weights = patient_weights(patients, np.random.default_rng(1), 50)
    assert (weights.reshape(50, 30, 3) == weights.reshape(50, 30, 3)[:, :, :1]).all()
    assert (weights.sum(axis=1) == 90).all()


def test_weighted_bootstrap_agrees_with_resampled_indices() -> None:
    patients = [f"p{i // 3}" for i in range(90)]
    positive = TRUTH == 0
    rng, repeated = np.random.default_rng(2), []
    for _ in range(800):
        rows = (3 * rng.integers(0, 30, 30)[:, None] + np.arange(3)).ravel()
        repeated.append(float(auc(SCORES[rows, 0], positive[rows], np.ones((1, 90)))[0]))
    low, high = np.quantile(repeated, (0.025, 0.975))
    draws = auc(SCORES[:, 0], positive, patient_weights(patients, np.random.default_rng(3), 2000))
    assert percentile_interval(float(draws.mean()), draws) == pytest.approx((low, high), abs=0.025)


def test_interval_needs_half_of_the_resamples() -> None:
    with pytest.raises(ValueError, match="undefined in 6 of 10"):
        percentile_interval(0.5, np.r_[np.full(6, np.nan), np.full(4, 0.5)])
