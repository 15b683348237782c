"""A number estimated from two sets of images, with its uncertainty by leaving out folds."""

from __future__ import annotations

from dataclasses import dataclass

from bench.statistics.arrays import Interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its standard error, and the number of folds the error was found from."""

    value: float
    se: float
    folds: int

    @property
    def interval(self) -> Interval:
        """95% interval ``value -+ t se`` with Student's ``t`` of ``folds - 1`` degrees of freedom."""
        from scipy import stats

        half = float(stats.t.ppf(0.975, self.folds - 1)) * self.se
        return self.value - half, self.value + half
