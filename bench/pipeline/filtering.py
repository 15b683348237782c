"""Leaving out generated images before anything is measured, image by image and on the record."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.api import BenchError, Encoder, FeatureReader, Filter, ImageSet, Split, Verdict
from bench.runtime.code_digest import class_digest
from bench.runtime.progress import meter
from bench.storage.files import content_key, file_digest, read_json, write_atomic, write_json
from bench.storage.record import RunRecord

REPORT, TABLE = "filter.json", "filter.csv"
COLUMNS = ("request_id", "purpose", "keep", "grade", "value", "reason")


@dataclass(frozen=True)
class Filtered:
    """The images that evaluators are given, and what the record says of the others; nothing if there is no filter.

    Attributes:
        report: SHA-256 of the filter's report, which holds that of its table.
    """

    images: ImageSet
    counts: Mapping[str, int] = field(default_factory=dict)
    report: str = ""

    def noted(self, record: RunRecord) -> RunRecord:
        """The record with the numbers of images kept and dropped, the digest of the kept ones and of the report."""
        if not self.counts:
            return record
        digests = record.digests | {"kept": self.images.digest, "filter": self.report}
        return record.model_copy(update={"images": record.images | dict(self.counts), "digests": digests})


def described(judge: Filter | None, encoders: Mapping[str, Encoder]) -> dict[str, Any]:
    """Show the filter the encoders, and say what a protocol says of it; nothing if there is none."""
    if judge is None:
        return {}
    judge.prepare(encoders)
    return {"filter": {"id": judge.id, "encoders": {name: encoders[name].id for name in judge.encoders}}}


def unfiltered(images: ImageSet, folder: Path) -> Filtered:
    """All images, after removing the report of a filter that this run no longer has."""
    for name in (REPORT, TABLE):
        (folder / name).unlink(missing_ok=True)
    return Filtered(images)


@dataclass(frozen=True)
class Filtering:
    """One filter, the split it may look at, and the run folder that keeps its verdicts.

    Attributes:
        protocol: see ``described``.
        code: digests of the code of the filter's encoders, which decide verdicts too.
    """

    judge: Filter
    split: Split
    features: FeatureReader
    protocol: Mapping[str, Any]
    folder: Path
    code: Mapping[str, str] = field(default_factory=dict)

    def apply(self, images: ImageSet) -> Filtered:
        """Judge the images that have no verdict yet; leaves ``filter.json`` and ``filter.csv``.

        Raises:
            BenchError: no image of some purpose is left, or the filter gave too few or too many verdicts.
        """
        key = self._key(images)
        verdicts = self._judged(images, self.folder / ".filter" / f"{content_key(key)}.jsonl")
        purposes = images.column("purpose")
        kept = [i for i, verdict in enumerate(verdicts) if verdict.keep]
        counts = {"kept": len(kept), "dropped": len(images) - len(kept)}
        self._write(key, counts, images, verdicts)
        left = {purposes[i] for i in kept}
        if empty := sorted(set(purposes) - left):
            grades = ", ".join(f"{grade} {count}" for grade, count in Counter(each.grade for each in verdicts).items())
            raise BenchError(
                f"the filter {self.judge.id} leaves no image for {', '.join(empty)} (all {len(images)} by grade: "
                f"{grades}; each in {self.folder / TABLE}); choose a more lenient filter, or filter=none"
            )
        return Filtered(images.select(kept), counts, file_digest(self.folder / REPORT))

    def _key(self, images: ImageSet) -> dict[str, Any]:
        code = {"filter": class_digest(type(self.judge)), **self.code}
        return {**self.protocol, "images": images.digest, "split": self.split.digest, "code": code}

    def _judged(self, images: ImageSet, path: Path) -> list[Verdict]:
        """Verdicts from the journal, then new ones, each block on disk before the next is begun."""
        path.parent.mkdir(parents=True, exist_ok=True)
        spans = [
            (start, min(start + self.judge.block, len(images))) for start in range(0, len(images), self.judge.block)
        ]
        blocks, whole = _journal(path, [stop - start for start, stop in spans])
        with path.open("ab") as file, meter("filtering", total=len(images), unit="image") as bar:
            file.truncate(whole)
            bar.update(sum(map(len, blocks)))
            for start, stop in spans[len(blocks) :]:
                block = list(self.judge(images.select(range(start, stop)), self.split, self.features))
                if len(block) != stop - start:
                    raise BenchError(f"{self.judge.id} gave {len(block)} verdicts for {stop - start} images")
                file.write(json.dumps([asdict(verdict) for verdict in block]).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                blocks.append(block)
                bar.update(len(block))
        return [verdict for block in blocks for verdict in block]

    def _write(
        self, key: Mapping[str, Any], counts: Mapping[str, int], images: ImageSet, verdicts: Sequence[Verdict]
    ) -> None:
        purposes = images.column("purpose")
        _replace(self.folder / TABLE, _table(images.ids, purposes, verdicts))
        report = {
            "schema": 1,
            "key": dict(key),
            "facts": dict(self.judge.facts),
            "counts": {"judged": len(images), **counts},
            "by_grade": _tally([verdict.grade for verdict in verdicts], verdicts),
            "by_purpose": _tally(purposes, verdicts),
            "table_sha256": file_digest(self.folder / TABLE),
        }
        if read_json(self.folder / REPORT) != report:
            write_json(self.folder / REPORT, report)


def kept_ids(folder: Path, report: str | None) -> dict[str, str]:
    """Request id to grade of the images a finished run's filter kept.

    Args:
        report: the SHA-256 of the report that the run's record and scores are of.

    Raises:
        BenchError: ``filter.json`` or ``filter.csv`` is missing, the table is not the one that was written, or both are
            of a later filtering that was not carried to its end.
    """
    found, path = read_json(folder / REPORT), folder / TABLE
    if found is None or not path.exists() or file_digest(path) != found["table_sha256"]:
        raise BenchError(f"{path} is missing or changed since it was written; run the same configuration again")
    if file_digest(folder / REPORT) != report:
        raise BenchError(
            f"{folder}: {REPORT} and {TABLE} are not those of the filtering that run.json and its scores speak of, but "
            f"of {found['key']['filter']['id']}; another run in this folder was stopped on the way. Run either "
            "configuration again to its end"
        )
    with path.open(newline="", encoding="utf-8") as file:
        return {row["request_id"]: row["grade"] for row in csv.DictReader(file) if row["keep"] == "yes"}


def _journal(path: Path, sizes: Sequence[int]) -> tuple[list[list[Verdict]], int]:
    """The whole blocks of a journal, and the bytes they take; a line torn by a kill ends it."""
    blocks: list[list[Verdict]] = []
    whole = 0
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for line, size in zip(lines, sizes, strict=False):
        try:
            block = [Verdict(**each) for each in json.loads(line)]
        except (ValueError, TypeError):
            break
        if len(block) != size or not line.endswith(b"\n"):
            break
        blocks.append(block)
        whole += len(line)
    return blocks, whole


def _table(ids: Sequence[str], purposes: Sequence[str], verdicts: Sequence[Verdict]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, purpose, each in zip(ids, purposes, verdicts, strict=True):
        value = "" if each.value is None else repr(each.value)
        writer.writerow([name, purpose, "yes" if each.keep else "no", each.grade, value, each.reason])
    return buffer.getvalue().encode()


def _tally(names: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    kept = Counter(name for name, verdict in zip(names, verdicts, strict=True) if verdict.keep)
    judged = Counter(names)
    return {name: {"kept": kept[name], "dropped": judged[name] - kept[name]} for name in sorted(judged)}


def _replace(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
