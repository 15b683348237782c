"""Ways to change a picture so that it is still a copy: what planted leaks and the control of copies are made with.

Pure functions of pictures, the same for a picture whatever stands beside it in a block.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.api import Images

Family = Literal["exact or recoloured", "re-posed", "re-posed and recoloured", "blends and parts"]
JPEG_QUALITY = 50
BRIGHTNESS = 1.2
GAMMA = 0.8
DEGREES = 3.0
KEPT = 0.95  # of each side, that fills the picture after a crop
SHIFTED = 1 / 32  # of the width


@dataclass(frozen=True, slots=True)
class Transform:
    """A named change of pictures.

    Attributes:
        name: by which settings call it.
        title: for a reader of a table.
        family: what kind of copy it leaves.
        change: ``change(images, others)``, both ``(N, H, W)`` uint8, gives ``(N, H, W)`` uint8; ``others`` are pictures
            of other patients.
        needs_other: whether ``others`` are looked at.
    """

    name: str
    title: str
    family: Family
    change: Callable[[Images, Images], Images]
    needs_other: bool = False

    def __call__(self, images: Images, others: Images | None = None) -> Images:
        """``images`` changed: ``(N, H, W)`` uint8 in and out.

        Raises:
            ValueError: it needs ``others`` of the shape of ``images`` and has none.
        """
        if self.needs_other and (others is None or others.shape != images.shape):
            got = "none" if others is None else str(others.shape)
            raise ValueError(f"{self.name} needs pictures of other patients of shape {images.shape}, got {got}")
        return self.change(images, images if others is None else others)


def unchanged(images: Images) -> Images:
    """The same pictures."""
    return images.copy()


def as_jpeg(images: Images) -> Images:
    """Stored as JPEG of quality ``JPEG_QUALITY`` and read again."""
    from PIL import Image

    changed = []
    for image in images:
        stored = io.BytesIO()
        Image.fromarray(image).save(stored, "JPEG", quality=JPEG_QUALITY)
        changed.append(np.asarray(Image.open(stored)))
    return np.stack(changed) if changed else images.copy()


def brighter(images: Images) -> Images:
    """Grey levels times ``BRIGHTNESS``, those beyond 255 clipped."""
    return _grey(np.arange(256) * BRIGHTNESS)[images]


def with_gamma(images: Images) -> Images:
    """Grey levels, as a share of 255, to the power ``GAMMA``."""
    return _grey(255 * (np.arange(256) / 255) ** GAMMA)[images]


def flipped(images: Images) -> Images:
    """Left and right exchanged."""
    return np.ascontiguousarray(images[:, :, ::-1])


def rotated(images: Images) -> Images:
    """Turned about the centre by ``DEGREES``, bilinear, the edge going on outside."""
    angle = math.radians(DEGREES)
    return _about_centre(images, np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]))


def cropped(images: Images) -> Images:
    """The middle ``KEPT`` of each side, brought back to the size, bilinear."""
    return _about_centre(images, np.eye(2) * KEPT)


def shifted(images: Images) -> Images:
    """Moved to the right by ``SHIFTED`` of the width, one pixel at least, the edge going on outside."""
    width = images.shape[2]
    return images[:, :, np.maximum(np.arange(width) - max(1, round(width * SHIFTED)), 0)]


def pasted(images: Images, others: Images) -> Images:
    """A quarter of each picture, half of each side and from its middle, in the same place of another."""
    height, width = images.shape[1:]
    rows, columns = (slice(side // 4, side // 4 + side // 2) for side in (height, width))
    changed = others.copy()
    changed[:, rows, columns] = images[:, rows, columns]
    return changed


def blended(share: float) -> Callable[[Images, Images], Images]:
    """``share`` of each picture's grey levels and the rest of another's."""
    return lambda images, others: _grey(share * images.astype(np.float64) + (1 - share) * others)


def _alone(*changes: Callable[[Images], Images]) -> Callable[[Images, Images], Images]:
    """One change after another, none of which looks at other pictures."""

    def change(images: Images, others: Images) -> Images:
        for each in changes:
            images = each(images)
        return images

    return change


def _about_centre(images: Images, matrix: npt.NDArray[np.float64]) -> Images:
    """The pixel at ``x`` is that of the old picture at ``centre + matrix @ (x - centre)``."""
    from scipy.ndimage import affine_transform

    centre = (np.array(images.shape[1:]) - 1) / 2
    offset = centre - matrix @ centre
    changed = np.empty(images.shape, np.float64)
    for place, image in enumerate(images):
        affine_transform(image.astype(np.float64), matrix, offset, output=changed[place], order=1, mode="nearest")
    return _grey(changed)


def _grey(levels: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


_ALL = (
    Transform("identity", "exact copy", "exact or recoloured", _alone(unchanged)),
    Transform("jpeg50", "JPEG, quality 50", "exact or recoloured", _alone(as_jpeg)),
    Transform("brightness", "brightness x 1.2", "exact or recoloured", _alone(brighter)),
    Transform("gamma", "gamma 0.8", "exact or recoloured", _alone(with_gamma)),
    Transform("flip", "mirrored left to right", "re-posed", _alone(flipped)),
    Transform("rotate", "rotated by 3 degrees", "re-posed", _alone(rotated)),
    Transform("crop", "cropped by 5% and enlarged", "re-posed", _alone(cropped)),
    Transform("shift", "shifted by 1/32 of the width", "re-posed", _alone(shifted)),
    Transform(
        "rotate_crop_jpeg",
        "rotated by 3 degrees, cropped by 5%, JPEG",
        "re-posed and recoloured",
        _alone(rotated, cropped, as_jpeg),
    ),
    Transform("blend70", "70% of it, 30% of another patient", "blends and parts", blended(0.7), needs_other=True),
    Transform("blend50", "half of it, half of another patient", "blends and parts", blended(0.5), needs_other=True),
    Transform("patch", "a quarter of it in another patient's picture", "blends and parts", pasted, needs_other=True),
)
TRANSFORMS: Mapping[str, Transform] = MappingProxyType({each.name: each for each in _ALL})
