"""The size that images come in, read from their headers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.api import BenchError
from bench.datasets.prepare import LEAST_SIDE
from bench.runtime.progress import track
from bench.storage.image_headers import header_size
from bench.storage.image_reader import decode_file

GREATEST_FOLLOWED = 256  # pixels of the longer side that a working size takes over without being told to
_log = logging.getLogger(__name__)


def followed_size(name: str, paths: Iterable[Path], window: tuple[float, float] | None = None) -> tuple[int, int]:
    """The working size (height, width) of a set that names none, said in a log line.

    The most common size of its files, of equally common ones the largest; where the longer side is over
    ``GREATEST_FOLLOWED`` pixels, scaled down to that with the proportion kept.

    Raises:
        BenchError: no file is an image.
    """
    files = list(paths)
    found = track(files, f"sizes of {name}", total=len(files), unit="image")
    counted = Counter(size for size in (_size(path, window) for path in found) if size)
    if not counted:
        raise BenchError(f"{name}: none of {len(files)} files is an image that can be read; set dataset.image_size")
    own, count = max(counted.items(), key=lambda item: (item[1], item[0][0] * item[0][1], item[0]))
    size = _bounded(own)
    most = "all have" if len(counted) == 1 else f"{count:,} of {len(files):,} have"
    scaled = "" if size == own else f", scaled down to a longer side of {GREATEST_FOLLOWED}"
    text = "%s: judged at %d x %d pixels (height x width): %s %d x %d%s; dataset.image_size names another"
    _log.info(text, name, *size, most, *own, scaled)
    return size


def _bounded(own: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, GREATEST_FOLLOWED / max(own))
    height, width = (max(LEAST_SIDE, round(side * scale)) for side in own)
    return height, width


def _size(path: Path, window: tuple[float, float] | None) -> tuple[int, int] | None:
    """Height and width; ``None`` of what is no image, which whoever reads it will name with its row."""
    try:
        return header_size(path) or decode_file(path, window=window).shape
    except BenchError:
        return None
