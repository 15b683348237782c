"""Precision, recall, density and coverage from balls around images, and their standard errors.

The ball of an image reaches to its ``k``-th nearest neighbour in its own set, itself not counted. A point is inside
when it is strictly nearer than that. Precision: share of synthetic images inside any real ball. Recall: share of
real images inside any synthetic ball (Kynkaanniemi et al. 2019, arXiv 1904.06991). Density: mean number of real
balls a synthetic image is inside, over ``k``. Coverage: share of real balls with a synthetic image inside
(Naeem et al. 2020, arXiv 2002.09797).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Floats, Indices, Mask, Singles
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
from bench.statistics.resampling import fold_count, jackknife

SPARE = 6  # neighbours listed beyond k: when a fold leaves, the next ones are at hand


@dataclass(frozen=True, slots=True)
class Balls:
    """Balls around the ``N`` rows of a set.

    Attributes:
        radius: ``(N,)`` distance to the ``k``-th neighbour.
        without: ``(N, G)`` the same when fold ``g`` is left out; never smaller.
        folds: ``(N,)`` fold of each row.
    """

    rows: Rows
    radius: Floats
    without: Floats
    folds: Indices

    @property
    def widest(self) -> Floats:
        return self.without.max(axis=1)


def balls(rows: Rows, k: int, folds: Indices, count: int) -> Balls:
    """Balls of ``(N, D)`` rows, with and without each of ``count`` folds.

    Raises:
        ValueError: leaving out a fold leaves fewer than ``k + 1`` rows.
    """
    points = centred(rows, mean_row(rows))
    lists = neighbour_lists(points, k, folds, count)
    sweep(within(points), [lists])
    return from_lists(lists, k, folds, count)


def neighbour_lists(points: Centred, k: int, folds: Indices, count: int) -> Nearest:
    """The consumer of a pass within a set that ``from_lists`` reads.

    Raises:
        ValueError: leaving out a fold leaves fewer than ``k + 1`` rows.
    """
    largest = int(np.bincount(folds, minlength=count).max())
    if len(points) - largest <= k:
        raise ValueError(f"{len(points)} rows less a fold of {largest} have no {k}-th neighbour")
    return Nearest(points, points, min(k + SPARE, len(points) - 1))


def from_lists(lists: Nearest, k: int, folds: Indices, count: int) -> Balls:
    """Balls of a set whose neighbours have been found."""
    rows = lists.left.rows
    distances, indices = lists.exact()
    without = np.empty((len(rows), count))
    for fold in range(count):
        rank = (folds[indices] != fold).cumsum(axis=1)
        at = (rank >= k).argmax(axis=1)
        without[:, fold] = np.take_along_axis(distances, at[:, None], 1)[:, 0]
        short = np.flatnonzero(rank[:, -1] < k)
        if len(short):
            without[short, fold] = _radius_anew(rows, k, short, np.flatnonzero(folds != fold))
    return Balls(rows, distances[:, k - 1], without, folds)


def _radius_anew(rows: Rows, k: int, which: Indices, remaining: Indices) -> Floats:
    """The ``k``-th neighbour distance of rows ``which`` among ``remaining``, for those whose list ran out."""
    distances, indices = nearest(rows[which], rows[remaining], k + 1)
    distances[remaining[indices] == which[:, None]] = np.inf
    return np.sort(distances, axis=1)[:, k - 1]


class Close(NamedTuple):
    """Pairs of a real and a synthetic image, one inside the other's ball or nearly so, and how far apart."""

    real: Indices
    fake: Indices
    distance: Floats


class ClosePairs:
    """Finds, in a tile, all pairs inside any ball, folds left out or not.

    Distances come from float32 products. Those that lie within the rounding of a radius are computed again in
    float64, so every comparison with a radius comes out as it would in float64.
    """

    def __init__(self, real: Balls, fake: Balls, left: Centred, right: Centred) -> None:
        self.real, self.fake = real, fake
        columns, longest = left.rows.shape[1], float(right.lengths.max())
        self._bound = rounding(left.lengths, longest, columns, "float32")
        self._left, self._right = left.squares.astype(np.float32), right.squares.astype(np.float32)
        self._real_reach = _above(np.square(real.widest) + self._bound)
        self._fake_reach = _above(
            np.square(fake.widest) + rounding(right.lengths, left.lengths.max(), columns, "float32")
        )

    def __call__(self, tile: Tile) -> Close:
        import torch

        rows, columns, products, _ = tile
        squares = torch.sub(torch.from_numpy(self._right[columns]), products, alpha=2)
        squares = squares.add_(torch.from_numpy(self._left[rows, None])).numpy()
        i, j = where(squares <= np.maximum(self._real_reach[rows, None], self._fake_reach[columns]))
        square, i, j = squares[i, j].astype(np.float64), i + rows.start, j + columns.start
        slack, distance = self._bound[i], np.sqrt(np.maximum(square, 0))
        unsure = np.flatnonzero(
            _near_a_radius(square, slack, self.real, i) | _near_a_radius(square, slack, self.fake, j)
        )
        distance[unsure] = pair_distances(self.real.rows, self.fake.rows, i[unsure], j[unsure])
        return Close(i, j, distance)


