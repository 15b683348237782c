"""What a radiologist would name at once: pure functions of images ``(N, H, W)``, or of what was asked for.

Those without a strength are there or not. Lengths are shares of the shorter side; strength 0 changes nothing.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.api import Images
from bench.validity.corruptions import each_block
from bench.validity.stand_in import Told

NAMES = ("DOE JANE", "ROE MARY", "POE ANNA", "MOE RUTH", "LOE ELSE", "NOE VERA")
TEXT = 0.15  # height of burnt-in letters
SHARPENED = 1 / 64  # standard deviation of the blur that an unsharp mask takes away
SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}
SIDE_WORD = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def upside_down(images: Images, rng: np.random.Generator) -> Images:
    """Top and bottom exchanged; left and right stay."""
    return images[:, ::-1]


def mirrored(images: Images, rng: np.random.Generator) -> Images:
    """Left and right exchanged."""
    return images[:, :, ::-1]


def negative(images: Images, rng: np.random.Generator) -> Images:
    """Black and white exchanged."""
    return 255 - images


def half_missing(images: Images, rng: np.random.Generator) -> Images:
    """The lower half black."""
    kept = images.copy()
    kept[:, images.shape[1] // 2 :] = 0
    return kept


def burnt_in_name(images: Images, rng: np.random.Generator) -> Images:
    """An invented name, one of six an image, in white letters in the upper right corner."""
    height, width = images.shape[1:]
    side = min(height, width)
    font = ImageFont.load_default(max(6, round(TEXT * side)))
    written = images.copy()
    for i, name in enumerate(rng.choice(NAMES, len(images))):
        sheet = Image.new("L", (width, height))
        ImageDraw.Draw(sheet).text((width - 1, 1), str(name), fill=255, font=font, anchor="rt")
        written[i] = np.maximum(images[i], np.asarray(sheet))
    return written


def sharpening(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """An unsharp mask: ``strength`` times what a narrow blur takes away is added."""
    from scipy.ndimage import gaussian_filter

    sigma = SHARPENED * min(images.shape[1:])
    return each_block(
        images, lambda part: part + strength * (part - gaussian_filter(part, (0, sigma, sigma), mode="nearest"))
    )


def jpeg(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Stored as JPEG of quality ``100 - strength`` and read again."""
    if not strength:
        return images.copy()
    read = np.empty_like(images)
    for i, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=round(100 - strength))
        read[i] = np.asarray(Image.open(file))
    return read


def fewer_pixels(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """A share ``strength`` of each side's pixels lost, and the image enlarged again, both ways bicubic."""
    height, width = images.shape[1:]
    small = tuple(max(1, round((1 - strength) * side)) for side in (width, height))
    filter_ = Image.Resampling.BICUBIC
    enlarged = (Image.fromarray(each).resize(small, filter_).resize((width, height), filter_) for each in images)
    return np.stack([np.asarray(each) for each in enlarged])


def other_side(told: Told) -> Told:
    """Left for right and right for left, wherever an attribute or the prompt says so; labels have no words."""
    attributes = {name: _other(value) for name, value in told["attributes"].items()}
    return {**told, "attributes": attributes, "prompt": _other(told["prompt"])}


def _other(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    return _exchanged(text) if text.lower() in SIDES else SIDE_WORD.sub(lambda found: _exchanged(found[0]), text)


def _exchanged(word: str) -> str:
    """The other side, in the capitals of ``word``."""
    other = SIDES[word.lower()]
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
