"""Who lies among whom in two sets of images: lists of neighbours, and all pairs near enough to matter.

The ball of an image reaches to its ``k``-th nearest neighbour in its own set, itself not counted. A point is inside
when it is strictly nearer than that. Everything said of balls is read off the lists and pairs of one pass, for all
images and for any part of them that was asked for beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Floats, Indices, Mask, Singles
from bench.statistics.clusters import Clusters
from bench.statistics.distances import (
    Centred,
    Nearest,
    Tile,
    across,
    centred,
    mean_row,
    nearest,
    pair_distances,
    rounding,
    sweep,
    where,
    within,
)
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import from_halves, halves

TIMES, SPARE = 4, 12  # neighbours listed: enough that of the half that stays there are k in nearly all lists
CROWDED = 400, 4_000_000  # pairs held: as many an image of the larger set, and at least as many in all
NEAREST = 20  # the same for the nearest of the other set


@dataclass(frozen=True, slots=True)
class Lists:
    """The nearest other rows of each of the ``N`` rows of a set, of the same set or of another: distances and indices
    ``(N, L)``, ascending."""

    rows: Rows
    distances: Floats
    indices: Indices

    def first(self, others: Rows, stay: Indices, kept: Mask) -> tuple[Floats, Indices]:
        """Of rows ``stay`` the nearest kept row of the other set that is listed: its distance and index."""
        at = kept[self.indices[stay]].argmax(axis=1)[:, None]
        distance = np.take_along_axis(self.distances[stay], at, 1)[:, 0]
        index = np.take_along_axis(self.indices[stay], at, 1)[:, 0]
        none = np.flatnonzero(~kept[index])
        if len(none):
            there = np.flatnonzero(kept)
            anew = nearest(self.rows[stay[none]], others[there], 1)
            distance[none], index[none] = anew[0][:, 0], there[anew[1][:, 0]]
        return distance, index

    def radius(self, k: int, kept: Mask) -> Floats:
        """``(N,)`` distance to the ``k``-th neighbour that is kept; 0 for a row that is not kept itself."""
        radius, stay = np.zeros(len(self.rows)), np.flatnonzero(kept)
        rank = kept[self.indices[stay]].cumsum(axis=1, dtype=np.int16)
        at = (rank >= k).argmax(axis=1)
        radius[stay] = np.take_along_axis(self.distances[stay], at[:, None], 1)[:, 0]
        short = stay[rank[:, -1] < k]
        if len(short):
            radius[short] = _radius_anew(self.rows, k, short, stay)
        return radius


def _radius_anew(rows: Rows, k: int, which: Indices, kept: Indices) -> Floats:
    """The ``k``-th neighbour distance of rows ``which`` among ``kept``, for those whose list ran out."""
    distances, indices = nearest(rows[which], rows[kept], k + 1)
    distances[kept[indices] == which[:, None]] = np.inf
    return np.sort(distances, axis=1)[:, k - 1]


def neighbour_lists(points: Centred, k: int) -> Nearest:
    """The consumer of a pass within a set that ``lists_of`` reads.

    Raises:
        ValueError: fewer than ``k + 1`` rows.
    """
    if len(points) <= k:
        raise ValueError(f"{len(points)} rows have no {k}-th neighbour")
    return Nearest(points, points, min(TIMES * k + SPARE, len(points) - 1))


def lists_of(found: Nearest) -> Lists:
    """The lists of a set whose neighbours have been found."""
    return Lists(found.left.rows, *found.exact())


class Parts(NamedTuple):
    """The parts of two sets that are looked at: rows of ``real (A, N)`` and ``fake (B, M)`` are masks, first of all."""

    real: Mask
    fake: Mask


def parts_of(real: Clusters, fake: Clusters) -> Parts:
    """All images, then both halves of every balanced half-sample of the folds of each set."""
    whole = [np.ones((1, len(each)), bool) for each in (real, fake)]
    split = halves(max(real.count, fake.count))
    chosen = [split[:, each.folds % split.shape[1]] for each in (real, fake)]
    return Parts(*(np.concatenate([one, half, ~half]) for one, half in zip(whole, chosen, strict=True)))


class Close(NamedTuple):
    """Pairs of a real and a synthetic image, one inside the other's widest ball, and how far apart: ``(P,)`` each."""

    real: Indices
    fake: Indices
    distance: Floats

    def select(self, kept: Indices | Mask) -> Close:
        """Some of the pairs."""
        return Close(self.real[kept], self.fake[kept], self.distance[kept])

    def ordered(self) -> Close:
        """The same by real image, then by distance."""
        return self.select(np.lexsort((self.distance, self.real)))


class Around(NamedTuple):
    """The balls of one set: radii ``(A, N)`` in every part, and their median in every part ``(A,)``."""

    lists: Lists
    radius: Floats
    median: Floats


