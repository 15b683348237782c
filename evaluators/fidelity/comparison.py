"""Two sets of features, a real and a synthetic one, what is found of them, and where a score about them stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bench.api import Keep, Metric, Rows, Score, Spread, made_anew
from bench.statistics.arrays import Indices, Interval
from bench.statistics.clusters import Clusters
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import parts_of
from bench.statistics.resampling import share_interval, wilson
from bench.statistics.scaling import Scale, scale_of
from evaluators.fidelity.chance import DRAWS, FEW_DRAWS, Chance, Pool
from evaluators.fidelity.frechet_distance import Frechet, frechet_jackknife

FEWEST_FOLDS = 10
WIDE = 1024  # columns from which FD takes FEWEST_FOLDS: each fold costs a decomposition of (D, D)
BROAD = 256  # the same where a fold costs several decompositions


class Members(NamedTuple):
    """The real and synthetic images of a group, by index, and who they are of."""

    group: str
    real: Indices
    fake: Indices
    real_clusters: Clusters
    fake_clusters: Clusters

    @property
    def n(self) -> int:
        return min(len(self.real), len(self.fake))

    @property
    def clusters(self) -> tuple[Clusters, Clusters]:
        return self.real_clusters, self.fake_clusters

    @property
    def fold_count(self) -> int:
        return min(each.count for each in self.clusters)

    @property
    def left(self) -> int:
        """The fewest images of one side that remain when a fold leaves."""
        return min(len(each) - int(np.bincount(each.folds, minlength=1).max()) for each in self.clusters)

    @property
    def half(self) -> int:
        """The fewest images of one side in any of the halves of its folds."""
        return min(int(each.sum(axis=1).min()) for each in parts_of(*self.clusters))

    @property
    def effective(self) -> float:
        """As how many images the fewer ones of a side count at least when a fold leaves: ``N^2 / sum_p n_p^2``, for a
        patient with ``n_p`` images whose images are all alike."""
        counts = (len(each) ** 2 / float(each.together.sum()) for each in self.clusters)
        return min(counts) * (1 - 1 / max(1, self.fold_count))

    def merged(self, count: int) -> Members:
        """The same in ``count`` folds at most."""
        real, fake = (each.merged(count) for each in self.clusters)
        return self._replace(real_clusters=real, fake_clusters=fake)

    def without(self, fold: int) -> Members:
        """The images that stay when a fold of both sides leaves, the other folds numbered anew."""
        stay = [each.folds != fold for each in self.clusters]
        real, fake = (
            Clusters(each.folds[kept] - (each.folds[kept] > fold), each.patients[kept])
            for each, kept in zip(self.clusters, stay, strict=True)
        )
        return Members(self.group, self.real[stay[0]], self.fake[stay[1]], real, fake)


@dataclass(frozen=True, slots=True)
class Found:
    """What a measure found.

    Attributes:
        estimate: the value, with its error where ``reason`` is ``None``.
        reason: why there is no interval; or, beside an interval, what else is to be said.
        interval: where it is not that of the estimate.
        share: of how many images the value is a share.
        cut: whether the value is on the scale of a share, but may be above it by chance: of how many images.
        sides: the errors that the real and the synthetic set alone bring.
        plain: what the jackknife takes the bias off, where the value has none; see ``own_scale``.
        null: the deviation between two samples of one population, where the value is a squared distance.
    """

    metric: Metric
    estimate: Estimate
    reason: str | None = None
    interval: Interval | None = None
    share: int = 0
    cut: int = 0
    sides: tuple[Estimate, Estimate] | None = None
    plain: float | None = None
    null: float | None = None

    @classmethod
    def bare(cls, metric: Metric, value: float, reason: str) -> Found:
        """A value without an interval."""
        return cls(metric, Estimate(value, 0.0, 0), reason)

    def ends(self) -> Interval | None:
        """The interval, before it is brought within the bounds of the metric."""
        estimate = self.estimate
        if self.interval is not None or not estimate.folds:
            return self.interval
        if self.share:
            return share_interval(estimate, self.share)
        low, high = estimate.interval
        if not self.cut:
            return low, high
        share = min(max(estimate.value, 0.0), 1.0)
        below, above = wilson(share, self.cut)
        return min(low, (share + below) / 2), max(high, (share + above) / 2)


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

    def scored(self, found: Found) -> Score:
        """The score of what was found, brought within the bounds of the metric."""
        low, high = found.metric.bounds
        value, ends = min(max(found.estimate.value, low), high), found.ends()
        if ends is None:
            return self.score(found.metric, value, None, found.reason)
        score = self.score(found.metric, value, (min(ends[0], value), max(ends[1], value)), found.reason)
        # a value that was cut off at its bound does not move as the estimate does
        if score.value is None or value != found.estimate.value or len(found.estimate.deviations) < 2:
            return score
        sides = (None, None) if found.sides is None else tuple(each.se for each in found.sides)
        return replace(score, spread=Spread(found.estimate.deviations, *sides))

    def refused(self, metric: Metric, reason: str) -> Score:
        return metric.refused(reason, n=self.n, group=self.group, encoder=self.encoder)


@dataclass(frozen=True)
class Reference:
    """What is known, in one encoder, from real images beside the test part.

    Attributes:
        scale: what columns are brought to where they have different units; ``None`` where they do not, or where it is
            to be that of the judged real images because there are too few training images.
        own: whether it is.
        pools: sets of real images of the population, the one most like the group first.
    """

    scale: Scale | None = None
    own: bool = False
    pools: Sequence[Pool] = ()


@dataclass(frozen=True)
class Sides:
    """The features of a group of real and synthetic images, in one encoder.

    Attributes:
        raw: ``(N, D)`` real and ``(M, D)`` synthetic rows as the encoder gives them.
        members: whose they are and their folds.
        k: which neighbour the ball of an image reaches to.
        seed: of random choices made over them.
        apart: whether to find the effect of the two sets apart too.
        keep: keeps what depends on real images alone.
    """

    encoder: str
    raw: tuple[Rows, Rows]
    members: Members
    k: int
    seed: int
    reference: Reference = Reference()
    apart: bool = False
    keep: Keep = made_anew

    @property
    def place(self) -> Place:
        return Place(self.members.n, self.members.group, self.encoder)

    @cached_property
    def _scale(self) -> Scale | None:
        return scale_of(self.raw[0]) if self.reference.own else self.reference.scale

    @cached_property
    def real(self) -> Rows:
        return self.raw[0] if self._scale is None else self._scale(self.raw[0])

    @cached_property
    def fake(self) -> Rows:
        return self.raw[1] if self._scale is None else self._scale(self.raw[1])

    @property
    def columns(self) -> int:
        return self.real.shape[1]

    @property
    def clusters(self) -> tuple[Clusters, Clusters]:
        return self.members.clusters

    @property
    def frechet_members(self) -> Members:
        """The folds of FD, for its score and for whatever is said of its uncertainty."""
        return self.members.merged(FEWEST_FOLDS) if self.columns >= WIDE else self.members

    @property
    def costly_folds(self) -> tuple[Indices, Indices]:
        """The folds of what is computed from several decompositions each."""
        members = self.members.merged(FEWEST_FOLDS) if self.columns >= BROAD else self.members
        return members.real_clusters.folds, members.fake_clusters.folds

    @property
    def outnumber_columns(self) -> bool:
        """Whether both sets have more images than features when a fold of FD leaves, the images of a patient counting
        as they would if they were all alike: else its bias cannot be told."""
        members = self.frechet_members
        return min(members.left, members.effective) > self.columns

    @cached_property
    def chance(self) -> Chance | None:
        """FD between real images of the population, from the first pool that is large enough; then from halves of the
        judged real images."""
        draws = FEW_DRAWS if self.columns >= BROAD else DRAWS
        own = Pool(self.real, self.clusters[0].patients)
        for pool in (*self.reference.pools, own):
            rows = pool.rows if pool is own or self._scale is None else self._scale(pool.rows)
            found = Pool(rows, pool.patients).chance(len(self.real), len(self.fake), draws, self.keep)
            if found is not None:
                return found
        return None

    @cached_property
    def frechet(self) -> Frechet:
        """FD and its uncertainty, where the images ``outnumber_columns`` and ``chance`` is known."""
        assert self.chance is not None
        real, fake = (each.folds for each in self.frechet_members.clusters)
        return frechet_jackknife(self.real, self.fake, real, fake, self.chance.sd)

    def without(self, fold: int) -> Sides:
        """The sides without a fold of both, brought to a scale of their own."""
        real, fake = (rows[each.folds != fold] for rows, each in zip(self.raw, self.clusters, strict=True))
        members = self.members.without(fold)
        return replace(self, raw=(real, fake), members=members, apart=False, keep=made_anew)
