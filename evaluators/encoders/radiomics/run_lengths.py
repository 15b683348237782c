"""Run length and size zone features: how far one grey level reaches (IBSI sections 3.7 and 3.8, arXiv:1612.07003).

Runs (Galloway 1975) are straight stretches of one level, zones (Thibault 2014) connected ones. Both are lists of
(image, level, size), and the sixteen features of such a list are the same formulas under two names.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.statistics.arrays import Floats, Integers, Mask
from evaluators.encoders.radiomics.first_order import Binned, entropy

RUN_NAMES = (
    "short_runs_emphasis",
    "long_runs_emphasis",
    "low_grey_level_run_emphasis",
    "high_grey_level_run_emphasis",
    "short_run_low_grey_level_emphasis",
    "short_run_high_grey_level_emphasis",
    "long_run_low_grey_level_emphasis",
    "long_run_high_grey_level_emphasis",
    "grey_level_non_uniformity",
    "normalised_grey_level_non_uniformity",
    "run_length_non_uniformity",
    "normalised_run_length_non_uniformity",
    "run_percentage",
    "grey_level_variance",
    "run_length_variance",
    "run_entropy",
)
ZONE_NAMES = (
    "small_zone_emphasis",
    "large_zone_emphasis",
    "low_grey_level_zone_emphasis",
    "high_grey_level_zone_emphasis",
    "small_zone_low_grey_level_emphasis",
    "small_zone_high_grey_level_emphasis",
    "large_zone_low_grey_level_emphasis",
    "large_zone_high_grey_level_emphasis",
    "grey_level_non_uniformity",
    "normalised_grey_level_non_uniformity",
    "zone_size_non_uniformity",
    "normalised_zone_size_non_uniformity",
    "zone_percentage",
    "grey_level_variance",
    "zone_size_variance",
    "zone_size_entropy",
)


class Stretches(NamedTuple):
    """Stretches of one level: for each the table it belongs to, its level (from 0) and its size in pixels."""

    table: Integers
    level: Integers
    size: Integers


@lru_cache(maxsize=64)
def line_order(height: int, width: int, direction: int) -> tuple[Integers, Mask]:
    """An order of the pixels along the lines of one direction, and which pixels begin a line; ``(H*W,)`` each.

    Directions: 0 across, 1 down, 2 down-right, 3 down-left.
    """
    row, column = (axis.ravel() for axis in np.indices((height, width)))
    line = (row, column, row - column, row + column)[direction]
    order = np.lexsort((column if direction == 0 else row, line))
    begins = np.diff(line[order], prepend=line[order][0] - 1) != 0
    return order, begins


def runs(levels: Binned) -> Stretches:
    """All runs in four directions of levels ``(N, H, W)``; table ``4 n + direction``."""
    images, height, width = levels.shape
    tables, grey, sizes = [], [], []
    for direction in range(4):
        order, begins = line_order(height, width, direction)
        line = levels.reshape(images, -1)[:, order].ravel()
        starts = np.tile(begins, images)
        starts[1:] |= line[1:] != line[:-1]
        first = np.flatnonzero(starts)
        tables.append(first // (height * width) * 4 + direction)
        grey.append(line[first].astype(np.int64))
        sizes.append(np.diff(first, append=line.size))
    return Stretches(np.concatenate(tables), np.concatenate(grey), np.concatenate(sizes))


def zones(levels: Binned) -> Stretches:
    """All 8-connected zones of equal level of levels ``(N, H, W)``; table ``n``."""
    from skimage.measure import label

    images, height, width = levels.shape
    stacked = np.zeros((images, height + 1, width), np.int32)
    stacked[:, :height] = levels
    stacked[:, :height] += 1
    names = label(stacked.reshape(-1, width), background=0, connectivity=2).ravel()
    sizes = np.bincount(names)[1:]
    somewhere = np.zeros(len(sizes) + 1, np.int64)
    somewhere[names] = np.arange(len(names))
    place = somewhere[1:]
    level = stacked.ravel()[place].astype(np.int64) - 1
    return Stretches(place // ((height + 1) * width), level, sizes)


def tabulate(stretches: Stretches, tables: int, levels: int) -> tuple[Floats, Floats]:
    """Counts ``(tables, levels, S)`` by level and size, and the ``S`` sizes that occur anywhere, ascending."""
    present = np.flatnonzero(np.bincount(stretches.size))
    rank = np.zeros(present[-1] + 1, np.int64)
    rank[present] = np.arange(len(present))
    codes = (stretches.table * levels + stretches.level) * len(present) + rank[stretches.size]
    counts = np.bincount(codes, minlength=tables * levels * len(present))
    return counts.reshape(tables, levels, len(present)).astype(np.float64), present.astype(np.float64)


def size_features(counts: Floats, sizes: Floats, pixels: int) -> Floats:
    """The sixteen features, in the order of ``RUN_NAMES`` and ``ZONE_NAMES``: ``(T, 16)``.

    Args:
        counts: ``(T, G, S)`` stretches by level (from 1) and size.
        sizes: ``(S,)`` sizes in pixels.
        pixels: pixels of an image.
    """
    number = counts.sum(axis=(1, 2))
    level = np.arange(1, counts.shape[1] + 1, dtype=np.float64)
    by_level, by_size = counts.sum(axis=2), counts.sum(axis=1)
    short, long = counts @ sizes**-2, counts @ sizes**2
    low, high = level**-2, level**2
    level_share, size_share = by_level / number[:, None], by_size / number[:, None]
    mean_level, mean_size = level_share @ level, size_share @ sizes
    totals = (
        by_size @ sizes**-2,
        by_size @ sizes**2,
        by_level @ low,
        by_level @ high,
        short @ low,
        short @ high,
        long @ low,
        long @ high,
        (by_level**2).sum(axis=1),
        (by_level**2).sum(axis=1) / number,
        (by_size**2).sum(axis=1),
        (by_size**2).sum(axis=1) / number,
        number**2 / pixels,
    )
    spreads = (
        ((level - mean_level[:, None]) ** 2 * level_share).sum(axis=1),
        ((sizes - mean_size[:, None]) ** 2 * size_share).sum(axis=1),
        entropy((counts / number[:, None, None]).reshape(len(counts), -1)),
    )
    return np.concatenate([np.stack(totals, axis=1) / number[:, None], np.stack(spreads, axis=1)], axis=1)


def run_features(levels: Binned, count: int) -> Floats:
    """The features ``RUN_NAMES``, averaged over four directions: ``(N, 16)`` for levels ``(N, H, W)``."""
    counts, lengths = tabulate(runs(levels), 4 * len(levels), count)
    return size_features(counts, lengths, levels[0].size).reshape(len(levels), 4, -1).mean(axis=1)


def zone_features(levels: Binned, count: int) -> Floats:
    """The features ``ZONE_NAMES``: ``(N, 16)`` for levels ``(N, H, W)``."""
    counts, sizes = tabulate(zones(levels), len(levels), count)
    return size_features(counts, sizes, levels[0].size)
