"""The table a sweep ends with: what was swept, what came of each job, and the headline scores of its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from bench.api import BenchError
from bench.storage.files import read_json
from bench.storage.record import MetricRow, Record, RunRecord, ScoreRow
from bench.storage.text_table import ARROWS, text_table

Place = tuple[str, str, str | None]  # evaluator, metric, encoder


@dataclass(frozen=True)
class Row:
    """One job of a sweep.

    Attributes:
        settings: its overrides by key.
        status: ``ok``, ``failed``, ``refused`` where there is no value of the objective, ``lost`` where nobody knows
            what became of it, ``no record`` where it ended well and its folder does not tell its scores, or ``not run``
            in a dry run.
        reason: why it failed, or why there is no value of the objective.
        value: of the objective.
        records: the scores it left, by evaluator.
    """

    settings: Mapping[str, str]
    status: str
    reason: str = ""
    value: float | None = None
    records: Mapping[str, Record] = field(default_factory=dict)


def read_records(folder: Path) -> dict[str, Record]:
    """The score records of a finished run by evaluator, in the order in which they were measured.

    Raises:
        BenchError: there is no record, or one is damaged.
    """
    try:
        found = read_json(folder / "run.json")
        if found is None:
            raise BenchError(f"{folder} holds no run.json: the run has not finished there")
        entries = RunRecord.model_validate(found).evaluators
        return {name: Record.model_validate(read_json(folder / each.file)) for name, each in entries.items()}
    except ValidationError as error:
        raise BenchError(f"{folder}: its records are damaged ({error}); run the same configuration again") from error


def sweep_table(rows: Sequence[Row], objective: str | None = None) -> str:
    """One line a job; the scores of all images in the first encoder that each headline metric was measured in."""
    swept = _swept(rows)
    places = _headlines(rows)
    aim = [objective] if objective else []
    header = [*swept, "status", *aim, *(_title(metric, place[2]) for place, metric in places.items()), "reason"]
    lines = [
        [
            *(row.settings.get(key, "") for key in swept),
            row.status,
            *(["" if row.value is None else f"{row.value:.6g}"] if aim else []),
            *(_cell(row.records, place) for place in places),
            " ".join(row.reason.split()),
        ]
        for row in rows
    ]
    # a column that nobody has anything in says nothing
    kept = [column for column, name in enumerate(header) if name != "reason" or any(line[column] for line in lines)]
    return "\n".join(text_table([[line[column] for column in kept] for line in [header, *lines]]))


def _swept(rows: Sequence[Row]) -> list[str]:
    """The keys whose values differ between jobs."""
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    return [key for key in keys if len({row.settings.get(key) for row in rows}) > 1]


def _headlines(rows: Sequence[Row]) -> dict[Place, MetricRow]:
    found: dict[tuple[str, str], tuple[Place, MetricRow]] = {}
    for name, record in ((name, record) for row in rows for name, record in row.records.items()):
        for metric in (each for each in record.metrics if each.role == "headline"):
            own = [score for score in record.scores if score.metric == metric.key and score.group == "all"]
            if own:
                found.setdefault((name, metric.key), ((name, metric.key, own[0].encoder), metric))
    return dict(found.values())


def _title(metric: MetricRow, encoder: str | None) -> str:
    return " ".join(part for part in (metric.key, ARROWS[metric.better], encoder) if part)


def _cell(records: Mapping[str, Record], place: Place) -> str:
    evaluator, metric, encoder = place
    record = records.get(evaluator)
    if record is None:
        return ""
    for score in record.scores:
        if (score.metric, score.encoder, score.group) == (metric, encoder, "all"):
            return "refused" if score.value is None else _interval(score)
    return "" if record.status == "ok" else record.status


def _interval(score: ScoreRow) -> str:
    value = f"{score.value:.4g}"
    return value if score.low is None else f"{value} [{score.low:.4g}, {score.high:.4g}]"
