"""Sampling: requests in, images on disk out, in parts that survive a kill."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.api import BenchError, Generator, ImageSet, Request
from bench.pipeline.image_parts import OTHERWISE, PART, Parts, blank_rows, other_parts, other_requests, purposes_there
from bench.pipeline.requests import write_requests
from bench.pipeline.stage import Made, Mark, Stage, listed, result, same
from bench.pipeline.training import Training
from bench.runtime.processes import Team
from bench.runtime.publication import Publication
from bench.storage.digests import first_places, text_keys
from bench.storage.files import altered, content_key, write_atomic
from bench.storage.image_reader import as_own_size, contact_sheet
from bench.storage.image_sets import join_parts, open_set

log = logging.getLogger(__name__)
SHEET = 32  # images on the contact sheet
COPY = ".arrow"  # the parts once more, in a form that is mapped from disk


@dataclass(frozen=True)
class Sampled:
    """The generated images, what made them says of itself, and what making them cost, whoever made them.

    Attributes:
        blank: number of images that show nothing, see ``blank_rows``.
        repeated: number of images with the pixels of an earlier one of their purpose.
        seconds: spent on the parts that are kept, summed over the processes that made them.
        facts: the generator's facts, with what was counted while all images were made.
        uses: names of the request columns the generator understands.
        fit_seconds: what its training took; ``None`` if that is unknown.
        files: names of the files it left.
    """

    images: ImageSet
    blank: int
    repeated: int
    seconds: float
    facts: Mapping[str, Any]
    uses: tuple[str, ...]
    fit_seconds: float | None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling(Stage[Sampled]):
    """Fills ``folder/images`` with parquet parts, and leaves ``requests.csv`` and a contact sheet.

    Images of further purposes are added to those that are there, which stay as they are.

    Attributes:
        training: the stage that gives the trained generator; asked only if an image is missing.
        key: all that decides the images, and under ``requests`` their ``requests_key``; a folder that holds images of
            other settings, or for other requests of a purpose, is refused.
        requests: all images that the folder is to hold, those that are there included.
        blank_tolerance: blank images accepted before the run stops; they are counted and kept.
    """

    folder: Path
    key: Mapping[str, Any]
    training: Training
    requests: Sequence[Request]
    blank_tolerance: int
    name: str = "sampling"
    publication: Publication = field(default_factory=Publication)
    together: ClassVar[bool] = True

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.requests)

    @property
    def kind(self) -> str:
        return f"sampling {type(self.training.generator).__name__}"

    def find(self) -> Mark | None:
        mark = super().find()
        if mark is not None:
            other_parts(self.folder / "images", [self.folder / name for name in mark.files])
        return mark

    def superseded(self, mark: Mark) -> None:
        """Nothing is lost by going on where there is no image yet, or where all that are there are wanted."""
        there, here = _requests(mark.key), _requests(self.key)
        made = there.keys() if mark.made else purposes_there(self.folder / "images")
        if not made:
            return
        settings = [_settings(key) for key in (mark.key, self.key)]
        if not same(*settings):
            raise BenchError(f"{self.folder} holds images made with other settings:\n{listed(*settings)}\n{OTHERWISE}")
        others = {purpose: each for purpose, each in there.items() if purpose in made and each != here.get(purpose)}
        if others:
            said = [f"{self.folder} holds images made for other requests:", *other_requests(others, here)]
            raise BenchError("\n".join(said))

    def make(self, team: Team) -> Made:
        """Make this process's share of the parts that are missing, wait for the others, then look at them all."""
        generator = self.training.generator
        if team.is_main:
            write_requests(self.requests, self.folder / "requests.csv")
        parts = self._parts()
        # everyone hears what is missing before anyone adds to it
        looked = (parts.missing(), self.begun()) if team.is_main else None
        missing, known = team.meet(self.name, looked)[0]
        # what is said of fewer images is not true of these
        note = dict(known.note) if known and not missing and same(known.key, self.key) else {}
        if not note:
            trained = result(self.training, team)
            generator.plan(self.requests)
            check_own_size(generator)
            note = {"uses": list(generator.uses), "fit_seconds": trained.seconds, "before": dict(generator.facts)}
        parts.make(generator, team.share(missing), len(missing))
        team.meet(self.name)
        return self._finished(parts, note) if team.is_main else Made()

    def left(self) -> int:
        """How many images are to be made."""
        parts = self._parts()
        return parts.images(parts.missing())

    def before(self) -> Sampled | None:
        """The finished images that are there, be it for some of the purposes only."""
        mark = self.begun()
        if mark is None or not mark.made:
            return None
        images = {name: each for name, each in mark.files.items() if name.startswith(("images/", COPY))}
        return None if altered(self.folder, images) else self.load(mark)

    def _parts(self) -> Parts:
        key = content_key(_settings(self.key))
        parts = Parts(self.folder / "images", self.training.split, key, self.blank_tolerance)
        parts.cut(self.requests, self.training.generator.block)
        return parts

    def _finished(self, parts: Parts, note: dict[str, Any]) -> Made:
        """All parts once more as one set, the contact sheet, and what is said of them."""
        accounts = parts.accounts()
        images = join_parts(parts.paths, self.training.split.info, self.folder / COPY)
        blank = sum(len(blank_rows(block)) for block in images.blocks(PART))
        if blank > self.blank_tolerance:
            raise BenchError(f"{blank} of {len(images)} images are blank, blank_tolerance={self.blank_tolerance}")
        write_atomic(self.folder / "sheet.png", contact_sheet(images.pixels(range(min(SHEET, len(images))))))
        if "before" in note:
            before = note.pop("before")
            # a process may have made none of the images, so its own counts say little
            counted = {name: before.get(name, 0) + count for name, count in _summed(accounts).items()}
            note["facts"] = dict(self.training.generator.facts) | counted
        note |= {"digest": images.digest, "blank": blank, "repeated": count_repeats(images)}
        note |= {"seconds": sum(each["seconds"] for each in accounts)}
        made = [path.relative_to(self.folder) for path in (*parts.paths, *(self.folder / COPY).iterdir())]
        return Made([*map(str, made), "requests.csv", "sheet.png", *self._pictures()], note, note["seconds"])

    def _pictures(self) -> Iterator[str]:
        """Copy what shows how the training went into the run's folder; pictures may show what it learned from."""
        info = self.training.split.info
        for kind in ("*.png", "*.csv") if info.redistributable else ("*.csv",):
            for path in sorted(self.training.folder.glob(kind)):
                write_atomic(self.folder / path.name, path.read_bytes())
                yield path.name

    def load(self, mark: Mark) -> Sampled:
        images = open_set(self.folder / COPY, self.training.split.info)
        note, uses = mark.note, tuple(mark.note["uses"])
        counts = note["blank"], note["repeated"], note["seconds"]
        return Sampled(images, *counts, note["facts"], uses, note["fit_seconds"], tuple(mark.files))


