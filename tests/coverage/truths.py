"""What an estimate should be: the value of a population, whatever the number of images.

Written apart from the code under test: by formula from the moments, or from many images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from bench.statistics.arrays import Floats
from tests.coverage.populations import MANY, NULL, Population, Shift

PAIRED = 5_000  # images whose pairs give a kernel distance
NEW = 40_000  # images of which a share is counted
CONSTANT = 1e-6

# metrics that have such a value; of all others the expected value at the number of images is the truth
FREE_OF_N = frozenset({"fd", "fd_infinity", "kid", "cmmd", "authenticity", "spectrum_distance", "spectral_slope_gap"})


class Truths:
    """The values of a population under a shift.

    Columns of different units are brought to the scale of the training images, far values drawn in.
    """

    def __init__(self, population: Population, shift: Shift) -> None:
        self.population, self.shift = population, shift
        self.centre, self.scale = np.zeros(()), np.ones(())
        if population.units == "different":
            self.centre, self.scale = (f(population.reference.astype(np.float64), axis=0) for f in (np.mean, np.std))

    def __call__(self, metric: str) -> float | None:
        """The value, ``None`` for a metric that has none."""
        if metric not in FREE_OF_N:
            return None
        if metric == "authenticity":
            return self._authenticity()
        if self.shift.null:
            return 0.0
        if metric in ("fd", "fd_infinity"):
            return self._frechet()
        if metric in ("kid", "cmmd"):
            return self._kernel(cubic if metric == "kid" else gaussian, unit_length=metric == "cmmd")
        return self._spectrum(metric)

    def _scaled(self, rows: npt.NDArray[np.floating]) -> Floats:
        scaled = (rows.astype(np.float64) - self.centre) / self.scale
        return drawn_in(scaled) if self.scale.ndim else scaled

    def _frechet(self) -> float:
        (mean, one), (other, two) = (self._moments(each) for each in (NULL, self.shift))
        gap, root = other - mean, np.real(sqrtm(one))
        cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
        return float(gap @ gap + np.trace(one) + np.trace(two) - 2 * cross)

    def _moments(self, shift: Shift) -> tuple[Floats, Floats]:
        """By formula where rows are compared as they are; else of ``MANY`` scaled images, the same for every shift."""
        if not self.scale.ndim:
            return self.population.moments_of(shift)
        rng = self.population.stream("scaled moments")
        parts = (self.population.images(MANY // 20, rng) for _ in range(20))
        rows = np.concatenate([self._scaled(self.population.shifted(part, shift)) for part in parts])
        return rows.mean(axis=0), np.cov(rows, rowvar=False)

    def _kernel(self, kernel: Callable[[Floats, Floats], Floats], *, unit_length: bool) -> float:
        """Over all pairs but those of an image and itself or its shifted self, which takes most of the chance away."""
        rows = self.population.images(PAIRED, self.population.stream(f"kernel {self.shift.name}"))
        x, y = self._scaled(rows), self._scaled(self.population.shifted(rows, self.shift))
        if unit_length:
            x, y = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y))
        total = 0.0
        for top in range(0, PAIRED, 1000):
            part = slice(top, top + 1000)
            sums = kernel(x[part], x) + kernel(y[part], y) - kernel(x[part], y) - kernel(y[part], x)
            total += sums.sum() - np.diagonal(sums, top).sum()
        return float(total / (PAIRED * (PAIRED - 1.0)))

    def _authenticity(self) -> float:
        """The share against the training images, whose own scale is always taken where units differ."""
        train = self.population.reference.astype(np.float64)
        fake = self.population.images(NEW, self.population.stream("new"))
        fake = self.population.shifted(fake, self.shift).astype(np.float64)
        if self.population.units == "different":
            varies = train.std(axis=0) > CONSTANT * np.abs(train.mean(axis=0))
            centre, scale = train.mean(axis=0)[varies], train.std(axis=0)[varies]
            train, fake = (drawn_in((each[:, varies] - centre) / scale) for each in (train, fake))
        own = np.sort(cdist(train, train), axis=1)[:, 1]
        away = np.concatenate([_nearest(fake[top : top + 2000], train, own) for top in range(0, NEW, 2000)])
        return float(away.mean())

    def _spectrum(self, metric: str) -> float:
        """Of rows read as logarithms of power in bands 1, 2, ..."""
        gap = self._scaled(self.population.moments_of(self.shift)[0]) - self._scaled(self.population.moments[0])
        if metric == "spectrum_distance":
            return float(100 * np.mean(gap**2))
        place = np.log10(np.arange(3, len(gap) + 1))
        return float(np.polyfit(place, gap[2:], 1)[0])


def _nearest(fake: Floats, train: Floats, own: Floats) -> npt.NDArray[np.bool_]:
    """Whether each row is further from its nearest training row than that is from the next."""
    distances = cdist(fake, train)
    at = distances.argmin(axis=1)
    return distances[np.arange(len(fake)), at] > own[at]


def drawn_in(values: Floats) -> Floats:
    """Values up to 5 standard deviations as they are, beyond by the logarithm of what is more."""
    beyond = np.maximum(np.abs(values) - 5, 0)
    return np.clip(values, -5, 5) + np.sign(values) * np.log1p(beyond)


def cubic(first: Floats, second: Floats) -> Floats:
    root = first @ second.T / first.shape[1] + 1
    return root * root * root  # numpy's power is ten times slower


def gaussian(first: Floats, second: Floats) -> Floats:
    """1000 times that of bandwidth 10 on rows of length 1."""
    return 1000 * np.exp((first @ second.T - 1) / 100)
