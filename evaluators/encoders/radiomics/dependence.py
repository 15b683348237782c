"""Neighbouring grey level dependence features (Sun & Wee 1983; IBSI section 3.11, arXiv:1612.07003).

Coarseness 0 and distance 1: the dependence of a pixel is 1 and the number of its eight neighbours of the same level.
"""

from __future__ import annotations

import numpy as np

from bench.statistics.arrays import Floats, Levels
from evaluators.encoders.radiomics.first_order import Binned, entropy

NAMES = (
    "low_dependence_emphasis",
    "high_dependence_emphasis",
    "low_grey_level_count_emphasis",
    "high_grey_level_count_emphasis",
    "low_dependence_low_grey_level_emphasis",
    "low_dependence_high_grey_level_emphasis",
    "high_dependence_low_grey_level_emphasis",
    "high_dependence_high_grey_level_emphasis",
    "normalised_dependence_count_non_uniformity",
    "grey_level_variance",
    "dependence_count_variance",
    "dependence_count_entropy",
    "dependence_count_energy",
)
MOST = 9


def dependences(levels: Binned) -> Levels:
    """1 and the number of neighbours of the same level, for each pixel of levels ``(N, H, W)``: 1 to 9."""
    found = np.ones(levels.shape, np.uint8)
    pairs = (
        (np.s_[:, :, :-1], np.s_[:, :, 1:]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, :-1, :-1], np.s_[:, 1:, 1:]),
        (np.s_[:, :-1, 1:], np.s_[:, 1:, :-1]),
    )
    for one, other in pairs:
        same = levels[one] == levels[other]
        found[one] += same
        found[other] += same
    return found


def dependence_shares(levels: Binned, count: int) -> Floats:
    """Share of the pixels of each level and dependence: ``(N, count, 9)``, column 0 for a dependence of 1."""
    images = len(levels)
    codes = levels.astype(np.int32) * MOST + (dependences(levels) - 1)
    codes += (np.arange(images, dtype=np.int32) * (count * MOST))[:, None, None]
    counts = np.bincount(codes.ravel(), minlength=images * count * MOST)
    return counts.reshape(images, count, MOST) / levels[0].size


def dependence_features(levels: Binned, count: int) -> Floats:
    """The features ``NAMES``: ``(N, 13)`` for levels ``(N, H, W)`` in ``0..count-1``; formulas count them from 1.

    Left out, as exact linear functions of others: grey level non-uniformity (the first-order uniformity, and that
    times pixels), dependence count non-uniformity (the normalised one times pixels), dependence count percentage (1:
    every pixel of an image has a dependence).
    """
    shares = dependence_shares(levels, count)
    level, size = np.arange(1, count + 1, dtype=np.float64), np.arange(1, MOST + 1, dtype=np.float64)
    by_level, by_size = shares.sum(axis=2), shares.sum(axis=1)
    few, many = shares @ size**-2, shares @ size**2
    low, high = level**-2, level**2
    columns = (
        by_size @ size**-2,
        by_size @ size**2,
        by_level @ low,
        by_level @ high,
        few @ low,
        few @ high,
        many @ low,
        many @ high,
        (by_size**2).sum(axis=1),
        ((level - (by_level @ level)[:, None]) ** 2 * by_level).sum(axis=1),
        ((size - (by_size @ size)[:, None]) ** 2 * by_size).sum(axis=1),
        entropy(shares.reshape(len(levels), -1)),
        (shares**2).sum(axis=(1, 2)),
    )
    return np.stack(columns, axis=1)
