"""Sums of a kernel over the pairs of two sets, by folds, from the tiles of a pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Floats, Indices, Reals, Singles
from bench.statistics.clusters import Clusters
from bench.statistics.distances import Centred, Tile, slices
from evaluators.fidelity.fold_tables import FoldTables, Within

if TYPE_CHECKING:
    import torch

ROWS = 1024
OfRows = Callable[[Floats, Floats], Floats]
Prepare = Callable[[Reals], Floats]


class Kernel(ABC):
    """A kernel of two rows, known from their centred product and from numbers of each row alone."""

    @abstractmethod
    def prepare(self, points: Centred) -> Singles:
        """What ``of_tile`` needs of every row: ``(Q, N)``."""

    @abstractmethod
    def of_tile(self, products: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """The kernel ``(n, m)`` from centred products ``(n, m)`` and what was prepared, ``(Q, n)`` and ``(Q, m)``."""

    @abstractmethod
    def of_rows(self, one: Floats, other: Floats) -> Floats:
        """The kernel ``(n,)`` of the rows of ``(n, D)`` with those of another, in float64."""


@dataclass(frozen=True, eq=False)
class Side:
    """One set in a pass: its rows about the common centre, who they are of, what a kernel prepared of them."""

    points: Centred
    clusters: Clusters
    prepared: Singles


class KernelSums:
    """Consumer that sums a kernel over pairs of folds: float32 kernels, float64 sums.

    Within one set every pair is counted in both orders and the kernel of a row with itself is left out: ``within`` adds
    it, computed in float64.

    Attributes:
        table: ``(G, G)`` sums by fold of the left and of the right row. Where a patient of a side has two images its
            axis has ``2G``: in the second half a row counts as often as its patient has images.
    """

    def __init__(self, kernel: Kernel, left: Side, right: Side, count: int) -> None:
        self.kernel, self.left, self.right, self.count = kernel, left, right, count
        self._marks = tuple(fold_marks(side.clusters, count) for side in (left, right))
        self.table = np.zeros((self._marks[0].shape[1], self._marks[1].shape[1]))

    def __call__(self, tile: Tile) -> None:
        import torch

        rows, columns, products, place = tile
        left, right = torch.from_numpy(self.left.prepared[:, rows]), torch.from_numpy(self.right.prepared[:, columns])
        kernel = self.kernel.of_tile(products, left, right)
        if place == "diagonal":
            kernel.fill_diagonal_(0)
        mine, theirs = (torch.from_numpy(each) for each in (self._marks[0][rows], self._marks[1][columns]))
        table = ((mine.T @ kernel).double() @ theirs.double()).numpy()
        self.table += table
        if place == "above":
            self.table += table.T


def fold_marks(clusters: Clusters, count: int) -> Singles:
    """``(N, 2G)``: 1 where a row is of a fold, then the number of images of its patient there.

    ``(N, G)`` where no patient has two images, which makes both halves the same.
    """
    one = np.eye(count, dtype=np.float32)[clusters.folds]
    together = clusters.together
    return one if together.max() == 1 else np.concatenate([one, one * together[:, None].astype(np.float32)], axis=1)


class Sums(NamedTuple):
    """What is to be summed within the first set, within the second and across them."""

    first: KernelSums
    second: KernelSums
    across: KernelSums

    def tables(self) -> FoldTables:
        """The sums of all pairs, once every tile has been seen."""
        count = self.across.count
        return FoldTables(within(self.first), within(self.second), self.across.table[:count, :count])


def kernel_sums(kernel: Kernel, first: Centred, second: Centred, clusters: tuple[Clusters, Clusters]) -> Sums:
    """The consumers of the passes within and across two sets.

    Raises:
        ValueError: a fold without a row.
    """
    count = max(each.count for each in clusters)
    sizes = [np.bincount(each.folds, minlength=count) for each in clusters]
    if any((size == 0).any() for size in sizes):
        raise ValueError(f"{count} folds, but some hold no row: sizes {sizes}")
    one, two = (
        Side(points, each, kernel.prepare(points)) for points, each in zip((first, second), clusters, strict=True)
    )
    pairs = ((one, one), (two, two), (one, two))
    return Sums(*(KernelSums(kernel, left, right, count) for left, right in pairs))


def within(sums: KernelSums) -> Within:
    """The sums within one set, with the pairs of an image with itself."""
    rows, clusters, count = sums.left.points.rows, sums.left.clusters, sums.count
    everyone = np.arange(len(rows))
    itself = _kernels(sums.kernel.of_rows, rows, everyone, everyone)
    by_fold = [np.bincount(clusters.folds, each, count) for each in (itself, itself * clusters.together)]
    return Within(
        pairs=sums.table[:count, :count] + np.diag(by_fold[0]),
        weighted=sums.table[-count:, :count] + np.diag(by_fold[1]),
        patients=within_patients(sums.kernel.of_rows, rows, clusters, count),
        **_sizes(clusters, count),
    )


def within_patients(of_rows: OfRows, rows: Rows, clusters: Clusters, count: int) -> Floats:
    """Sums ``(G,)`` of a kernel over the pairs within a patient, that of an image with itself included, by fold."""
    everyone = np.arange(len(rows))
    found = np.bincount(clusters.folds, _kernels(of_rows, rows, everyone, everyone), count).astype(np.float64)
    for one, other in clusters.pairs():
        found += 2 * np.bincount(clusters.folds[one], _kernels(of_rows, rows, one, other), count)
    return found


def _kernels(of_rows: OfRows, rows: Rows, one: Indices, other: Indices) -> Floats:
    """The kernel ``(P,)`` of listed pairs of rows."""
    found = np.empty(len(one))
    for part in slices(len(one), ROWS):
        found[part] = of_rows(rows[one[part]].astype(np.float64), rows[other[part]].astype(np.float64))
    return found


def linear_tables(first: Rows, second: Rows, clusters: tuple[Clusters, Clusters], prepare: Prepare) -> FoldTables:
    """The tables of the kernel ``f(x).f(y)`` in float64, from sums of prepared rows: no pair is ever looked at.

    ``prepare`` turns some rows ``(n, D)`` into ``f`` of each.
    """
    count = max(each.count for each in clusters)
    sides = [_linear(rows, each, count, prepare) for rows, each in zip((first, second), clusters, strict=True)]
    return FoldTables(sides[0][0], sides[1][0], sides[0][1] @ sides[1][1].T)


def _linear(rows: Rows, clusters: Clusters, count: int, prepare: Prepare) -> tuple[Within, Floats]:
    """The sums within one set, and the sums of its rows by fold ``(G, D)``."""

    def product(one: Floats, other: Floats) -> Floats:
        return np.asarray((prepare(one) * prepare(other)).sum(axis=1), np.float64)

    marks = fold_marks(clusters, count).astype(np.float64)
    both = np.zeros((marks.shape[1], rows.shape[1]))
    for part in slices(len(rows), ROWS):
        both += marks[part].T @ prepare(rows[part])
    one, weighted = both[:count], both[-count:]
    return Within(
        pairs=one @ one.T,
        weighted=weighted @ one.T,
        patients=within_patients(product, rows, clusters, count),
        **_sizes(clusters, count),
    ), one


def _sizes(clusters: Clusters, count: int) -> dict[str, Indices]:
    images = np.bincount(clusters.folds, minlength=count)
    # every image of a patient with n brings n: together the square
    return {"images": images, "squares": np.bincount(clusters.folds, clusters.together, count).astype(np.int64)}
