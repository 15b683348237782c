"""What a metric does as damage grows, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bench.api import Metric
from bench.statistics.arrays import Floats

Verdict = Literal["sees", "blind", "fooled", "refused"]
Over = Literal["all", "groups"]  # all images together, or the mean over groups of what was asked for
LIMIT = 4.0  # a change counts from this many standard deviations between sets of unseen real images


@dataclass(frozen=True, slots=True)
class Response:
    """One metric, in the features of one encoder, under one kind of damage.

    Attributes:
        over: whether all images together were measured, or each group, whose mean counts.
        values: of the undamaged set, then of each grade; ``None`` where the metric was refused.
        losses: the same as badness: larger is worse.
        spread: standard deviation of the loss between undamaged sets; ``None`` where the verdict is ``refused``.
        spearman: rank correlation of grade and loss, 1 where every grade is worse than the one before; ``None``
            where the verdict is ``refused``.
        verdict: ``sees``, ``fooled``, ``blind``, or ``refused``; see ``judge``.
        first: the grade, from 1, from which on the damage is seen; ``None`` unless it is.
    """

    metric: str
    encoder: str | None
    over: Over
    damage: str
    values: tuple[float | None, ...]
    losses: tuple[float | None, ...]
    spread: float | None
    spearman: float | None
    verdict: Verdict
    first: int | None


def loss(metric: Metric, value: float | None) -> float | None:
    """How bad a value is: larger is worse.

    Raises:
        ValueError: the metric only describes, so none of its values is worse than another.
    """
    if metric.better == "neither":
        raise ValueError(f"{metric.key} only describes: none of its values is worse than another")
    if value is None:
        return None
    if metric.better == "target":
        assert metric.target is not None
        return abs(value - metric.target)
    return value if metric.better == "lower" else -value


class Place(NamedTuple):
    """The encoder, over what, the damage, and how much more chance there is at each grade than without damage."""

    encoder: str | None
    over: Over
    damage: str
    chance: tuple[float, ...]


def respond(
    metric: Metric, place: Place, values: Sequence[float | None], undamaged: Sequence[float | None]
) -> Response:
    """Judge the ``values`` of grades 0, 1, ... by the values of two or more undamaged sets.

    ``refused`` where any of either is: the undamaged sets that are large enough do not vary as all of them do.
    """
    encoder, over, damage, chance = place
    losses = tuple(loss(metric, value) for value in values)
    known = [each for each in losses if each is not None]
    idle = [each for each in (loss(metric, value) for value in undamaged) if each is not None]
    if len(known) < len(losses) or len(idle) < len(undamaged):
        return Response(metric.key, encoder, over, damage, tuple(values), losses, None, None, "refused", None)
    spread = float(np.std(idle, ddof=1))
    verdict, first = judge(known, spread * np.asarray(chance))
    correlation = spearman(known)
    return Response(metric.key, encoder, over, damage, tuple(values), losses, spread, correlation, verdict, first)


def spearman(losses: Sequence[float]) -> float:
    """Rank correlation of the losses with their order, ties shared; 0 where all are equal."""
    from scipy.stats import spearmanr

    return float(spearmanr(losses, range(len(losses))).statistic) if np.ptp(losses) else 0.0


def judge(losses: Sequence[float], spreads: Floats) -> tuple[Verdict, int | None]:
    """The verdict on the losses of grades 0, 1, ..., and the grade from which on the damage is seen.

    A change counts when it is over ``LIMIT`` of the grade's ``spreads``, and over rounding. ``fooled``: some grade of
    damage counts as better than none. ``sees``: the strongest grade counts as worse, and all grades from ``first``
    on. ``blind``: neither.
    """
    change = np.asarray(losses[1:]) - losses[0]
    limit = np.maximum(LIMIT * spreads, 1e-9 * np.abs(losses).max())
    if (change < -limit).any():
        return "fooled", None
    if not change[-1] > limit[-1]:
        return "blind", None
    missed = np.flatnonzero(change <= limit)
    return "sees", int(missed[-1]) + 2 if len(missed) else 1
