"""The floor: pixels that know nothing but how often each grey level occurs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.api import Generator, Images, ImageSet, Request
from bench.runtime.progress import track
from bench.runtime.setting_types import Count

Histogram = npt.NDArray[np.int64]  # (256,), how often each grey level occurs


class Noise(Generator):
    """Draws each pixel independently from the pooled grey levels of all training images."""

    control: ClassVar[Literal["floor"]] = "floor"

    def __init__(self, block: Count = 256) -> None:
        self.block = block

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        self._size = train.size
        self.facts = {"own_size": (train.size, train.size)}
        blocks = track(train.blocks(256), "grey levels", total=-(-len(train) // 256), unit="block")
        self._histogram = sum((histogram(block) for block in blocks), np.zeros(256, np.int64))

    def sample(self, requests: Sequence[Request]) -> Images:
        return np.stack([noise(self._histogram, self._size, each.seed) for each in requests])


def histogram(images: Images) -> Histogram:
    """How often each grey level 0-255 occurs in ``images``, whatever their shape."""
    return np.bincount(images.reshape(-1), minlength=256)


def noise(counts: Histogram, size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """An image of ``size`` whose pixels are drawn independently with probabilities ``counts / counts.sum()``."""
    ends = np.cumsum(counts)
    drawn = np.random.default_rng(seed).integers(0, ends[-1], size)
    return np.searchsorted(ends, drawn, side="right").astype(np.uint8)
