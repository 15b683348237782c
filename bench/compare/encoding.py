"""Features of images by the name of an encoder, for whoever works with the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.api import BenchError, Encoder, Images
from bench.compare.configuration import configuration
from bench.runtime.blocks import BlockEncoder
from bench.runtime.plugins import Encoders
from bench.statistics.encoded_rows import EncodedRows


def encoder(name: str, settings: Sequence[str] = ()) -> Encoder:
    """The encoder of this name in ``conf/encoder``, with ``settings`` as on a command line.

    Raises:
        BenchError: no such encoder, a setting that is none, or weights that are not there.
    """
    config = configuration([f"encoder=[{name}]", *settings])
    return Encoders(config.encoder, config.allow)[name]


def encode(images: Images, name: str | Encoder, settings: Sequence[str] = ()) -> EncodedRows:
    """Features of ``(N, H, W)`` uint8 images: rows ``(N, D)`` that know in which units their columns are.

    Raises:
        BenchError: images of another type or shape; or as ``encoder``.
    """
    found = np.asarray(images)
    if found.dtype != np.uint8 or found.ndim != 3 or not len(found):
        raise BenchError(
            f"images are {found.dtype} of shape {found.shape}, needed grey levels uint8 (images, height, width)"
        )
    made = encoder(name, settings) if isinstance(name, str) else name
    encoding = BlockEncoder(made, len(found))
    encoding.take(found)
    return EncodedRows.of(encoding.rows, made.id, made.column_units)
