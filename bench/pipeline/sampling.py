"""Sampling: requests in, images on disk out, in parts that survive a kill."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Request, Split
from bench.pipeline.requests import write_requests
from bench.pipeline.stage import MARKS, Made, Mark, Stage, listed, result
from bench.pipeline.training import Training
from bench.runtime.blocks import sample
from bench.runtime.processes import Team
from bench.runtime.progress import meter
from bench.runtime.publication import Publication
from bench.storage.files import Damaged, altered, content_key, file_digest, read_checked, write_atomic, write_checked
from bench.storage.image_reader import as_own_size, contact_sheet
from bench.storage.image_sets import join_parts, open_set, write_part

log = logging.getLogger(__name__)
PART = 256  # images in a part file: what a kill can cost
SHEET = 32  # images on the contact sheet
OTHERWISE = "Give this run another name (name=my_variant), write elsewhere (runs=other_folder), or delete the folder"
COPY = ".arrow"  # the parts once more, in a form that is mapped from disk


@dataclass(frozen=True)
class Sampled:
    """The generated images, what made them says of itself, and what making them cost, whoever made them.

    Attributes:
        blank: number of constant images.
        seconds: spent on the parts that are kept, summed over the processes that made them.
        facts: the generator's facts, with what was counted while all images were made.
        uses: names of the request columns the generator understands.
        fit_seconds: what its training took; ``None`` if that is unknown.
        files: names of the files it left.
    """

    images: ImageSet
    blank: int
    seconds: float
    facts: Mapping[str, Any]
    uses: tuple[str, ...]
    fit_seconds: float | None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling(Stage[Sampled]):
    """Fills ``folder/images`` with parquet parts, and leaves ``requests.csv`` and a contact sheet.

    Attributes:
        training: the stage that gives the trained generator; asked only if an image is missing.
        key: all that decides the images; a folder that holds images of another key is refused.
        blank_tolerance: constant images accepted before the run stops; they are counted and kept.
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

    def superseded(self, mark: Mark) -> None:
        raise BenchError(
            f"{self.folder} holds images made with other settings:\n{listed(mark.key, self.key)}\n{OTHERWISE}"
        )

    def make(self, team: Team) -> Made:
        """Make this process's share of the parts that are missing, wait for the others, then look at them all."""
        generator = self.training.generator
        if team.is_main:
            write_requests(self.requests, self.folder / "requests.csv")
        parts = Parts(self.folder / "images", self.training.split, content_key(self.key), self.blank_tolerance)
        parts.cut(self.requests, generator.block)
        # everyone hears what is missing before anyone adds to it
        looked = (parts.missing(), self.begun()) if team.is_main else None
        missing, known = team.meet(self.name, looked)[0]
        note = dict(known.note) if known and not missing else {}
        if not note:
            trained = result(self.training, team)
            generator.plan(self.requests)
            check_own_size(generator)
            note = {"uses": list(generator.uses), "fit_seconds": trained.seconds, "before": dict(generator.facts)}
        parts.make(generator, team.share(missing), len(missing))
        team.meet(self.name)
        return self._finished(parts, note) if team.is_main else Made()

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
        note |= {"digest": images.digest, "blank": blank, "seconds": sum(each["seconds"] for each in accounts)}
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
        made = note["blank"], note["seconds"], note["facts"], uses, note["fit_seconds"], tuple(mark.files)
        return Sampled(images, *made)