def around(lists: Lists, k: int, parts: Mask) -> Around:
    """Balls of a set in each of the parts ``(A, N)``.

    Raises:
        ValueError: a part of fewer than ``k + 1`` rows.
    """
    fewest = int(parts.sum(axis=1).min())
    if fewest <= k:
        raise ValueError(f"{fewest} rows have no {k}-th neighbour")
    radius = np.stack([lists.radius(k, kept) for kept in parts])
    return Around(lists, radius, np.array([np.median(each[kept]) for each, kept in zip(radius, parts, strict=True)]))


class Crowded(ValueError):
    """So many pairs lie inside one another's balls that they cannot be held."""


class ClosePairs:
    """Consumer of the pass across two sets that collects all pairs inside any ball of any part.

    Where one set is spread far wider than the other every pair may be such: from ``CROWDED`` on it collects no more,
    and ``pairs`` says so.

    Distances come from float32 products. Those that lie within the rounding of a radius they are compared with are
    computed again in float64, so every comparison comes out as it would in float64.
    """

    def __init__(self, real: Around, fake: Around, left: Centred, right: Centred) -> None:
        self.real, self.fake = real, fake
        columns, longest = left.rows.shape[1], float(right.lengths.max())
        self._bound = rounding(left.lengths, longest, columns, "float32")
        self._left, self._right = left.squares.astype(np.float32), right.squares.astype(np.float32)
        self._real_reach = _above(np.square(real.radius.max(axis=0)) + self._bound)
        other = rounding(right.lengths, left.lengths.max(), columns, "float32")
        self._fake_reach = _above(np.square(fake.radius.max(axis=0)) + other)
        # one row an image, so that the radii of the images of a tile lie together
        self._radii = [np.ascontiguousarray(np.square(each.radius.T)) for each in (real, fake)]
        self._medians = np.sort(np.square(real.median))
        self._found: list[Close] = []
        self._room = max(CROWDED[1], CROWDED[0] * max(len(left), len(right)))

    def __call__(self, tile: Tile) -> None:
        import torch

        rows, columns, products, _ = tile
        if self._room < 0:
            return
        squares = torch.sub(torch.from_numpy(self._right[columns]), products, alpha=2)
        squares = squares.add_(torch.from_numpy(self._left[rows, None])).numpy()
        i, j = where(squares <= np.maximum(self._real_reach[rows, None], self._fake_reach[columns]))
        square, i, j = squares[i, j].astype(np.float64), i + rows.start, j + columns.start
        distance = np.sqrt(np.maximum(square, 0))
        unsure = np.flatnonzero(self._unsure(square, i, j))
        distance[unsure] = pair_distances(self.real.lists.rows, self.fake.lists.rows, i[unsure], j[unsure])
        self._found.append(Close(i, j, distance))
        self._room -= len(i)
        if self._room < 0:
            self._found.clear()

    def _unsure(self, square: Floats, i: Indices, j: Indices) -> Mask:
        """Whether a squared distance is within its rounding of any squared radius it may be compared with."""
        slack = self._bound[i][:, None]
        near = np.abs(square[:, None] - self._radii[0][i]) <= slack
        near_fake = np.abs(square[:, None] - self._radii[1][j]) <= slack
        place = np.clip(np.searchsorted(self._medians, square), 1, len(self._medians) - 1)
        gap = np.minimum(np.abs(square - self._medians[place - 1]), np.abs(square - self._medians[place]))
        return near.any(axis=1) | near_fake.any(axis=1) | (gap <= slack[:, 0])

    def pairs(self) -> Close:
        """All pairs, by real image, then by distance.

        Raises:
            Crowded: there are too many.
        """
        if self._room < 0:
            raise Crowded(
                "nearly all images lie inside balls of the other set, as where one set is spread far wider than the "
                "other: too many pairs to be held"
            )
        real, fake = (np.concatenate([each[side] for each in self._found]) for side in (0, 1))
        return Close(real, fake, np.concatenate([each.distance for each in self._found])).ordered()


