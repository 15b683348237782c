"""Neighbourhood grey tone difference features (Amadasun & King 1989; IBSI section 3.10, arXiv:1612.07003)."""

from __future__ import annotations

import numpy as np

from bench.statistics.arrays import Floats
from evaluators.encoders.radiomics.first_order import Binned, shares

NAMES = ("coarseness", "contrast", "busyness", "complexity", "strength")
FLAT_COARSENESS = 2.0


def neighbour_sum(values: Floats) -> Floats:
    """Sum over the up to eight neighbours of every pixel that lie inside the image: ``(N, H, W)``."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] - values


def tone_differences(levels: Binned, count: int) -> Floats:
    """Sum over the pixels of each level of ``|level - mean of its neighbours|``: ``(N, count)``."""
    values = levels.astype(np.float64)
    neighbours = neighbour_sum(np.ones((1, *levels.shape[1:])))
    difference = np.abs(values - neighbour_sum(values) / neighbours)
    codes = levels.reshape(len(levels), -1) + (np.arange(len(levels)) * count)[:, None]
    summed = np.bincount(codes.ravel(), weights=difference.ravel(), minlength=len(levels) * count)
    return np.asarray(summed, np.float64).reshape(len(levels), count)


def tone_features(levels: Binned, count: int) -> Floats:
    """The features ``NAMES``: ``(N, 5)`` for levels ``(N, H, W)`` in ``0..count-1``; formulas count them from 1.

    A flat image has coarseness 2: just over 1.905, the most any other image can have (one corner pixel a level off),
    where IBSI allows any large number, so that one flat image does not drown the mean of a set. Its other features
    are 0.
    """
    share, difference = shares(levels, count), tone_differences(levels, count)
    pixels = levels[0].size
    level = np.arange(1, count + 1, dtype=np.float64)
    gap = np.abs(level[:, None] - level[None, :])
    present = share > 0
    both = present[:, :, None] & present[:, None, :]
    used = present.sum(axis=1)

    weighted = share * difference
    roughness = weighted.sum(axis=1)
    flat = roughness == 0
    safe = np.where(flat, 1.0, roughness)
    total = difference.sum(axis=1)

    pair_contrast = np.einsum("ni,ij,nj->n", share, gap**2, share, optimize=True)
    contrast = pair_contrast / np.maximum(used * (used - 1), 1) * total / pixels
    imbalance = level * share
    restless = (np.abs(imbalance[:, :, None] - imbalance[:, None, :]) * both).sum(axis=(1, 2))
    pair_share = np.where(both, share[:, :, None] + share[:, None, :], 1.0)
    pair_weight = weighted[:, :, None] + weighted[:, None, :]
    complexity = (gap * both * pair_weight / pair_share).sum(axis=(1, 2)) / pixels
    strength = (gap**2 * both * pair_share).sum(axis=(1, 2)) / np.where(total == 0, 1.0, total)
    columns = (
        np.where(flat, FLAT_COARSENESS, 1 / safe),
        contrast,
        np.where(restless > 0, roughness / np.where(restless > 0, restless, 1.0), 0.0),
        complexity,
        np.where(total == 0, 0.0, strength),
    )
    return np.stack(columns, axis=1)
