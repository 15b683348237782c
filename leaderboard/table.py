"""What stands beside what, how seeds become one number, and which controls a metric is fooled by. Pure functions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np

from bench.statistics.resampling import student_interval
from bench.storage.record import MetricRow, Record, ScoreRow
from leaderboard.read import Run

Mark = Literal["copying", "noise"]
State = Literal["value", "refused", "failed", "missing"]
ORDER = {"ceiling": 0, None: 1, "baseline": 2, "memoriser": 3, "floor": 4}


class Estimate(NamedTuple):
    """A number and its 95% interval; the ends are ``None`` together."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """What one generator has in one column; ``n`` are the different numbers of images behind it.

    ``words`` stand in the place of the number.
    """

    state: State
    estimate: Estimate | None = None
    n: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    best: bool = False
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One metric in one encoder's features for one group, under one protocol; ``cells`` by generator.

    ``features`` is the encoder's full identity, which its name alone does not tell.
    """

    encoder: str | None
    features: str | None
    metric: MetricRow
    cells: Mapping[str, Cell]
    marks: tuple[Mark, ...] = ()

    @property
    def n(self) -> tuple[int, ...]:
        return tuple(sorted({n for cell in self.cells.values() for n in cell.n}))


@dataclass(frozen=True, slots=True)
class Grid:
    """The columns of one group of images, those of an encoder side by side."""

    group: str
    columns: tuple[Column, ...]

    @property
    def encoders(self) -> list[tuple[str | None, int]]:
        """Each encoder with its number of columns, in column order."""
        return [(name, len(list(columns))) for name, columns in groupby(self.columns, lambda each: each.encoder)]

    @property
    def clashes(self) -> list[str]:
        """Keys of the metrics whose columns differ in definition or in what an encoder of the same name is."""
        seen: dict[tuple[str, str | None], int] = {}
        for column in self.columns:
            name = (column.metric.key, column.encoder)
            seen[name] = seen.get(name, 0) + 1
        return sorted({key for (key, _), count in seen.items() if count > 1})


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two protocols disagree; ``None`` where one has nothing there."""

    path: str
    here: str | None
    there: str | None


@dataclass(frozen=True)
class Row:
    """A generator and its runs, one for each seed."""

    name: str
    control: str | None
    runs: tuple[Run, ...]

    @property
    def changed(self) -> list[Difference]:
        """Settings of the generator, other than seeds, that its runs do not share with the first."""
        first, *others = [run.record.config.get("generator") for run in self.runs]
        found = {each.path: each for other in others for each in differences(other, first)}
        return [each for path, each in sorted(found.items()) if path.split(".")[-1] != "seed"]


@dataclass(frozen=True)
class Arm:
    """One evaluator under one protocol. ``number`` tells the protocols of an evaluator apart, from 1."""

    evaluator: str
    number: int
    of: int
    protocol: str
    differences: tuple[Difference, ...]
    rows: tuple[Row, ...]
    grids: tuple[Grid, ...]

    @property
    def is_privacy(self) -> bool:
        return "privacy" in self.evaluator


@dataclass(frozen=True)
class Section:
    """A split of a data set and everything measured against it.

    ``unlike`` are the data set's settings that differ from those of its first split on the board; ``of`` counts its
    splits.
    """

    dataset: str
    split: str
    rows: tuple[Row, ...]
    arms: tuple[Arm, ...]
    of: int = 1
    unlike: tuple[Difference, ...] = ()

    @property
    def info(self) -> Mapping[str, Any]:
        return self.rows[0].runs[0].record.info

    @property
    def settings(self) -> Any:
        return self.rows[0].runs[0].record.config.get("dataset")


def combine(scores: Sequence[ScoreRow], metric: MetricRow) -> Estimate:
    """The mean over ``k`` seeds and its 95% interval.

    With ``m`` the mean, ``s`` the standard deviation over seeds (``k - 1``), ``t`` the 97.5% point of Student's t
    with ``k - 1`` degrees of freedom, and ``a`` the mean over seeds of the distance from value to lower end:

        low = m - sqrt((t s / sqrt(k))^2 + a^2)

    and likewise above. ``a`` is not divided by ``sqrt(k)`` because every seed is compared with the same real
    images. One seed keeps its own interval. The ends stay within the metric's bounds. There is none where a seed has
    none: the spread over seeds knows nothing of the images they are all compared with.
    """
    values = np.array([score.value for score in scores], dtype=np.float64)
    mean = float(values.mean())
    across = student_interval(values)
    spread = 0.0 if across is None else (across[1] - across[0]) / 2
    arms = [(s.value - s.low, s.high - s.value) for s in scores if None not in (s.value, s.low, s.high)]  # type: ignore[operator]
    if len(arms) < len(scores):
        return Estimate(mean, None, None)
    below, above = np.mean(arms, axis=0)
    low, high = mean - math.hypot(spread, below), mean + math.hypot(spread, above)
    least = -math.inf if metric.low is None else metric.low
    most = math.inf if metric.high is None else metric.high
    return Estimate(mean, max(low, least), min(high, most))


def loss(metric: MetricRow, estimate: Estimate) -> tuple[float, float, float]:
    """Value and interval on a scale where less is better: itself, negated, or the distance from the target.

    Without an interval, both ends are the value.

    Raises:
        ValueError: the metric only describes, so no value of it is better than another.
    """
    if metric.better == "neither":
        raise ValueError(f"{metric.key} only describes: none of its values is better than another")
    value, low, high = estimate
    low, high = (value if low is None else low), (value if high is None else high)
    if metric.better == "lower":
        return value, low, high
    if metric.better == "higher":
        return -value, -high, -low
    target = 0.0 if metric.target is None else metric.target
    ends = abs(low - target), abs(high - target)
    return abs(value - target), 0.0 if low <= target <= high else min(ends), max(ends)


def better(metric: MetricRow, one: Estimate, other: Estimate) -> bool:
    """Whether ``one`` is better beyond doubt: the intervals do not overlap."""
    return loss(metric, one)[2] < loss(metric, other)[1]


def best_of(metric: MetricRow, estimates: Mapping[str, Estimate]) -> set[str]:
    """The name of the best value and of all it is not better than beyond doubt; none if there is no contest.

    There is none either where the metric only describes. A value without an interval takes no part: nothing says how
    much of it is chance.
    """
    known = {name: each for name, each in estimates.items() if each.low is not None}
    if len(known) < 2 or metric.better == "neither":
        return set()
    best = min(sorted(known), key=lambda name: loss(metric, known[name])[0])
    return {name for name, each in known.items() if not better(metric, known[best], each)}


def fooled_by(
    metric: MetricRow, estimates: Iterable[tuple[str | None, Estimate]], *, privacy: bool
) -> tuple[Mark, ...]:
    """What the metric does not notice, judged by the controls among ``(control, estimate)``.

    ``copying``: copies of training images are not worse, beyond doubt, than unseen real images. ``noise``: noise is
    not worse, beyond doubt, than unseen real images, or is better, beyond doubt, than a contender or baseline;
    not asked of privacy metrics, for noise gives no patient away. Of a metric that only describes nothing is asked.
    """
    if metric.better == "neither":
        return ()
    found: dict[str | None, list[Estimate]] = {}
    for control, estimate in estimates:
        found.setdefault(control, []).append(estimate)
    ceilings = found.get("ceiling", [])

    def passes(control: str) -> bool:
        return any(not better(metric, top, each) for each in found.get(control, []) for top in ceilings)

    marks: list[Mark] = ["copying"] if passes("memoriser") else []
    honest = found.get(None, []) + found.get("baseline", [])
    beats = any(better(metric, floor, each) for floor in found.get("floor", []) for each in honest)
    if not privacy and (passes("floor") or beats):
        marks.append("noise")
    return tuple(marks)


def differences(here: Any, there: Any, path: str = "") -> list[Difference]:
    """The places, in order, where two JSON values disagree."""
    if isinstance(here, dict) and isinstance(there, dict):
        inner = [(key, here.get(key, _NOTHING), there.get(key, _NOTHING)) for key in sorted({*here, *there})]
        return [each for key, a, b in inner for each in differences(a, b, f"{path}.{key}" if path else key)]
    if _NOTHING not in (here, there) and canonical(here) == canonical(there):
        return []
    return [Difference(path or "everything", _shown(here), _shown(there))]


_NOTHING = object()


def _shown(value: Any) -> str | None:
    if value is _NOTHING:
        return None
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """8 hex digits by which a reader tells protocols apart."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:8]


