"""Arrays computed once and kept: found again by all that decides them, made again where a file is not what it was."""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.storage.disk_errors import named
from bench.storage.files import alone, write_atomic

Arrays = Mapping[str, npt.NDArray[Any]]
NAMES = "names of all arrays"
log = logging.getLogger(__name__)


def kept_arrays(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """The arrays in the file ``path``, or what ``make`` gives, then left there; another process waits meanwhile.

    Raises:
        DiskError: the disk does not give or take them.
    """
    found = _read(path)
    if found is not None:
        return found
    with alone(path):
        found = _read(path)
        if found is None:
            found = make()
            buffer = io.BytesIO()
            np.savez(buffer, **{NAMES: np.array(sorted(found))}, **dict(found))  # type: ignore[arg-type]  # its names are none of savez's own
            write_atomic(path, buffer.getvalue())
    return found


def _read(path: Path) -> Arrays | None:
    """What is there; ``None`` if nothing is or, after a warning, not what was written: the format has check sums."""
    try:
        with named("reading", path):
            content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        if sorted(found.pop(NAMES).tolist()) != sorted(found):
            raise ValueError("an array is missing")
        return found
    except (ValueError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("%s is damaged (%s); made again", path, error)
        return None