def count_repeats(images: ImageSet) -> int:
    """How many images have the pixels of an earlier one of their purpose; if any do, a warning names the first."""
    kinds = zip(images.column("purpose"), images.column("pixel_hash"), strict=True)
    first = first_places(text_keys(map(" ".join, kinds)))
    again = np.flatnonzero(first != np.arange(len(first)))
    if len(again):
        ids = images.ids
        names = f"{ids[again[0]]} = {ids[first[again[0]]]}"
        log.warning("%d of %d images repeat another of their purpose, first %s", len(again), len(images), names)
    return len(again)


def check_own_size(generator: Generator) -> None:
    """Refuse a generator that states the size of its own pictures in another form than the record has it."""
    stated = generator.facts.get("own_size")
    try:
        as_own_size(stated)
    except (TypeError, ValueError):
        raise BenchError(
            f"{type(generator).__name__}.facts['own_size'] is {stated!r}, needed [[height, width], [height, width]]: "
            "the least and the greatest of its pictures before they were brought to the data set's size"
        ) from None


def _settings(key: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the images but the requests."""
    return {name: each for name, each in key.items() if name != "requests"}


def _requests(key: Mapping[str, Any]) -> Mapping[Any, Any]:
    """What a key says of the requests of each purpose; nothing if it is of a time when it said so of all together."""
    found = key["requests"]
    return found if isinstance(found, dict) else {}


def _summed(accounts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for each in accounts:
        counted.update(each["counted"])
    return dict(counted)
