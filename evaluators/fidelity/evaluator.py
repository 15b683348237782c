"""Do synthetic images look like the test images, as a set: distances, neighbours, diversity, overall and by group."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from bench.api import (
    BenchError,
    ComparesPairs,
    Evaluator,
    HasFrequencies,
    ImageSet,
    Material,
    Metric,
    Purpose,
    Refused,
    Score,
)
from bench.runtime.told import standing
from bench.statistics.arrays import Indices
from bench.statistics.clusters import Clusters
from bench.statistics.resampling import hashed_order, normal_interval
from bench.storage.files import as_json
from evaluators.fidelity.alpha_precision import AUTHENTICITY
from evaluators.fidelity.comparison import FEWEST_FOLDS, Members, Place, Sides
from evaluators.fidelity.encoder_metrics import SPECIALS, Scene, newness
from evaluators.fidelity.feature_metrics import at_infinity, likeness
from evaluators.fidelity.kernel_distance import KID
from evaluators.fidelity.metrics import OF_FEATURES, OF_PIXELS, OF_SOME, OVERALL
from evaluators.fidelity.ms_ssim import MS_SSIM, MS_SSIM_GAP, MS_SSIM_REAL, circle_se, scales, similarities
from evaluators.fidelity.reference import RealImages

INTERVALS = "intervals.json"
MOST_FOLDS = 200
MOST = 50_000  # images of a side: all pairs of these take minutes, and their features in float64 under a gigabyte


class Fidelity(Evaluator):
    """Compares synthetic images asked for under the conditions of the test part with the test part.

    Distances are measured in the features of every encoder made to judge likeness, over all images and within every
    subgroup. An encoder whose ``column_units`` are different has its columns brought to mean 0 and SD 1 over training
    images first, at most ``reference.MOST`` by the hash of their patients, and those that are constant there left out;
    where there are too few training images, over the test images, anew in every fold. The folds of real images go by
    patient and are the same for every generator; a synthetic image is of its own patient unless its generator says
    whose image it gives back. The subgroups of one column are thinned by hash, on both sides, to one number of images,
    that of the smallest that can be measured. ``n`` of a score is the size of the smaller side; a side of more than
    ``MOST`` images is thinned to as many first. Measures that need more of an encoder than features are taken where one
    has it, over all images. ``intervals.json`` tells, for the metrics over all images whose error both sets
    bring (distances, shares, the ratio of Vendi scores), how much of it is the synthetic set's and how much the real
    one's.
    """

    metrics: ClassVar[tuple[Metric, ...]] = OF_FEATURES + OVERALL + OF_SOME + OF_PIXELS
    purposes: ClassVar[tuple[Purpose, ...]] = ("fidelity",)
    id: ClassVar[str] = "fidelity"
    version: ClassVar[str] = "4"

    def __init__(
        self,
        encoders: Sequence[str] | None = None,
        skip: Sequence[str] = (),
        groups: Sequence[str] | None = None,
        against_train: Sequence[str] = (),
        **numbers: int,
    ) -> None:
        """Settings as in ``conf/evaluator/fidelity.yaml``; ``numbers`` are ``k``, ``folds`` and ``pairs``.

        Raises:
            BenchError: a setting unknown or out of range.
        """
        unknown = sorted(set(numbers) - {"k", "folds", "pairs"})
        self.k, self.folds, self.pairs = numbers.get("k", 5), numbers.get("folds", 20), numbers.get("pairs", 256)
        fine = 1 <= self.k <= 20 and FEWEST_FOLDS <= self.folds <= MOST_FOLDS and self.pairs >= MS_SSIM.minimum
        if unknown or not fine:
            needs = f"1 <= k <= 20, {FEWEST_FOLDS} <= folds <= {MOST_FOLDS}, pairs >= {MS_SSIM.minimum}"
            raise BenchError(f"fidelity needs {needs}; got {numbers}")
        self.encoders = None if encoders is None else tuple(encoders)
        self.skip, self.against_train = tuple(skip), tuple(against_train)
        self.groups = None if groups is None else tuple(groups)

    def __call__(self, material: Material) -> Iterator[Score]:
        real, fake = material.split.test, material.images["fidelity"]
        if not len(real) or not len(fake):
            raise Refused(f"{len(real)} test images and {len(fake)} synthetic images: there is nothing to compare")
        seed = int(material.rng.integers(2**63))
        material = _thinned(material, np.random.default_rng([seed, _number("thinned")]))
        scores = list(self._scores(material, seed))
        material.leave(INTERVALS, as_json(_apart(scores)))
        return iter(scores)

    def _scores(self, material: Material, seed: int) -> Iterator[Score]:
        members, known, judges = list(self._members(material)), RealImages.of(material.split), self._judges(material)
        for name in judges:
            for each in members:
                try:
                    found = list(self._of_group(self._sides(material, name, each, known, seed), material))
                except Refused as refusal:  # the columns of one encoder, or of one group, that do not vary
                    metrics = OF_FEATURES + OVERALL if each.group == "all" else OF_FEATURES
                    found = [Place(each.n, each.group, name).refused(metric, str(refusal)) for metric in metrics]
                yield from found
        if not judges:
            reason = f"all configured encoders are skipped {list(self.skip)}: add one, e.g. encoder=[...,radiomics]"
            yield from (Place(members[0].n).refused(metric, reason) for metric in OF_FEATURES + OVERALL)
        yield from self._specials(material, members[0], known, seed)
        rng = np.random.default_rng([seed, _number("ms_ssim")])
        yield from self._diversity(material.split.test, material.images["fidelity"], rng)

    def _of_group(self, sides: Sides, material: Material) -> Iterator[Score]:
        """The scores of a group in an encoder, as the generator's standing in the group allows."""
        group = sides.members.group
        if group == "all":
            yield from likeness(sides)
            yield from at_infinity(sides)
            return
        column, value = group.split("=", 1)
        stands = standing(material, column, value)
        if stands.refusal:
            yield from (sides.place.refused(metric, stands.refusal) for metric in OF_FEATURES)
        else:
            yield from map(stands.marked, likeness(sides))

    def _sides(self, material: Material, name: str, members: Members, known: RealImages, seed: int) -> Sides:
        real, fake = (
            material.features(name, images)[chosen]
            for images, chosen in (
                (material.split.test, members.real),
                (material.images["fidelity"], members.fake),
            )
        )
        reference = known.reference(material, name, members.group)
        sides = Sides(name, (real, fake), members, self.k, _seed(seed, members.group), reference)
        return replace(sides, apart=members.group == "all", keep=material.keep)

    def _chosen(self, material: Material) -> list[str]:
        if self.encoders is not None:
            return list(self.encoders)
        return [name for name in material.encoders if name not in self.skip]

    def _judges(self, material: Material) -> list[str]:
        """Encoders in which distances are measured: not those that exist for one special measure."""
        found = {name: material.encoders[name] for name in self._chosen(material)}
        return [name for name, encoder in found.items() if not isinstance(encoder, HasFrequencies | ComparesPairs)]

    def _members(self, material: Material) -> Iterator[Members]:
        """All images, then every subgroup, in folds that depend on the names of the images only."""
        real, fake = material.split.test, material.images["fidelity"]
        whose = [np.asarray(each.patients, dtype=np.str_) for each in (real, fake)]
        for group, i, j, most in self._groups(material, real, fake):
            if group != "all":
                most = min(len(i), len(j), most)
                i, j = (_some(each, names, most) for each, names in ((i, real.ids), (j, fake.ids)))
            ours, theirs = whose[0][i], whose[1][j]
            count = min(self.folds, len(np.unique(ours)), len(np.unique(theirs)))
            yield Members(group, i, j, Clusters.of(ours.tolist(), count), Clusters.of(theirs.tolist(), count))

    def _groups(
        self, material: Material, real: ImageSet, fake: ImageSet
    ) -> Iterator[tuple[str, Indices, Indices, int]]:
        """Every group with its real and synthetic images, and the most that may be used of each side.

        Groups of one column that are large enough to be measured share one number of images: most metrics depend on
        it, so a rare label would look worse than a common one.
        """
        yield "all", np.arange(len(real)), np.arange(len(fake)), max(len(real), len(fake))
        known = material.split.info.groups
        for name in known if self.groups is None else self.groups:
            if name not in known:
                raise BenchError(f"fidelity is asked for group {name!r}; {material.split.info.name} has {list(known)}")
            ours, theirs = (np.asarray(each.group(name), dtype=np.str_) for each in (real, fake))
            values = sorted(set(ours.tolist()) - {"unknown"})
            if len(values) < 2:
                continue
            found = {each: (np.flatnonzero(ours == each), np.flatnonzero(theirs == each)) for each in values}
            sizes = [min(map(len, sides)) for sides in found.values()]
            most = min((size for size in sizes if size >= KID.minimum), default=max(sizes))
            for value, (i, j) in found.items():
                yield f"{name}={value}", i, j, most

    def _specials(self, material: Material, members: Members, known: RealImages, seed: int) -> Iterator[Score]:
        """Measures that need more than features, in every encoder that has it, or refused for want of one."""
        scenes = [self._scene(material, name, members, known, seed) for name in self._chosen(material)]
        for special in SPECIALS:
            if any(special.suits(scene.encoder) for scene in scenes):
                yield from special(scenes)
            else:
                yield from (Place(members.n).refused(metric, special.lacking) for metric in special.metrics)
        there = [name for name in self.against_train if name in list(material.encoders)]
        for name in there:
            yield from newness(self._scene(material, name, members, known, seed))
        if not there:
            reason = f"measured in the encoders of fidelity.against_train {list(self.against_train)}, none configured"
            yield Place(members.n).refused(AUTHENTICITY, reason)

    def _scene(self, material: Material, name: str, members: Members, known: RealImages, seed: int) -> Scene:
        return Scene(material, name, members, known, self.k, self.pairs, _seed(seed, "all"))

    def _diversity(self, real: ImageSet, fake: ImageSet, rng: np.random.Generator) -> Iterator[Score]:
        side = min(*real.size, *fake.size)
        refuse = _too_alike(real, side) or _too_alike(fake, side)
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


