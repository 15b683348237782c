"""How seeds become one number, which number is better, and which controls a metric is fooled by. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from bench.statistics.resampling import student_interval
from bench.storage.record import MetricRow, ScoreRow

Mark = Literal["copying", "noise"]


class Estimate(NamedTuple):
    """A number and its 95% interval; the ends are ``None`` together."""

    value: float
    low: float | None
    high: float | None


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


def fooled_by(metric: MetricRow, estimates: Iterable[tuple[str | None, Estimate]]) -> tuple[Mark, ...]:
    """What the metric does not notice, judged by the controls among ``(control, estimate)``.

    ``copying``: copies of training images are not worse, beyond doubt, than unseen real images. ``noise``: noise is
    not worse, beyond doubt, than unseen real images, or is better, beyond doubt, than a contender or baseline;
    not asked of metrics whose area is privacy, for noise gives no patient away. Of a metric that only describes
    nothing is asked.
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
    if metric.area != "privacy" and (passes("floor") or beats):
        marks.append("noise")
    return tuple(marks)
