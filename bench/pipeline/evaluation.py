"""Measuring: one evaluator, one record; what is on disk and still true is not measured again."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Evaluator, Material, Metric, Refused, Score
from bench.storage.files import content_key, file_digest, read_json, write_json
from bench.storage.record import SCHEMA, Entry, Failure, MetricRow, Record, ScoreRow, finite

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One evaluator to run: its name in the configuration, the object, and what identifies its result."""

    name: str
    evaluator: Evaluator
    protocol: dict[str, Any]
    key: dict[str, Any]


def metric_row(metric: Metric) -> MetricRow:
    """The metric as it stands in a record."""
    low, high = (finite(bound) for bound in metric.bounds)
    fields = asdict(metric)
    del fields["bounds"]
    return MetricRow(low=low, high=high, **fields)


def evaluator_rng(name: str, seed: int) -> np.random.Generator:
    """The evaluator's own randomness: of its name and the evaluation seed, the same for every generator."""
    words = [int(content_key([name, seed])[i : i + 8], 16) for i in (0, 8)]
    return np.random.default_rng(np.random.SeedSequence(words))


def evaluate(task: Task, material: Material, folder: Path) -> tuple[Record, Entry]:
    """Read the record back if it is there and still true, else measure and write it."""
    path = folder / "scores" / f"{task.name}.json"
    found = _found(path, task)
    if found is not None:
        log.info("%s: found", task.name)
        return found
    log.info("%s: measuring", task.name)
    begin = time.perf_counter()
    record = _measure(task, material, folder)
    write_json(path, record.model_dump(by_alias=True))
    entry = _entry(record, path, time.perf_counter() - begin)
    write_json(path.with_name(f".{task.name}.entry.json"), entry.model_dump())
    return record, entry


def _found(path: Path, task: Task) -> tuple[Record, Entry] | None:
    old, entry = read_json(path), read_json(path.with_name(f".{task.name}.entry.json"))
    if old is None or entry is None or old.get("key") != task.key or old.get("protocol") != task.protocol:
        return None
    record = Record.model_validate(old)
    folder = path.parents[1]
    left = record.artifacts.items()
    whole = all((folder / name).is_file() and file_digest(folder / name) == digest for name, digest in left)
    if record.status == "failed" or not whole or entry["sha256"] != file_digest(path):
        return None
    return record, Entry.model_validate(entry)


def _entry(record: Record, path: Path, seconds: float) -> Entry:
    file = f"scores/{path.name}"
    return Entry(status=record.status, file=file, sha256=file_digest(path), seconds=round(seconds, 2))


def _measure(task: Task, material: Material, folder: Path) -> Record:
    fixed: dict[str, Any] = {
        "schema": SCHEMA,
        "evaluator": task.name,
        "protocol": task.protocol,
        "key": task.key,
        "metrics": [metric_row(metric) for metric in task.evaluator.metrics],
    }
    before = _files(folder)
    try:
        for purpose, images in material.images.items():
            if not len(images):
                raise Refused(f"no image was asked for the purpose {purpose}: see requests.{purpose}")
        scores = list(task.evaluator(material))
        left = {name: file_digest(folder / name) for name in _left(before, folder)}
        return Record(**fixed, status="ok", scores=_rows(scores), artifacts=left)
    except Refused as reason:
        log.warning("%s refused: %s", task.name, reason)
        return Record(**fixed, status="refused", scores=[], reason=str(reason))
    except Exception as error:  # one failing evaluator costs only itself
        log.exception("%s failed", task.name)
        failure = Failure(type=type(error).__name__, message=str(error), traceback=traceback.format_exc())
        return Record(**fixed, status="failed", scores=[], error=failure)


def _rows(scores: Sequence[Score]) -> list[ScoreRow]:
    return [ScoreRow(**asdict(score)) for score in scores]


def _files(folder: Path) -> Mapping[str, int]:
    kept = ("images", "scores", ".arrow", ".hydra", "wandb")
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    places = ((path.relative_to(folder), path.stat().st_mtime_ns) for path in files)
    return {str(place): time for place, time in places if place.parts[0] not in kept and place.name[0] != "."}


def _left(before: Mapping[str, int], folder: Path) -> list[str]:
    return sorted(name for name, written in _files(folder).items() if before.get(name) != written)


def as_scores(record: Record) -> list[Score]:
    """The scores of a record as the evaluators' own type."""
    return [Score(**row.model_dump()) for row in record.scores]
