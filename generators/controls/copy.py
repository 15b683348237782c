"""The memoriser: training images given back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Generator, Images, ImageSet, Request
from bench.runtime.setting_types import Count
from generators.assignment import draw


class Copy(Generator):
    """Gives every request a training image, of the asked conditions where one is left.

    A benchmark that ranks it above honest generators without a warning is fooled by memorisation.
    """

    control: ClassVar[Literal["memoriser"]] = "memoriser"
    shows_real: ClassVar[bool] = True

    def __init__(self, jitter_grey: int = 0, block: Count = 256) -> None:
        """``jitter_grey``: 0 for exact copies, or the largest change of each pixel in grey levels (0-255)."""
        if not 0 <= jitter_grey <= 255:
            raise BenchError(f"generator.jitter_grey is {jitter_grey}; it must be 0 to 255 grey levels")
        self.block = block
        self._jitter_grey = jitter_grey
        self._rows: dict[str, int] = {}

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        self._images = train
        self.facts = {"own_size": train.own_size}
        self.uses = train.info.conditions

    def plan(self, requests: Sequence[Request]) -> None:
        self._rows = draw(requests, self._images)

    def sample(self, requests: Sequence[Request]) -> Images:
        images = self._images.pixels([self._rows[each.request_id] for each in requests])
        if not self._jitter_grey:
            return images
        pairs = zip(images, requests, strict=True)
        return np.stack([jitter(image, self._jitter_grey, each.seed) for image, each in pairs])


def jitter(image: npt.NDArray[np.uint8], grey: int, seed: int) -> npt.NDArray[np.uint8]:
    """Add to each pixel an independent uniform integer of -``grey`` to ``grey``; clipped to 0-255."""
    change = np.random.default_rng(seed).integers(-grey, grey, image.shape, np.int16, endpoint=True)
    return np.clip(image + change, 0, 255).astype(np.uint8)
