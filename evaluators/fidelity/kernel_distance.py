"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel.

``KID = mean_(i!=j) k(x_i, x_j) + mean_(i!=j) k(y_i, y_j) - 2 mean_ij k(x_i, y_j)`` with ``k(a, b) = (a.b/D + 1)^3``
(Binkowski et al. 2018, arXiv 1801.01401). The mean runs over all pairs, not over random subsets: an unbiased
estimate without the noise of a draw, and below 12,000 images also the cheaper one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices, Singles
from bench.statistics.distances import Centred, Tile, across, centred, mean_row, slices, sweep, within
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count
from evaluators.fidelity.fold_tables import FoldTables

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
        "Squared distance of kernel means over all pairs, without bias for independent images: 0 for a perfect "
        "generator, and slightly negative by chance. Several images of a patient make it larger."
    ),
)


class KernelSums:
    """Consumer that sums the kernel less 1 over pairs of folds. The 1 cancels in KID; without it more digits remain.

    Within one set the kernel of a row with itself is left out and every pair is counted in both orders. Float32
    products, float64 sums.

    Attributes:
        table: ``(G, G)`` sums by fold of the left and of the right row.
        totals: ``(N,)`` sums of each left row.
        squares: the sum of the squares.
    """

    def __init__(self, left: Centred, right: Centred, left_folds: Indices, right_folds: Indices, count: int) -> None:
        self.left_folds, self.right_folds = left_folds, right_folds
        self.table, self.totals, self.squares = np.zeros((count, count)), np.zeros(len(left)), 0.0
        self._scale = 1 / left.rows.shape[1]
        self._left, self._right = _lift(left), _lift(right)

    def __call__(self, tile: Tile) -> None:
        import torch

        rows, columns, products, place = tile
        dot = torch.add(torch.from_numpy(self._right[columns]), products, alpha=self._scale)
        dot.add_(torch.from_numpy(self._left[rows, None]))
        kernel = (dot + 3).mul_(dot).add_(3).mul_(dot)
        if place == "diagonal":
            kernel.fill_diagonal_(0)
        by_fold = (self._marks(self.left_folds[rows]).T @ kernel).double()
        table = (by_fold @ self._marks(self.right_folds[columns]).double()).numpy()
        square = float(kernel.flatten().dot(kernel.flatten()))
        self.table += table
        self.squares += square
        self.totals[rows] += kernel.sum(dim=1).numpy()
        if place == "above":
            self.table += table.T
            self.squares += square
            self.totals[columns] += by_fold.sum(dim=0).numpy()

    def _marks(self, folds: Indices) -> torch.Tensor:
        """``(n, G)``, 1 where a row is of a fold."""
        import torch

        return torch.eye(len(self.table))[torch.from_numpy(folds)]


def _lift(points: Centred) -> Singles:
    """``(x.c - c.c / 2) / D`` of rows ``x`` about the centre ``c``: what turns centred products into ``x.y / D``."""
    centre = points.centre.astype(np.float64)
    lift = np.empty(len(points))
    for part in slices(len(points), 1024):
        lift[part] = points.rows[part] @ centre
    return ((lift - centre @ centre / 2) / len(centre)).astype(np.float32)


def null_variance(sums: Floats, squares: float) -> float:
    """``E k_c(x, x')^2`` of the centred kernel ``k_c``, unbiased, from sums over the other rows ``(N,)`` and squares.

    Two samples of one population of ``n`` and ``m`` have KID with variance ``2 (1/n + 1/m)^2`` times this
    (Gretton et al. 2012, section 6).
    """
    n, total = len(sums), float(sums.sum())
    pairs = n * (n - 1.0)
    of_means = (float(sums @ sums) - squares) / (pairs * (n - 2.0))
    return max(0.0, squares / pairs - 2 * of_means + (total / pairs) ** 2)


def kernel_distance(first: Rows, second: Rows, first_folds: Indices, second_folds: Indices) -> Estimate:
    """KID of ``(N1, D)`` and ``(N2, D)`` features.

    One table of kernel sums by pairs of folds gives the estimate and the estimate without each fold. The squared
    standard error is the delete-fold jackknife's plus that of two samples of the first population: near 0 the
    jackknife's own shrinks with the estimate, and intervals of it alone are too short.

    Raises:
        ValueError: a fold without a row.
    """
    centre = mean_row(first)
    x, y = centred(first, centre), centred(second, centre)
    sums = kernel_sums(x, y, first_folds, second_folds)
    for each, tiles in zip(sums, (within(x), within(y), across(x, y)), strict=True):
        sweep(tiles, [each])
    return from_sums(sums, first_folds, second_folds)


Sums = tuple[KernelSums, KernelSums, KernelSums]


def kernel_sums(first: Centred, second: Centred, first_folds: Indices, second_folds: Indices) -> Sums:
    """What is to be summed within the first set, within the second and across them.

    Raises:
        ValueError: a fold without a row.
    """
    count = fold_count(first_folds, second_folds)
    sizes = [np.bincount(folds, minlength=count) for folds in (first_folds, second_folds)]
    if any((size == 0).any() for size in sizes):
        raise ValueError(f"{count} folds, but some hold no row: sizes {sizes}")
    return (
        KernelSums(first, first, first_folds, first_folds, count),
        KernelSums(second, second, second_folds, second_folds, count),
        KernelSums(first, second, first_folds, second_folds, count),
    )


def from_sums(sums: Sums, first_folds: Indices, second_folds: Indices) -> Estimate:
    """KID of two sets whose pairs have all been summed."""
    return tables_of(sums, first_folds, second_folds).estimate(null_deviation(sums, first_folds, second_folds))


def tables_of(sums: Sums, first_folds: Indices, second_folds: Indices) -> FoldTables:
    """The sums of all pairs by pairs of folds."""
    xx, yy, xy = (each.table for each in sums)
    first, second = (np.bincount(folds, minlength=len(xx)) for folds in (first_folds, second_folds))
    return FoldTables(xx, yy, xy, first, second)


def null_deviation(sums: Sums, first_folds: Indices, second_folds: Indices) -> float:
    """Standard deviation of KID between two samples of the first population, of these sizes."""
    variance = null_variance(sums[0].totals, sums[0].squares)
    return float((1 / len(first_folds) + 1 / len(second_folds)) * np.sqrt(2 * variance))