def sections(runs: Iterable[Run]) -> list[Section]:
    """The whole board; the order of ``runs`` does not matter."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.record.generator, run.record.seed, run.place)):
        found.setdefault((run.record.dataset, run.record.digests.get("split", "unknown")), []).append(run)
    board = [_section(*key, members) for key, members in sorted(found.items())]
    return [together for _, same in groupby(board, lambda each: each.dataset) for together in _compared(list(same))]


def _compared(same: Sequence[Section]) -> list[Section]:
    first = same[0].settings
    return [replace(each, of=len(same), unlike=tuple(differences(each.settings, first))) for each in same]


def _section(dataset: str, split: str, runs: Sequence[Run]) -> Section:
    members = {name: tuple(own) for name, own in groupby(runs, lambda run: run.record.generator)}
    rows = [Row(name, own[0].record.control, own) for name, own in members.items()]
    rows.sort(key=lambda row: (ORDER[row.control], row.name))
    # in the order in which the runs measured them; what a run only holds beside that comes last
    listed = dict.fromkeys(name for run in runs for name in [*run.record.evaluators, *sorted(run.scores)])
    names = [name for name in listed if any(name in run.scores for run in runs)]
    return Section(dataset, split, tuple(rows), tuple(arm for name in names for arm in _arms(name, rows)))


def _arms(evaluator: str, rows: Sequence[Row]) -> list[Arm]:
    protocols: dict[str, Any] = {}
    users: dict[str, set[str]] = {}
    for row in rows:
        for run in row.runs:
            if evaluator in run.scores:
                protocol = shared(run.scores[evaluator].protocol)
                protocols[canonical(protocol)] = protocol
                users.setdefault(canonical(protocol), set()).add(row.name)
    order = sorted(protocols, key=lambda key: (-len(users[key]), key))
    measured = set().union(*users.values())
    arms = []
    for number, key in enumerate(order, 1):
        shown = [row for row in rows if row.name in users[key] or (number == 1 and row.name not in measured)]
        unlike = differences(protocols[key], protocols[order[0]])
        grids = _grids(evaluator, key, shown)
        arms.append(Arm(evaluator, number, len(order), digest(protocols[key]), tuple(unlike), tuple(shown), grids))
    return arms


def shared(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol less its encoders: one of them more changes no number in the features of another."""
    return {name: value for name, value in protocol.items() if name != "encoders"}


