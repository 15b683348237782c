"""Work in blocks of a constant size: kernels give other last bits for other batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.api import BenchError, Encoder, Generator, Images, Request, Rows
from bench.runtime.progress import meter


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


def encode(encoder: Encoder, pixels: Images, *, label: str) -> Rows:
    """``(N, H, W)`` uint8 to ``(N, dim)`` float32, in blocks of ``encoder.block`` padded with the last image.

    Raises:
        BenchError: the encoder gave rows of another shape or type, or values that are not finite.
    """
    rows = np.empty((len(pixels), encoder.dim), np.float32)
    with meter(label, total=len(pixels), unit="image") as bar:
        for start in range(0, len(pixels), encoder.block):
            block = pixels[start : start + encoder.block]
            missing = encoder.block - len(block)
            padded = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)]) if missing else block
            made = encoder(padded)
            if made.shape != (encoder.block, encoder.dim) or made.dtype != np.float32:
                want = f"float32{(encoder.block, encoder.dim)}"
                raise BenchError(f"encoder {encoder.id} gave {made.dtype}{made.shape}, needed {want}")
            rows[start : start + len(block)] = made[: len(block)]
            bar.update(len(block))
    return rows
