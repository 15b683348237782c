"""What a sweep found: one table of the settings in which runs differ against chosen metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from bench.storage.text_table import ARROWS, text_table
from leaderboard.check import visible
from leaderboard.columns import Arm, Column, Row, Section, sections
from leaderboard.estimate import loss
from leaderboard.read import Run
from leaderboard.settings import common, swept_settings
from leaderboard.wording import interval, number, scale


class NoScore(Exception):
    """A metric was asked for that no run has."""


@dataclass(frozen=True)
class Chosen:
    """A column of the table: a metric of one evaluator in one encoder for one group, under one protocol."""

    arm: Arm
    column: Column
    group: str

    @property
    def name(self) -> str:
        """As ``objective=`` and ``--metric`` spell it."""
        parts = [self.arm.evaluator, self.column.metric.key, self.column.encoder or "-", self.group]
        while len(parts) > 2 and parts[-1] == ("all" if len(parts) == 4 else "-"):
            parts.pop()
        return "/".join(parts)

    @property
    def title(self) -> str:
        other = self.arm.number > 1 or self.arm.code_number > 1
        protocol = f"protocol {self.arm.protocol} code {self.arm.code}" if other else ""
        return " ".join(part for part in (self.name, ARROWS[self.column.metric.better], protocol) if part)


def table(runs: Sequence[Run], metrics: Sequence[str] = ()) -> str:
    """One line a generator and variant: its swept settings, its seeds, and ``metrics`` with their 95% intervals.

    The best of the first metric comes first. Without ``metrics``, those that head the board, each in the first encoder
    it was measured in.

    Raises:
        NoScore: no run has one of ``metrics``.
    """
    board = sections(runs)
    settings = swept_settings(runs)
    chosen = [(section, _chosen(section, metrics)) for section in board]
    there = {each.name for section in board for each in _all(section)}
    if missing := [name for name in metrics if name not in there]:
        near = get_close_matches(missing[0], sorted(there), 4, 0.4) or sorted(there)[:4]
        raise NoScore(
            f"no run has a score {missing[0]!r}; there are {', '.join(near) or 'none'}, of {len(there)} in all"
        )
    keys = list(dict.fromkeys(key for section in board for run in _runs(section) for key in settings[run.place]))
    titles = list(dict.fromkeys(each.title for _, own in chosen for each in own))
    lines = [["data set", "generator", *(key.removeprefix("generator.") for key in keys), "seeds", *titles]]
    for section, own in chosen:
        for row in _best_first(section, own):
            values = common(settings[run.place] for run in row.runs)
            cells = {each.title: _cell(each.column, row) for each in own}
            who = [section.dataset if section.of == 1 else f"{section.dataset} {section.split}", row.name]
            swept = [values.get(key, "") for key in keys]
            lines.append([*who, *swept, str(len(row.runs)), *(cells.get(title, "") for title in titles)])
    return "\n".join(text_table([[visible(cell).replace("\n", " ") for cell in line] for line in lines]))


def _runs(section: Section) -> Iterator[Run]:
    for row in section.rows:
        yield from row.runs


def _all(section: Section) -> Iterator[Chosen]:
    for arm in section.arms:
        for grid in arm.grids:
            for column in grid.columns:
                yield Chosen(arm, column, grid.group)


def _chosen(section: Section, metrics: Sequence[str]) -> list[Chosen]:
    if metrics:
        return [each for name in metrics for each in _all(section) if each.name == name]
    found: dict[tuple[str, int, int, str], Chosen] = {}
    for each in _all(section):
        if each.group == "all" and each.column.metric.role == "headline":
            found.setdefault((each.arm.evaluator, each.arm.number, each.arm.code_number, each.column.metric.key), each)
    return list(found.values())


def _best_first(section: Section, chosen: Sequence[Chosen]) -> list[Row]:
    first = chosen[0].column if chosen and chosen[0].column.metric.better != "neither" else None

    def rank(row: Row) -> tuple[bool, float, str]:
        cell = first.cells.get(row.name) if first else None
        if first is None or cell is None or cell.estimate is None or not cell.ranked:
            return True, 0.0, row.name
        return False, loss(first.metric, cell.estimate)[0], row.name

    return sorted(section.rows, key=rank)


def _cell(column: Column, row: Row) -> str:
    cell = column.cells.get(row.name)
    if cell is None or cell.state == "missing":
        return ""
    if cell.estimate is None:
        return cell.state
    aside = "" if cell.ranked else "(not ranked)"
    parts = (number(cell.estimate.value, scale(cell.estimate)), interval(cell.estimate), aside)
    return " ".join(part for part in parts if part)