Records = Sequence[tuple[int, Record]]  # (seed, record)


def _grids(evaluator: str, protocol: str, rows: Sequence[Row]) -> tuple[Grid, ...]:
    records: dict[str, Records] = {}
    for row in rows:
        own = [(run.record.seed, run.scores[evaluator]) for run in row.runs if evaluator in run.scores]
        records[row.name] = [each for each in own if canonical(shared(each[1].protocol)) == protocol]
    everything = [record for own in records.values() for _, record in own]
    places = _places(everything)
    groups = sorted({place.group for place in places}, key=lambda group: (group != "all", group))
    private = "privacy" in evaluator
    columns = {place: _column(place, rows, records, private) for place in places}
    return tuple(Grid(group, tuple(_in_order(columns, group))) for group in groups)


def _in_order(columns: Mapping[Place, Column], group: str) -> list[Column]:
    """The columns of a group by encoder, those in which nobody has a value after the others."""
    own = [column for place, column in columns.items() if place.group == group]
    encoders = list(dict.fromkeys((column.encoder, column.features) for column in own))
    empty = {id(each): all(cell.state != "value" for cell in each.cells.values()) for each in own}
    return sorted(own, key=lambda each: (encoders.index((each.encoder, each.features)), empty[id(each)]))


class Place(NamedTuple):
    """A column: the group, the encoder by name and by all that decides its features, and the metric."""

    group: str
    encoder: str | None
    features: str | None
    metric: MetricRow


def _features(record: Record, encoder: str | None) -> str | None:
    return None if encoder is None else str(record.protocol.get("encoders", {}).get(encoder))


