"""What stands beside what: sections, tables, columns, cells and their order. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from bench.storage.agreement import NumberDeviation, short_digest
from bench.storage.differences import Difference, differences
from bench.storage.files import canonical
from bench.storage.record import MetricRow, Record
from leaderboard.cells import Cell, Place, Records, cell_of, definition, features_of
from leaderboard.compare import Mark, behind_best, fooled_by
from leaderboard.null import against_null, null_of
from leaderboard.read import Run
from leaderboard.tables import ComparableRuns, departures, tables

ORDER = {"ceiling": 0, "null": 1, None: 2, "baseline": 3, "leaky": 4, "memoriser": 5, "floor": 6}
VERDICT = "leak_found"  # the metric of privacy that is 1 where a leak was found


@dataclass(frozen=True, slots=True)
class Column:
    """One metric in one encoder's features for one group, under one protocol; ``cells`` by generator.

    ``features`` is the encoder's full identity, which its name alone does not tell; ``leader`` is the contender with
    the best value, where there is a contest; ``null`` is the row that the numbers of privacy are seen against.
    """

    encoder: str | None
    features: str | None
    metric: MetricRow
    cells: Mapping[str, Cell]
    marks: tuple[Mark, ...] = ()
    leader: str | None = None
    null: str | None = None

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
    def foremost(self) -> list[Column]:
        """The columns that judge by headline metrics, or by any where none of them is one."""
        judging = [column for column in self.columns if column.metric.better != "neither"]
        return [column for column in judging if column.metric.role == "headline"] or judging

    @property
    def clashes(self) -> list[str]:
        """Keys of the metrics whose columns differ in definition or in what an encoder of the same name is."""
        seen: dict[tuple[str, str | None], int] = {}
        for column in self.columns:
            name = (column.metric.key, column.encoder)
            seen[name] = seen.get(name, 0) + 1
        return sorted({key for (key, _), count in seen.items() if count > 1})


@dataclass(frozen=True)
class Row:
    """A generator and its runs, one for each seed."""

    name: str
    control: str | None
    runs: tuple[Run, ...]

    @cached_property
    def leaks(self) -> bool:
        """Whether it is a contender in whose images a leak was found, be it in one run: it is never best, in no
        column, for a copy of a training image is as good as that image."""
        return self.control is None and any(
            score.metric == VERDICT and score.value == 1
            for run in self.runs
            for record in run.scores.values()
            for score in record.scores
        )

    @property
    def made(self) -> list[int]:
        """The different numbers of images that its runs made."""
        found = (run.record.images.get("made") for run in self.runs)
        return sorted({count for count in found if count is not None})

    @property
    def changed(self) -> list[Difference]:
        """Settings of the generator, other than seeds, that its runs do not share with the first."""
        first, *others = [run.record.config.get("generator") for run in self.runs]
        found = {each.path: each for other in others for each in differences(other, first)}
        return [each for path, each in sorted(found.items()) if path.split(".")[-1] != "seed"]


@dataclass(frozen=True)
class Arm:
    """One evaluator under one protocol, measured by one code: a table of the board.

    Attributes:
        number, of: which of the evaluator's protocols it is, from 1, and how many there are.
        protocol: 8 hex digits of it.
        differences: of its protocol to protocol 1.
        code: 8 hex digits of what its code gives for the fixed material; ``None`` where unknown.
        code_number, codes: which of the protocol's codes it is, from 1, and how many there are.
        deviations: of its code to code 1 of this protocol.
    """

    evaluator: str
    number: int
    of: int
    protocol: str
    differences: tuple[Difference, ...]
    code: str | None
    code_number: int
    codes: int
    deviations: tuple[NumberDeviation, ...]
    rows: tuple[Row, ...]
    grids: tuple[Grid, ...]


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
    found = tables(evaluator, [run for row in rows for run in row.runs])
    measured = {row.name for row in rows if any(evaluator in run.scores for run in row.runs)}
    arms = []
    for number, own in enumerate(found, 1):
        unlike = tuple(differences(own[0].protocol, found[0][0].protocol))
        for code, table in enumerate(own, 1):
            users = {run.record.generator for run in table.runs}
            first = (number, code) == (1, 1)
            shown = tuple(row for row in rows if row.name in users or (first and row.name not in measured))
            deviating = departures(table.conformance, own[0].conformance)
            kind = (short_digest(table.protocol), unlike, table.code, code, len(own), deviating)
            arms.append(Arm(evaluator, number, len(found), *kind, shown, _grids(evaluator, table, shown)))
    return arms


def _grids(evaluator: str, table: ComparableRuns, rows: Sequence[Row]) -> tuple[Grid, ...]:
    kept = {run.place for run in table.runs}
    records: dict[str, Records] = {
        row.name: [(run.record.seed, run.scores[evaluator]) for run in row.runs if run.place in kept] for row in rows
    }
    places = _places([record for own in records.values() for _, record in own])
    groups = sorted({place.group for place in places}, key=lambda group: (group != "all", group))
    columns = {place: _column(place, rows, records) for place in places}
    return tuple(Grid(group, tuple(_in_order(columns, group))) for group in groups)


def _in_order(columns: Mapping[Place, Column], group: str) -> list[Column]:
    """The columns of a group by encoder, headline metrics first and those in which nobody has a value last."""
    own = [column for place, column in columns.items() if place.group == group]
    encoders = list(dict.fromkeys((column.encoder, column.features) for column in own))
    empty = {id(each): all(cell.state != "value" for cell in each.cells.values()) for each in own}

    def rank(column: Column) -> tuple[int, bool, bool]:
        place = encoders.index((column.encoder, column.features))
        return place, empty[id(column)], column.metric.role != "headline"

    return sorted(own, key=rank)


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
            features = features_of(record, score.encoder)
            place = Place(score.group, score.encoder, features, metrics[score.metric])
            found.setdefault(canonical([*place[:3], definition(place.metric)]), place)
    if not found:
        bare = [Place("all", None, None, each) for record in records for each in record.metrics]
        found = {definition(place.metric): place for place in bare}
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
            definition(each.metric),
        ),
    )


def _column(place: Place, rows: Sequence[Row], records: Mapping[str, Records]) -> Column:
    metric = place.metric
    cells = {row.name: cell_of(place, records[row.name], len(row.runs)) for row in rows}
    if metric.better != "neither":
        cells |= {row.name: replace(cells[row.name], ranked=False) for row in rows if row.leaks}
    judged = [(row, cells[row.name].estimate) for row in rows if cells[row.name].ranked]
    pairs = [(row.control, estimate) for row, estimate in judged if estimate]
    contenders = {row.name: estimate for row, estimate in judged if estimate and row.control is None}
    behind = behind_best(metric, contenders)
    for name, each in behind.items():
        cells[name] = replace(cells[name], behind=each)
    null = null_of(metric, {row.name: row.control for row in rows}, cells)
    cells, leader = against_null(cells, null), next(iter(behind), None)
    return Column(place.encoder, place.features, metric, cells, fooled_by(metric, pairs), leader, null)
