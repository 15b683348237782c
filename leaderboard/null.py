"""What numbers of privacy are seen against: the row of real images that nobody learned from. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.storage.record import MetricRow
from leaderboard.cells import Cell
from leaderboard.compare import departure


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
