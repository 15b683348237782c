"""Grey level co-occurrence features (Haralick 1973; IBSI section 3.6, arXiv:1612.07003)."""

from __future__ import annotations

import numpy as np

from bench.statistics.arrays import Floats, Integers
from evaluators.encoders.radiomics.first_order import Binned, entropy

NAMES = (
    "joint_maximum",
    "joint_average",
    "joint_entropy",
    "difference_average",
    "difference_variance",
    "difference_entropy",
    "sum_entropy",
    "angular_second_moment",
    "contrast",
    "inverse_difference",
    "normalised_inverse_difference",
    "inverse_difference_moment",
    "normalised_inverse_difference_moment",
    "inverse_variance",
    "correlation",
    "autocorrelation",
    "cluster_tendency",
    "cluster_shade",
    "cluster_prominence",
    "information_correlation_1",
    "information_correlation_2",
)


def cooccurrence(levels: Binned, count: int) -> Floats:
    """Probability of each ordered pair of levels at distance 1 in four directions: ``(N, 4, count, count)``.

    Symmetric: each pair counts both ways. Directions: across, down, and the two diagonals. Levels are in
    ``0..count-1``; images ``(N, H, W)`` have at least two rows and two columns.
    """
    images = len(levels)
    codes = levels.astype(np.int32)
    first = codes * count + (np.arange(images, dtype=np.int32) * count**2)[:, None, None]
    pairs = (
        (first[:, :, :-1], codes[:, :, 1:]),
        (first[:, :-1], codes[:, 1:]),
        (first[:, :-1, :-1], codes[:, 1:, 1:]),
        (first[:, :-1, 1:], codes[:, 1:, :-1]),
    )
    matrices = np.empty((images, 4, count, count))
    for direction, (one, other) in enumerate(pairs):
        counts = np.bincount((one + other).ravel(), minlength=images * count**2)
        table = counts.reshape(images, count, count)
        matrices[:, direction] = (table + table.transpose(0, 2, 1)) / (2 * one[0].size)
    return matrices


def sums_and_differences(matrices: Floats) -> tuple[Floats, Floats]:
    """Distributions of the sum and of the absolute difference of the two levels of a pair.

    For matrices ``(M, G, G)``: ``(M, 2G-1)``, column ``k`` for a sum of ``k+2`` of levels counted from 1, and
    ``(M, G)``, column ``k`` for a difference of ``k``.
    """
    count = matrices.shape[-1]
    place = np.arange(count)
    return (
        _gathered(matrices, place[:, None] + place[None, :], 2 * count - 1),
        _gathered(matrices, np.abs(place[:, None] - place[None, :]), count),
    )


def _gathered(matrices: Floats, column: Integers, columns: int) -> Floats:
    """Sums ``(M, columns)`` of those cells of matrices ``(M, G, G)`` that go into one column, as ``column`` says."""
    codes = column.ravel() + (np.arange(len(matrices)) * columns)[:, None]
    summed = np.bincount(codes.ravel(), weights=matrices.ravel(), minlength=len(matrices) * columns)
    return np.asarray(summed, np.float64).reshape(len(matrices), columns)


def pair_features(matrices: Floats) -> Floats:
    """The features ``NAMES`` of symmetric co-occurrence matrices ``(M, G, G)``: ``(M, 21)``.

    Levels count from 1, and the normalised features divide by ``G``, whichever levels an image has. For a flat image
    the correlation is 1 and both information correlations are 0. Since ``p(i, j) > 0`` implies positive margins, IBSI's
    ``HXY1`` and ``HXY2`` both equal ``HX + HY = 2 HX``.
    Left out, as exact linear functions of others: sum average ``= 2 joint average``, joint variance
    ``= (cluster tendency + contrast) / 4``, sum variance ``= cluster tendency``, dissimilarity
    ``= difference average``.
    """
    count = matrices.shape[-1]
    sums, gaps = sums_and_differences(matrices)
    margin = matrices.sum(axis=2)
    level, gap, total = np.arange(1, count + 1), np.arange(count), np.arange(2, 2 * count + 1)

    average = margin @ level
    variance = ((level - average[:, None]) ** 2 * margin).sum(axis=1)
    contrast = gaps @ gap**2
    gap_average = gaps @ gap
    autocorrelation = (sums @ total**2 - contrast) / 4
    spread = total - 2 * average[:, None]

    flat = margin.max(axis=1) == 1
    correlation = np.where(flat, 1.0, (autocorrelation - average**2) / np.where(flat, 1.0, variance))
    joint, single = entropy(matrices.reshape(len(matrices), -1)), entropy(margin)
    information_1 = np.where(flat, 0.0, (joint - 2 * single) / np.where(flat, 1.0, single))
    information_2 = np.sqrt(np.clip(1 - np.exp(-2 * (2 * single - joint)), 0, None))
    columns = (
        matrices.max(axis=(1, 2)),
        average,
        joint,
        gap_average,
        ((gap - gap_average[:, None]) ** 2 * gaps).sum(axis=1),
        entropy(gaps),
        entropy(sums),
        np.einsum("mij,mij->m", matrices, matrices),
        contrast,
        gaps @ (1 / (1 + gap)),
        gaps @ (1 / (1 + gap / count)),
        gaps @ (1 / (1 + gap**2)),
        gaps @ (1 / (1 + (gap / count) ** 2)),
        gaps[:, 1:] @ (1 / gap[1:] ** 2),
        correlation,
        autocorrelation,
        (spread**2 * sums).sum(axis=1),
        (spread**3 * sums).sum(axis=1),
        (spread**4 * sums).sum(axis=1),
        information_1,
        information_2,
    )
    return np.stack(columns, axis=1)


def cooccurrence_features(levels: Binned, count: int) -> Floats:
    """The features ``NAMES``, averaged over the four directions: ``(N, 21)`` for levels ``(N, H, W)``."""
    matrices = cooccurrence(levels, count)
    features = pair_features(matrices.reshape(-1, count, count))
    return features.reshape(len(levels), 4, -1).mean(axis=1)
