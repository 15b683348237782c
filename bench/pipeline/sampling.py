"""Sampling: requests in, images on disk out, in parts that survive a kill."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Request
from bench.runtime.processes import ALONE, Team
from bench.runtime.progress import meter
from bench.storage.files import file_digest, read_json, write_json

log = logging.getLogger(__name__)
PART = 256  # images in a part file: what a kill can cost


@dataclass(frozen=True)
class Sampled:
    """The generated images and what making them cost, whoever made them.

    Attributes:
        blank: number of constant images.
        seconds: spent on the parts that are kept, summed over the processes that made them.
        counted: what was added to each whole number among the generator's facts while they were made.
    """

    images: ImageSet
    blank: int
    seconds: float
    counted: Mapping[str, int]


@dataclass(frozen=True)
class Sampler:
    """Fills ``folder/images`` with parquet parts and, when all are there, ``folder/images.json``.

    Attributes:
        key: everything that decides the images; a folder that holds images of another key is refused.
        blank_tolerance: constant images accepted before the run stops; they are counted and kept.
        team: the processes that share the parts; every one of them makes the same calls.
    """

    folder: Path
    info: DatasetInfo
    size: tuple[int, int]
    key: dict[str, Any]
    blank_tolerance: int
    team: Team = ALONE

    def complete(self) -> bool:
        """Whether every part is on disk, after checking that what is there was made with this key."""
        plan = read_json(self.folder / "generation.json")
        if plan is not None and plan != self.key:
            raise BenchError(
                f"{self.folder} holds images made with other settings:\n{_differences(plan, self.key)}\n"
                "Give this run another name (name=my_variant), write elsewhere (runs=other_folder), "
                "or delete the folder"
            )
        return (self.folder / "images.json").exists()

    def __call__(self, generator: Generator, requests: Sequence[Request]) -> Sampled:
        """Make this process's share of the parts that are missing, wait for the others, then open the whole set."""
        if self.team.is_main:
            write_json(self.folder / "generation.json", self.key)
            (self.folder / "images").mkdir(exist_ok=True)
        spans = _spans(len(requests), generator.block)
        parts = [self._part(number, len(spans)) for number in range(len(spans))]
        missing = [number for number, part in enumerate(parts) if not (part.exists() and _account(part).exists())]
        self.team.meet("sampling")  # everyone has listed what is missing before anyone adds to it
        mine = self.team.share(missing)
        left = sum(spans[number][1] - spans[number][0] for number in mine)
        done = len(requests) - sum(spans[number][1] - spans[number][0] for number in missing)
        with meter("sampling", total=done + left, unit="image") as bar:
            bar.update(done)
            for number in mine:
                start, stop = spans[number]
                self._make(parts[number], generator, requests[start:stop], bar)
        self.team.meet("sampling")
        with self.team.main_first("sampling"):
            return self._finish(parts) if self.team.is_main else self.load()

    def _make(self, part: Path, generator: Generator, requests: Sequence[Request], bar: Any) -> None:
        """Leave the part, and before it beside it the account of what it cost: no part is without one."""
        begin, before = time.perf_counter(), dict(generator.facts)
        images = self._sample(generator, requests, bar)
        self._check(images, requests)
        draft = part.with_name(f".{part.name}")
        self._write(draft, requests, images)
        counted = _added(before, generator.facts)
        write_json(_account(part), {"seconds": time.perf_counter() - begin, "counted": counted})
        draft.replace(part)

    def _finish(self, parts: Sequence[Path]) -> Sampled:
        if absent := [path.name for part in parts for path in (part, _account(part)) if not path.exists()]:
            raise BenchError(f"{absent[0]} is not in {parts[0].parent}; all processes need to see the same folder")
        names = [part.name for part in parts]
        whole = self._open(names)
        blank = sum(len(_blank(block)) for block in whole.blocks(PART))
        if blank > self.blank_tolerance:
            raise BenchError(f"{blank} of {len(whole)} images are blank, blank_tolerance={self.blank_tolerance}")
        accounts = [read_json(_account(part)) for part in parts]
        seconds = sum(each["seconds"] for each in accounts)
        counted: Counter[str] = Counter()
        for each in accounts:
            counted.update(each["counted"])
        digests = {name: file_digest(self.folder / "images" / name) for name in names}
        write_json(
            self.folder / "images.json",
            {"digest": whole.digest, "blank": blank, "seconds": seconds, "counted": counted, "parts": digests},
        )
        return Sampled(whole, blank, seconds, counted)

    def load(self) -> Sampled:
        """Open a complete set.

        Raises:
            BenchError: a part is missing, or is not the file that was written.
        """
        manifest = read_json(self.folder / "images.json")
        for name, digest in manifest["parts"].items():
            path = self.folder / "images" / name
            if not path.exists() or file_digest(path) != digest:
                state = "changed" if path.exists() else "missing"
                raise BenchError(f"{path} is {state} since it was made; delete {self.folder} to sample again")
        whole = self._open(list(manifest["parts"]))
        return Sampled(whole, manifest["blank"], manifest["seconds"], manifest.get("counted", {}))

    def _part(self, number: int, count: int) -> Path:
        return self.folder / "images" / f"part-{number:05d}-of-{count:05d}.parquet"

    def _sample(self, generator: Generator, requests: Sequence[Request], bar: Any) -> Images:
        made = []
        for start in range(0, len(requests), generator.block):
            block = list(requests[start : start + generator.block])
            padded = block + [block[-1]] * (generator.block - len(block))
            images = generator.sample(padded)
            want = (len(padded), *self.size)
            if images.shape != want or images.dtype != np.uint8:
                who = type(generator).__name__
                raise BenchError(f"{who}.sample gave {images.dtype}{images.shape}; this split needs uint8{want}")
            made.append(images[: len(block)])
            bar.update(len(block))
        return np.concatenate(made)

    def _check(self, images: Images, requests: Sequence[Request]) -> None:
        blank = _blank(images)
        if len(blank) > self.blank_tolerance:
            first = [requests[i].request_id for i in blank[:5]]
            raise BenchError(
                f"the generator made {len(blank)} blank images, first {first}; they would count as real results. "
                f"Mend the generator, or set blank_tolerance (now {self.blank_tolerance}) to keep and count them"
            )

    def _write(self, path: Path, requests: Sequence[Request], images: Images) -> None:
        import datasets

        from bench.storage.image_reader import encode_png, pixel_hash

        columns: dict[str, list[Any]] = {
            "image": [{"bytes": encode_png(image), "path": None} for image in images],
            "image_id": [request.request_id for request in requests],
            "patient_id": [request.request_id for request in requests],
            "purpose": [request.purpose for request in requests],
            "prompt": [request.prompt for request in requests],
            "pixel_hash": [pixel_hash(image) for image in images],
        }
        columns |= {label.name: [each.labels[label.name] for each in requests] for label in self.info.labels}
        columns |= {name: [each.attributes[name] for each in requests] for name in self.info.attributes}
        features = datasets.Features(
            {"image": datasets.Image()}
            | {name: datasets.Value("string") for name in columns if name != "image"}
            | {label.name: datasets.Value("int64") for label in self.info.labels}
        )
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)

    def _open(self, names: Sequence[str]) -> ImageSet:
        import datasets

        paths = [str(self.folder / "images" / name) for name in names]
        rows = datasets.Dataset.from_parquet(paths, cache_dir=str(self.folder / ".arrow"))
        return ImageSet(rows, self.info)


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


def _account(part: Path) -> Path:
    """Where it says what a part cost; hidden, so that whoever loads the folder's images does not meet it."""
    return part.with_name(f".{part.stem}.json")


def _added(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    """What was added to the whole numbers among a generator's facts."""
    numbers = {key: value for key, value in after.items() if type(value) is int}
    return {key: value - before.get(key, 0) for key, value in numbers.items() if value != before.get(key, 0)}


def _blank(images: Images) -> list[int]:
    flat = images.reshape(len(images), -1)
    return [int(i) for i in np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))]


def _spans(count: int, block: int) -> list[tuple[int, int]]:
    step = max(1, PART // block) * block
    return [(start, min(start + step, count)) for start in range(0, count, step)]


def _differences(old: Any, new: Any, path: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        lines = [
            _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        return "\n".join(lines)
    return f"  {path}: {old!r} there, {new!r} now"
