"""How the seeds of a generator become one number, what its interval comes from, and how far it is from best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bench.api import Spread
from bench.statistics.resampling import student_interval
from bench.storage.record import MetricRow, ScoreRow, SpreadRow

DOMINATES = 2 / 3  # of the variance: the side that has more is the one worth more images


class Estimate(NamedTuple):
    """A number, its 95% interval, and how it moves with its images; the ends are ``None`` together.

    ``spread`` is ``None`` where unknown, and always without an interval.
    """

    value: float
    low: float | None
    high: float | None
    spread: Spread | None = None


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
    over_seeds = 0.0 if across is None else (across[1] - across[0]) / 2
    arms = [(s.value - s.low, s.high - s.value) for s in scores if None not in (s.value, s.low, s.high)]  # type: ignore[operator]
    if len(arms) < len(scores):
        return Estimate(mean, None, None)
    below, above = np.mean(arms, axis=0)
    low, high = mean - math.hypot(over_seeds, below), mean + math.hypot(over_seeds, above)
    least = -math.inf if metric.low is None else metric.low
    most = math.inf if metric.high is None else metric.high
    return Estimate(mean, max(low, least), min(high, most), mean_spread([score.spread for score in scores]))


def mean_spread(spreads: Sequence[SpreadRow | None]) -> Spread | None:
    """How the mean over ``k`` seeds moves with the images; ``None`` where a seed does not say, or in other folds.

    Deviations are averaged: those by the real images, which the seeds share, stay, and those by the synthetic images of
    one seed lose weight. For the same reason the standard error by the synthetic images is divided by ``sqrt(k)``.
    """
    known = [spread for spread in spreads if spread is not None]
    if len(known) < len(spreads) or len({len(spread.deviations) for spread in known}) != 1:
        return None
    deviations = np.mean([spread.deviations for spread in known], axis=0)
    synthetic = _root_mean_square(spread.synthetic for spread in known)
    return Spread(
        tuple(deviations.tolist()),
        real=_root_mean_square(spread.real for spread in known),
        synthetic=None if synthetic is None else synthetic / math.sqrt(len(known)),
    )


def _root_mean_square(errors: Iterable[float | None]) -> float | None:
    """``None`` where one is unknown; scaled, so that the squares of no float overflow."""
    found = list(errors)
    known = [error for error in found if error is not None]
    return math.hypot(*known) / math.sqrt(len(known)) if len(known) == len(found) else None


def narrowing(estimate: Estimate) -> str:
    """Which images would narrow the interval, by the share of the variance that each side brings; empty if unknown."""
    spread = estimate.spread
    if spread is None or spread.real is None or spread.synthetic is None:
        return ""
    both = math.hypot(spread.real, spread.synthetic)
    if not both:
        return ""
    share = (spread.real / both) ** 2
    if share >= DOMINATES:
        return "more real images would narrow it"
    return "more synthetic images would narrow it" if share <= 1 - DOMINATES else "more of both would narrow it"


def loss(metric: MetricRow, estimate: Estimate) -> tuple[float, float, float]:
    """Value and interval on a scale where less is better: itself, negated, or the distance from the target.

    Without an interval, both ends are the value.

    Raises:
        ValueError: the metric only describes, so no value of it is better than another.
    """
    if metric.better == "neither":
        raise ValueError(f"{metric.key} only describes: none of its values is better than another")
    value, low, high = estimate[:3]
    low, high = (value if low is None else low), (value if high is None else high)
    if metric.better == "lower":
        return value, low, high
    if metric.better == "higher":
        return -value, -high, -low
    target = 0.0 if metric.target is None else metric.target
    ends = abs(low - target), abs(high - target)
    return abs(value - target), 0.0 if low <= target <= high else min(ends), max(ends)
