"""From files as they came to image sets of one size: read strictly, checked, and kept for the next run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import PIL

from bench.api import BenchError, DatasetInfo, ImageSet, Keys, Split
from bench.runtime.progress import track
from bench.storage.digests import repeated, text_keys
from bench.storage.disk_errors import DiskError, named
from bench.storage.files import alone, remove_drafts
from bench.storage.image_reader import READER_VERSION, Alpha, Aspect, ImageError, encode_png, read_grey, resize
from bench.storage.image_sets import load_set, write_set

LISTED = 10  # faults of one kind that one message names
LEAST_SIDE, GREATEST_SIDE = 8, 4096  # pixels of a working image
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One image file and what is known of it; ``where`` is the row that names it, as ``file.csv line 12``."""

    image_id: str
    patient_id: str
    path: Path
    where: str
    labels: dict[str, int | None]
    attributes: dict[str, str | None]
    prompt: str | None


@dataclass(frozen=True, slots=True)
class Shape:
    """What pictures become: ``size`` is (height, width); the others are as in ``read_grey`` and ``resize``."""

    size: tuple[int, int]
    aspect: Aspect
    window: tuple[float, float] | None = None
    alpha: Alpha = "refuse"

    def __post_init__(self) -> None:
        if self.aspect not in get_args(Aspect):
            raise BenchError(f"aspect = {self.aspect!r}, needed one of {list(get_args(Aspect))}")
        if not all(isinstance(side, int) and LEAST_SIDE <= side <= GREATEST_SIDE for side in self.size):
            needed = f"whole numbers from {LEAST_SIDE} to {GREATEST_SIDE}: height, width"
            raise BenchError(f"image size {self.size}, needed {needed}; correct dataset.image_size")


def size_of(image_size: int | Sequence[int], least: int = LEAST_SIDE) -> tuple[int, int]:
    """(height, width) from what a configuration says: one number for a square, or both.

    Raises:
        BenchError: neither of these, or a side that is no whole number of at least ``least`` pixels.
    """
    sides = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= least for side in sides):
        needed = f"one whole number of at least {least} for a square, or two as [height, width]"
        raise BenchError(f"image_size = {image_size}, needed {needed}; correct dataset.image_size")
    return sides[0], sides[1]


