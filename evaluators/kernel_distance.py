"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel.

``KID = mean_(i!=j) k(x_i, x_j) + mean_(i!=j) k(y_i, y_j) - 2 mean_ij k(x_i, y_j)`` with ``k(a, b) = (a.b/D + 1)^3``
(Binkowski et al. 2018, arXiv 1801.01401). The mean runs over all pairs, not over random subsets: an unbiased
estimate without the noise of a draw, and below 12,000 images also the cheaper one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bench.api import Rows
from bench.stats import Floats, jackknife_se
from evaluators.estimate import Estimate

Indices = npt.NDArray[np.int64]
TILE = 512


def kernel_sums(first: Rows, second: Rows, starts: Indices) -> tuple[Floats, float]:
    """Sums of the kernel less 1 of each first row over the folds of the second, and the sum of its squares.

    ``second`` is sorted by fold, fold ``g`` from ``starts[g]`` to ``starts[g + 1]``; the sums are ``(N, G)``. The 1
    cancels in KID and taking it off keeps the digits. Float32 products, float64 sums.
    """
    import torch

    one, two = torch.from_numpy(first), torch.from_numpy(second)
    sums, squares = np.empty((len(first), len(starts) - 1)), 0.0
    for top in range(0, len(first), TILE):
        for fold, (start, stop) in enumerate(pairwise(starts.tolist())):
            dot = (one[top : top + TILE] @ two[start:stop].T).div_(first.shape[1])
            kernel = torch.addcmul(dot * 3, dot * dot, dot + 3)
            sums[top : top + TILE, fold] = kernel.sum(dim=1, dtype=torch.float64).numpy()
            squares += float(kernel.flatten().dot(kernel.flatten()))
    return sums, squares


def own_kernel(rows: Rows) -> Floats:
    """The kernel less 1 of each row with itself, ``(N,)``."""
    dot = np.einsum("nd,nd->n", rows, rows, dtype=np.float64) / rows.shape[1]
    return (dot + 1) ** 3 - 1


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
    count = int(max(first_folds.max(), second_folds.max())) + 1
    sizes = [np.bincount(folds, minlength=count) for folds in (first_folds, second_folds)]
    if any((size == 0).any() for size in sizes):
        raise ValueError(f"{count} folds, but some hold no row: sizes {sizes}")
    starts = [np.concatenate(([0], np.cumsum(size))) for size in sizes]
    x = first[np.argsort(first_folds, kind="stable")]
    y = second[np.argsort(second_folds, kind="stable")]
    (xx, squares), (yy, _), (xy, _) = (
        kernel_sums(a, b, start) for a, b, start in ((x, x, starts[0]), (y, y, starts[1]), (x, y, starts[1]))
    )
    own_x, own_y = own_kernel(x), own_kernel(y)
    n, m = len(x) - np.append(0, sizes[0]), len(y) - np.append(0, sizes[1])
    within_x = _left(xx, starts[0], own_x) / (n * (n - 1.0))
    within_y = _left(yy, starts[1], own_y) / (m * (m - 1.0))
    values = within_x + within_y - 2 * _left(xy, starts[0], np.zeros(len(x))) / (n * (m * 1.0))
    null = null_variance(xx.sum(axis=1) - own_x, squares - float(own_x @ own_x))
    se = np.hypot(jackknife_se(values[1:]), (1 / len(x) + 1 / len(y)) * np.sqrt(2 * null))
    return Estimate(float(values[0]), float(se), count)


def _left(sums: Floats, starts: Indices, own: Floats) -> Floats:
    """The sum over all pairs but own ones, then without fold ``g`` for each ``g``, from ``(N, G)`` sums of rows."""
    table = np.add.reduceat(sums, starts[:-1], axis=0) - np.diag(np.add.reduceat(own, starts[:-1]))
    total = table.sum()
    return np.append(total, total - table.sum(axis=0) - table.sum(axis=1) + np.diag(table))
