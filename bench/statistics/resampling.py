"""Intervals and tests shared by evaluators: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.statistics.arrays import Floats, Indices, Interval
from bench.statistics.estimate import Estimate

Z95 = 1.959963984540054


def folds(n: int, count: int, rng: np.random.Generator) -> Indices:
    """A random fold number in ``0..count-1`` for each of ``n`` items, sizes differing by at most one."""
    return rng.permutation(np.arange(n) % count)


def cluster_folds(clusters: Sequence[str], count: int, rng: np.random.Generator) -> Indices:
    """A random fold number for each item, all items of a cluster (a patient) in the same fold."""
    names, place = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    return folds(len(names), count, rng)[place]


def jackknife_se(left_out: Floats) -> float:
    """Standard error from ``G`` delete-one-fold estimates: ``sqrt((G-1)/G * sum((t_g - mean t)^2))`` (Tukey 1958)."""
    count = len(left_out)
    return float(np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2)))


def jackknife(values: Sequence[float] | Floats, null: float = 0.0) -> Estimate:
    """The delete-one-fold estimate of a statistic from its value, then its values without each fold: ``(1 + G,)``.

    ``null`` is the standard deviation of the statistic between two samples of one population, added in quadrature where
    the statistic is a distance: near 0 the jackknife's own error shrinks with the estimate.
    """
    table = np.asarray(values, dtype=np.float64)
    return Estimate(float(table[0]), float(np.hypot(jackknife_se(table[1:]), null)), len(table) - 1)


def fold_count(*sets: Indices) -> int:
    """The number of folds of one set or of several that share their folds, from the fold of each of their items."""
    return int(max(folds.max() for folds in sets)) + 1


def normal_interval(value: float, se: float) -> Interval:
    """``value -+ 1.96 se``."""
    return value - Z95 * se, value + Z95 * se


def student_interval(values: Floats) -> Interval | None:
    """95% interval of the mean of independent ``values`` by Student's t; ``None`` for fewer than two."""
    from scipy import stats

    if len(values) < 2:
        return None
    if not np.ptp(values):
        return float(values[0]), float(values[0])
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def clopper_pearson(hits: float, n: float) -> Interval:
    """Exact 95% interval of a proportion (Clopper & Pearson 1934).

    Neither ``hits`` nor ``n`` need be whole: they may be effective numbers (Korn & Graubard 1998).
    """
    from scipy import stats

    # the quantiles themselves: scipy.stats.binomtest searches for them, and a small bound is then off by 1e-9 of itself
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
