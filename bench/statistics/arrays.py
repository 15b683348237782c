"""The kinds of arrays that statistics are made of, each named once; ``bench.api`` has images and rows of features."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]  # places in another array, or folds
Integers = npt.NDArray[np.int64]  # counts, classes, patients by number
Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.uint8]  # grey levels
Interval = tuple[float, float]  # low, high


def array_digest(array: npt.NDArray[Any]) -> str:
    """64 hex digits over the type, shape and content of an array."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
