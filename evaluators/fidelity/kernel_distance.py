"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel.

``KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`` over images of different patients, with
``k(a, b) = (a.b/D + 1)^3`` (Binkowski et al. 2018, arXiv 1801.01401). The means run over all pairs, not over random
subsets: an unbiased estimate without the noise of a draw, and below 12,000 images also the cheaper one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Singles
from bench.statistics.clusters import Clusters
from bench.statistics.distances import Centred, across, centred, mean_row, slices, sweep, within
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.kernel_sums import Kernel, kernel_sums

if TYPE_CHECKING:
    import torch

KID = Metric(
    key="kid",
    title="Kernel distance",
    better="lower",
    reference="arXiv:1801.01401",
    role="headline",
    area="fidelity",
    minimum=50,
    summary=(
        "Squared distance of kernel means, less what the scatter of patients adds: 0 for a perfect generator, and "
        "slightly negative by chance. Where a few patients have most of the images a little bias is left."
    ),
)


class CubicKernel(Kernel):
    """``(a.b/D + 1)^3`` less 1: the 1 cancels in the distance, and without it more digits remain."""

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def prepare(self, points: Centred) -> Singles:
        return (lift(points) / self.columns).astype(np.float32)[None]

    def of_tile(self, products: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        import torch

        dot = torch.add(right[0], products, alpha=1 / self.columns)
        dot.add_(left[0][:, None])
        return (dot + 3).mul_(dot).add_(3).mul_(dot)

    def of_rows(self, one: Floats, other: Floats) -> Floats:
        dot = np.einsum("nd,nd->n", one, other) / self.columns
        return ((dot + 3) * dot + 3) * dot


def lift(points: Centred) -> Floats:
    """``x.c - c.c / 2`` of rows ``x`` about the centre ``c`` ``(N,)``: with that of both rows a centred product is
    that of the rows themselves."""
    centre = points.centre.astype(np.float64)
    lifted = np.empty(len(points))
    for part in slices(len(points), 1024):
        lifted[part] = points.rows[part] @ centre
    return lifted - centre @ centre / 2


def kernel_distance(first: Rows, second: Rows, first_clusters: Clusters, second_clusters: Clusters) -> FoldTables:
    """KID of ``(N1, D)`` and ``(N2, D)`` features, as tables that give its value and its errors.

    Raises:
        ValueError: a fold without a row.
    """
    centre = mean_row(first)
    x, y = centred(first, centre), centred(second, centre)
    sums = kernel_sums(CubicKernel(first.shape[1]), x, y, (first_clusters, second_clusters))
    for each, tiles in zip(sums, (within(x), within(y), across(x, y)), strict=True):
        sweep(tiles, [each])
    return sums.tables()