def _thinned(material: Material, rng: np.random.Generator) -> Material:
    """The same with at most ``MOST`` test and as many synthetic images."""
    test, fake = (each.at_most(MOST, rng) for each in (material.split.test, material.images["fidelity"]))
    images: dict[Purpose, ImageSet] = {**material.images, "fidelity": fake}
    return replace(material, split=replace(material.split, test=test), images=images)


def _apart(scores: Sequence[Score]) -> dict[str, dict[str, object]]:
    """By encoder and metric, over all images: the value, its interval, and the standard errors by cause."""
    found: dict[str, dict[str, object]] = {}
    for each in scores:
        spread = each.spread
        if each.group != "all" or spread is None or spread.real is None or spread.synthetic is None:
            continue
        told: dict[str, object] = {"value": each.value, "interval": (each.low, each.high)}
        told |= {
            "se": float(np.linalg.norm(spread.deviations)),
            "se_real": spread.real,
            "se_synthetic": spread.synthetic,
        }
        found.setdefault(each.encoder or "pixels", {})[each.metric] = told
    return found


def _some(rows: Indices, names: Sequence[str], most: int) -> Indices:
    """At most ``most`` of some rows, those whose names come first by their hash; in order."""
    return np.sort(rows[hashed_order([names[row] for row in rows])[:most]])


def _too_alike(images: ImageSet, side: int) -> str | None:
    """Why structural similarity between patients cannot be measured, if so."""
    patients = len(set(images.patients))
    if patients < MS_SSIM.minimum:
        return f"images of {patients} patients; pairs of different patients need {MS_SSIM.minimum}"
    return None if side > 10 else f"images of {side} pixels; the window of structural similarity has 11"


def _seed(seed: int, group: str) -> int:
    return (seed ^ _number(group)) & (2**63 - 1)


def _number(name: str) -> int:
    """A seed word that belongs to a name."""
    return zlib.crc32(name.encode())