def _above(values: Floats) -> Singles:
    """The next float32 above each value."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


def _near_a_radius(square: Floats, slack: Floats, around: Balls, at: Indices) -> Mask:
    """Whether a squared distance is within ``slack`` of any squared radius of the ball at ``at``."""
    unsure = np.abs(square - np.square(around.radius[at])) <= slack
    shell = np.flatnonzero((square + slack >= np.square(around.radius[at])) & ~unsure)
    radii = np.square(around.without[at[shell]])
    unsure[shell] = (np.abs(square[shell, None] - radii) <= slack[shell, None]).any(axis=1)
    return unsure


@dataclass(frozen=True, slots=True)
class Inside:
    """How many balls of the other set each of ``N`` points is inside, by fold of the ball; or the other way round.

    Attributes:
        counts: ``(N, G)`` number of full balls, by the fold of the partner.
        gained: ``(N, G)`` number inside only because fold ``g`` left and balls grew, partners of fold ``g`` excepted.
    """

    counts: Indices
    gained: Indices

    def totals(self) -> Indices:
        """``(N,)`` the number of partners."""
        return self.counts.sum(axis=1)

    def totals_without(self, fold: int) -> Indices:
        """``(N,)`` the number of partners when ``fold`` is left out of both sets."""
        return self.totals() - self.counts[:, fold] + self.gained[:, fold]


def _empty(n: int, count: int) -> Inside:
    return Inside(np.zeros((n, count), np.int64), np.zeros((n, count), np.int64))


def _tally(into: Inside, at: Indices, partner_folds: Indices, inside: Mask) -> None:
    """Count the pairs whose point is inside a full ball."""
    n, count = into.counts.shape
    np.add.at(into.counts.reshape(n * count), at[inside] * count + partner_folds[inside], 1)


def _gain(into: Inside, at: Indices, folds: Indices) -> None:
    """Count pairs ``at`` that become inside when ``folds`` leave."""
    n, count = into.gained.shape
    np.add.at(into.gained.reshape(n * count), at * count + folds, 1)


def _grown(pairs: Close, around: Balls, at: Indices, other_folds: Indices) -> tuple[Indices, Indices]:
    """Pairs outside the full ball but inside it once a fold other than their own leaves: pair and fold numbers."""
    shell = np.flatnonzero((pairs.distance >= around.radius[at]) & (pairs.distance < around.widest[at]))
    pair, fold = np.nonzero(pairs.distance[shell, None] < around.without[at[shell]])
    pair = shell[pair]
    kept = (around.folds[at[pair]] != fold) & (other_folds[pair] != fold)
    return pair[kept], fold[kept]


class Memberships:
    """Consumer of the pass across two sets that counts who is inside whose ball.

    Attributes:
        inside_real: for each synthetic image, the real balls it is inside.
        inside_fake: for each real image, the synthetic balls it is inside.
        holding: for each real ball, the synthetic images inside it.
    """

    def __init__(self, real: Balls, fake: Balls, left: Centred, right: Centred) -> None:
        count = real.without.shape[1]
        self.real, self.fake, self._close = real, fake, ClosePairs(real, fake, left, right)
        self.inside_real, self.inside_fake = _empty(len(fake.rows), count), _empty(len(real.rows), count)
        self.holding = _empty(len(real.rows), count)

    def __call__(self, tile: Tile) -> None:
        pairs, real, fake = self._close(tile), self.real, self.fake
        i, j = pairs.real, pairs.fake
        in_real, in_fake = pairs.distance < real.radius[i], pairs.distance < fake.radius[j]
        _tally(self.inside_real, j, real.folds[i], in_real)
        _tally(self.holding, i, fake.folds[j], in_real)
        _tally(self.inside_fake, i, fake.folds[j], in_fake)
        pair, fold = _grown(pairs, real, i, fake.folds[j])
        _gain(self.inside_real, j[pair], fold)
        _gain(self.holding, i[pair], fold)
        pair, fold = _grown(pairs, fake, j, real.folds[i])
        _gain(self.inside_fake, i[pair], fold)


class Neighbours(NamedTuple):
    """The four measures of one comparison."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def neighbours(real: Rows, fake: Rows, k: int, real_folds: Indices, fake_folds: Indices) -> Neighbours:
    """Precision, recall, density and coverage of ``(N, D)`` and ``(M, D)`` features.

    Values equal those of the ``prdc`` package. Standard errors are those of the delete-fold jackknife over both
    sets; balls do not shrink and grow smoothly, which makes them too large rather than too small: intervals covered
    the truth in 95% to 100% of Gaussian trials. (A bootstrap with replacement would duplicate images, shrink the
    balls and miss its own estimate.)
    """
    count = fold_count(real_folds, fake_folds)
    around_real, around_fake = balls(real, k, real_folds, count), balls(fake, k, fake_folds, count)
    centre = mean_row(real)
    left, right = centred(real, centre), centred(fake, centre)
    counted = Memberships(around_real, around_fake, left, right)
    sweep(across(left, right), [counted])
    return from_memberships(counted, k)


def from_memberships(counted: Memberships, k: int) -> Neighbours:
    """The four measures of two sets whose pairs have all been counted."""
    inside_real, inside_fake, holding = counted.inside_real, counted.inside_fake, counted.holding
    real_folds, fake_folds, count = counted.real.folds, counted.fake.folds, counted.real.without.shape[1]
    values = [_values(inside_real.totals(), inside_fake.totals(), holding.totals(), k)]
    for fold in range(count):
        stay_real, stay_fake = real_folds != fold, fake_folds != fold
        values.append(
            _values(
                inside_real.totals_without(fold)[stay_fake],
                inside_fake.totals_without(fold)[stay_real],
                holding.totals_without(fold)[stay_real],
                k,
            )
        )
    return Neighbours(*(jackknife(each) for each in np.array(values).T))


def _values(inside_real: Indices, inside_fake: Indices, holding: Indices, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage from the numbers of partners."""
    return (
        float((inside_real > 0).mean()),
        float((inside_fake > 0).mean()),
        float(inside_real.mean()) / k,
        float((holding > 0).mean()),
    )