def _above(values: Floats) -> Singles:
    """The next float32 above each value."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


@dataclass(frozen=True)
class View:
    """Two sets, or parts of them, as measures of neighbours look at them.

    Attributes:
        k: which neighbour a ball reaches to.
        real, fake: ``(N,)`` and ``(M,)`` which images are there.
        real_radius, fake_radius: ``(N,)`` and ``(M,)`` of the balls of those that are there.
        median: of the real radii.
        pairs: the close pairs of images that are there, by real image, then by distance.
        own, other: the lists of the real images, of all of them, among real and among synthetic ones.
        fakes: the rows of the synthetic images, of all of them.
    """

    k: int
    real: Mask
    fake: Mask
    real_radius: Floats
    fake_radius: Floats
    median: float
    pairs: Close
    own: Lists
    other: Lists
    fakes: Rows

    @cached_property
    def nearest_fake(self) -> tuple[Floats, Indices]:
        """Of each real image that is there the nearest synthetic one that is: its distance, and its place among all."""
        return self.other.first(self.fakes, np.flatnonzero(self.real), self.fake)

    @cached_property
    def in_real(self) -> Mask:
        """``(P,)`` which pairs have their synthetic image inside the real ball."""
        return self.pairs.distance < self.real_radius[self.pairs.real]

    @cached_property
    def in_fake(self) -> Mask:
        """``(P,)`` which pairs have their real image inside the synthetic ball."""
        return self.pairs.distance < self.fake_radius[self.pairs.fake]

    @cached_property
    def balls_around_fake(self) -> Indices:
        """How many real balls each synthetic image that is there is inside."""
        return np.bincount(self.pairs.fake[self.in_real], minlength=len(self.fake))[self.fake]

    @cached_property
    def held_by_real(self) -> Indices:
        """How many synthetic images the ball of each real image that is there holds."""
        return np.bincount(self.pairs.real[self.in_real], minlength=len(self.real))[self.real]

    @cached_property
    def balls_around_real(self) -> Indices:
        """How many synthetic balls each real image that is there is inside."""
        return np.bincount(self.pairs.real[self.in_fake], minlength=len(self.real))[self.real]

    def precision(self) -> float:
        """Share of synthetic images inside any real ball (Kynkaanniemi et al. 2019, arXiv 1904.06991); in 0..1."""
        return float((self.balls_around_fake > 0).mean())

    def recall(self) -> float:
        """Share of real images inside any synthetic ball; in 0..1."""
        return float((self.balls_around_real > 0).mean())

    def density(self) -> float:
        """Mean number of real balls a synthetic image is inside, over ``k`` (Naeem et al. 2020, arXiv 2002.09797)."""
        return float(self.balls_around_fake.mean()) / self.k

    def coverage(self) -> float:
        """Share of real balls with a synthetic image inside; in 0..1."""
        return float((self.held_by_real > 0).mean())


Measure = Callable[[View], float]


@dataclass(frozen=True)
class Neighbourhood:
    """Two sets after the pass over their pairs."""

    k: int
    parts: Parts
    real: Around
    fake: Around
    other: Lists
    pairs: Close

    def view(self, real: int, fake: int) -> View:
        """One part of the real set beside one of the synthetic set, by number."""
        here, there = self.parts.real[real], self.parts.fake[fake]
        pairs = self.pairs
        if real or fake:
            kept = here[pairs.real] & there[pairs.fake]
            pairs = pairs.select(kept)
        radii = self.real.radius[real], self.fake.radius[fake]
        own, fakes, median = self.real.lists, self.fake.lists.rows, float(self.real.median[real])
        return View(self.k, here, there, *radii, median, pairs, own, self.other, fakes)

    def estimates(self, measures: Sequence[Measure], *, real: bool = True, fake: bool = True) -> list[Estimate]:
        """Each measure with the error that the chance in the sets named brings, from halves of them."""
        whole = [measure(self.view(0, 0)) for measure in measures]
        count = len(self.parts.real) // 2
        table = np.array([self._values(measures, part, real, fake) for part in range(1, 2 * count + 1)])
        return [from_halves(value, found[:count], found[count:]) for value, found in zip(whole, table.T, strict=True)]

    def _values(self, measures: Sequence[Measure], part: int, real: bool, fake: bool) -> list[float]:
        view = self.view(part * real, part * fake)
        return [measure(view) for measure in measures]


class Across:
    """Consumer of the pass across two sets: all close pairs, and the synthetic images nearest to each real one."""

    def __init__(self, real: Around, fake: Around, left: Centred, right: Centred) -> None:
        self.close = ClosePairs(real, fake, left, right)
        self.nearest = Nearest(left, right, min(NEAREST, len(right)))

    def __call__(self, tile: Tile) -> None:
        self.close(tile)
        self.nearest(tile)

    def neighbourhood(self, k: int, parts: Parts) -> Neighbourhood:
        """What was found, once every tile has been seen."""
        return Neighbourhood(k, parts, self.close.real, self.close.fake, lists_of(self.nearest), self.close.pairs())


def neighbourhood(real: Rows, fake: Rows, k: int, real_clusters: Clusters, fake_clusters: Clusters) -> Neighbourhood:
    """The neighbourhood of ``(N, D)`` and ``(M, D)`` features.

    Raises:
        ValueError: fewer than 8 folds, or a half with fewer than ``k + 1`` rows.
    """
    centre = mean_row(real)
    left, right = centred(real, centre), centred(fake, centre)
    parts, balls = parts_of(real_clusters, fake_clusters), []
    for points, masks in ((left, parts.real), (right, parts.fake)):
        found = neighbour_lists(points, k)
        sweep(within(points), [found])
        balls.append(around(lists_of(found), k, masks))
    beyond = Across(balls[0], balls[1], left, right)
    sweep(across(left, right), [beyond])
    return beyond.neighbourhood(k, parts)
