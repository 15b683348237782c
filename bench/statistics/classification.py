"""How well scores and predictions tell classes apart, for many weightings of the same items at once.

Every function takes ``weights (R, n)``: row ``r`` says how often item ``i`` counts in resample ``r``. One row of ones
is the estimate itself; the rows of ``patient_weights`` are a patient-cluster bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.statistics.arrays import Floats, Integers, Interval, Mask, Reals


def patient_weights(patients: Sequence[str], rng: np.random.Generator, repeats: int = 1000) -> Floats:
    """``(repeats, n)``: how often each image occurs when its patients are drawn with replacement."""
    names, place = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=repeats)
    return drawn[:, place].astype(np.float64)


def percentile_interval(value: float, draws: Floats) -> Interval:
    """95% percentile interval of the finite ``draws``, widened where needed to contain ``value``.

    Raises:
        ValueError: more than half of the draws were undefined.
    """
    defined = draws[np.isfinite(draws)]
    if len(defined) < len(draws) / 2:
        raise ValueError(f"the statistic was undefined in {len(draws) - len(defined)} of {len(draws)} resamples")
    low, high = np.quantile(defined, (0.025, 0.975))
    return min(float(low), value), max(float(high), value)


def auc(scores: Reals, positive: Mask, weights: Floats) -> Floats:
    """Area under the ROC curve, ``P(s+ > s-) + P(s+ = s-)/2`` (Hanley & McNeil 1982), one for each row of weights.

    Args:
        scores: ``(n,)``, higher means more likely positive; ties count a half.
        positive: ``(n,)``.
        weights: ``(R, n)``.

    Returns:
        ``(R,)`` in [0, 1], NaN where a class has no weight.
    """
    order = np.argsort(scores, kind="stable")
    ordered = np.asarray(scores)[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    negatives = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    positives = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    wins = (positives * below).sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def macro_auc(scores: Reals, truth: Integers, weights: Floats) -> Floats:
    """Mean one-versus-rest area over the classes; for two classes the ordinary area of class 1.

    Args:
        scores: ``(n, K)``, a score for each class; ``truth``: ``(n,)`` in ``0..K-1``.
    """
    if scores.shape[1] == 2:
        return auc(scores[:, 1] - scores[:, 0], truth == 1, weights)
    return np.mean([auc(scores[:, k], truth == k, weights) for k in range(scores.shape[1])], axis=0)


def confusion(truth: Integers, predicted: Integers, classes: int, weights: Floats) -> Floats:
    """``(R, K, K)`` weighted counts: rows are the true class, columns the predicted one."""
    cell = np.eye(classes * classes)[truth * classes + predicted]
    return (weights @ cell).reshape(-1, classes, classes)


def balanced_accuracy(table: Floats) -> Floats:
    """Mean recall over the classes (Brodersen et al. 2010) from ``(R, K, K)``; NaN where a class has no weight."""
    hits, true = np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2)
    recall = np.divide(hits, true, out=np.full(hits.shape, np.nan), where=true > 0)
    return recall.mean(axis=1)


def macro_f1(table: Floats) -> Floats:
    """Mean over the classes of ``2 TP / (2 TP + FP + FN)`` from ``(R, K, K)``; NaN where a class has no weight."""
    hits, true = np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2)
    score = np.divide(2 * hits, true + table.sum(axis=1), out=np.full(hits.shape, np.nan), where=true > 0)
    return score.mean(axis=1)
