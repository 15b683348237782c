"""Kernel distances and neighbours of two sets from one pass over their pairs, the real ones' own pairs kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.api import Keep, Rows, made_anew
from bench.statistics.arrays import array_digest
from bench.statistics.clusters import Clusters
from bench.statistics.distances import Centred, across, centred, mean_row, sweep, within
from bench.statistics.neighbours import (
    Across,
    Around,
    Crowded,
    Lists,
    Neighbourhood,
    around,
    lists_of,
    neighbour_lists,
    parts_of,
)
from evaluators.fidelity.cmmd import GaussianRemainder, with_linear_part
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.kernel_distance import CubicKernel
from evaluators.fidelity.kernel_sums import Sums, kernel_sums


class Comparison(NamedTuple):
    """What one pass over the pairs of two sets gives; no neighbourhood where it is crowded."""

    kernel_distance: FoldTables
    discrepancy: FoldTables
    neighbourhood: Neighbourhood | Crowded


class Pass(NamedTuple):
    """What a pass over the pairs within a set gives, as arrays that can be kept."""

    distances: npt.NDArray[np.float64]
    indices: npt.NDArray[np.int64]
    radius: npt.NDArray[np.float64]
    median: npt.NDArray[np.float64]
    cubic: npt.NDArray[np.float64]
    gaussian: npt.NDArray[np.float64]


def compare(
    real: Rows, fake: Rows, k: int, real_clusters: Clusters, fake_clusters: Clusters, keep: Keep = made_anew
) -> Comparison:
    """``kernel_distance``, ``discrepancy`` and ``neighbourhood`` of ``(N, D)`` and ``(M, D)`` features, each product
    computed once.

    Raises:
        ValueError: a fold without a row, fewer than 8 folds, or a half with fewer than ``k + 1`` rows.
    """
    centre, clusters = mean_row(real), (real_clusters, fake_clusters)
    x, y = centred(real, centre), centred(fake, centre)
    kernels = CubicKernel(real.shape[1]), GaussianRemainder()
    sums = tuple(kernel_sums(kernel, x, y, clusters) for kernel in kernels)
    parts = parts_of(*clusters)

    def real_pass() -> Mapping[str, npt.NDArray[Any]]:
        return _within(x, k, parts.real, (sums[0], sums[1]), 0)._asdict()

    whole = (real, real_clusters.folds, real_clusters.patients, parts.real)
    identity = ["within", k, *(array_digest(each) for each in whole)]
    passes = Pass(**keep(identity, real_pass)), _within(y, k, parts.fake, (sums[0], sums[1]), 1)
    balls = []
    for number, (rows, each) in enumerate(zip((real, fake), passes, strict=True)):
        sums[0][number].table, sums[1][number].table = each.cubic, each.gaussian
        balls.append(Around(Lists(rows, each.distances, each.indices), each.radius, each.median))
    beyond = Across(balls[0], balls[1], x, y)
    sweep(across(x, y), [beyond, sums[0].across, sums[1].across])
    try:
        found: Neighbourhood | Crowded = beyond.neighbourhood(k, parts)
    except Crowded as crowded:
        found = crowded
    return Comparison(sums[0].tables(), with_linear_part(sums[1]), found)


def _within(points: Centred, k: int, parts: npt.NDArray[np.bool_], sums: tuple[Sums, Sums], number: int) -> Pass:
    lists, cubic, gaussian = neighbour_lists(points, k), sums[0][number], sums[1][number]
    sweep(within(points), [lists, cubic, gaussian])
    balls = around(lists_of(lists), k, parts)
    return Pass(balls.lists.distances, balls.lists.indices, balls.radius, balls.median, cubic.table, gaussian.table)
