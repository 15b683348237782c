"""The memoriser: training images given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Images, Request
from bench.runtime.setting_types import Count
from generators.controls.real_images import RealImages


class Copy(RealImages):
    """Gives every request a training image, of the asked conditions and groups where one is left.

    A benchmark that ranks it above honest generators without a warning is fooled by memorisation.
    """

    control: ClassVar[Literal["memoriser"]] = "memoriser"

    def __init__(self, jitter_grey: int = 0, block: Count = 256) -> None:
        """``jitter_grey``: 0 for exact copies, or the largest change of each pixel in grey levels (0-255)."""
        if not 0 <= jitter_grey <= 255:
            raise BenchError(f"generator.jitter_grey is {jitter_grey}; it must be 0 to 255 grey levels")
        super().__init__(block)
        self._jitter_grey = jitter_grey

    def sample(self, requests: Sequence[Request]) -> Images:
        images = super().sample(requests)
        if not self._jitter_grey:
            return images
        pairs = zip(images, requests, strict=True)
        return np.stack([jitter(image, self._jitter_grey, each.seed) for image, each in pairs])


def jitter(image: npt.NDArray[np.uint8], grey: int, seed: int) -> npt.NDArray[np.uint8]:
    """Add to each pixel an independent uniform integer of -``grey`` to ``grey``; clipped to 0-255."""
    change = np.random.default_rng(seed).integers(-grey, grey, image.shape, np.int16, endpoint=True)
    return np.clip(image + change, 0, 255).astype(np.uint8)
