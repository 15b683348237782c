"""What unseen real images score, to stand beside what a run scores: from its records, or from a ceiling control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from bench.api import BenchError
from bench.storage.agreement import conform, shared
from bench.storage.files import altered, read_json
from bench.storage.record import Record, RunRecord

Place = tuple[str, str, str | None]  # evaluator, metric, encoder


@dataclass(frozen=True)
class Ceilings:
    """Scores of unseen real images over all images, by evaluator, metric and encoder.

    Attributes:
        own: those that a run measures itself (``MetricRow.ceiling_of``).
        beside: those of a ceiling control.
        run: the control's run, as ``holdout/seed=0``.
    """

    own: Mapping[Place, float] = field(default_factory=dict)
    beside: Mapping[Place, float] = field(default_factory=dict)
    run: str = ""


def ceilings(folder: Path, records: Mapping[str, Record]) -> Ceilings:
    """The ceilings of the scores in ``records``, which a run left in ``folder``.

    Those beside it come from the first finished run of a ceiling control on the same data set whose protocol and
    conformance are equal for one evaluator or more, that of the same seed before others. They are of fidelity and
    utility alone: what is said of a control's privacy and papers is no ceiling of anybody's.
    """
    own = {place: value for name, record in records.items() for place, value in _measured(name, record)}
    for run in _controls(folder):
        beside = {place: value for name, record in records.items() for place, value in _comparable(name, record, run)}
        if beside:
            return Ceilings(own, beside, f"{run.parent.name}/{run.name}")
    return Ceilings(own)


def _measured(name: str, record: Record) -> Iterator[tuple[Place, float]]:
    of = {metric.key: metric.ceiling_of for metric in record.metrics}
    for score in record.scores:
        key = of[score.metric]
        if key is not None and score.value is not None and score.group == "all":
            yield (name, key, score.encoder), score.value


def _controls(folder: Path) -> Iterator[Path]:
    """The finished runs of ceiling controls on the same data set, that of the same seed first."""
    runs = folder.parent.parent.glob("*/seed=*/run.json")
    for path in sorted(runs, key=lambda path: (path.parent.name != folder.name, path)):
        found = _json(path)
        if found.get("control") == "ceiling" and path.parent != folder:
            yield path.parent


def _comparable(name: str, record: Record, run: Path) -> Iterator[tuple[Place, float]]:
    try:
        entry = RunRecord.model_validate(_json(run / "run.json")).evaluators.get(name)
        if entry is None or altered(run, {entry.file: entry.sha256}):
            return
        other = Record.model_validate(_json(run / entry.file))
    except ValidationError:  # damaged, or another version's: whoever runs it again is told
        return
    if shared(other.protocol) != shared(record.protocol) or not conform(other.conformance, record.conformance):
        return
    here, there = record.protocol.get("encoders", {}), other.protocol.get("encoders", {})
    areas = {metric.key: metric.area for metric in record.metrics}
    for score in other.scores:
        same = score.encoder is None or here.get(score.encoder) == there.get(score.encoder)
        same = same and areas.get(score.metric) in ("fidelity", "utility")
        if score.group == "all" and score.value is not None and same:
            yield (name, score.metric, score.encoder), score.value


def _json(path: Path) -> Mapping[str, object]:
    try:
        found = read_json(path)
    except (BenchError, OSError):
        return {}
    return found if isinstance(found, dict) else {}
