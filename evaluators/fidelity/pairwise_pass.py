"""Kernel distances and neighbours of two sets from one pass over their pairs."""

from __future__ import annotations

from typing import NamedTuple

from bench.api import Rows
from bench.statistics.clusters import Clusters
from bench.statistics.distances import across, centred, mean_row, sweep, within
from bench.statistics.neighbours import Across, Neighbourhood, around, lists_of, neighbour_lists, parts_of
from evaluators.fidelity.cmmd import GaussianRemainder, with_linear_part
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.kernel_distance import CubicKernel
from evaluators.fidelity.kernel_sums import kernel_sums


class Comparison(NamedTuple):
    """What one pass over the pairs of two sets gives."""

    kernel_distance: FoldTables
    discrepancy: FoldTables
    neighbourhood: Neighbourhood


def compare(real: Rows, fake: Rows, k: int, real_clusters: Clusters, fake_clusters: Clusters) -> Comparison:
    """``kernel_distance``, ``discrepancy`` and ``neighbourhood`` of ``(N, D)`` and ``(M, D)`` features, each product
    computed once.

    Raises:
        ValueError: a fold without a row, fewer than 8 folds, or a half with fewer than ``k + 1`` rows.
    """
    centre, clusters = mean_row(real), (real_clusters, fake_clusters)
    x, y = centred(real, centre), centred(fake, centre)
    cubic, gaussian = (
        kernel_sums(kernel, x, y, clusters) for kernel in (CubicKernel(real.shape[1]), GaussianRemainder())
    )
    parts, balls = parts_of(*clusters), []
    for number, (points, masks) in enumerate(((x, parts.real), (y, parts.fake))):
        lists = neighbour_lists(points, k)
        sweep(within(points), [lists, cubic[number], gaussian[number]])
        balls.append(around(lists_of(lists), k, masks))
    beyond = Across(balls[0], balls[1], x, y)
    sweep(across(x, y), [beyond, cubic.across, gaussian.across])
    return Comparison(cubic.tables(), with_linear_part(gaussian), beyond.neighbourhood(k, parts))