class Parts:
    """The part files of a sampling, each with an account of what it holds and cost.

    An account is hidden, so that whoever loads the folder's images does not meet it. A part counts as made when its
    account is there, is of the same key, and has the part's digest.
    """

    def __init__(self, folder: Path, split: Split, key: str, blank_tolerance: int) -> None:
        self.folder, self.split, self.key, self.blank_tolerance = folder, split, key, blank_tolerance
        self.paths: list[Path] = []
        self._requests: list[Sequence[Request]] = []

    def cut(self, requests: Sequence[Request], block: int) -> None:
        """Divide ``requests`` into parts of whole blocks."""
        step = max(1, PART // block) * block
        self._requests = [requests[start : start + step] for start in range(0, len(requests), step)]
        count = len(self._requests)
        self.paths = [self.folder / f"part-{number:05d}-of-{count:05d}.parquet" for number in range(count)]

    def missing(self) -> list[int]:
        """Numbers of the parts that are to be made; one that is damaged is named in a warning.

        Raises:
            BenchError: there are parts of another key.
        """
        for path in self.folder.glob("part-*.parquet"):
            if path not in self.paths:
                self._account(path)
        return [number for number, path in enumerate(self.paths) if self._account(path) is None]

    def accounts(self) -> list[dict[str, Any]]:
        """Those of all parts.

        Raises:
            BenchError: one is missing.
        """
        found = [(path, self._account(path)) for path in self.paths]
        if absent := [path.name for path, account in found if account is None]:
            raise BenchError(f"{absent[0]} is not in {self.folder}; all processes need to see the same folder")
        return [account for _, account in found if account is not None]

    def make(self, generator: Generator, numbers: Sequence[int], missing: int) -> None:
        """Make the parts ``numbers``; ``missing`` is how many all processes make together."""
        total = sum(map(len, self._requests))
        left = sum(len(self._requests[number]) for number in numbers)
        with meter("sampling", total=total if missing == len(numbers) else left, unit="image") as bar:
            bar.update(total - left if missing == len(numbers) else 0)
            for number in numbers:
                self._make(self.paths[number], generator, self._requests[number], bar)

    def _make(self, path: Path, generator: Generator, requests: Sequence[Request], bar: Any) -> None:
        begin, before = time.perf_counter(), dict(generator.facts)
        images = sample(generator, requests, self.split.test.size, bar)
        self._check(images, requests)
        write_part(_rows(requests, images), self.split.info, path)
        counted = _added(before, generator.facts)
        account = {"key": self.key, "sha256": file_digest(path), "counted": counted}
        write_checked(_account_of(path), {**account, "seconds": time.perf_counter() - begin})

    def _account(self, path: Path) -> dict[str, Any] | None:
        try:
            account = read_checked(_account_of(path))
        except Damaged as error:
            log.warning("sampling: %s; making %s again", error, path.name)
            return None
        if account is None:
            return None
        if account.get("key") != self.key:
            raise BenchError(f"{path} was made with other settings. {OTHERWISE}")
        fault = altered(path.parent, {path.name: account["sha256"]})
        if fault:
            log.warning("sampling: %s since it was made; making it again", fault)
        return None if fault else account

    def _check(self, images: Images, requests: Sequence[Request]) -> None:
        blank = blank_rows(images)
        if len(blank) > self.blank_tolerance:
            first = [requests[i].request_id for i in blank[:5]]
            raise BenchError(
                f"the generator made {len(blank)} blank images, first {first}; they would count as real results. "
                f"Mend the generator, or set blank_tolerance (now {self.blank_tolerance}) to keep and count them"
            )


def image_parts(folder: Path, digest: str) -> list[Path]:
    """The part files of a finished run, verified to be those of the images with this digest.

    Raises:
        BenchError: they are not, or one is missing or changed.
    """
    mark = read_checked(folder / MARKS / "sampling.json")
    if mark is None or mark["note"].get("digest") != digest:
        raise BenchError(f"{folder}: the images are not those that run.json speaks of; run it again")
    parts = {name: each for name, each in mark["files"].items() if name.startswith("images/")}
    if fault := altered(folder, parts):
        raise BenchError(f"{fault} since it was made; run the same configuration again")
    return [folder / name for name in parts]


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


def _rows(requests: Sequence[Request], images: Images) -> Iterator[dict[str, Any]]:
    for request, image in zip(requests, images, strict=True):
        yield {
            "image": image,
            "image_id": request.request_id,
            "patient_id": request.request_id,
            "purpose": request.purpose,
            "prompt": request.prompt,
            "labels": request.labels,
            "attributes": request.attributes,
        }


def told(info: DatasetInfo, uses: Sequence[str]) -> list[str]:
    """The labels and attributes of a request that reach a generator which ``uses`` these columns.

    A prompt may state all conditions.
    """
    known = {*uses, *(info.conditions if "prompt" in uses else ())}
    return [name for name in (*(label.name for label in info.labels), *info.attributes) if name in known]


def unread(info: DatasetInfo, uses: Sequence[str]) -> list[str]:
    """The conditions that are asked for but never reach a generator which ``uses`` these columns."""
    known = told(info, uses)
    return [name for name in info.conditions if name not in known]


def blank_rows(images: Images) -> list[int]:
    """Indices of the constant images."""
    flat = images.reshape(len(images), -1)
    return [int(i) for i in np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))]


def _account_of(part: Path) -> Path:
    return part.with_name(f".{part.stem}.json")


def _added(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    """What was added to the whole numbers among a generator's facts."""
    numbers = {key: value for key, value in after.items() if type(value) is int}
    return {key: value - before.get(key, 0) for key, value in numbers.items() if value != before.get(key, 0)}


def _summed(accounts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for each in accounts:
        counted.update(each["counted"])
    return dict(counted)
