"""From raw to preprocessed mammograms the way CSAW-M was made (Sorkhei et al. 2021, arXiv 2112.01330).

The order is: orient, window, invert, centre, remove text. Sizes are those of 632-row images and shrink with smaller
ones. The released set treats 46 files by hand; those exceptions are not repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bench.statistics.arrays import Mask
from bench.storage.image_reader import Grey

Raw = npt.NDArray[np.uint16]
Photometric = Literal["MONOCHROME1", "MONOCHROME2"]

FULL_HEIGHT = 632
TEXT_KERNEL = 10
TEXT_AREA = (10, 10_000)
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What the DICOM header says of a raw image; window in raw grey levels."""

    laterality: Literal["L", "R"]
    window_center: int = 2047
    window_width: int = 4096
    photometric: Photometric = "MONOCHROME2"


def preprocess(raw: Raw, acquisition: Acquisition) -> Grey:
    """``(H, W)`` raw values to ``(H, W)`` grey levels: chest wall on the left, breast centred, no burnt-in text.

    Raises:
        ValueError: nothing in the picture is brighter than its background.
    """
    image = window(orient(raw, acquisition.laterality), acquisition.window_center, acquisition.window_width)
    if acquisition.photometric == "MONOCHROME1":
        image = invert(image)
    return remove_text(centre(image))


def orient(raw: Raw, laterality: Literal["L", "R"]) -> Raw:
    """Mirror right breasts, so that every chest wall is on the left."""
    return np.ascontiguousarray(raw[:, ::-1]) if laterality == "R" else raw


def window(raw: Raw, center: int, width: int) -> Grey:
    """``floor(255 (raw - low) / width)`` with ``low = center - width / 2``, kept within 0 to 255."""
    scaled = (raw.astype(np.float64) - (center - width / 2)) * (255 / width)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def invert(image: Grey) -> Grey:
    """``255 - image``."""
    return np.asarray(255 - image, np.uint8)


def breast(image: Grey) -> Mask:
    """The largest connected region above 0, its holes filled.

    Raises:
        ValueError: nothing is above 0.
    """
    regions, count = ndimage.label(image > 0, _EIGHT)
    if count == 0:
        raise ValueError("no pixel is above 0: there is no breast in the picture")
    largest = 1 + int(np.bincount(regions.ravel())[1:].argmax())
    return ndimage.binary_fill_holes(regions == largest)


def centre(image: Grey) -> Grey:
    """Move the picture sideways until the breast's centroid is in column W / 2; what comes in has the least value.

    The same as padding one side until the centroid is in the middle and cutting back to W columns.
    """
    columns = image.shape[1]
    counts = breast(image).sum(0)
    centroid = int((counts * np.arange(columns)).sum() / counts.sum())
    shift = columns // 2 - centroid
    moved = np.full_like(image, image.min())
    if shift >= 0:
        moved[:, shift:] = image[:, : columns - shift]
    else:
        moved[:, :shift] = image[:, -shift:]
    return moved


def remove_text(image: Grey) -> Grey:
    """Paint the right-most small bright region outside the breast with the least value; the breast stays as it is.

    Regions are what remains beside the breast, thickened by a square so that letters join. Those with an area outside
    ``TEXT_AREA`` and those wholly below the breast's foot at the chest wall are no text.
    """
    scale = min(1.0, image.shape[0] / FULL_HEIGHT)
    body = breast(image)
    kernel = max(1, round(TEXT_KERNEL * scale))
    beside = ndimage.maximum_filter((image > 0) & ~body, size=kernel)
    regions, count = ndimage.label(beside, _EIGHT)
    if count == 0:
        return image
    areas = np.bincount(regions.ravel())[1:]
    low, high = TEXT_AREA[0] * scale**2, TEXT_AREA[1] * scale**2
    foot = _foot(body)
    texts = [
        (place[1].stop, number)
        for number, place in enumerate(ndimage.find_objects(regions), start=1)
        if low < areas[number - 1] < high and place[0].start <= foot
    ]
    if not texts:
        return image
    painted = image.copy()
    painted[ndimage.binary_fill_holes(regions == max(texts)[1]) & ~body] = image.min()
    return painted


def _foot(body: Mask) -> int:
    """Lowest row of the breast at the chest wall."""
    wall = int(body.any(0).argmax())
    return int(np.flatnonzero(body[:, wall])[-1])
