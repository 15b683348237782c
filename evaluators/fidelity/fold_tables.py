"""Kernel distances from tables of sums by pairs of folds: the value, and the values with folds left out.

``MMD^2 = mean_(i!=j) k(x_i, x_j) + mean_(i!=j) k(y_i, y_j) - 2 mean_ij k(x_i, y_j)`` (Gretton et al. 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.statistics.arrays import Floats, Indices, Interval
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import jackknife


class Parts(NamedTuple):
    """One value and its uncertainty by cause: a finite synthetic set, a finite real set, both together."""

    value: float
    synthetic: Estimate
    real: Estimate
    both: Estimate

    def intervals(self) -> dict[str, float | Interval]:
        """For a file: the value and the 95% interval of each cause."""
        return {"value": self.value} | {name: getattr(self, name).interval for name in ("synthetic", "real", "both")}


@dataclass(frozen=True, slots=True)
class FoldTables:
    """Sums of a kernel over pairs of folds of a first and a second set, pairs of an image with itself left out.

    Attributes:
        xx, yy, xy: ``(G, G)`` sums within the first, within the second, and across.
        first, second: ``(G,)`` number of rows of each fold.
    """

    xx: Floats
    yy: Floats
    xy: Floats
    first: Indices
    second: Indices

    def distance(self) -> float:
        """The unbiased estimate from all rows."""
        return float(self.without(first=False, second=False)[0])

    def estimate(self, null: float = 0.0) -> Estimate:
        """The estimate and its error by both sets together; see ``parts``."""
        return jackknife([self.distance(), *self.without(first=True, second=True)], null)

    def without(self, *, first: bool, second: bool) -> Floats:
        """``(G,)`` estimates without fold ``g`` of the sets named."""
        n, m = self.first.sum() - self.first * first, self.second.sum() - self.second * second
        xx, yy = _left(self.xx, rows=first, columns=first), _left(self.yy, rows=second, columns=second)
        within = xx / (n * (n - 1.0)) + yy / (m * (m - 1.0))
        return within - 2 * _left(self.xy, rows=first, columns=second) / (n * (m * 1.0))

    def parts(self, null: float = 0.0) -> Parts:
        """The estimate and its error by cause; ``null`` is the SD between two samples of one population.

        Near a distance of 0 the jackknife's error shrinks with the estimate, so ``null`` is added in quadrature; a
        side alone gets its share ``1/n`` of ``1/n + 1/m``.
        """
        value = self.distance()
        n, m = int(self.first.sum()), int(self.second.sum())
        shares = {"synthetic": n / (n + m), "real": m / (n + m), "both": 1.0}
        sides = {"synthetic": (False, True), "real": (True, False), "both": (True, True)}
        made = {}
        for name, (first, second) in sides.items():
            made[name] = jackknife([value, *self.without(first=first, second=second)], null * shares[name])
        return Parts(value, **made)


def _left(table: Floats, *, rows: bool, columns: bool) -> Floats:
    """``(G,)`` sums of ``table`` without row ``g``, without column ``g``, or without both."""
    left = np.full(len(table), table.sum())
    if columns:
        left = left - table.sum(axis=0)
    if rows:
        left = left - table.sum(axis=1)
    return left + np.diag(table) if rows and columns else left


def add_up(rows: Floats, folds: Indices, count: int) -> Floats:
    """``(G, G)`` sums from ``(N, G)`` sums of each row over the folds of the other set."""
    table = np.zeros((count, rows.shape[1]))
    np.add.at(table, folds, rows)
    return table
