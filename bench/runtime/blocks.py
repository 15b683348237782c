"""Work in blocks of a constant size: kernels give other last bits for other batch sizes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.api import BenchError, Encoder, Generator, Images, Request


def sample(generator: Generator, requests: Sequence[Request], size: tuple[int, int], bar: Any) -> Images:
    """``(len(requests), *size)`` uint8, in blocks of ``generator.block`` padded with the last request.

    Raises:
        BenchError: the generator gave images of another shape or type.
    """
    made = []
    for start in range(0, len(requests), generator.block):
        block = list(requests[start : start + generator.block])
        padded = block + [block[-1]] * (generator.block - len(block))
        images = generator.sample(padded)
        want = (len(padded), *size)
        if images.shape != want or images.dtype != np.uint8:
            who = type(generator).__name__
            raise BenchError(f"{who}.sample gave {images.dtype}{images.shape}; this split needs uint8{want}")
        made.append(images[: len(block)])
        bar.update(len(block))
    return np.concatenate(made)


class BlockEncoder:
    """Rows of ``count`` images that come a few at a time, encoded in blocks of ``encoder.block``.

    The last block is padded with its last image. Blocks are those of the images in order, however they are handed over.

    Attributes:
        rows: ``(count, dim)`` float32, filled as images come.
        seconds: spent encoding.
    """

    def __init__(self, encoder: Encoder, count: int) -> None:
        self.rows = np.empty((count, encoder.dim), np.float32)
        self.seconds = 0.0
        self._encoder = encoder
        self._done = 0
        self._waiting: list[Images] = []

    def take(self, pixels: Images) -> None:
        """The next images, ``(N, H, W)`` uint8, as many as there are.

        Raises:
            BenchError: the encoder gave rows of another shape or type.
        """
        self._waiting.append(pixels)
        block, count = self._encoder.block, len(self.rows) - self._done
        if sum(map(len, self._waiting)) < min(block, count):
            return
        images = np.concatenate(self._waiting) if len(self._waiting) > 1 else pixels
        whole = len(images) if len(images) == count else len(images) // block * block
        for start in range(0, whole, block):
            self._encode(images[start : start + block])
        # a copy, so that images that are done are not held
        self._waiting = [images[whole:].copy()] if whole < len(images) else []

    def _encode(self, images: Images) -> None:
        encoder, block = self._encoder, self._encoder.block
        missing = block - len(images)
        padded = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
        begin = time.perf_counter()
        made = encoder(padded)
        self.seconds += time.perf_counter() - begin
        if made.shape != (block, encoder.dim) or made.dtype != np.float32:
            want = f"float32{(block, encoder.dim)}"
            raise BenchError(f"encoder {encoder.id} gave {made.dtype}{made.shape}, needed {want}")
        self.rows[self._done : self._done + len(images)] = made[: len(images)]
        self._done += len(images)
