"""Which number is better beyond doubt, which is best, and which controls a metric is fooled by. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from bench.statistics.arrays import Floats
from bench.statistics.resampling import holm
from bench.storage.record import MetricRow
from leaderboard.estimate import Estimate, loss

Mark = Literal["copying", "noise"]
LEVEL = 0.05
SAME = 1e-6  # of their size: deviations that differ by less are those of one set of images


class ScoreDifference(NamedTuple):
    """How much worse one generator is than another, where more is worse, with its 95% interval.

    Attributes:
        p: of no difference, adjusted for the comparisons made together; ``None`` where unpaired, and then the interval
            is that of two that are better beyond doubt exactly where their own intervals do not overlap.
        resamples: that both share, where paired.
    """

    value: float
    low: float
    high: float
    p: float | None = None
    resamples: int = 0

    @property
    def paired(self) -> bool:
        """Whether what the real images do to both was left out."""
        return self.p is not None

    @property
    def beyond_doubt(self) -> bool:
        """Whether the other is worse, and not by chance."""
        return self.low > 0 if self.p is None else self.value > 0 and self.p <= LEVEL


def difference(metric: MetricRow, one: Estimate, other: Estimate) -> ScoreDifference:
    """How much worse ``other`` is than ``one``, both measured under one protocol on one split.

    Paired where both say how they move with the same ``G`` resamples: with ``d`` the deviations, ``SE`` their root sum
    of squares, ``t`` the 97.5% point of Student's t with ``G - 1`` degrees of freedom, and ``a`` the arm of an interval
    that faces the other,

        half = sqrt(t^2 sum((d2 - d1)^2) + sum over both of max(a^2 - t^2 SE^2, 0))

    What an interval holds beyond its deviations (seeds, bounds of a share) is thus never shared. The first sum is at
    least the square of what the synthetic images of one of them bring alone, for these are not shared either.
    Unpaired where deviations are missing, of another number or those of one set of images, and where an interval holds
    the target: the distance from it is then no linear function.
    """
    own, theirs = loss(metric, one), loss(metric, other)
    first, second = _losses(metric, one), _losses(metric, other)
    value = theirs[0] - own[0]
    apart = ScoreDifference(value, theirs[1] - own[2], theirs[2] - own[1])
    return _paired_if_known((own, theirs), (first, second), (one, other)) or apart


def departure(one: Estimate, other: Estimate) -> ScoreDifference | None:
    """How far ``other`` lies above ``one``, whatever is better, with its 95% interval; ``None`` without intervals.

    Paired as in ``difference``. Otherwise the arms that face each other are joined as those of independent numbers,
    root of the sum of squares: too wide where the real images move both alike.
    """
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return None
    own, theirs = (one.value, one.low, one.high), (other.value, other.low, other.high)
    if found := _paired_if_known((own, theirs), (_deviations(one), _deviations(other)), (one, other)):
        return found
    value = theirs[0] - own[0]
    below, above = (
        math.hypot(own[2] - own[0], theirs[0] - theirs[1]),
        math.hypot(own[0] - own[1], theirs[2] - theirs[0]),
    )
    return ScoreDifference(value, value - below, value + above)


Loss = tuple[float, float, float]


def _paired_if_known(
    ends: tuple[Loss, Loss], deviations: tuple[Floats | None, Floats | None], estimates: tuple[Estimate, Estimate]
) -> ScoreDifference | None:
    """The paired difference of the second from the first; ``None`` where the two are to be taken as unpaired."""
    first, second = deviations
    if first is None or second is None or len(first) != len(second):
        return None
    error, sizes = _norm(second - first), (_norm(first), _norm(second))
    if not error > SAME * max(sizes):
        return None
    floors = [each.spread.synthetic or 0.0 for each in estimates if each.spread]
    found = _paired(*ends, max(error, *floors), sizes, len(first))
    return found if math.isfinite(found.low) and math.isfinite(found.high) else None


def _paired(own: Loss, theirs: Loss, error: float, sizes: tuple[float, float], resamples: int) -> ScoreDifference:
    from scipy import special

    t = float(special.stdtrit(resamples - 1, 1 - LEVEL / 2))

    def half(*arms: float) -> float:
        beyond = (math.sqrt(max(arm - t * size, 0.0) * (arm + t * size)) for arm, size in zip(arms, sizes, strict=True))
        return math.hypot(t * error, *beyond)

    value = theirs[0] - own[0]
    below, above = half(own[2] - own[0], theirs[0] - theirs[1]), half(own[0] - own[1], theirs[2] - theirs[0])
    away = abs(value) * t / (below if value > 0 else above)
    p = 2 * float(special.stdtr(resamples - 1, -away))
    return ScoreDifference(value, value - below, value + above, p, resamples)


def _losses(metric: MetricRow, estimate: Estimate) -> Floats | None:
    """The deviations on the scale of ``loss``; ``None`` where they are unknown, or the loss is no linear function."""
    if estimate.spread is None or estimate.low is None or estimate.high is None:
        return None
    deviations = np.array(estimate.spread.deviations)
    if metric.better == "target":
        target = 0.0 if metric.target is None else metric.target
        if estimate.low <= target <= estimate.high:
            return None
        return deviations if estimate.value > target else -deviations
    return -deviations if metric.better == "higher" else deviations


def _deviations(estimate: Estimate) -> Floats | None:
    return None if estimate.spread is None else np.array(estimate.spread.deviations)


def _norm(deviations: Floats) -> float:
    """The root of the sum of squares, of any float without overflow."""
    return math.hypot(*deviations.tolist())


def against(metric: MetricRow, one: Estimate, others: Mapping[str, Estimate]) -> dict[str, ScoreDifference]:
    """How much worse each of ``others`` is than ``one``; the p-values of those paired are adjusted together (Holm)."""
    found = {name: difference(metric, one, each) for name, each in others.items()}
    paired = {name: each.p for name, each in found.items() if each.p is not None}
    adjusted = dict(zip(paired, holm(list(paired.values())), strict=True))
    return {name: each._replace(p=adjusted.get(name)) for name, each in found.items()}


def better(metric: MetricRow, one: Estimate, other: Estimate) -> bool:
    """Whether ``one`` is better beyond doubt: paired, at the 5% level; otherwise, if the intervals do not overlap."""
    return difference(metric, one, other).beyond_doubt


def behind_best(metric: MetricRow, estimates: Mapping[str, Estimate]) -> dict[str, ScoreDifference]:
    """How much worse each is than the best value, which stands first, by no difference from itself.

    Empty if there is no contest: fewer than two with an interval, or a metric that only describes. A value without an
    interval takes no part: nothing says how much of it is chance.
    """
    known = {name: each for name, each in estimates.items() if each.low is not None}
    if len(known) < 2 or metric.better == "neither":
        return {}
    best = min(sorted(known), key=lambda name: loss(metric, known[name])[0])
    others = {name: each for name, each in known.items() if name != best}
    return {best: ScoreDifference(0.0, 0.0, 0.0), **against(metric, known[best], others)}


def fooled_by(metric: MetricRow, estimates: Iterable[tuple[str | None, Estimate]]) -> tuple[Mark, ...]:
    """What the metric does not notice, judged by the controls among ``(control, estimate)``.

    Unseen real images are those of the ceiling and, where privacy is measured, of the null. ``copying``: copies of
    training images are not worse, beyond doubt, than unseen real images; nothing is asked of a control that copies in
    part. ``noise``: noise is not worse, beyond doubt, than unseen real images, or is better, beyond doubt, than a
    contender or baseline; not asked of metrics whose area is privacy, for noise gives no patient away. Of a metric that
    only describes nothing is asked.
    """
    if metric.better == "neither":
        return ()
    found: dict[str | None, list[Estimate]] = {}
    for control, estimate in estimates:
        found.setdefault(control, []).append(estimate)
    unseen = found.get("ceiling", []) + found.get("null", [])

    def passes(control: str) -> bool:
        return any(not better(metric, top, each) for each in found.get(control, []) for top in unseen)

    marks: list[Mark] = ["copying"] if passes("memoriser") else []
    honest = {str(place): each for place, each in enumerate(found.get(None, []) + found.get("baseline", []))}
    beats = any(
        each.beyond_doubt for floor in found.get("floor", []) for each in against(metric, floor, honest).values()
    )
    if metric.area != "privacy" and (passes("floor") or beats):
        marks.append("noise")
    return tuple(marks)
