"""Populations of features to draw samples from: patients of several images, heavy tails, near-duplicate columns."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from bench.api import ColumnUnits, Rows
from bench.statistics.arrays import Floats, Indices

MOST_IMAGES = 8  # of a patient
REFERENCE = 1000  # training images, drawn once for a population
MANY = 200_000  # images from which moments are taken where no formula gives them
DECAY = 0.7  # the i-th variance is i ** -DECAY


class Draw(NamedTuple):
    """One sample of real and synthetic images and what an estimator may know of them.

    Attributes:
        real, fake: ``(N, D)`` and ``(M, D)`` float32.
        real_patients, fake_patients: the patient of each image by number; no patient is on both sides. A synthetic
            image without a source is its own patient.
        reference, reference_patients: ``(T, D)`` training images and their patients, the same in every draw.
        units: what the encoder says of its columns.
    """

    real: Rows
    fake: Rows
    real_patients: Indices
    fake_patients: Indices
    reference: Rows
    reference_patients: Indices
    units: ColumnUnits


@dataclass(frozen=True)
class Shift:
    """How synthetic images differ from real ones.

    Attributes:
        mean: what is added to every column, in its standard deviations.
        spread: factor on the deviation along the lesser half of the principal directions of the scaled columns.
    """

    name: str
    mean: float
    spread: float

    @property
    def null(self) -> bool:
        return self.mean == 0 and self.spread == 1


# none; so little that it is hardly seen; far off and collapsed to half of the directions
NULL, SMALL, STRONG = SHIFTS = (Shift("null", 0.0, 1.0), Shift("small", 0.1, 1.0), Shift("strong", 0.5, 0.3))


class Population(ABC):
    """What samples are drawn from.

    Attributes:
        units: whether columns are to be brought to one scale.
        sources: whether synthetic images are made from images of source patients, as those of a control are; else each
            is drawn on its own.
        shifts: those that the population can be drawn with.
        finite: whether draws are parts of one fixed set of images: a statistic of one side alone then varies less from
            draw to draw than it does between new patients, unlike a difference of two disjoint parts.
    """

    name: str
    units: ColumnUnits = "alike"
    sources: bool = False
    shifts: tuple[Shift, ...] = SHIFTS
    finite: bool = False

    @abstractmethod
    def patients(self, n: int, rng: np.random.Generator) -> tuple[Rows, Indices]:
        """``n`` images of as many patients as it takes, the last one's cut off, and whose they are."""

    @abstractmethod
    def images(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` images of as many patients."""

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean ``(D,)`` and covariance ``(D, D)`` of an image: here from ``MANY``."""
        rng = self.stream("moments")
        parts = [self.images(MANY // 20, rng).astype(np.float64) for _ in range(20)]
        mean = np.mean([part.mean(axis=0) for part in parts], axis=0)
        return mean, np.mean([(part - mean).T @ (part - mean) / len(part) for part in parts], axis=0)

    @cached_property
    def training(self) -> tuple[Rows, Indices]:
        """The training images and their patients."""
        return self.patients(REFERENCE, self.stream("reference"))

    @property
    def reference(self) -> Rows:
        return self.training[0]

    def draw(self, n: int, shift: Shift, rng: np.random.Generator) -> Draw:
        """``n`` real images and ``n`` synthetic ones."""
        real, patients = self.patients(n, rng)
        fake, sources = self.patients(n, rng) if self.sources else (self.images(n, rng), np.arange(n))
        return Draw(real, self.shifted(fake, shift), patients, sources, *self.training, self.units)

    def shifted(self, rows: Rows, shift: Shift) -> Rows:
        """Synthetic images made of such rows."""
        if shift.null:
            return rows
        mean, _ = self.moments
        spread, directions = self._principal
        factors = np.where(np.arange(len(mean)) < len(mean) // 2, 1.0, shift.spread)
        scaled = ((rows - mean) / spread) @ directions * factors @ directions.T
        return (mean + spread * (scaled + shift.mean)).astype(np.float32)

    def moments_of(self, shift: Shift) -> tuple[Floats, Floats]:
        """Mean and covariance of a synthetic image, which follow from those of a real one, whatever its law."""
        mean, covariance = self.moments
        spread, directions = self._principal
        factors = np.where(np.arange(len(mean)) < len(mean) // 2, 1.0, shift.spread)
        turn = (spread[:, None] * (directions * factors) @ directions.T) / spread
        return mean + spread * shift.mean, turn @ covariance @ turn.T

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers that belong to the population and a purpose."""
        return np.random.default_rng([zlib.crc32(self.name.encode()), zlib.crc32(purpose.encode())])

    @cached_property
    def _principal(self) -> tuple[Floats, Floats]:
        """The deviation of each column, and the principal directions of the scaled columns, greatest first."""
        covariance = self.moments[1]
        spread = np.sqrt(np.diag(covariance))
        return spread, np.linalg.eigh(covariance / np.outer(spread, spread))[1][:, ::-1]


@dataclass(frozen=True)
class Drawn(Population):
    """Rotated normal columns whose variances fall by a power, made less kind by what is asked for.

    Attributes:
        columns: of a row.
        images_a_patient: mean number; the numbers 1 to ``MOST_IMAGES`` fall geometrically.
        correlation: of two images of a patient.
        freedom: degrees of freedom where rows are multivariate t.
        skewed: how many columns are exponentials of normal ones, with standard deviation 1 of the logarithm.
        duplicates: how many columns are another one (the skewed ones first) with a little noise.
    """

    name: str
    columns: int
    images_a_patient: float = 1.0
    correlation: float = 0.0
    freedom: float = math.inf
    skewed: int = 0
    duplicates: int = 0
    units: ColumnUnits = "alike"
    sources: bool = False

    def patients(self, n: int, rng: np.random.Generator) -> tuple[Rows, Indices]:
        sizes = rng.choice(np.arange(1, MOST_IMAGES + 1), size=n, p=size_shares(self.images_a_patient))
        whose = np.repeat(np.arange(n), sizes)[:n]
        common, own = rng.standard_normal((whose[-1] + 1, self.columns)), rng.standard_normal((n, self.columns))
        return self._rows(
            math.sqrt(self.correlation) * common[whose] + math.sqrt(1 - self.correlation) * own, rng
        ), whose

    def images(self, n: int, rng: np.random.Generator) -> Rows:
        return self._rows(rng.standard_normal((n, self.columns)), rng)

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """By the formula where rows are normal or t."""
        if self.skewed or self.duplicates or self.units == "different":
            return super().moments
        return np.zeros(self.columns), self._covariance

    @cached_property
    def _rotation(self) -> Floats:
        return np.linalg.qr(np.random.default_rng(self.columns).standard_normal((self.columns, self.columns)))[0]

    @cached_property
    def _deviations(self) -> Floats:
        return np.arange(1, self.columns + 1) ** (-DECAY / 2)

    @property
    def _covariance(self) -> Floats:
        half = self._deviations[:, None] * self._rotation
        return half.T @ half

    def _rows(self, normal: Floats, rng: np.random.Generator) -> Rows:
        """Rows from standard normal ones ``(N, D)``."""
        rows = normal * self._deviations @ self._rotation
        if math.isfinite(self.freedom):
            rows = rows * np.sqrt((self.freedom - 2) / rng.chisquare(self.freedom, (len(rows), 1)))
        if self.skewed:
            deviations = np.sqrt(np.diag(self._covariance))[: self.skewed]
            rows[:, : self.skewed] = deviations * lognormal(rows[:, : self.skewed] / deviations)
        if self.duplicates:
            noise = rng.standard_normal((len(rows), self.duplicates))
            rows[:, -self.duplicates :] = rows[:, : self.duplicates] + 0.03 * noise
        if self.units == "different":
            unit = 10.0 ** np.linspace(-3, 5, self.columns)
            rows = unit * (rows + 5)
        return rows.astype(np.float32)


def lognormal(normal: Floats) -> Floats:
    """The exponential of standard normal numbers, brought to mean 0 and SD 1; its excess kurtosis is 111."""
    return (np.exp(normal) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def size_shares(mean: float) -> Floats:
    """The share of patients with 1, 2, .. ``MOST_IMAGES`` images: falls geometrically, with this mean."""
    numbers = np.arange(1, MOST_IMAGES + 1)
    if mean == 1:
        return (numbers == 1).astype(np.float64)

    def shares(ratio: float) -> Floats:
        weights = ratio ** (numbers - 1.0)
        return weights / weights.sum()

    return shares(brentq(lambda ratio: shares(ratio) @ numbers - mean, 1e-6, 1 - 1e-6))


DRAWN: tuple[Population, ...] = (
    Drawn("normal_16", 16),
    Drawn("normal_64", 64),
    Drawn("patients", 32, images_a_patient=1.5, correlation=0.5),
    Drawn("patients_hard", 64, images_a_patient=3.0, correlation=0.8),
    Drawn("sources", 32, images_a_patient=3.0, correlation=0.8, sources=True),
    Drawn("heavy_tails", 32, freedom=6.0),
    Drawn("skewed", 32, skewed=4),
    Drawn("units", 32, duplicates=4, units="different"),
    Drawn("like_radiomics", 48, 1.5, 0.6, skewed=4, duplicates=4, units="different"),
)
