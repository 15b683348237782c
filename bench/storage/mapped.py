"""Arrays too large to hold: in a file without a name, mapped from disk, whose memory the system can take back."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.storage.disk_errors import named


def mapped(
    parts: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None
) -> npt.NDArray[Any]:
    """The rows of ``parts``, one after the other, as one array of this shape and type.

    The file lies in ``folder``, or where temporary files lie, and is gone when the array is.

    Raises:
        ValueError: the parts do not make up the shape.
        DiskError: the disk does not take them.
    """
    place = folder or Path(tempfile.gettempdir())
    with named("writing", place), tempfile.TemporaryFile(dir=place) as file:
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)
        file.flush()
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        if file.tell() != needed:
            raise ValueError(f"parts of {file.tell()} bytes, needed {needed} for {shape}")
        # as a plain array, whose results are plain arrays too
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape)) if needed else np.empty(shape, dtype)
