"""Grey pictures for eyes that look for text: also of files that the strict reader of images refuses."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.uint8]  # (H, W)


def of_picture(content: bytes) -> Iterator[Grey]:
    """Each frame of a picture file, ``(H, W)``; more than 8 bits are stretched from least to greatest value.

    Raises:
        Exception: whatever a damaged file makes the library raise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as picture:
            for frame in range(getattr(picture, "n_frames", 1)):
                picture.seek(frame)
                deep = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
                yield _stretched(np.asarray(picture)) if deep else np.asarray(_opaque(picture).convert("L"))


def _opaque(picture: Image.Image) -> Image.Image:
    # what lies under a transparent place is in the file
    return picture.convert("RGB") if "A" in picture.getbands() else picture


def of_dicom(dataset: Any) -> Iterator[Grey]:
    """Each frame of a DICOM file, ``(H, W)``, stretched from least to greatest value; none where it has no pixels.

    Raises:
        Exception: whatever the library raises where it cannot decode the pixels.
    """
    if "PixelData" not in dataset:
        return
    pixels = np.asarray(dataset.pixel_array)
    colours = int(dataset.get("SamplesPerPixel", 1)) > 1
    frames = pixels[None] if pixels.ndim == 2 + colours else pixels
    for frame in frames:
        yield _stretched(frame.mean(-1) if colours else frame)


def _stretched(values: npt.NDArray[Any]) -> Grey:
    wide = np.nan_to_num(values.astype(np.float64))
    low, high = wide.min(), wide.max()
    return np.rint((wide - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
