"""The part files of generated images, each of one purpose and with an account of what it holds and cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import BenchError, Generator, Images, Purpose, Request, Split
from bench.pipeline.requests import PURPOSES, requests_by_purpose, requests_key
from bench.pipeline.stage import MARKS
from bench.runtime.blocks import sample
from bench.runtime.progress import meter
from bench.storage.files import Damaged, altered, file_digest, read_checked, write_checked
from bench.storage.image_reader import BLANK_SPREAD
from bench.storage.image_sets import write_part

log = logging.getLogger(__name__)
PART = 256  # images in a part file: what a kill can cost
OTHERWISE = "Give this run another name (name=my_variant), write elsewhere (runs=other_folder), or delete the folder"


class Parts:
    """The part files of a sampling. No block of images spans two purposes, so that the images of a purpose do not
    depend on which others are asked for.

    An account is hidden, so that whoever loads the folder's images does not meet it. A part counts as made when its
    account is there, is of the same key and requests, and has the part's digest.

    Args:
        key: of all that decides the images but the requests.
    """

    def __init__(self, folder: Path, split: Split, key: str, blank_tolerance: int) -> None:
        self.folder, self.split, self.key, self.blank_tolerance = folder, split, key, blank_tolerance
        self.paths: list[Path] = []
        self._requests: list[Sequence[Request]] = []
        self._patients: dict[str, str] = {}
        self._asked: dict[Purpose, Any] = {}

    def cut(self, requests: Sequence[Request], block: int) -> None:
        """Divide ``requests`` into parts of whole blocks, purpose by purpose."""
        step = max(1, PART // block) * block
        self._asked = requests_key(requests)
        for purpose, asked in requests_by_purpose(requests).items():
            count = -(-len(asked) // step)
            self._requests += [asked[start : start + step] for start in range(0, len(asked), step)]
            # numbered, for whoever loads the folder reads the files in the order of their names
            stem = f"part-{PURPOSES.index(purpose) + 1}-{purpose}"
            self.paths += [self.folder / f"{stem}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]

    def missing(self) -> list[int]:
        """Numbers of the parts that are to be made; one that is damaged is named in a warning.

        Raises:
            BenchError: there are parts of another key or of other requests.
        """
        for path in other_parts(self.folder, self.paths):
            self._account(path)
        return [number for number, path in enumerate(self.paths) if self._account(path) is None]

    def images(self, numbers: Sequence[int]) -> int:
        """How many images the parts ``numbers`` hold."""
        return sum(len(self._requests[number]) for number in numbers)

    def accounts(self) -> list[dict[str, Any]]:
        """Those of all parts.

        Raises:
            BenchError: a part is missing.
        """
        found = [(path, self._account(path)) for path in self.paths]
        if absent := [path.name for path, account in found if account is None]:
            raise BenchError(f"{absent[0]} is not in {self.folder}; all processes need to see the same folder")
        return [account for _, account in found if account is not None]

    def make(self, generator: Generator, numbers: Sequence[int], missing: int) -> None:
        """Make the parts ``numbers``; ``missing`` is how many all processes make together."""
        total, left = self.images(range(len(self.paths))), self.images(numbers)
        if numbers:
            self._patients = patients(generator, [each for requests in self._requests for each in requests])
        with meter("sampling", total=total if missing == len(numbers) else left, unit="image") as bar:
            bar.update(total - left if missing == len(numbers) else 0)
            for number in numbers:
                self._make(self.paths[number], generator, self._requests[number], bar)

    def _make(self, path: Path, generator: Generator, requests: Sequence[Request], bar: Any) -> None:
        begin, before = time.perf_counter(), dict(generator.facts)
        images = sample(generator, requests, self.split.test.size, bar)
        self._check(images, requests)
        write_part(_rows(requests, images, self._patients), self.split.info, path)
        counted = _added(before, generator.facts)
        made_for = {"key": self.key, "requests": self._asked[requests[0].purpose]}
        account = {**made_for, "sha256": file_digest(path), "counted": counted}
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
        purpose = purpose_of(path)
        if purpose in self._asked and account["requests"] != self._asked[purpose]:
            there = {purpose: account["requests"]}
            raise BenchError("\n".join([f"{path} was made for other requests:", *other_requests(there, self._asked)]))
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


def purpose_of(part: Path) -> Purpose | None:
    """What the images of a part file are for; ``None`` if its name does not say."""
    return next((each for each in PURPOSES if f"-{each}-" in part.name), None)


def other_parts(folder: Path, parts: Collection[Path]) -> list[Path]:
    """What else lies in a folder of images beside ``parts``: a run that asked for more did not finish."""
    over = [path for path in sorted(folder.glob("part-*.parquet")) if path not in parts]
    if over:
        kinds = ", ".join(sorted({purpose_of(path) or "unknown purpose" for path in over}))
        log.warning(
            "sampling: %s also holds %d parts (%s) of a run that asked for more images and was not finished; no record "
            "speaks of them. The command of that run goes on from there; delete them if they are not needed",
            *(folder, len(over), kinds),
        )
    return over


def purposes_there(folder: Path) -> set[Purpose]:
    """The purposes for which there are parts in a folder of images."""
    return {each for each in map(purpose_of, folder.glob("part-*.parquet")) if each}


def purposes_made(folder: Path) -> tuple[Purpose, ...]:
    """The purposes of the finished images of the run in ``folder``."""
    try:
        mark = read_checked(folder / MARKS / "sampling.json") or {"made": False}
    except Damaged:
        return ()
    made = mark["key"]["requests"] if mark["made"] else ()
    return tuple(each for each in PURPOSES if each in made)


def other_requests(there: Mapping[Purpose, Any], here: Mapping[Purpose, Any]) -> list[str]:
    """A line for each purpose for which other requests stand ``there`` than ``here``, and what to do."""
    lines, same = [], []
    for purpose, asked in there.items():
        made, wanted = asked["count"], here.get(purpose, {"count": 0})["count"]
        if made != wanted:
            same.append(f"requests.{purpose}={made}")
            lines.append(f"  requests.{purpose}: {made} images there, {wanted} now")
        elif asked != here[purpose]:
            lines.append(
                f"  requests.{purpose}: {made} images there and now, but of other conditions or in another order"
            )
    keep = f"Ask for as many as are there ({' '.join(same)}), which keeps them. " if same else ""
    return [*lines, keep + OTHERWISE]


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


def blank_rows(images: Images) -> list[int]:
    """Indices of the images that show nothing, by the rule for real images."""
    return [int(i) for i in np.flatnonzero([image.std() < BLANK_SPREAD for image in images])]


def patients(generator: Generator, requests: Sequence[Request]) -> dict[str, str]:
    """By ``request_id``, that of the first request of its purpose whose image is of the same patient, or its own.

    So it is known which images belong together, and nobody's name leaves the generator.

    Raises:
        BenchError: the generator named more or fewer patients than there are requests.
    """
    names = generator.patients(requests)
    if len(names) != len(requests):
        who = type(generator).__name__
        raise BenchError(
            f"{who}.patients named {len(names)} for {len(requests)} requests; needed one, or None, for each"
        )
    first: dict[tuple[Purpose, str], str] = {}
    return {
        each.request_id: each.request_id if name is None else first.setdefault((each.purpose, name), each.request_id)
        for each, name in zip(requests, names, strict=True)
    }


def _rows(requests: Sequence[Request], images: Images, patients: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for request, image in zip(requests, images, strict=True):
        yield {
            "image": image,
            "image_id": request.request_id,
            "patient_id": patients[request.request_id],
            "purpose": request.purpose,
            "prompt": request.prompt,
            "labels": request.labels,
            "attributes": request.attributes,
        }


def _account_of(part: Path) -> Path:
    return part.with_name(f".{part.stem}.json")


def _added(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    """What was added to the whole numbers among a generator's facts."""
    numbers = {key: value for key, value in after.items() if type(value) is int}
    return {key: value - before.get(key, 0) for key, value in numbers.items() if value != before.get(key, 0)}
