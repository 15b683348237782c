"""Is a record what it says? Strict JSON, the schema, and what the schema cannot say; faults by JSON pointer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from bench.storage.names import LONGEST_NAME, name_faults, path_name_faults, visible
from bench.storage.private_text import forms_found
from bench.storage.record import MetricRow, Record, RunRecord, ScoreRow

LARGEST = 32 * 2**20  # bytes of a record file
LONGEST_WORDS = 300  # characters of a verdict
TOLERANCE = 1.05  # times its longer arm that an interval's standard error may be
CONFORMING = re.compile(r"([^\[\]|]+)\[[^|]+\|[^|]+\](?:\.low|\.high)?")  # metric[group|encoder], or an end


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong in a file; ``pointer`` is the place as JSON pointer, empty for the whole file."""

    file: str
    pointer: str
    message: str

    def __str__(self) -> str:
        place = f"{self.pointer}: " if self.pointer else ""
        return visible(f"{self.file}: {place}{self.message}")


class Broken(Exception):
    """A record that cannot be used, with every fault found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def read_record(path: Path, name: str | None = None) -> tuple[Record | RunRecord, bytes]:
    """The record in a file and the bytes it was read from.

    Args:
        path: a ``run.json`` or a ``scores/<evaluator>.json``.
        name: what to call the file in messages, its path by default.

    Raises:
        Broken: the file is not a record.
    """
    name = str(path) if name is None else name
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise Broken([Problem(name, "", f"cannot be read ({error.strerror})")]) from error
    return parse_record(content, name), content


def parse_record(content: bytes, name: str) -> Record | RunRecord:
    """The record in ``content``.

    Raises:
        Broken: not strict JSON, not the schema, or against one of the rules beyond it; lists every fault.
    """
    try:
        data = parse_json(content)
    except ValueError as error:
        raise Broken([Problem(name, "", f"not strict JSON: {error}")]) from error
    if not isinstance(data, dict):
        raise Broken([Problem(name, "", f"is a JSON {type(data).__name__}, not an object")])
    model: type[Record] | type[RunRecord] = RunRecord if {"generator", "evaluators"} & data.keys() else Record
    try:
        record = model.model_validate(data, strict=True)
    except ValidationError as error:
        raise Broken([Problem(name, *fault) for fault in _schema_faults(error)]) from error
    faults = _run_faults(record) if isinstance(record, RunRecord) else _score_faults(record)
    problems = [Problem(name, *fault) for fault in (*faults, *_secrets(data))]
    if problems:
        raise Broken(problems)
    return record


def _secrets(value: Any, place: str = "") -> Iterator[Fault]:
    """Where a token, a key or a password is, by its form; it is not repeated."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _secrets(each, place + pointer(name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _secrets(each, f"{place}/{number}")
    elif isinstance(value, str) and (kinds := forms_found(value)):
        yield place, f"holds {', '.join(kinds)}; withdraw it where it was issued, and measure again without it"


def parse_json(content: bytes) -> Any:
    """JSON without the leniences of Python's parser: no NaN, no number beyond a float, no key twice, UTF-8 only.

    Raises:
        ValueError: says what and, for bad syntax, where.
    """
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST // 2**20} MiB")
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_no_key_twice,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:20]}… is too large for an integer")
    return int(text)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in one object")
    return found


Fault = tuple[str, str]  # pointer, message


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _schema_faults(error: ValidationError) -> Iterator[Fault]:
    for each in error.errors(include_url=False, include_context=False):
        got = each["input"]
        shown = f" (got {str(got)[:60]!r})" if isinstance(got, str | int | float | None) else ""
        yield pointer(*each["loc"]), each["msg"].removeprefix("Value error, ") + shown


def _run_faults(run: RunRecord) -> Iterator[Fault]:
    # a run makes folders and files of these
    names = {"/dataset": run.dataset, "/generator": run.generator}
    for place, name in (names | {pointer("evaluators", name): name for name in run.evaluators}).items():
        yield from ((place, fault) for fault in path_name_faults(name))
    for name, entry in run.evaluators.items():
        if not (is_inner(entry.file) and entry.file.startswith("scores/") and entry.file.endswith(".json")):
            yield pointer("evaluators", name, "file"), f"{entry.file[:200]!r} is not a path like scores/{name}.json"


