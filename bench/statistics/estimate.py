"""A number estimated from two sets of images, with its uncertainty by resampling folds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.statistics.arrays import Interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its standard error, and the number of folds the error was found from.

    ``deviations`` has one number a resample, the sum of whose squares is the squared standard error; it is empty where
    the error was not found by resampling.
    """

    value: float
    se: float
    folds: int
    deviations: tuple[float, ...] = ()

    @property
    def quantile(self) -> float:
        """Student's ``t`` of ``folds - 1`` degrees of freedom that 2.5% exceed."""
        from scipy import stats

        return float(stats.t.ppf(0.975, self.folds - 1))

    @property
    def interval(self) -> Interval:
        """95% interval ``value -+ t se`` with Student's ``t`` of ``folds - 1`` degrees of freedom."""
        half = self.quantile * self.se
        return self.value - half, self.value + half

    def with_error(self, se: float) -> Estimate:
        """The same value with another standard error, its deviations stretched to it."""
        stretched = tuple((np.asarray(self.deviations) * (se / self.se)).tolist()) if self.se else ()
        return replace(self, se=float(se), deviations=stretched)
