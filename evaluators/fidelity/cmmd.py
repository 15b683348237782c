"""CMMD: maximum mean discrepancy under a Gaussian kernel on features of length 1.

``k(a, b) = exp(-|a - b|^2 / (2 * 10^2))``, times 1000 (Jayasumana et al. 2024, arXiv 2401.09603). Defined there on CLIP
features; on others it is the same formula. On rows of length 1 the kernel is nearly linear, so CMMD is ten times the
squared distance of the mean rows, to within a few percent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Reals, Singles
from bench.statistics.clusters import Clusters
from bench.statistics.distances import Centred, across, centred, mean_row, slices, sweep, within
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.kernel_distance import lift
from evaluators.fidelity.kernel_sums import Kernel, Sums, kernel_sums, linear_tables

if TYPE_CHECKING:
    import torch

SIGMA = 10.0
SCALE = 1000.0
SLOPE = SCALE / SIGMA**2  # of the kernel at distance 0, per unit of half the squared distance

CMMD = Metric(
    key="cmmd",
    title="Gaussian kernel distance, bias removed",
    better="lower",
    reference="arXiv:2401.09603",
    area="fidelity",
    minimum=50,
    summary=(
        "1000 times the squared distance of means under a Gaussian kernel on features of length 1, over all pairs of "
        "images of different patients: 0 for a perfect generator, slightly negative by chance, and blind to what only "
        "makes features longer or shorter."
    ),
)
CMMD_PUBLISHED = Metric(
    key="cmmd_published",
    title="Gaussian kernel distance, as in papers",
    better="lower",
    reference="arXiv:2401.09603",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="The same with every image paired with itself too, hence too large: see cmmd.",
)


def unit(rows: Reals) -> Floats:
    """Rows scaled to length 1, float64; a row of zeros stays."""
    wide = rows.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(length == 0, 1.0, length)
    return wide


class GaussianRemainder(Kernel):
    """What the kernel has beyond its linear part: ``1000 (exp(-t/100) - 1 + t/100)`` for ``t = |u - v|^2 / 2``.

    ``t`` is at most 2 for rows of length 1, so that three terms of the series are exact to float32. The linear part,
    all but a hundredth of the kernel, is added in float64 from sums of rows, so that the rounding of float32 products,
    which loses digits next to 1, is divided by a hundred too.
    """

    def prepare(self, points: Centred) -> Singles:
        lengths = np.empty(len(points))
        for part in slices(len(points), 1024):
            lengths[part] = np.linalg.norm(points.rows[part].astype(np.float64), axis=1)
        inverse = np.divide(1.0, lengths, out=np.zeros(len(points)), where=lengths > 0)
        return np.stack([lift(points), inverse, (lengths > 0) / 2]).astype(np.float32)

    def of_tile(self, products: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        cosine = (products + right[0]).add_(left[0][:, None]).mul_(right[1]).mul_(left[1][:, None])
        return _remainder(cosine.neg_().add_(right[2]).add_(left[2][:, None]).clamp_(min=0))

    def of_rows(self, one: Floats, other: Floats) -> Floats:
        from scipy.special import expm1

        away = np.square(unit(one) - unit(other)).sum(axis=1) / 2
        return np.asarray(SCALE * (expm1(-away / SIGMA**2) + away / SIGMA**2), np.float64)


def _remainder(away: torch.Tensor) -> torch.Tensor:
    """``1000 (z^2/2 - z^3/6 + z^4/24)`` for ``z = t/100``."""
    z = away.mul_(1 / SIGMA**2)
    series = (z * (1 / 24)).sub_(1 / 6).mul_(z).add_(0.5)
    return series.mul_(z).mul_(z).mul_(SCALE)


def discrepancy(first: Rows, second: Rows, first_clusters: Clusters, second_clusters: Clusters) -> FoldTables:
    """CMMD of ``(N, D)`` and ``(M, D)`` features of any length, as tables that give its values and errors."""
    centre = mean_row(first)
    x, y = centred(first, centre), centred(second, centre)
    sums = kernel_sums(GaussianRemainder(), x, y, (first_clusters, second_clusters))
    for each, tiles in zip(sums, (within(x), within(y), across(x, y)), strict=True):
        sweep(tiles, [each])
    return with_linear_part(sums)


def with_linear_part(sums: Sums) -> FoldTables:
    """The tables of the whole kernel less 1000, from the sums of its remainder: ``-10 t`` added in float64.

    With ``t = |u|^2/2 + |v|^2/2 - u.v`` the first two terms are a number of each row, which cancels in the distance.
    """
    sides = sums.across.left, sums.across.right
    rows, clusters = [side.points.rows for side in sides], (sides[0].clusters, sides[1].clusters)
    return sums.tables().plus(linear_tables(rows[0], rows[1], clusters, unit), SLOPE)
