"""FD at an infinite number of images, by extrapolation over the sizes of both sets.

The bias of FD falls as ``1/n``, so a straight line through FD against ``1/n``, read at 0, is free of it (Chong &
Forsyth 2020, arXiv 1911.07023, who let the synthetic set grow only, which leaves the half of the bias that the real set
brings).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.distances import mean_row
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife
from evaluators.fidelity.frechet_distance import Moments, distance_of_moments, moments

MAGNIFIED = 1.5  # standard deviation between samples of one population over that of FD: 1.4 to 1.6 for Gaussians
SHARES = (0.5, 0.6, 0.7, 0.85, 1.0)  # of the folds, from the smallest sets to all images

FD_INFINITY = Metric(
    key="fd_infinity",
    title="Fréchet distance at infinite n",
    better="lower",
    reference="arXiv:1911.07023",
    area="fidelity",
    minimum=200,
    summary=(
        "Fréchet distance read off a line through its values at half to all of the images of both sides: another way "
        "than fd to be rid of the bias, with more noise, and the one other papers take."
    ),
)


def merged(parts: Sequence[Moments]) -> Moments:
    """Moments of several sets, about one pivot, together."""
    return reduce(lambda a, b: Moments(a.n + b.n, a.pivot, a.total + b.total, a.gram + b.gram), parts)


def intercept(sizes: Floats, values: Floats) -> float:
    """``a`` of the least-squares line ``value = a + b / size``."""
    return float(np.polynomial.polynomial.polyfit(1 / sizes, values, 1)[0])


def at_infinity(first: Sequence[Moments], second: Sequence[Moments]) -> float:
    """FD at infinite ``n`` from the moments of folds: growing numbers of them, in their order and in its reverse.

    The two orders are averaged, so that every fold is in the smaller sets of one of them or both.
    """
    count = len(first)
    whole = distance_of_moments(merged(first), merged(second))
    sizes, values = [], []
    for one, two in ((first, second), (first[::-1], second[::-1])):
        for share in SHARES:
            kept = round(share * count)
            a, b = merged(one[:kept]), merged(two[:kept])
            sizes.append(2 / (1 / a.n + 1 / b.n))
            values.append(whole if kept == count else distance_of_moments(a, b))
    return intercept(np.array(sizes), np.array(values))


def frechet_infinity(first: Rows, second: Rows, first_folds: Indices, second_folds: Indices) -> float:
    """FD at infinite ``n`` of ``(N, D)`` and ``(M, D)`` features; half of each set must outnumber the features."""
    return at_infinity(*_by_fold(first, second, first_folds, second_folds))


def frechet_infinity_jackknife(
    first: Rows, second: Rows, first_folds: Indices, second_folds: Indices, null: float = 0.0
) -> Estimate:
    """The same with the delete-fold jackknife's standard error, folds leaving both sets.

    ``null`` is the standard deviation of FD between two samples of one population, of these sizes. The extrapolation
    magnifies what differs between subsets: its own is ``MAGNIFIED`` times that, and the jackknife counts it so often
    that all of the excess is taken off.
    """
    one, two = _by_fold(first, second, first_folds, second_folds)
    rest = [at_infinity(one[:g] + one[g + 1 :], two[:g] + two[g + 1 :]) for g in range(len(one))]
    return jackknife([at_infinity(one, two), *rest], MAGNIFIED * null, excess=1.0)


def _by_fold(
    first: Rows, second: Rows, first_folds: Indices, second_folds: Indices
) -> tuple[list[Moments], list[Moments]]:
    count = fold_count(first_folds, second_folds)
    pivot = mean_row(first)
    sides = ((first, first_folds), (second, second_folds))
    one, two = ([moments(rows[folds == fold], pivot) for fold in range(count)] for rows, folds in sides)
    return one, two
