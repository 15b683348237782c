"""Intervals and tests shared by evaluators: pure functions of arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from bench.statistics.arrays import Floats, Indices, Interval, Mask
from bench.statistics.estimate import Estimate

Z95 = 1.959963984540054
EXCESS = 0.5  # of the second order, counted twice by the jackknife, that is taken off
PALEY = (7, 11, 19, 23, 31)  # primes one less than a multiple of 4


def folds(n: int, count: int, rng: np.random.Generator) -> Indices:
    """A random fold number in ``0..count-1`` for each of ``n`` items, sizes differing by at most one."""
    return rng.permutation(np.arange(n) % count)


def cluster_folds(clusters: Sequence[str], count: int, rng: np.random.Generator) -> Indices:
    """A random fold number for each item, all items of a cluster (a patient) in the same fold."""
    names, place = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    return folds(len(names), count, rng)[place]


def fixed_folds(names: Sequence[str], count: int) -> Indices:
    """A fold in ``0..count-1`` for each item, the same whoever asks: items of one name (a patient) share a fold.

    Names go round the folds in the order of their SHA-256, so that the numbers of names in two folds differ by at most
    one, and the folds of a set depend on nothing but its names.
    """
    known, place = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    rank = np.empty(len(known), np.int64)
    rank[hashed_order(known.tolist())] = np.arange(len(known))
    return rank[place] % count


def hashed_order(names: Sequence[str]) -> Indices:
    """The order ``(N,)`` of names by their SHA-256: random for all that the names say, and the same for everybody."""
    digests = np.array([hashlib.sha256(name.encode()).digest() for name in names], dtype="S32")
    return np.argsort(digests, kind="stable")


def jackknife_se(left_out: Floats) -> float:
    """Standard error from ``G`` delete-one-fold estimates: ``sqrt((G-1)/G * sum((t_g - mean t)^2))`` (Tukey 1958)."""
    return float(np.linalg.norm(_jackknife_deviations(left_out)))


def _jackknife_deviations(left_out: Floats) -> Floats:
    count = len(left_out)
    return np.sqrt((count - 1) / count) * (left_out - left_out.mean())


def jackknife(values: Sequence[float] | Floats, null: float = 0.0, excess: float = EXCESS) -> Estimate:
    """The delete-one-fold estimate of a statistic from its value, then its values without each fold: ``(1 + G,)``.

    ``null`` is, where the statistic is a squared distance, the standard deviation of its part of second order, which is
    all of it between two samples of one population. The jackknife counts the variance of that part twice (Efron & Stein
    1981): ``excess`` of it is taken off, and the error is never below ``null``. Taking all of it off would be right on
    average; but where a small distance is true the jackknife's error is small when the estimate is, so that intervals
    then held the truth in 0.86 to 0.92 of Gaussian trials. A half leaves those of a perfect generator 1.3 times as
    wide as they need be.
    """
    table = np.asarray(values, dtype=np.float64)
    deviations = _jackknife_deviations(table[1:])
    found = float(np.linalg.norm(deviations))
    plain = Estimate(float(table[0]), found, len(table) - 1, tuple(deviations.tolist()))
    return plain if not null else plain.with_error(np.sqrt(max(found**2 - excess * null**2, null**2)))


def halves(folds: int) -> Mask:
    """Balanced half-samples of folds ``(R, G)``: each row says which folds are in one half, the others in its other.

    The rows of a Hadamard matrix of Paley's kind but the first (McCarthy 1969): any two rows agree in half of the
    folds, so that for a mean over folds the ``R`` halvings together give the usual standard error. There are such
    matrices for 8, 12, 20, 24 and 32 folds: ``G`` is the largest of these that fits, and more folds are to be merged.

    Raises:
        ValueError: fewer than 8 folds.
    """
    prime = max((each for each in PALEY if each + 1 <= folds), default=0)
    if not prime:
        raise ValueError(f"{folds} folds; half-samples need {min(PALEY) + 1}")
    squares = {i * i % prime for i in range(1, prime)}
    character = np.array([0, *(1 if i in squares else -1 for i in range(1, prime))])
    signs = np.ones((prime + 1, prime + 1), np.int64)
    signs[1:, 0] = -1
    signs[1:, 1:] = character[(np.arange(prime)[:, None] - np.arange(prime)) % prime] + np.eye(prime, dtype=np.int64)
    return (signs * signs[0])[1:] > 0


def from_halves(value: float, first: Floats, second: Floats) -> Estimate:
    """The estimate of a statistic from its value and its values in both halves of ``R`` balanced half-samples ``(R,)``.

    Two halves are two independent samples of half the size, so half of their difference has the variance of the
    statistic where that falls as ``1/n``. Unlike the jackknife this holds for statistics of neighbours and ranks too,
    in which one image's effect depends on what the others are.
    """
    deviations = (first - second) / 2 / np.sqrt(len(first))
    return Estimate(value, float(np.linalg.norm(deviations)), len(first) + 1, tuple(deviations.tolist()))


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


def wilson(share: float, n: float, quantile: float = Z95) -> Interval:
    """Interval of a share found in ``n`` items (Wilson 1927); ``n`` may be an effective number, not whole."""
    squared = quantile**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = quantile / (1 + squared / n) * np.sqrt(share * (1 - share) / n + squared / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def share_interval(estimate: Estimate, n: int) -> Interval:
    """95% interval of a share of ``n`` images: Wilson's for as many items as its standard error amounts to.

    A share of 0 or 1 gets the exact binomial one (Clopper & Pearson 1934), or what its error amounts to where that is
    more. No end is nearer than half as far as Wilson's for ``n``: folds may agree by chance.
    """
    share = estimate.value
    if not 0 < share < 1:
        low, high = clopper_pearson(round(share * n), n)
        below, above = estimate.interval
        return max(0.0, min(low, below)), min(1.0, max(high, above))
    low, high = wilson(share, n)
    low, high = (share + low) / 2, (share + high) / 2
    if not estimate.se:
        return wilson(share, n)
    below, above = wilson(share, share * (1 - share) / estimate.se**2, estimate.quantile)
    return min(low, below), max(high, above)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
