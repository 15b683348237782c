"""Leaving out generated images before anything is measured, image by image and on the record."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.api import BenchError, Encoder, FeatureReader, Filter, ImageSet, Purpose, Split, Verdict
from bench.pipeline.requests import images_by_purpose
from bench.pipeline.stage import MARKS, Made, Mark, Stage
from bench.runtime.processes import Team
from bench.runtime.progress import meter
from bench.runtime.publication import Publication
from bench.storage.disk_errors import named
from bench.storage.files import content_key, discard, file_digest, read_json, write_atomic, write_json

log = logging.getLogger(__name__)
REPORT, TABLE = "filter.json", "filter.csv"
COLUMNS = ("request_id", "purpose", "keep", "grade", "value", "reason")


def described(judge: Filter | None, encoders: Mapping[str, Encoder]) -> dict[str, Any]:
    """Show the filter the encoders, and say what a protocol says of it; nothing if there is none."""
    if judge is None:
        return {}
    judge.prepare(encoders)
    return {"filter": {"id": judge.id, "encoders": {name: encoders[name].id for name in judge.encoders}}}


@dataclass(frozen=True)
class Filtered:
    """The images that evaluators are given, and what the record says of the others; nothing if there is no filter.

    Attributes:
        report: SHA-256 of the filter's report, which holds that of its table.
    """

    images: ImageSet
    counts: Mapping[str, int] = field(default_factory=dict)
    report: str = ""

    @cached_property
    def by_purpose(self) -> dict[Purpose, ImageSet]:
        """The images of each purpose."""
        return images_by_purpose(self.images)


@dataclass(frozen=True)
class Filtering(Stage[Filtered]):
    """Judges the generated images; leaves ``filter.json`` and ``filter.csv``.

    Attributes:
        key: ``described``, and digests of the images, the split and the code that decides verdicts.
    """

    folder: Path
    key: Mapping[str, Any]
    judge: Filter
    split: Split
    features: FeatureReader
    images: ImageSet
    name: str = "filtering"
    publication: Publication = field(default_factory=Publication)

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.images)

    @property
    def kind(self) -> str:
        return kind_of(self.judge)

    def make(self, team: Team) -> Made:
        """Judge the images that have no verdict yet. Each purpose has a journal, so that one that is added later has
        nothing judged again.

        Raises:
            BenchError: no image of some purpose is left, or the filter gave too few or too many verdicts.
        """
        images = self.images
        # of what decides verdicts, the images are another for each journal
        settings = {name: each for name, each in self.key.items() if name != "images"}
        journals, verdicts = list[str](), list[Verdict]()
        with meter("filtering", total=len(images), unit="image") as bar:
            for each in filter(len, images_by_purpose(images).values()):
                journals.append(f".filter/{content_key([settings, each.digest])}.jsonl")
                verdicts += self._judged(each, self.folder / journals[-1], bar)
        purposes = images.column("purpose")
        kept = [i for i, verdict in enumerate(verdicts) if verdict.keep]
        counts = {"kept": len(kept), "dropped": len(images) - len(kept)}
        self._write(counts, verdicts)
        if empty := sorted(set(purposes) - {purposes[i] for i in kept}):
            grades = ", ".join(f"{grade} {count}" for grade, count in Counter(each.grade for each in verdicts).items())
            raise BenchError(
                f"the filter {self.judge.id} leaves no image for {', '.join(empty)} (all {len(images)} by grade: "
                f"{grades}; each in {self.folder / TABLE}); choose a more lenient filter, or filter=none"
            )
        return Made([REPORT, TABLE, *journals], {"counts": counts})

    def load(self, mark: Mark) -> Filtered:
        kept = kept_ids(self.folder, mark.files[REPORT])
        rows = [i for i, name in enumerate(self.images.ids) if name in kept]
        return Filtered(self.images.select(rows), mark.note["counts"], mark.files[REPORT])

    def _judged(self, images: ImageSet, path: Path, bar: Any) -> list[Verdict]:
        """Verdicts from the journal, then new ones, each block on disk before the next is begun."""
        spans = [
            (start, min(start + self.judge.block, len(images))) for start in range(0, len(images), self.judge.block)
        ]
        with named("writing", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            blocks, whole = _journal(path, [stop - start for start, stop in spans])
        with named("writing", path), path.open("ab") as file:
            file.truncate(whole)
            bar.update(sum(map(len, blocks)))
            for start, stop in spans[len(blocks) :]:
                block = list(self.judge(images.select(range(start, stop)), self.split, self.features))
                if len(block) != stop - start:
                    raise BenchError(f"{self.judge.id} gave {len(block)} verdicts for {stop - start} images")
                file.write(_line([asdict(verdict) for verdict in block]))
                file.flush()
                os.fsync(file.fileno())
                blocks.append(block)
                bar.update(len(block))
        return [verdict for block in blocks for verdict in block]

    def _write(self, counts: Mapping[str, int], verdicts: Sequence[Verdict]) -> None:
        purposes = self.images.column("purpose")
        write_atomic(self.folder / TABLE, _table(self.images.ids, purposes, verdicts))
        report = {
            "schema": 1,
            "key": dict(self.key),
            "facts": self.publication.value(self.judge.facts),
            "counts": {"judged": len(self.images), **counts},
            "by_grade": _tally([verdict.grade for verdict in verdicts], verdicts),
            "by_purpose": _tally(purposes, verdicts),
            "table_sha256": file_digest(self.folder / TABLE),
        }
        write_json(self.folder / REPORT, report)


def kind_of(judge: Filter) -> str:
    """By what the costs of filtering are compared."""
    return f"filtering {type(judge).__name__}"


def remove_reports(folder: Path) -> None:
    """Remove the report of a filter that a run no longer has."""
    discard(folder / REPORT, folder / TABLE, folder / MARKS / "filtering.json")


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
            written = json.loads(line)
            if written["check"] != content_key(written["verdicts"]):
                raise ValueError(f"block {len(blocks)} is not what was written")
            block = [Verdict(**each) for each in written["verdicts"]]
        except (ValueError, TypeError, KeyError) as error:
            log.warning("filtering: %s ends with a torn or changed line (%s); judging on from there", path, error)
            break
        if len(block) != size or not line.endswith(b"\n"):
            break
        blocks.append(block)
        whole += len(line)
    return blocks, whole


def _line(verdicts: list[dict[str, Any]]) -> bytes:
    return json.dumps({"verdicts": verdicts, "check": content_key(verdicts)}).encode() + b"\n"


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
