"""What numbers of privacy are seen against: the row of real images that nobody learned from. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.storage.record import MetricRow
from leaderboard.cells import Cell
from leaderboard.compare import departure
from leaderboard.wording import from_null

ATTACK = "mia_auc"  # the metric of privacy that is above the null's where more is known of training patients


def null_of(metric: MetricRow, controls: Mapping[str, str | None], cells: Mapping[str, Cell]) -> str | None:
    """The row that says what a number of privacy is where nothing leaked; ``None`` where there is none or no need.

    Args:
        controls: what each row stands for, in the order of the rows.
    """
    if metric.area != "privacy" or metric.better == "neither":
        return None
    found = [(name, cells[name].estimate) for name, control in controls.items() if control == "null"]
    return next((name for name, estimate in found if estimate and estimate.low is not None), None)


def against_null(cells: Mapping[str, Cell], null: str | None) -> dict[str, Cell]:
    """The cells, all but the null's own with how far they lie above it."""
    one = None if null is None else cells[null].estimate
    if one is None:
        return dict(cells)
    return {
        name: replace(each, above_null=departure(one, each.estimate)) if each.estimate and name != null else each
        for name, each in cells.items()
    }


def doubts(metric: MetricRow, encoder: str | None, cells: Mapping[str, Cell]) -> dict[str, str]:
    """In words, by row: its membership score is above the null's, and the interval of the difference says so."""
    if metric.key != ATTACK:
        return {}
    found = {name: cell.above_null for name, cell in cells.items() if cell.above_null and cell.above_null.low > 0}
    where = f" in {encoder}" if encoder else ""
    return {name: f"{metric.title}{where}: {from_null(each)} from the null" for name, each in found.items()}
