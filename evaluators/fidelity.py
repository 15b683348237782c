"""Do synthetic images look like the test images, as a set: distances, neighbours, diversity, overall and by group."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Evaluator, ImageSet, Material, Metric, Purpose, Refused, Rows, Score
from bench.stats import Interval, clopper_pearson, cluster_folds, folds, normal_interval
from evaluators.diversity import circle_se, scales, similarities
from evaluators.estimate import Estimate
from evaluators.fidelity_metrics import (
    COVERAGE,
    DENSITY,
    FD,
    FD_FLOOR,
    FD_PLAIN,
    KID,
    MS_SSIM,
    MS_SSIM_GAP,
    MS_SSIM_REAL,
    OF_FEATURES,
    OF_PIXELS,
    PRECISION,
    RECALL,
)
from evaluators.frechet import frechet, frechet_jackknife
from evaluators.kernel_distance import kernel_distance
from evaluators.neighbours import neighbours

Indices = npt.NDArray[np.int64]
FEWEST_FOLDS = 10
WIDE = 1024  # columns from which FD takes FEWEST_FOLDS: each fold costs a decomposition of (D, D)
CONSTANT = 1e-6  # a column whose SD is a smaller part of its mean is constant but for rounding


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

    def refused(self, metric: Metric, reason: str) -> Score:
        return metric.refused(reason, n=self.n, group=self.group, encoder=self.encoder)


class Fidelity(Evaluator):
    """Compares synthetic images asked for under the conditions of the test part with the test part.

    Every distance is measured in the features of every encoder, over all images and within every subgroup. An
    encoder that says ``standardise`` has its columns brought to mean 0 and SD 1 over the test images first, and those
    that are constant there left out. Within a subgroup the larger side is thinned at random to the size of the
    smaller. ``n`` of a score is the size of the smaller side.
    """

    metrics: ClassVar[tuple[Metric, ...]] = OF_FEATURES + OF_PIXELS
    purposes: ClassVar[tuple[Purpose, ...]] = ("fidelity",)

    def __init__(
        self,
        encoders: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        k: int = 5,
        folds: int = 20,
        pairs: int = 256,
    ) -> None:
        """Settings as in ``conf/evaluator/fidelity.yaml``.

        Raises:
            BenchError: a setting out of range.
        """
        if not 1 <= k <= 20 or folds < FEWEST_FOLDS or pairs < MS_SSIM.minimum:
            needs = f"1 <= k <= 20, folds >= {FEWEST_FOLDS}, pairs >= {MS_SSIM.minimum}"
            raise BenchError(f"fidelity needs {needs}; got k={k}, folds={folds}, pairs={pairs}")
        self.encoders = None if encoders is None else tuple(encoders)
        self.groups = None if groups is None else tuple(groups)
        self.k, self.folds, self.pairs = k, folds, pairs

    def __call__(self, material: Material) -> Iterator[Score]:
        real, fake = material.split.test, material.images["fidelity"]
        if not len(real) or not len(fake):
            raise Refused(f"{len(real)} test images and {len(fake)} synthetic images: there is nothing to compare")
        seed = int(material.rng.integers(2**63))
        members = list(self._members(material, seed))
        for name in material.encoders if self.encoders is None else self.encoders:
            real_rows, fake_rows = _features(material, name)
            for each in members:
                yield from self._compare(name, each, real_rows[each.real], fake_rows[each.fake])
        yield from self._diversity(real, fake, np.random.default_rng([seed, _number("ms_ssim")]))

    def _members(self, material: Material, seed: int) -> Iterator[Members]:
        """All images, then every subgroup, each with folds that depend on the seed and its name only."""
        real, fake = material.split.test, material.images["fidelity"]
        patients = np.asarray(real.patients, dtype=np.str_)
        for group, i, j in self._groups(material, real, fake):
            rng = np.random.default_rng([seed, _number(group)])
            if group != "all":
                i, j = (rng.permutation(each)[: min(len(i), len(j))] for each in (i, j))
                i, j = np.sort(i), np.sort(j)
            count = min(self.folds, len(np.unique(patients[i])), max(1, len(j)))
            real_folds = cluster_folds(patients[i].tolist(), count, rng) if count else np.zeros(0, np.int64)
            yield Members(group, i, j, real_folds, folds(len(j), max(1, count), rng))

    def _groups(self, material: Material, real: ImageSet, fake: ImageSet) -> Iterator[tuple[str, Indices, Indices]]:
        yield "all", np.arange(len(real)), np.arange(len(fake))
        known = material.split.info.groups
        for name in known if self.groups is None else self.groups:
            if name not in known:
                raise BenchError(f"fidelity is asked for group {name!r}; {material.split.info.name} has {list(known)}")
            ours, theirs = (np.asarray(each.group(name), dtype=np.str_) for each in (real, fake))
            values = sorted(set(ours.tolist()) - {"unknown"})
            for value in values if len(values) > 1 else ():
                yield f"{name}={value}", np.flatnonzero(ours == value), np.flatnonzero(theirs == value)

    def _compare(self, encoder: str, members: Members, real: Rows, fake: Rows) -> Iterator[Score]:
        place = Place(members.n, members.group, encoder)
        reason = self._too_few(members)
        if reason:
            yield from (place.refused(metric, reason) for metric in OF_FEATURES)
            return
        around = (members.real_folds, members.fake_folds)
        yield from _frechet(place, members, real, fake)
        kid = kernel_distance(real, fake, *around)
        yield place.score(KID, kid.value, kid.interval)
        found = neighbours(real, fake, self.k, *around)
        yield place.score(PRECISION, found.precision.value, _share(found.precision, len(fake)))
        yield place.score(RECALL, found.recall.value, _share(found.recall, len(real)))
        none = None if found.density.se else "no synthetic image is inside any real ball, so nothing varies"
        yield place.score(DENSITY, found.density.value, None if none else found.density.interval, none)
        yield place.score(COVERAGE, found.coverage.value, _share(found.coverage, len(real)))

    def _too_few(self, members: Members) -> str | None:
        """Why nothing can be said of these images, if so."""
        if members.n < KID.minimum:
            return f"{members.n} images; {KID.minimum} are needed"
        if members.fold_count < FEWEST_FOLDS:
            return f"images of {members.fold_count} patients; {FEWEST_FOLDS} are needed for an interval"
        left = _left(members.real_folds, members.fake_folds)
        if left <= self.k:
            return f"nearly all images are of one patient: {left} are left without them"
        return None

    def _diversity(self, real: ImageSet, fake: ImageSet, rng: np.random.Generator) -> Iterator[Score]:
        side = min(*real.size, *fake.size)
        refuse = _too_alike(real, side)
        if refuse:
            yield from (Place(min(len(real), len(fake))).refused(metric, refuse) for metric in OF_PIXELS)
            return
        ours, theirs = similarities(real, self.pairs, rng), similarities(fake, self.pairs, rng)
        fits = scales(side)
        note = None if fits == 5 else f"{fits} of 5 scales fit images of {side} pixels"
        for metric, values in ((MS_SSIM, theirs), (MS_SSIM_REAL, ours)):
            mean = float(values.mean())
            yield Place(len(values)).score(metric, mean, normal_interval(mean, circle_se(values)), note)
        gap, se = abs(float(theirs.mean() - ours.mean())), float(np.hypot(circle_se(theirs), circle_se(ours)))
        yield Place(min(len(ours), len(theirs))).score(MS_SSIM_GAP, gap, normal_interval(gap, se), note)


def _frechet(place: Place, members: Members, real: Rows, fake: Rows) -> Iterator[Score]:
    """FD without its bias, as in papers, and its floor."""
    if place.n < FD.minimum:
        reason = f"{place.n} images, fd needs {FD.minimum}"
        yield from (place.refused(metric, reason) for metric in (FD, FD_PLAIN, FD_FLOOR))
        return
    columns = real.shape[1]
    count = members.fold_count if columns < WIDE else FEWEST_FOLDS
    real_folds, fake_folds = members.real_folds % count, members.fake_folds % count
    see = "biased upward, so an interval around it would miss the truth: see fd and fd_floor"
    if _left(real_folds, fake_folds) <= columns:
        reason = (
            f"{place.n} images for {columns} features: with fewer images than features the bias cannot be told; "
            "see kid, or compare fd_plain with that of the holdout control"
        )
        yield from (place.refused(metric, reason) for metric in (FD, FD_FLOOR))
        yield place.score(FD_PLAIN, frechet(real, fake), None, see)
        return
    found = frechet_jackknife(real, fake, real_folds, fake_folds)
    yield place.score(FD, found.corrected.value, found.corrected.interval)
    yield place.score(FD_PLAIN, found.plain, None, see)
    yield place.score(FD_FLOOR, found.floor, None, "computed from the spectrum of the real features, not sampled")


def _left(*sides: Indices) -> int:
    """The fewest images of one side that remain when a fold leaves."""
    return min(len(each) - int(np.bincount(each).max()) for each in sides)


def _share(estimate: Estimate, n: int) -> Interval:
    """The interval of a share; the exact binomial one where it is 0 or 1 and the folds all agree."""
    return estimate.interval if estimate.se else clopper_pearson(round(estimate.value * n), n)


def _too_alike(real: ImageSet, side: int) -> str | None:
    """Why structural similarity between patients cannot be measured, if so."""
    patients = len(set(real.patients))
    if patients < MS_SSIM.minimum:
        return f"images of {patients} patients; pairs of different patients need {MS_SSIM.minimum}"
    return None if side > 10 else f"images of {side} pixels; the window of structural similarity has 11"


def _features(material: Material, encoder: str) -> tuple[Rows, Rows]:
    """Features of test and synthetic images, on the scale of the test images if the encoder wants it."""
    real = material.features(encoder, material.split.test)
    fake = material.features(encoder, material.images["fidelity"])
    if not getattr(material.encoders[encoder], "standardise", False):
        return real, fake
    return standardise(real, fake)


def standardise(real: Rows, fake: Rows) -> tuple[Rows, Rows]:
    """Both sets with the real columns brought to mean 0 and SD 1; columns constant in the real set left out."""
    mean, spread = real.mean(axis=0, dtype=np.float64), real.std(axis=0, dtype=np.float64)
    varies = spread > CONSTANT * np.abs(mean)
    if not varies.any():
        raise Refused(f"all {len(varies)} features are constant over the test images")
    scaled = ((rows[:, varies] - mean[varies]) / spread[varies] for rows in (real, fake))
    real_scaled, fake_scaled = (rows.astype(np.float32) for rows in scaled)
    return real_scaled, fake_scaled


def _number(name: str) -> int:
    """A seed word that belongs to a name."""
    return zlib.crc32(name.encode())
