"""What the image files of a folder are: how many, of which formats and sizes, and what the reader will ask of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.api import BenchError
from bench.datasets.imagefolder import divided
from bench.runtime.progress import track
from bench.storage.dicom import header
from bench.storage.image_headers import header_size
from bench.storage.image_reader import SUFFIXES, image_files

LOOKED_AT = 20  # files whose pixels are looked at, evenly spaced
DEEP = ("I", "F")  # modes of over 8 bits begin so


@dataclass(frozen=True)
class Pictures:
    """The image files below a folder.

    Attributes:
        files: in the order of their names.
        formats: files by suffix.
        sizes: files by (height, width); of those whose header tells.
        window: grey values shown as black and white, where files have over 8 bits.
        divided: whether every file lies in a folder ``train`` or ``test``.
        owners: patients that the headers of DICOM files name, where every file names one.
        coloured: of the files looked at, those whose channels differ, which the reader refuses.
    """

    files: Sequence[Path]
    formats: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    window: tuple[int, int] | None
    divided: bool
    owners: int | None
    coloured: Sequence[Path]


def look(root: Path) -> Pictures:
    """Look at the headers of all image files below ``root``, and at the pixels of ``LOOKED_AT`` of them.

    Raises:
        BenchError: there are none.
    """
    files = image_files(root)
    if not files:
        raise BenchError(f"{root} has no image files ({', '.join(sorted(SUFFIXES))}); name the folder that has them")
    looked = track(files, "looking at images", total=len(files), unit="image")
    sizes = Counter(size for size in map(header_size, looked) if size)
    some = files[:: -(-len(files) // LOOKED_AT)]
    deepest = max((value for path in some if (value := _deepest(path)) is not None), default=None)
    window = None if deepest is None else (0, 2 ** max(1, int(deepest).bit_length()) - 1)
    formats = Counter(path.suffix.lower() for path in files)
    coloured = [path for path in some if _coloured(path)]
    return Pictures(files, formats, sizes, window, divided(root, files), _owners(files), coloured)


def _owners(files: Sequence[Path]) -> int | None:
    """How many patients the headers of DICOM files name; ``None`` where one names none or is no such file."""
    found: set[str] = set()
    for path in files:
        try:
            owner = header(path).patient_id if path.suffix.lower() == ".dcm" else None
        except BenchError:
            owner = None
        if owner is None:
            return None
        found.add(owner)
    return len(found)


def _deepest(path: Path) -> float | None:
    """The greatest value of a picture of over 8 bits; ``None`` for others, and for what is no picture."""
    for pixels, mode in _pixels(path):
        return float(pixels.max()) if mode.startswith(DEEP) else None
    return None


def _coloured(path: Path) -> bool:
    return any(mode == "RGB" and bool((pixels != pixels[..., :1]).any()) for pixels, mode in _pixels(path))


def _pixels(path: Path) -> Iterator[tuple[np.ndarray, str]]:
    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as picture:
            pixels, mode = np.asarray(picture), picture.mode
    except Exception:  # the run's reader names what is wrong with it
        return
    yield pixels, mode