def seed_of_name(name: str) -> int:
    """The first 8 hex digits of the SHA-256 of a data set's name, as a whole number: a seed that nobody can choose."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def prepare(sources: Sequence[Source], info: DatasetInfo, shape: Shape, cache: Path) -> ImageSet:
    """Read and resize every source in order, or open what an earlier run prepared from the same.

    The key of ``cache/prepared/<key>`` covers path, size and time of every file, all that its row says, the shape
    and the version of the reader.

    Raises:
        BenchError: no sources, an id or a file given twice, or unreadable images (up to ``LISTED``, each with its
            row and remedy).
        DiskError: the disk does not give what is there, or does not take what is prepared.
    """
    if not sources:
        raise BenchError(f"{info.name}: a part of the data set has no images, needed at least one")
    _check_unique(sources)
    folder = cache / "prepared" / _key(sources, info, shape)
    images, fault = _found(folder, info)
    if images is None:
        with alone(folder):
            images, fault = _found(folder, info)
            if fault:
                _log.warning("%s; preparing it again", fault)
            if images is None:
                remove_drafts(folder.parent)
                images = write_set(_read(sources, info.name, shape), info, folder)
    _warn_of_copies(images)
    return images


def _found(folder: Path, info: DatasetInfo) -> tuple[ImageSet | None, str]:
    """What an earlier run prepared, if it is there and what was written; else what is wrong with it."""
    try:
        with named("reading", folder):
            return (load_set(folder, info) if folder.exists() else None), ""
    except DiskError:  # it may be whole
        raise
    except (BenchError, OSError) as error:
        return None, str(error)


def take_holdout(sources: Sequence[Source], fraction: float, seed: int) -> tuple[list[Source], list[Source]]:
    """Divide into train and holdout by patient; the order of the sources does not matter.

    Patients are ranked by a hash of ``seed`` and their id, and the first ``fraction`` of them are held out.

    Raises:
        BenchError: ``fraction`` not between 0 and 1, or so few patients that a part would be empty.
    """
    if not 0 < fraction < 1:
        raise BenchError(f"holdout_fraction = {fraction}, needed a number between 0 and 1, for example 0.25")
    patients = {source.patient_id for source in sources}
    if len(patients) < 2:
        raise BenchError(f"{len(patients)} training patients, needed at least 2 to hold one out; check patient ids")
    ranked = sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).digest())
    held = set(ranked[: min(max(round(fraction * len(ranked)), 1), len(ranked) - 1)])
    train = [source for source in sources if source.patient_id not in held]
    return train, [source for source in sources if source.patient_id in held]


def refuse_shared_patients(first: Sequence[Source], second: Sequence[Source]) -> None:
    """Raise ``BenchError`` naming both rows of every patient (up to ``LISTED``) that has images in both parts."""
    rows = {source.patient_id: source.where for source in first}
    shared = {source.patient_id: source.where for source in second if source.patient_id in rows}
    if shared:
        pairs = [f"patient {patient!r}: {rows[patient]} and {where}" for patient, where in shared.items()]
        raise BenchError(listing(pairs, "patients are in two parts; move all images of a patient to one part"))


def checked(train: ImageSet, holdout: ImageSet, test: ImageSet) -> Split:
    """The split, if its parts share no patient, no id and no picture.

    Raises:
        BenchError: naming both rows of every fault (up to ``LISTED`` of a kind).
    """
    parts = {"train": train, "holdout": holdout, "test": test}
    remedies = {
        "patient_id": "patients are in two parts; move all images of a patient to one part",
        "image_id": "ids are in two parts; give every image an id of its own",
        "pixel_hash": "images have the same pixels in two parts; remove one of each pair",
    }
    for column, remedy in remedies.items():
        keys = {name: _keys(part, column) for name, part in parts.items()}
        faults = [
            fault
            for first, second in combinations(parts, 2)
            for fault in _shared(column, (first, parts[first], keys[first]), (second, parts[second], keys[second]))
        ]
        if faults:
            raise BenchError(f"{train.info.name}: {listing(faults, remedy)}")
    return Split(train, holdout, test)


def _keys(images: ImageSet, column: str) -> Keys:
    return images.pixel_keys if column == "pixel_hash" else text_keys(images.column(column))


def _shared(column: str, one: tuple[str, ImageSet, Keys], other: tuple[str, ImageSet, Keys]) -> Iterator[str]:
    """Every value of a column that two parts share, with the last row of the one and the first of the other."""
    (first, ours, our_keys), (second, theirs, their_keys) = one, other
    common = np.flatnonzero(np.isin(their_keys, our_keys))
    if not len(common):
        return
    rows = common[np.sort(np.unique(their_keys[common], return_index=True)[1])]
    kinds, from_the_end = np.unique(our_keys[::-1], return_index=True)
    places = len(our_keys) - 1 - from_the_end[np.searchsorted(kinds, their_keys[rows])]
    shared = theirs.select(rows)
    told = zip(shared.column(column), places, ours.select(places).ids, rows, shared.ids, strict=True)
    for value, place, known, row, found in told:
        yield f"{column} {value!r}: {first} row {place} (image {known!r}) and {second} row {row} (image {found!r})"


def listing(faults: Sequence[str], summary: str) -> str:
    """``3 images have no row:`` and under it up to ``LISTED`` of the faults, one a line."""
    more = [f"and {len(faults) - LISTED} more"] if len(faults) > LISTED else []
    return "\n  ".join([f"{len(faults)} {summary}:", *faults[:LISTED], *more])


def _check_unique(sources: Sequence[Source]) -> None:
    for name in ("image_id", "path"):
        rows: dict[str, str] = {}
        faults = []
        for place in repeated(text_keys(str(getattr(source, name)) for source in sources)).tolist():
            value, where = str(getattr(sources[place], name)), sources[place].where
            if value in rows:
                faults.append(f"{name} {value!r}: {rows[value]} and {where}")
            rows.setdefault(value, where)
        if faults:
            raise BenchError(listing(faults, "images are given twice; remove one row of each pair"))


def _key(sources: Sequence[Source], info: DatasetInfo, shape: Shape) -> str:
    digest = hashlib.sha256()
    columns = [label.name for label in info.labels], info.attributes
    digest.update(json.dumps([READER_VERSION, PIL.__version__, shape.size, shape.aspect, columns]).encode())
    digest.update(json.dumps([shape.window, shape.alpha]).encode())
    for source in sources:
        try:
            status = source.path.stat()
            state = [status.st_size, status.st_mtime_ns]
        except OSError:
            state = []
        row = [source.image_id, source.patient_id, source.labels, source.attributes, source.prompt]
        digest.update(json.dumps([str(source.path), state, row], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _read(sources: Sequence[Source], name: str, shape: Shape) -> Iterator[dict[str, Any]]:
    """Rows for ``write_set``; decoding in threads, in order, a bounded number ahead."""

    def image(source: Source) -> tuple[bytes, tuple[int, ...]] | str:
        try:
            pixels = read_grey(source.path, window=shape.window, alpha=shape.alpha)
        except ImageError as error:
            return f"{source.where}: {error}"
        return encode_png(resize(pixels, shape.size, shape.aspect)), pixels.shape

    faults: list[str] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        blocks = (sources[start : start + 64] for start in range(0, len(sources), 64))
        read = (pair for block in blocks for pair in zip(block, pool.map(image, block), strict=True))
        for source, found in track(read, f"prepare {name}", total=len(sources), unit="image"):
            if isinstance(found, str):
                faults.append(found)
            elif not faults:
                content, own_size = found
                yield {
                    "image": content,
                    "own_size": own_size,
                    "image_id": source.image_id,
                    "patient_id": source.patient_id,
                    "prompt": source.prompt,
                    "labels": source.labels,
                    "attributes": source.attributes,
                }
            if len(faults) == LISTED:
                raise BenchError(listing(faults, "images cannot be used (stopped looking here)"))
    if faults:
        raise BenchError(listing(faults, f"of {len(sources)} images cannot be used"))


def _warn_of_copies(images: ImageSet) -> None:
    places = repeated(images.pixel_keys)
    if not len(places):
        return
    some = images.select(places)
    names = defaultdict(list)
    for image_id, pixels in zip(some.ids, some.column("pixel_hash"), strict=True):
        names[pixels].append(image_id)
    copies = [" = ".join(group) for group in names.values()]
    _log.warning("%s: %s", images.info.name, listing(copies, "groups of ids have the same pixels"))