def _score_faults(record: Record) -> Iterator[Fault]:
    yield from _name_faults("/evaluator", record.evaluator)
    for path in record.artifacts:
        if not is_inner(path):
            message = f"{path[:200]!r} is not a relative path within the run's folder"
            yield pointer("artifacts", path), message
    metrics: dict[str, MetricRow] = {}
    for place, metric in enumerate(record.metrics):
        yield from _name_faults(pointer("metrics", place, "key"), metric.key)
        if metric.key in metrics:
            yield pointer("metrics", place, "key"), f"the metric {metric.key!r} is declared twice"
        if metric.better == "target" and metric.target is None:
            yield pointer("metrics", place, "target"), "a metric better near a target needs the target"
        metrics[metric.key] = metric
    yield from _conformance_faults(record.conformance, metrics)
    for place, score in enumerate(record.scores):
        yield from _name_faults(pointer("scores", place, "group"), score.group)
        if score.encoder is not None:
            yield from _name_faults(pointer("scores", place, "encoder"), score.encoder)
        metric = metrics[score.metric]
        if score.words is not None:
            yield from _name_faults(pointer("scores", place, "words"), score.words, LONGEST_WORDS)
            if metric.better != "neither":
                message = f"words stand in the place of a number, but {metric.better} is better in {metric.key!r}"
                yield pointer("scores", place, "words"), message
        low = -math.inf if metric.low is None else metric.low
        high = math.inf if metric.high is None else metric.high
        for field in ("value", "low", "high"):
            number = getattr(score, field)
            if number is not None and not low <= number <= high:
                yield pointer("scores", place, field), f"{number} is outside the metric's bounds [{low}, {high}]"
        if score.value is not None and score.n < metric.minimum:
            yield pointer("scores", place, "n"), f"{score.n} is under the metric's minimum {metric.minimum}"
        yield from _spread_faults(pointer("scores", place, "spread", "deviations"), score)


def _spread_faults(place: str, score: ScoreRow) -> Iterator[Fault]:
    """A 95% interval is wider than one standard error to its longer side, whatever its form and its bounds.

    That it is much wider is no fault: it may hold more than the deviations, and what it does is never paired.
    """
    if score.spread is None or score.value is None or score.low is None or score.high is None:
        return
    error, longer = math.hypot(*score.spread.deviations), max(score.high - score.value, score.value - score.low)
    if error > TOLERANCE * longer:
        yield (
            place,
            f"the standard error {error:.4g} by these is more than the interval allows, which reaches {longer:.4g}",
        )


def _conformance_faults(conformance: Mapping[str, float] | None, metrics: Mapping[str, MetricRow]) -> Iterator[Fault]:
    if conformance is not None and not conformance:
        yield "/conformance", "is empty: where it is unknown it is null"
    for name in conformance or {}:
        place = pointer("conformance", name)
        yield from _name_faults(place, name)
        found = CONFORMING.fullmatch(name)
        if found is None:
            yield place, f"{name[:200]!r} is not like fd[all|radiomics], fd[all|radiomics].low or kid[view=CC|-]"
        elif found[1] not in metrics:
            yield place, f"a number of the undeclared metric {found[1][:200]!r}"


def _name_faults(place: str, name: str, longest: int = LONGEST_NAME) -> Iterator[Fault]:
    yield from ((place, fault) for fault in name_faults(name, longest))


def is_inner(path: str) -> bool:
    """Whether ``path`` is plainly relative and never climbs: ``scores/fidelity.json``."""
    parts = path.split("/")
    plain = not set(path) & {"\\", ":", "\0"} and visible(path) == path
    return plain and ".." not in parts and "" not in parts and not PurePosixPath(path).is_absolute()


def json_schema() -> Mapping[str, Any]:
    """JSON Schema (2020-12) of ``run.json`` and of the score records."""
    models: list[tuple[type[BaseModel], Any]] = [(RunRecord, "validation"), (Record, "validation")]
    _, schema = models_json_schema(models, title="Records of the benchmark")
    either = [{"$ref": "#/$defs/RunRecord"}, {"$ref": "#/$defs/Record"}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "oneOf": either}
