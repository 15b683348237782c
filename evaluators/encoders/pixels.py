"""The image itself, made small: the plainest features there are, for finding copies."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.api import Encoder, Images, Rows
from bench.runtime.setting_types import Count
from bench.statistics.arrays import Floats


@lru_cache(maxsize=16)
def area_weights(length: int, cells: int) -> Floats:
    """Weights ``(cells, length)`` that average a line of ``length`` pixels over ``cells`` equal stretches.

    Row ``c`` holds the share of each pixel that lies in ``[c, c+1) * length / cells``; every row sums to 1.
    """
    edges = np.linspace(0, length, cells + 1)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(overlap, 0, None) * (cells / length)


def area_average(images: Images, size: tuple[int, int]) -> Floats:
    """Mean grey level over a grid of ``size = (rows, columns)`` equal cells: ``(N, rows, columns)``.

    Cells that end inside a pixel take their share of it, so any image size goes with any grid.
    """
    _, height, width = images.shape
    rows, columns = area_weights(height, size[0]), area_weights(width, size[1])
    return rows @ images.astype(np.float64) @ columns.T


def unit_rows(rows: Floats) -> Rows:
    """Rows with their mean removed and scaled to length 1; a constant row becomes zeros.

    For two such rows ``|a - b|^2 = 2 - 2 r`` with ``r`` their normalised cross-correlation.
    """
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length < 1e-6
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, length)).astype(np.float32)


class Pixels(Encoder):
    """Area-averaged pixels, mean removed, unit length: Euclidean distance is ``sqrt(2 - 2 NCC)``, in ``[0, 2]``.

    Blind to brightness and contrast by construction, so a copy made brighter is still a copy.
    """

    def __init__(self, side: Count = 32) -> None:
        """``side``: cells along each edge of the grid, so ``side**2`` features."""
        self.side = int(side)
        self.dim = self.side**2
        self.id = f"pixels-1 area {self.side}x{self.side} centred unit"

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, H, W)`` uint8 into ``(B, side**2)`` float32."""
        return unit_rows(area_average(images, (self.side, self.side)).reshape(len(images), -1))
