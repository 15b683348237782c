"""A cell of the gate: one metric, one population, one shift. What was counted in it, and whether it stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from bench.statistics.arrays import Floats, Interval
from bench.statistics.resampling import Z95, clopper_pearson, holm
from tests.coverage.estimators import Estimator, Found
from tests.coverage.populations import Population, Shift

BAND = (0.93, 0.97)  # what 95% intervals may hold
LEVEL = 0.05  # of all cells together
WIDEST = 1.5  # of a degenerate statistic, in what is needed
BIASED = 0.25  # of the mean half-width
NARROWEST = 0.5  # of a share, in Wilson's interval of the same share of as many images
# distances whose null value is 0 without bias, by their definition
UNBIASED = frozenset({"fd", "fd_infinity", "kid", "cmmd", "spectrum_distance"})
# of one set of images alone, or against the training images only
ONE_SIDED = frozenset({"authenticity", "vendi", "vendi_real"})
SHARES = frozenset({"precision", "recall", "coverage", "clipped_density", "clipped_coverage", "authenticity"})
# whose sampling error does not vanish to first order when the two populations are one
REGULAR = frozenset({"authenticity", "spectral_slope_gap", "vendi", "vendi_real", "vendi_ratio"})


@dataclass(frozen=True)
class Cell:
    """What the repetitions of one cell gave.

    Attributes:
        n: images of a side that were asked for.
        truth: the value whatever n; ``None`` where the expected value at this n is the truth.
        found: ``(R, 3)`` value, low, high of the repetitions that gave an interval.
        without: repetitions that gave none.
    """

    metric: str
    population: str
    shift: str
    n: int
    truth: float | None
    found: Floats = field(repr=False)
    without: int = 0

    @property
    def degenerate(self) -> bool:
        return self.shift == "null" and self.metric not in REGULAR

    @property
    def repetitions(self) -> int:
        return len(self.found)

    @property
    def aim(self) -> float:
        """What the interval should hold."""
        return float(self.found[:, 0].mean()) if self.truth is None else self.truth

    @property
    def hits(self) -> int:
        return int(((self.found[:, 1] <= self.aim) & (self.aim <= self.found[:, 2])).sum())

    @property
    def coverage(self) -> float:
        return self.hits / self.repetitions

    @property
    def coverage_interval(self) -> Interval:
        return clopper_pearson(self.hits, self.repetitions)

    @property
    def bias(self) -> tuple[float, float]:
        """Mean error and its standard error; of a value at this n there is none."""
        error = self.found[:, 0] - self.aim
        return float(error.mean()), float(error.std(ddof=1) / np.sqrt(len(error)))

    @property
    def half_width(self) -> float:
        return float((self.found[:, 2] - self.found[:, 1]).mean() / 2)

    @property
    def width_ratio(self) -> float:
        """Mean half-width over that of the known deviation, 1.96 SD; infinite where nothing varies."""
        deviation = float(self.found[:, 0].std(ddof=1))
        return self.half_width / (Z95 * deviation) if deviation else float("inf")

    @property
    def narrowest(self) -> float:
        """The least width of an interval over that of Wilson's, of the same share of ``n`` images."""
        value, spread = self.found[:, 0].clip(0, 1), Z95**2 / self.n
        wilson = 2 * np.sqrt(spread * (value * (1 - value) + spread / 4)) / (1 + spread)
        return float(((self.found[:, 2] - self.found[:, 1]) / wilson).min())

    @property
    def p_value(self) -> float:
        """Of the coverage being within the band, or at least its lower edge where the statistic is degenerate.

        Two one-sided binomial tests against the nearer edge: under 0.05 exactly when the Clopper-Pearson interval
        lies outside the band.
        """
        below = float(stats.binom.cdf(self.hits, self.repetitions, BAND[0]))
        if self.degenerate:
            return below
        above = float(stats.binom.sf(self.hits - 1, self.repetitions, BAND[1]))
        return min(1.0, 2 * min(below, above))

    def faults(self, adjusted: float) -> list[str]:
        """What is wrong, given the p-value adjusted for all cells."""
        found = []
        if adjusted < LEVEL:
            found.append("holds too rarely" if self.coverage < BAND[0] else "holds too often")
        if self.degenerate and self.width_ratio > WIDEST:
            found.append("too wide")
        if self.metric in SHARES and self.narrowest < NARROWEST:
            found.append("narrower than of a count")
        mean, se = self.bias
        if self.shift == "null" and self.metric in UNBIASED and abs(mean) + 2 * se > BIASED * self.half_width:
            found.append("biased")
        return found


def judged(cells: Sequence[Cell]) -> list[tuple[Cell, float, list[str]]]:
    """Every cell with its adjusted p-value and its faults; Holm's adjustment is over all of them."""
    adjusted = holm([cell.p_value for cell in cells])
    return [(cell, p, cell.faults(p)) for cell, p in zip(cells, adjusted, strict=True)]


def countable(metrics: Collection[str], population: Population) -> list[str]:
    """The metrics whose chance the draws of a population show."""
    return sorted(set(metrics) - (ONE_SIDED if population.finite else frozenset()))


def repeated(
    estimator: Estimator, population: Population, shift: Shift, n: int, repetitions: Sequence[int]
) -> list[Mapping[str, Found]]:
    """Estimates of draws of ``n`` images a side; draw ``r`` depends on the population, the shift and ``r`` only."""
    found = []
    for repetition in repetitions:
        seed = int(population.stream(f"draws {shift.name}").integers(2**62))
        rng = np.random.default_rng([seed, repetition])
        found.append(estimator(population.draw(n, shift, rng), rng))
    return found


def gathered(
    found: Sequence[Mapping[str, Found]], population: str, shift: str, n: int, truths: Mapping[str, float | None]
) -> list[Cell]:
    """The cells of one population and shift, one for each metric of ``truths`` that was measured."""
    cells = []
    for metric, truth in truths.items():
        values = [each[metric] for each in found if metric in each]
        if len(values) > 1:
            table = np.asarray(values, dtype=np.float64)
            cells.append(Cell(metric, population, shift, n, truth, table, len(found) - len(values)))
    return cells
