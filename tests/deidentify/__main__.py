"""``python -m tests.deidentify [FOLDER]``: how often the detector finds drawn names, and where there are none.

60 names drawn in five sizes, three grey levels and four places on phantoms of 256 x 256; the same phantoms without
names; and, with FOLDER, the pictures there, evenly spread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.datasets.phantom import Phantom
from bench.deidentify.burnt_in import Box, Detector, Mark, fills_the_picture
from bench.deidentify.pixels import Grey, of_picture

SIZES, LEVELS, PLACES = (8, 10, 12, 16, 24), (120, 180, 255), ((0.03, 0.03), (0.4, 0.03), (0.03, 0.9), (0.1, 0.5))
NAMES = ("MUELLER ANNA", "Smith, John", "Nowak Maria", "GARCIA^LUIS")


def with_text(image: Grey, text: str, size: int, level: int, place: tuple[float, float]) -> tuple[Grey, Box]:
    """The image with a text drawn on it, moved inwards where it would not fit, and the box of the text."""
    picture = Image.fromarray(image.copy())
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    across = min(place[0] * picture.width, picture.width - right - 2)
    down = min(place[1] * picture.height, picture.height - bottom - 2)
    pen.text((across, down), text, fill=level, font=font)
    return np.asarray(picture), (
        int(across + left),
        int(down + top),
        int(across + right),
        int(down + bottom),
    )


def covered(box: Box, marks: Sequence[Mark]) -> float:
    """The share of a box that one of the marks covers, at most."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max((_common(box, mark.box) / area for mark in marks), default=0.0)


def _common(one: Box, other: Box) -> int:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _drawn(detector: Detector, images: Sequence[Grey]) -> None:
    found: dict[tuple[str, int], list[bool]] = {}
    read = 0
    for number, (size, level, place) in enumerate(product(SIZES, LEVELS, PLACES)):
        image, box = with_text(images[number % len(images)], NAMES[number % len(NAMES)], size, level, place)
        marks = [mark for mark in detector(image) if not fills_the_picture(mark, image.shape)]
        hit = covered(box, marks) > 0.5
        read += hit and any(mark.characters > 2 and covered(box, [mark]) > 0.5 for mark in marks)
        for key in (("size", size), ("grey level", level), ("place", PLACES.index(place))):
            found.setdefault(key, []).append(hit)
    hits = sum(sum(each) for key, each in found.items() if key[0] == "size")
    _say(f"drawn names found: {hits} of {number + 1}; with 3 or more characters read: {read}")
    for key, each in sorted(found.items()):
        _say(f"  {key[0]} {key[1]}: {sum(each)} of {len(each)}")


def _without(detector: Detector, images: Sequence[Grey], what: str) -> None:
    start = time.perf_counter()
    seen = [detector(image) for image in images]
    seconds = (time.perf_counter() - start) / len(images)
    pairs = zip(seen, images, strict=True)
    marks = [[mark for mark in each if not fills_the_picture(mark, image.shape)] for each, image in pairs]
    left_out = sum(map(len, seen)) - sum(map(len, marks))
    _say(f"{what}: {len(images)} pictures, {sum(map(bool, marks))} with a mark, {seconds:.2f} s each")
    _say(f"  left out, since they fill the picture: {left_out} marks")
    for name, least, most in (("no character read", 0, 0), ("1 or 2 characters", 1, 2), ("3 or more", 3, 999)):
        kind = [[mark for mark in each if least <= mark.characters <= most] for each in marks]
        _say(f"  {name}: {sum(map(len, kind))} marks in {sum(map(bool, kind))} pictures")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.deidentify", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="a folder of pictures")
    parser.add_argument("--pictures", type=int, default=100, help="of the folder, and of phantoms")
    given = parser.parse_args()
    detector = Detector()
    with tempfile.TemporaryDirectory() as cache:
        part = Phantom(image_size=256, n_train=given.pictures * 4 // 3 + 5, n_test=5).load(Path(cache)).train
        phantoms = list(part.pixels(range(given.pictures)))
    detector(phantoms[0])
    _drawn(detector, phantoms)
    _without(detector, phantoms, "phantoms without text")
    if given.folder is not None:
        paths = sorted(given.folder.glob("*.png"))
        chosen = [paths[n * len(paths) // given.pictures] for n in range(given.pictures)]
        _without(detector, [next(of_picture(path.read_bytes())) for path in chosen], "pictures of the folder")


main()
