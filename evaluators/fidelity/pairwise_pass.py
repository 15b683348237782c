"""Kernel distance and neighbours of two sets from one pass over their pairs."""

from __future__ import annotations

from typing import NamedTuple

from bench.api import Rows
from bench.statistics.arrays import Indices
from bench.statistics.distances import across, centred, mean_row, sweep, within
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import Memberships, Neighbours, from_lists, from_memberships, neighbour_lists
from bench.statistics.resampling import fold_count
from evaluators.fidelity.kernel_distance import from_sums, kernel_sums


class Comparison(NamedTuple):
    """What one pass over the pairs of two sets gives."""

    kernel_distance: Estimate
    neighbours: Neighbours


def compare(real: Rows, fake: Rows, k: int, real_folds: Indices, fake_folds: Indices) -> Comparison:
    """``kernel_distance`` and ``neighbours`` of ``(N, D)`` and ``(M, D)`` features, each product computed once.

    Raises:
        ValueError: a fold without a row, or so large that without it fewer than ``k + 1`` rows are left.
    """
    count = fold_count(real_folds, fake_folds)
    centre = mean_row(real)
    x, y = centred(real, centre), centred(fake, centre)
    sums = kernel_sums(x, y, real_folds, fake_folds)
    around = []
    for points, folds, kernel in ((x, real_folds, sums[0]), (y, fake_folds, sums[1])):
        lists = neighbour_lists(points, k, folds, count)
        sweep(within(points), [lists, kernel])
        around.append(from_lists(lists, k, folds, count))
    counted = Memberships(around[0], around[1], x, y)
    sweep(across(x, y), [counted, sums[2]])
    return Comparison(from_sums(sums, real_folds, fake_folds), from_memberships(counted, k))
