"""Two sets of features, a real and a synthetic one, and where a score about them stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Rows, Score
from bench.statistics.arrays import Indices, Interval
from bench.statistics.estimate import Estimate
from evaluators.fidelity.frechet_distance import Frechet, frechet_jackknife

FEWEST_FOLDS = 10
WIDE = 1024  # columns from which FD takes FEWEST_FOLDS: each fold costs a decomposition of (D, D)
BROAD = 256  # the same where a fold costs several decompositions


class Members(NamedTuple):
    """The real and synthetic images of a group, by index, in random folds; real ones fold by patient."""

    group: str
    real: Indices
    fake: Indices
    real_folds: Indices
    fake_folds: Indices

    @property
    def n(self) -> int:
        return min(len(self.real), len(self.fake))

    @property
    def fold_count(self) -> int:
        return int(self.real_folds.max(initial=-1)) + 1

    @property
    def left(self) -> int:
        """The fewest images of one side that remain when a fold leaves."""
        return min(len(each) - int(np.bincount(each).max()) for each in (self.real_folds, self.fake_folds))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a score stands: writes it, or the refusal where the metric wants more images."""

    n: int
    group: str = "all"
    encoder: str | None = None

    def score(self, metric: Metric, value: float, interval: Interval | None, reason: str | None = None) -> Score:
        if self.n < metric.minimum:
            return self.refused(metric, f"{self.n} images, {metric.key} needs {metric.minimum}")
        place = {"n": self.n, "group": self.group, "encoder": self.encoder}
        return metric(value, interval=interval, reason=reason, **place)  # type: ignore[arg-type]

    def estimated(self, metric: Metric, estimate: Estimate) -> Score:
        """The score of an estimate with its interval, brought within the bounds of the metric."""
        low, high = metric.bounds
        value = min(max(estimate.value, low), high)
        below, above = estimate.interval
        return self.score(metric, value, (min(below, value), max(above, value)))

    def refused(self, metric: Metric, reason: str) -> Score:
        return metric.refused(reason, n=self.n, group=self.group, encoder=self.encoder)


@dataclass(frozen=True)
class Sides:
    """The features of a group of real and synthetic images, in one encoder.

    Attributes:
        real, fake: ``(N, D)`` and ``(M, D)``, as the encoder wants them compared.
        members: whose they are and their folds.
        k: which neighbour the ball of an image reaches to.
        seed: of random choices made over them.
    """

    encoder: str
    real: Rows
    fake: Rows
    members: Members
    k: int
    seed: int

    @property
    def place(self) -> Place:
        return Place(self.members.n, self.members.group, self.encoder)

    @property
    def columns(self) -> int:
        return self.real.shape[1]

    @property
    def folds(self) -> tuple[Indices, Indices]:
        return self.members.real_folds, self.members.fake_folds

    @property
    def frechet_folds(self) -> tuple[Indices, Indices]:
        """The folds of FD, for its score and for whatever is said of its uncertainty."""
        return self._merged(WIDE)

    @property
    def costly_folds(self) -> tuple[Indices, Indices]:
        """The folds of what is computed from several decompositions each."""
        return self._merged(BROAD)

    def _merged(self, columns: int) -> tuple[Indices, Indices]:
        """The folds, merged into ``FEWEST_FOLDS`` from ``columns`` features on."""
        real, fake = self.folds
        return (real % FEWEST_FOLDS, fake % FEWEST_FOLDS) if self.columns >= columns else (real, fake)

    @property
    def outnumber_columns(self) -> bool:
        """Whether both sets have more images than features when a fold of FD leaves: else its bias cannot be told."""
        real, fake = self.frechet_folds
        return self.members._replace(real_folds=real, fake_folds=fake).left > self.columns

    @cached_property
    def frechet(self) -> Frechet:
        """FD and its uncertainty, where the images ``outnumber_columns``."""
        return frechet_jackknife(self.real, self.fake, *self.frechet_folds)