def _places(records: Sequence[Record]) -> list[Place]:
    """The columns: by encoder, then in the order in which the evaluator declares its metrics. The encoder with the
    earliest metric comes first.

    A metric defined otherwise (direction, target, bounds, unit) is another column. Where nothing was scored,
    the declared metrics stand for themselves.
    """
    order: dict[str, int] = {}
    found: dict[str, Place] = {}
    for record in records:
        metrics = {metric.key: metric for metric in record.metrics}
        for key in metrics:
            order.setdefault(key, len(order))
        for score in record.scores:
            features = _features(record, score.encoder)
            place = Place(score.group, score.encoder, features, metrics[score.metric])
            found.setdefault(canonical([*place[:3], _definition(place.metric)]), place)
    if not found:
        bare = [Place("all", None, None, each) for record in records for each in record.metrics]
        found = {_definition(place.metric): place for place in bare}
    first: dict[str | None, int] = {}
    for place in found.values():
        rank = order[place.metric.key]
        first[place.encoder] = min(rank, first.get(place.encoder, rank))
    return sorted(
        found.values(),
        key=lambda each: (
            each.group,
            first[each.encoder],
            each.encoder or "",
            each.features or "",
            order[each.metric.key],
            _definition(each.metric),
        ),
    )


def _definition(metric: MetricRow) -> str:
    """Everything about a metric but the words that describe it."""
    return canonical(metric.model_dump(exclude={"title", "summary", "reference", "minimum"}))


def _column(place: Place, rows: Sequence[Row], records: Mapping[str, Records], privacy: bool) -> Column:
    metric = place.metric
    cells = {row.name: _cell(place, records[row.name], len(row.runs)) for row in rows}
    measured = [(row, cells[row.name].estimate) for row in rows]
    pairs = [(row.control, estimate) for row, estimate in measured if estimate]
    contenders = {row.name: estimate for row, estimate in measured if estimate and row.control is None}
    for name in best_of(metric, contenders):
        cells[name] = replace(cells[name], best=True)
    return Column(place.encoder, place.features, metric, cells, fooled_by(metric, pairs, privacy=privacy))


def _cell(place: Place, records: Records, seeds: int) -> Cell:
    scores: list[ScoreRow] = []
    states: set[State] = set()
    said: dict[str, list[int]] = {}
    words: dict[str, list[int]] = {}
    for seed, record in records:
        score, state, why = _outcome(place, record)
        states.add(state)
        if score is not None:
            scores.append(score)
            if score.words:
                words.setdefault(score.words, []).append(seed)
        if why:
            said.setdefault(why, []).append(seed)
    notes = _by_seed(said, seeds)
    if scores:
        if len(records) < seeds:
            notes.append(f"{_seeds([seed for seed, _ in records])} only: the others have no record under this protocol")
        n = tuple(sorted({score.n for score in scores}))
        verdicts = "; ".join(_by_seed(words, seeds)) or None
        return Cell("value", combine(scores, place.metric), n, tuple(notes), words=verdicts)
    for state in ("failed", "refused"):
        if state in states:
            return Cell(state, notes=tuple(notes))
    return Cell("missing")


def _by_seed(said: Mapping[str, Sequence[int]], seeds: int) -> list[str]:
    """Each text, with the seeds it holds for where these are not all."""
    return [f"{text} ({_seeds(own)})" if len(own) < seeds else text for text, own in sorted(said.items())]


def _outcome(place: Place, record: Record) -> tuple[ScoreRow | None, State, str]:
    """The score if there is one, the state of its cell, and the footnote to it."""
    metric = place.metric
    definitions = {each.key: _definition(each) for each in record.metrics}
    for score in record.scores:
        here = (score.group, score.encoder, _features(record, score.encoder), score.metric)
        if here != (*place[:3], metric.key) or definitions[score.metric] != _definition(metric):
            continue
        if score.value is None:
            return None, "refused", f"refused: {score.reason}"
        bare = score.low is None and score.words is None
        return score, "value", f"no interval: {score.reason}" if bare else score.reason or ""
    if record.status == "failed" and record.error is not None:
        return None, "failed", f"failed: {record.error.type}: {record.error.message}"
    if record.status == "refused":
        return None, "refused", f"refused: {record.reason}"
    return None, "missing", "not measured"


def _seeds(seeds: Sequence[int]) -> str:
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))
