"""Kernel distances from tables of sums by pairs of folds: the value, and the values with folds left out.

The squared distance of the kernel means of two sets, less what the scatter of their patients adds to it. With ``m`` the
mean of a set of ``N`` images, ``s_p`` the sum and ``n_p`` the number of the images of patient ``p``:

``|m_x - m_y|^2 - V_x - V_y``, ``V = sum_p |s_p - n_p m|^2 / (N^2 - sum_p n_p^2)``.

``V`` is the variance of a mean over clusters (Cochran 1977, 9.6). Where every image is of another patient this is the
unbiased estimate of Gretton et al. 2012; where all patients have equally many, the same over the means of patients: no
pair of images of one patient enters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.statistics.arrays import Floats, Indices
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import jackknife


@dataclass(frozen=True, slots=True)
class Within:
    """Sums of a kernel within one set, by fold; patients are never in two folds.

    Attributes:
        pairs: ``(G, G)`` over all pairs, that of an image with itself included.
        weighted: ``(G, G)`` the same, each left image counted as often as its patient has images.
        patients: ``(G,)`` over the pairs within a patient, that of an image with itself included.
        images: ``(G,)`` their number.
        squares: ``(G,)`` sums of the squared numbers of images of the patients.
    """

    pairs: Floats
    weighted: Floats
    patients: Floats
    images: Indices
    squares: Indices

    def plus(self, other: Within, weight: float) -> Within:
        """The sums of this kernel and ``weight`` times another, of the same images."""
        return replace(
            self,
            pairs=self.pairs + weight * other.pairs,
            weighted=self.weighted + weight * other.weighted,
            patients=self.patients + weight * other.patients,
        )

    def length(self, *, leave: bool) -> Floats:
        """``(G,)`` squared length of the mean without fold ``g``, or without none where not ``leave``."""
        return left(self.pairs, rows=leave, columns=leave) / self._rest(self.images, leave) ** 2

    def scatter(self, *, leave: bool) -> Floats:
        """``(G,)`` what chance adds to that, ``V`` above."""
        n, squares, patients = (self._rest(each, leave) for each in (self.images, self.squares, self.patients))
        across = left(self.weighted, rows=leave, columns=leave) / n
        return (patients - 2 * across + squares * self.length(leave=leave)) / (n**2 - squares)

    def covariance(self) -> Floats:
        """``(G, G)`` products of the means of two folds about the mean of all, U-centred, the diagonal 0.

        Szekely & Rizzo 2014 (arXiv 1310.2926): the mean of the squares over ``G (G - 3)`` is unbiased for ``tr C^2``.
        """
        table = self.pairs / np.outer(self.images, self.images)
        np.fill_diagonal(table, 0.0)
        count, sums = len(table), table.sum(axis=0)
        table = table - (sums[:, None] + sums) / (count - 2) + sums.sum() / ((count - 1) * (count - 2))
        np.fill_diagonal(table, 0.0)
        return table

    def second_order(self) -> float:
        """``tr C^2`` of the covariance ``C`` of the mean of the set."""
        table, count = self.covariance(), len(self.images)
        return max(0.0, float((table**2).sum() / (count * (count - 3.0)))) / count**2

    def _rest(self, each: Floats | Indices, leave: bool) -> Floats:
        return each.sum() - each * float(leave)


@dataclass(frozen=True, slots=True)
class FoldTables:
    """Sums of a kernel within a first and a second set and across them ``(G, G)``, by folds."""

    first: Within
    second: Within
    across: Floats

    def plus(self, other: FoldTables, weight: float) -> FoldTables:
        """The tables of this kernel and ``weight`` times another, of the same sets."""
        first, second = self.first.plus(other.first, weight), self.second.plus(other.second, weight)
        return FoldTables(first, second, self.across + weight * other.across)

    def plain(self) -> float:
        """``|m_x - m_y|^2``, as papers report it: too large by what chance adds."""
        x, y = (float(each.length(leave=False)[0]) for each in (self.first, self.second))
        return x + y - 2 * float(self._between(first=False, second=False)[0])

    def distance(self) -> float:
        """The estimate from all images, free of bias."""
        return float(self.without(first=False, second=False)[0])

    def without(self, *, first: bool, second: bool) -> Floats:
        """``(G,)`` estimates without fold ``g`` of the sets named."""
        x = self.first.length(leave=first) - self.first.scatter(leave=first)
        y = self.second.length(leave=second) - self.second.scatter(leave=second)
        return x + y - 2 * self._between(first=first, second=second)

    def estimate(self, *, first: bool = True, second: bool = True) -> Estimate:
        """The estimate and the error that the chance in the sets named brings."""
        left_out = self.without(first=first, second=second)
        return jackknife([self.distance(), *left_out], self.second_order(first=first, second=second))

    def second_order(self, *, first: bool = True, second: bool = True) -> float:
        """Standard deviation of what is quadratic in the chance of the sets named: ``sqrt(2 tr (C_x + C_y)^2)``.

        Between two samples of one population this is the standard deviation of the whole.
        """
        total = first * self.first.second_order() + second * self.second.second_order()
        if first and second:
            count = len(self.across)
            table = self.across / np.outer(self.first.images, self.second.images)
            table = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
            total += 2 * float((table**2).sum()) / (count - 1.0) ** 2 / count**2
        return float(np.sqrt(2 * total))

    def _between(self, *, first: bool, second: bool) -> Floats:
        n = self.first.images.sum() - self.first.images * float(first)
        m = self.second.images.sum() - self.second.images * float(second)
        return left(self.across, rows=first, columns=second) / (n * m)


def left(table: Floats, *, rows: bool, columns: bool) -> Floats:
    """``(G,)`` sums of ``table`` without row ``g``, without column ``g``, or without both."""
    rest = np.full(len(table), table.sum())
    if columns:
        rest = rest - table.sum(axis=0)
    if rows:
        rest = rest - table.sum(axis=1)
    return rest + np.diag(table) if rows and columns else rest
