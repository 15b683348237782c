"""Clipped density and clipped coverage: like density and coverage, without what outliers do to those.

Salvy et al. 2025 (arXiv 2507.01761). Both read as the share of synthetic images that are good.

Clipped density: a synthetic image counts the real balls it is in, over ``k`` and at most 1; no ball is wider than the
median one; the mean is divided by what the real images score among themselves. Clipped coverage: a real ball counts the
synthetic images in it, over ``k`` and at most 1; the mean is read on the scale of what it would be if only some of the
synthetic images were good and the others nowhere near.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices, Mask
from bench.statistics.distances import mean_row, nearest
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife

SPARE = 10  # neighbours listed beyond k, for when a fold leaves
TILE = 1024

CLIPPED_DENSITY = Metric(
    key="clipped_density",
    title="Clipped density",
    better="higher",
    reference="arXiv:2507.01761",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Density without the pull of outliers: reads as the share of synthetic images that look real.",
)
CLIPPED_COVERAGE = Metric(
    key="clipped_coverage",
    title="Clipped coverage",
    better="higher",
    reference="arXiv:2507.01761",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Coverage on the scale of the share of synthetic images that, being good, would cover as much.",
)


@dataclass(frozen=True, slots=True)
class Lists:
    """The nearest rows of one set to each of ``N`` rows of another, or of the same set.

    ``distances`` and ``indices`` are ``(N, L)``, ascending, long enough that ``k`` remain when any fold leaves.
    """

    distances: Floats
    indices: Indices
    folds: Indices

    def kept(self, fold: int) -> Mask:
        """``(N, L)`` those that stay when ``fold`` leaves; fold -1 is none."""
        return self.folds[self.indices] != fold

    def at(self, k: int, fold: int) -> Indices:
        """``(N,)`` the place in the list of the ``k``-th that stays."""
        return (self.kept(fold).cumsum(axis=1) >= k).argmax(axis=1)

    def radius(self, k: int, fold: int) -> Floats:
        """``(N,)`` distance to the ``k``-th that stays."""
        return np.take_along_axis(self.distances, self.at(k, fold)[:, None], 1)[:, 0]


def lists(queries: Rows, references: Rows, k: int, folds: Indices, *, own: bool = False) -> Lists:
    """Neighbour lists among ``references``, whose folds are given; ``own`` leaves each row out of its own list."""
    most = len(references) - own
    spare, largest = SPARE, int(np.bincount(folds).max())
    while True:
        length = min(k + spare, most)
        found = Lists(*nearest(queries, references, length, exclude_self=own), folds)
        member = np.sort(folds[found.indices], axis=1)
        run = max(1, length - k)  # more of one fold than this and a list would run short
        enough = length <= run or not (member[:, run:] == member[:, :-run]).any()
        if enough or length == most or spare > largest:
            return found
        spare *= 4


class Pairs(NamedTuple):
    """Real and synthetic images within reach of each other, and how far apart."""

    real: Indices
    fake: Indices
    distance: Floats


def pairs_within(real: Rows, fake: Rows, reach: Floats) -> Pairs:
    """All pairs with ``|real_i - fake_j| <= reach_i``: float64 products about the real mean."""
    import torch

    centre = mean_row(real)
    x, y = (torch.from_numpy(rows - centre) for rows in (real, fake))
    y_squares = y.square().sum(dim=1)
    found: list[tuple[Indices, Indices, Floats]] = []
    for top in range(0, len(x), TILE):
        part = x[top : top + TILE]
        squares = (part @ y.T).mul_(-2).add_(y_squares).add_(part.square().sum(dim=1)[:, None]).clamp_(min=0)
        limit = torch.from_numpy(np.square(reach[top : top + TILE]))[:, None]
        i, j = torch.nonzero(squares <= limit, as_tuple=True)
        found.append(((i + top).numpy(), j.numpy(), squares[i, j].sqrt().numpy()))
    return Pairs(*(np.concatenate(each) for each in zip(*found, strict=True)))


@lru_cache(maxsize=128)
def expected_coverage(real: int, fake: int, k: int) -> Floats:
    """Expected mean of ``min(inside, k) / k`` over real balls if 0, 1, .. ``fake`` images are good: ``(fake + 1,)``.

    The mass of the ball of the ``k``-th of ``real - 1`` neighbours is Beta(k, real - k), so the number ``J`` of ``m``
    good images inside is beta-binomial, and one image more adds ``sum_(j<k) P(J = j) (k + j) / (real + m)``. Below
    ``k`` good images the published calibration is 0.
    """
    from scipy.special import betaln, gammaln

    m = np.arange(fake, dtype=np.float64)
    gain = np.zeros(fake)
    for j in range(k):
        some = m >= j
        good = m[some]
        choose = gammaln(good + 1) - gammaln(j + 1) - gammaln(good - j + 1)
        chance = np.exp(choose + betaln(k + j, real - k + good - j) - betaln(k, real - k))
        gain[some] += chance * (k + j) / (real + good)
    values = np.concatenate(([0.0], np.cumsum(gain))) / k
    values[:k] = 0.0
    return values


def good_share(mean: float, real: int, fake: int, k: int) -> float:
    """The share of good images whose expected clipped coverage is ``mean``."""
    table = expected_coverage(real, fake, k)
    return float(np.searchsorted(table, mean)) / len(table)


def clipped_density(own: Lists, pairs: Pairs, fake_folds: Indices, k: int, fold: int = -1) -> float:
    """Clipped density without one fold of both sets, before it is cut off at 1."""
    stay = own.folds != fold
    radius = own.radius(k, fold)
    radius = np.minimum(radius, np.median(radius[stay]))
    inside = (own.distances <= radius[:, None]) & own.kept(fold) & stay[:, None]
    rank = (own.kept(fold).cumsum(axis=1) <= k) & inside
    among_real = np.bincount(own.indices[rank], minlength=len(stay))[stay]
    held = (pairs.distance <= radius[pairs.real]) & stay[pairs.real]
    among_fake = np.bincount(pairs.fake[held], minlength=len(fake_folds))[fake_folds != fold]
    return float(np.minimum(among_fake / k, 1).mean() / np.minimum(among_real / k, 1).mean())


def clipped_coverage(own: Lists, across: Lists, k: int, fold: int = -1) -> float:
    """Clipped coverage without one fold of both sets."""
    stay = own.folds != fold
    radius = own.radius(k, fold)
    inside = ((across.distances < radius[:, None]) & across.kept(fold)).sum(axis=1)
    mean = float(np.minimum(inside, k)[stay].mean() / k)
    return good_share(mean, int(stay.sum()), int((across.folds != fold).sum()), k)


class Clipped(NamedTuple):
    """Both measures of one comparison; density may exceed 1 by chance."""

    density: Estimate
    coverage: Estimate


def clipped(own: Lists, across: Lists, pairs: Pairs, k: int) -> Clipped:
    """Both measures with the delete-fold jackknife over both sets; ``across`` lists fakes, ``own`` real ones.

    ``pairs`` are those within ``own_reach``.
    """
    table = np.array(
        [
            (clipped_density(own, pairs, across.folds, k, fold), clipped_coverage(own, across, k, fold))
            for fold in range(-1, fold_count(own.folds, across.folds))
        ]
    )
    return Clipped(*(jackknife(each) for each in table.T))


def own_reach(own: Lists, k: int) -> Floats:
    """The widest clipped ball of each real image, whichever fold leaves: ``(N,)``."""
    reach = np.zeros(len(own.folds))
    for fold in range(-1, int(own.folds.max()) + 1):
        radius = own.radius(k, fold)
        reach = np.maximum(reach, np.minimum(radius, np.median(radius[own.folds != fold])))
    return reach
