"""How one examination of a breast differs from another: it lies elsewhere, pressed more or less, a little turned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

Field = npt.NDArray[np.float32]

SHIFT = 0.015  # standard deviation of the way up or down and to the chest wall, in heights of the picture
GROWTH = 0.03  # of the logarithm of the length: more pressure makes the shadow larger
TURN = 0.026  # of the angle, in radians: 1.5 degrees
SPREAD = 0.005  # of the amplitude of a wave by which tissue comes to lie otherwise
CENTRE = 0.54  # the row about which is turned and pressed, at the chest wall
WAVES = 3


@dataclass(frozen=True, slots=True)
class Positioning:
    """Where every pixel of an examination is found in the anatomy, ``(2, H, W)`` rows and columns in pixels."""

    source: Field

    @staticmethod
    def drawn(shape: tuple[int, int], rng: np.random.Generator) -> Positioning:
        """A position for pictures of ``shape``: a small shift, turn and growth, and smooth waves."""
        height, width = shape
        y, x = (np.mgrid[:height, :width] + 0.5) / height
        down, across = SHIFT * rng.standard_normal(2)
        growth, angle = math.exp(GROWTH * rng.standard_normal()), TURN * rng.standard_normal()
        cosine, sine = math.cos(angle) / growth, math.sin(angle) / growth
        y, x = y - CENTRE - down, x - across
        rows, columns = CENTRE + cosine * y - sine * x, cosine * x + sine * y
        for moved in (rows, columns):
            for _ in range(WAVES):
                cycles, phase = rng.uniform(-2, 2, 2), rng.uniform(0, 2 * math.pi)
                moved += SPREAD * rng.standard_normal() * np.sin(2 * math.pi * (cycles[0] * y + cycles[1] * x) + phase)
        # nothing is known above the picture or behind the chest wall: there the picture begins later instead
        rows -= min(0.0, float(rows[0].min()) - 0.5 / height)
        columns -= min(0.0, float(columns[:, 0].min()) - 0.5 / height)
        return Positioning((np.stack([rows, columns]) * height - 0.5).astype(np.float32))

    def __call__(self, field: npt.NDArray[np.generic], order: int = 1) -> Field:
        """A field of the anatomy ``(H, W)`` as the examination sees it; below its last row it goes on as there."""
        found = map_coordinates(field.astype(np.float32), self.source, order=order, mode="nearest")
        return np.asarray(found, np.float32)
