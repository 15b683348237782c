"""From the images of a side as they came to a set of one size whose numbers do not depend on names and order."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.api import BenchError, DatasetInfo, ImageSet
from bench.compare.given import Given, Read, Size
from bench.datasets.prepare import LISTED, listing
from bench.runtime.progress import track
from bench.storage.digests import first_places
from bench.storage.files import content_key
from bench.storage.image_reader import BLANK_SPREAD, Grey, ImageError, encode_png, pixel_hash, resize
from bench.storage.image_sets import write_set

SHARED = {("REAL", "TRAIN"): ": REAL is not unseen, which flatters whatever repeats TRAIN"}
BLOCK = 64  # images that threads work on at a time
FAST = 1  # zlib's effort for pictures that live as long as a comparison
INFO = DatasetInfo(
    name="compare", title="Images compared", modality="image", labels=(), conditions=(), targets=(), access="the user's"
)


class Picture(NamedTuple):
    """An image at the working size: a PNG, the digest of its pixels, its size before, and whether it shows nothing."""

    content: bytes
    pixels: str
    own_size: Size
    blank: bool


@dataclass(frozen=True)
class Side:
    """The images of one side.

    Attributes:
        images: in an order that their pixels decide; an image is called as the person knows it, a patient by a number.
        notes: what became of them on the way.
        known: of how many images it is known whose they are.
    """

    side: str
    images: ImageSet
    notes: tuple[str, ...]
    known: int

    @property
    def identity(self) -> dict[str, Any]:
        """What of the images decides a number, whatever they are called and in whichever order they came."""
        pairs = list(zip(self.images.column("pixel_hash"), self.images.patients, strict=True))
        return {"digest": content_key(pairs), "images": len(pairs), "patients": len({name for _, name in pairs})}


def made_one_size(given: Given, size: Size, folder: Path) -> Side:
    """Decode, check and resize every image of a side, and write them into ``folder``.

    A blank image of real ones is an error, of generated ones it is counted; blank slices of volumes are left out.

    Raises:
        BenchError: images that are damaged, or blank ones among real ones (up to ``LISTED``, each by its name), or no
            image that shows anything.
    """
    pictures = _pictures(given, size)
    kept = [number for number, each in enumerate(pictures) if not (each.blank and given.slices)]
    blank = sum(each.blank for each in pictures)
    notes = [*given.notes, *_blank_notes(given, blank)]
    if not kept:
        raise BenchError(f"{given.side}: none of {len(given)} slices shows anything")
    whose = _patients(given, pictures, kept)
    order = sorted(kept, key=lambda number: (pictures[number].pixels, whose[number]))
    known = sum(given.patients[number] is not None for number in kept)
    images = write_set(_rows(given, pictures, whose, order), INFO, folder)
    return Side(given.side, images, (*notes, *_patient_notes(given, known, images)), known)


def _pictures(given: Given, size: Size) -> list[Picture]:
    found: list[Picture] = []
    faults: list[str] = []
    for name, result in zip(given.names, _decoded(given, size), strict=True):
        if isinstance(result, str):
            faults.append(result if name in result else f"{name}: {result}")
        elif result.blank and not given.slices and given.side != "FAKE":
            faults.append(f"{name}: shows nothing (standard deviation under {BLANK_SPREAD:g} grey level); remove it")
        else:
            found.append(result)
        if len(faults) == LISTED:
            raise BenchError(f"{given.side}: {listing(faults, 'images cannot be used (stopped looking here)')}")
    if faults:
        raise BenchError(f"{given.side}: {listing(faults, f'of {len(given)} images cannot be used')}")
    return found


def _decoded(given: Given, size: Size) -> Iterator[Picture | str]:
    """Each image in order, or what is wrong with it; threads decode a bounded number ahead."""

    def picture(read: Read) -> Picture | str:
        try:
            return _picture(read(), size)
        except ImageError as error:
            return str(error)

    readers = given.readers()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        blocks = iter(lambda: list(islice(readers, BLOCK)), [])
        results = (result for block in blocks for result in pool.map(picture, block))
        yield from track(results, f"reading {given.side}", total=len(given), unit="image")


def _picture(image: Grey, size: Size) -> Picture:
    resized = resize(image, size, "pad")
    own = image.shape[0], image.shape[1]
    return Picture(encode_png(resized, FAST), pixel_hash(resized), own, float(image.std()) < BLANK_SPREAD)


def _patients(given: Given, pictures: Sequence[Picture], kept: Sequence[int]) -> dict[int, str]:
    """By image, a name of its patient that the pixels of all images of the patient decide; patients of equal images are
    told apart by a number."""
    images: dict[str, list[int]] = defaultdict(list)
    for number in kept:
        patient = given.patients[number]
        images[f"image {number}" if patient is None else f"patient {patient}"].append(number)
    twins: Counter[str] = Counter()
    found: dict[int, str] = {}
    for numbers in images.values():
        pixels = sorted(pictures[number].pixels for number in numbers)
        owner = hashlib.sha256("\n".join(pixels).encode()).hexdigest()[:16]
        found |= dict.fromkeys(numbers, f"{owner}-{twins[owner]}")
        twins[owner] += 1
    return found


def _rows(
    given: Given, pictures: Sequence[Picture], whose: Mapping[int, str], order: Sequence[int]
) -> Iterator[dict[str, Any]]:
    for number in order:
        picture = pictures[number]
        yield {
            "image": picture.content,
            "own_size": picture.own_size,
            "image_id": given.names[number],
            "patient_id": whose[number],
            "prompt": None,
            "labels": {},
            "attributes": {},
        }


def _blank_notes(given: Given, blank: int) -> list[str]:
    if not blank:
        return []
    what = f"{blank} of {len(given)}"
    if given.slices:
        return [f"{given.side}: {what} slices show nothing and were left out"]
    return [f"{given.side}: {what} images show nothing; they count like any other"]


def _patient_notes(given: Given, known: int, images: ImageSet) -> list[str]:
    if known < len(images) and given.side != "FAKE":
        who = "nobody says whose the images are" if not known else f"{len(images) - known} images are of nobody known"
        return [
            f"{given.side}: {who}, so each counts as a patient of its own; where patients have several images the "
            "intervals are too narrow"
        ]
    return []


def copy_notes(sides: Sequence[Side]) -> list[str]:
    """How many images have exactly the pixels of another, within a side and between two, at the working size."""
    notes = []
    keys = {side.side: side.images.pixel_keys for side in sides}
    for first, second in (("FAKE", "REAL"), ("FAKE", "TRAIN"), ("REAL", "TRAIN")):
        if first in keys and second in keys:
            notes += _shared_note((first, second), keys, {side.side: side.images for side in sides})
    for name, found in keys.items():
        again = int((first_places(found) != np.arange(len(found))).sum())
        notes += [f"{name}: {again} of {len(found)} images repeat another image of {name} exactly"] if again else []
    return notes


def _shared_note(pair: tuple[str, str], keys: dict[str, Any], images: dict[str, ImageSet]) -> list[str]:
    first, second = pair
    shared = np.flatnonzero(np.isin(keys[first], keys[second]))
    if not len(shared):
        return []
    place = int(np.flatnonzero(keys[second] == keys[first][shared[0]])[0])
    names = images[first].select(shared[:1]).ids[0], images[second].select([place]).ids[0]
    return [
        f"{first}: {len(shared)} of {len(keys[first])} images have exactly the pixels of an image of {second}, such as "
        f"{names[0]} = {names[1]}{SHARED.get(pair, '')}"
    ]


def people_notes(sides: Mapping[str, Given]) -> list[str]:
    """Whether patients of the training images are among those of the real ones; files of volumes are no names."""
    if "TRAIN" not in sides or any(sides[side].slices for side in ("REAL", "TRAIN")):
        return []
    shared = {each for each in sides["REAL"].patients if each is not None} & set(sides["TRAIN"].patients)
    return [f"REAL: {len(shared)} patients have images in TRAIN too, which flatters FAKE"] if shared else []
