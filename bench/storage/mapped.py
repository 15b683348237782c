"""Arrays too large to hold: in a file without a name, mapped from disk, whose memory the system can take back."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from bench.storage.disk_errors import named

STEP = 2**20  # bytes written at a time where room cannot be asked for


def mapped(
    parts: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None
) -> npt.NDArray[Any]:
    """The rows of ``parts``, one after the other, as one array of this shape and type.

    The file lies where ``nameless`` has it, and is gone when the array is.

    Raises:
        ValueError: the parts do not make up the shape.
        DiskError: the disk does not take them.
    """
    with nameless(folder) as file:
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)
        file.flush()
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        if file.tell() != needed:
            raise ValueError(f"parts of {file.tell()} bytes, needed {needed} for {shape}")
        # as a plain array, whose results are plain arrays too
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape)) if needed else np.empty(shape, dtype)


@contextmanager
def nameless(folder: Path | None = None, room: int = 0) -> Iterator[IO[bytes]]:
    """A file without a name, gone when it is closed and no longer mapped.

    It lies in ``folder``, or where temporary files lie if none is given or we may not write there, as in a cache that
    others share for reading.

    Args:
        room: bytes reserved beforehand; a full disk kills a process that maps more than there is room for.

    Raises:
        DiskError: the disk does not take it.
    """
    with named("writing", folder or Path(tempfile.gettempdir())):
        file, place = _opened(folder)
    with named("writing", place, size=room or None), file:
        if room:
            _reserve(file, room)
        yield file


def _opened(folder: Path | None) -> tuple[IO[bytes], Path]:
    """The file, and the folder it lies in."""
    if folder is not None:
        try:
            return tempfile.TemporaryFile(dir=folder), folder
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
    elsewhere = Path(tempfile.gettempdir())
    return tempfile.TemporaryFile(dir=elsewhere), elsewhere


def _reserve(file: IO[bytes], room: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, room)
        return
    # macOS
    for start in range(0, room, STEP):
        file.write(bytes(min(STEP, room - start)))
    file.flush()
