"""CMMD: maximum mean discrepancy under a Gaussian kernel on features of length 1.

``k(a, b) = exp(-|a - b|^2 / (2 * 10^2))``, times 1000 (Jayasumana et al. 2024, arXiv 2401.09603). Defined there on CLIP
features; on others it is the same formula. On rows of length 1 the kernel is nearly linear, so CMMD is ten times the
squared distance of the mean rows, to within a few percent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.resampling import fold_count
from evaluators.fidelity.fold_tables import FoldTables, Parts, add_up

SIGMA = 10.0
SCALE = 1000.0
TILE = 512

CMMD = Metric(
    key="cmmd",
    title="Gaussian kernel distance, bias removed",
    better="lower",
    reference="arXiv:2401.09603",
    area="fidelity",
    minimum=50,
    summary=(
        "1000 times the squared distance of means under a Gaussian kernel on features of length 1, over all pairs of "
        "different images: 0 for a perfect generator, slightly negative by chance, and blind to what only makes "
        "features longer or shorter."
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


def unit(rows: Rows) -> Floats:
    """Rows scaled to length 1, float64; a row of zeros stays."""
    wide = rows.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(length == 0, 1.0, length)
    return wide


def _squares(rows: Floats) -> Floats:
    """Squared lengths, a few rows at a time."""
    parts = (rows[start : start + TILE] for start in range(0, len(rows), TILE))
    return np.concatenate([(part * part).sum(axis=1) for part in parts])


def kernel_rows(first: Floats, second: Floats, folds: Indices, count: int) -> tuple[Floats, float]:
    """Sums of ``1000 (k - 1)`` of each first row over the folds of the second ``(N, G)``, and the sum of squares.

    The 1 cancels in the distance, and ``expm1`` in float64 keeps the digits that ``exp`` loses next to it. Rows are to
    share an origin near them; products are float32, whose error is that of a squared distance of 1e-7.
    """
    import torch

    one, two = (torch.from_numpy(rows.astype(np.float32)) for rows in (first, second))
    one_squares, two_squares = (torch.from_numpy(_squares(rows)) for rows in (first, second))
    membership = torch.nn.functional.one_hot(torch.from_numpy(folds), count).double()
    sums, squares = np.empty((len(first), count)), 0.0
    for top in range(0, len(first), TILE):
        rows = slice(top, top + TILE)
        away = (one[rows] @ two.T).double().mul_(-2).add_(two_squares).add_(one_squares[rows, None]).clamp_(min=0)
        kernel = away.mul_(-0.5 / SIGMA**2).expm1_().mul_(SCALE)
        sums[rows] = (kernel @ membership).numpy()
        squares += float(kernel.square().sum())
    return sums, squares


class Discrepancy(NamedTuple):
    """CMMD: the unbiased estimate with its uncertainty, and the biased one that papers report."""

    unbiased: Parts
    published: float


def discrepancy(first: Rows, second: Rows, first_folds: Indices, second_folds: Indices) -> Discrepancy:
    """CMMD of ``(N, D)`` and ``(M, D)`` features of any length.

    The published value counts every image as a neighbour of itself, so it is too large by about
    ``(1/N + 1/M) mean (1 - k)``.
    """
    from evaluators.fidelity.kernel_distance import null_variance

    x, y = unit(first), unit(second)
    centre = x.mean(axis=0)
    x -= centre
    y -= centre
    count = fold_count(first_folds, second_folds)
    xx, squares = kernel_rows(x, x, first_folds, count)
    yy, _ = kernel_rows(y, y, second_folds, count)
    xy, _ = kernel_rows(x, y, second_folds, count)
    n, m = len(x), len(y)
    tables = FoldTables(
        add_up(xx, first_folds, count),
        add_up(yy, second_folds, count),
        add_up(xy, first_folds, count),
        np.bincount(first_folds, minlength=count),
        np.bincount(second_folds, minlength=count),
    )
    null = (1 / n + 1 / m) * np.sqrt(2 * null_variance(xx.sum(axis=1), squares))
    published = xx.sum() / n**2 + yy.sum() / m**2 - 2 * xy.sum() / (n * m)
    return Discrepancy(tables.parts(float(null)), max(0.0, float(published)))
