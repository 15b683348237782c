"""Text in the pixels: a text detector, and without weights the pixels that are alike in all pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import BenchError
from bench.deidentify.finding import Place, Sighting
from bench.deidentify.pixels import Grey
from bench.storage.image_reader import encode_png

LOOK = "burnt-in text"
ALIKE = "pixels alike in all pictures (a hint only)"
READ = 0.5  # score from which characters count as read
SAME = 0.5  # share of two boxes that they have in common from which they are the same place
LARGE = 0.4  # share of both sides over which a shape with no more than one character is no text: a breast, a lung
OFTEN, FEW = 0.2, 3  # share of the pictures of one size, and number, from which a place is told once
PICTURES, SPREAD, BRIGHT, STROKE = 10, 8, 64, 4  # of the look without weights
_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True, slots=True)
class Mark:
    """A place that looks like text, and how many characters were read there; what they are is not kept."""

    box: Box
    characters: int


class Detector:
    """The text detector of RapidOCR with the weights in its package; it asks no network.

    Raises:
        BenchError: the package is there without its weights.
    """

    def __init__(self) -> None:
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        missing = [name for name in _MODELS if not (folder / name).is_file()]
        if missing:
            raise BenchError(
                f"rapidocr has no {', '.join(missing)} in its package and none is fetched; "
                "install a release that has them, or give --no-text"
            )
        detect, read = (str(folder / name) for name in _MODELS)
        settings: dict[str, Any] = {"Det.model_path": detect, "Rec.model_path": read}
        settings |= {"Global.log_level": "critical", "Global.text_score": 0.0}
        self._engine: Any = rapidocr.RapidOCR(params=settings)

    @staticmethod
    def installed() -> bool:
        """Whether the packages of the extra are there."""
        return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None

    def __call__(self, image: Grey) -> list[Mark]:
        """The marks in ``(H, W)`` grey levels, from top to bottom."""
        seen = self._engine(np.repeat(image[..., None], 3, axis=2), use_det=True, use_cls=False, use_rec=True)
        if seen.boxes is None:
            return []
        texts, scores = seen.txts or ("",) * len(seen.boxes), seen.scores or (0.0,) * len(seen.boxes)
        marks = [
            Mark(_upright(corners, image.shape), len(text.strip()) if score >= READ else 0)
            for corners, text, score in zip(seen.boxes, texts, scores, strict=True)
        ]
        return sorted(marks, key=lambda mark: (mark.box[1], mark.box[0]))


def fills_the_picture(mark: Mark, shape: tuple[int, ...]) -> bool:
    """Whether a mark in a picture of ``shape`` (height, width) is what is pictured, taken for one letter."""
    left, top, right, bottom = mark.box
    return mark.characters < 2 and bottom - top > LARGE * shape[0] and right - left > LARGE * shape[1]


def _upright(corners: Any, shape: tuple[int, ...]) -> Box:
    across, down = np.asarray(corners)[:, 0], np.asarray(corners)[:, 1]
    left, top = max(0, int(across.min())), max(0, int(down.min()))
    return left, top, min(shape[1], int(np.ceil(across.max()))), min(shape[0], int(np.ceil(down.max())))


@dataclass
class Marks:
    """All marks of a folder, to be told by place where many pictures share one, by length otherwise."""

    pictures: bool = False
    left_out: int = 0  # marks that fill the picture
    _found: dict[tuple[int, ...], list[tuple[Place, Mark, bytes | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _sizes: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, place: Place, image: Grey, marks: list[Mark]) -> None:
        """Keep what was found in one picture."""
        self._sizes[image.shape] += 1
        text = [mark for mark in marks if not fills_the_picture(mark, image.shape)]
        self.left_out += len(marks) - len(text)
        for mark in text:
            left, top, right, bottom = mark.box
            crop = encode_png(np.ascontiguousarray(image[top:bottom, left:right])) if self.pictures else None
            self._found[image.shape].append((place, mark, crop))

    def sightings(self) -> Iterator[Sighting]:
        """What a person should look at, places that pictures share first."""
        alone = []
        for size, found in sorted(self._found.items()):
            for group in _by_place(found):
                if len(group) >= max(FEW, OFTEN * self._sizes[size]):
                    yield from _shared(size, group)
                else:
                    alone += group
        for place, mark, crop in sorted(alone, key=lambda each: (each[0].number, each[1].box[1], each[1].box[0])):
            yield Sighting(LOOK, _length(mark), _in_file(place, mark), crop)


def _shared(size: tuple[int, ...], group: list[tuple[Place, Mark, bytes | None]]) -> Iterator[Sighting]:
    left, top, right, bottom = group[0][1].box
    place = f"about {left},{top} to {right},{bottom}, in pictures of {size[1]} x {size[0]}"
    what = f"marks like text at the same place, {place}"
    for file, mark, crop in group:
        yield Sighting(LOOK, what, _in_file(file, mark), crop)


def _in_file(place: Place, mark: Mark) -> Place:
    left, top, right, bottom = mark.box
    where = f"box {left},{top} to {right},{bottom}, {mark.characters} characters read"
    return Place(place.number, place.path, f"{place.within}, {where}" if place.within else where)


def _length(mark: Mark) -> str:
    if not mark.characters:
        return "shapes like text in which no character was read"
    return "1 or 2 characters, as markers of side have" if mark.characters < 3 else "text of 3 or more characters"


def _by_place(found: list[tuple[Place, Mark, bytes | None]]) -> list[list[tuple[Place, Mark, bytes | None]]]:
    groups: list[list[tuple[Place, Mark, bytes | None]]] = []
    for each in found:
        for group in groups:
            if _shared_area(group[0][1].box, each[1].box) >= SAME:
                group.append(each)
                break
        else:
            groups.append([each])
    return groups


def _shared_area(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


@dataclass
class Alike:
    """Bright pixels that hardly differ over all pictures of a size, as an overlay of a device has; no weights."""

    _spans: dict[tuple[int, ...], tuple[Grey, Grey, int, Place]] = field(default_factory=dict)

    def add(self, place: Place, image: Grey) -> None:
        """Keep the least and the greatest value of each pixel."""
        known = self._spans.get(image.shape)
        if known is None:
            self._spans[image.shape] = (image.copy(), image.copy(), 1, place)
            return
        least, greatest, count, first = known
        self._spans[image.shape] = (np.minimum(least, image), np.maximum(greatest, image), count + 1, first)

    def sightings(self) -> Iterator[Sighting]:
        """One for each size of which there are enough pictures."""
        for size, (least, greatest, count, first) in sorted(self._spans.items()):
            if count < PICTURES:
                continue
            still = (greatest.astype(np.int16) - least <= SPREAD) & (least >= BRIGHT)
            if still.sum() < STROKE or still.mean() > 0.5:
                continue
            down, across = np.nonzero(still)
            box = f"within {across.min()},{down.min()} to {across.max() + 1},{down.max() + 1}"
            what = f"{still.sum()} bright pixels differ by {SPREAD} grey levels at most over {count} pictures of "
            yield Sighting(ALIKE, f"{what}{size[1]} x {size[0]}", Place(first.number, first.path, box))
