"""From an encoder that has what it takes to scores: measures that need more of it than features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.api import (
    BenchError,
    Classifies,
    ComparesPairs,
    Encoder,
    HasFrequencies,
    HasRadiomics,
    Material,
    Metric,
    PublishedRadiomics,
    ReadsText,
    Rows,
    Score,
)
from bench.statistics.arrays import Floats
from bench.statistics.resampling import jackknife, student_interval
from bench.statistics.scaling import scale_of, standard_deviations
from bench.storage.disk_errors import DiskError
from evaluators.fidelity.alpha_precision import AUTHENTICITY, authenticity
from evaluators.fidelity.comparison import FEWEST_FOLDS, Found, Members, Place, Reference, Sides
from evaluators.fidelity.feature_metrics import Finding, scores, too_few
from evaluators.fidelity.frechet_distance import FRD, RADIOMICS_DISTANCE, frechet, frechet_left_out
from evaluators.fidelity.inception_score import INCEPTION_SCORE, scores_of_parts
from evaluators.fidelity.ms_ssim import one_a_patient
from evaluators.fidelity.perceptual_diversity import LPIPS, LPIPS_REAL, mean_pair_distance
from evaluators.fidelity.reference import RealImages
from evaluators.fidelity.spectral_distance import (
    SPECTRAL_SLOPE_GAP,
    SPECTRUM_DISTANCE,
    slope_gap,
    slopes,
    spectrum_distance,
)
from evaluators.fidelity.text_alignment import ALIGNMENT, ALIGNMENT_REAL, alignment

IDENTICAL = 1e-9  # FD, relative to the variance, of a set with itself


@dataclass(frozen=True, slots=True)
class Scene:
    """What a special measure may look at: one encoder, all images.

    Attributes:
        members: all test and synthetic images, and who they are of.
        known: real images beside the test part, read where a measure asks what they tell of the encoder's columns.
        k: which neighbour the ball of an image reaches to.
        pairs: most images of a side where each costs much.
        seed: of random choices.
    """

    material: Material
    name: str
    members: Members
    known: RealImages
    k: int
    pairs: int
    seed: int

    @property
    def encoder(self) -> Encoder:
        return self.material.encoders[self.name]

    @property
    def place(self) -> Place:
        return Place(self.members.n, "all", self.name)

    def features(self) -> tuple[Rows, Rows]:
        """Rows of the test and the synthetic images, as the encoder gives them."""
        read, fake = self.material.features, self.material.images["fidelity"]
        return read(self.name, self.material.split.test), read(self.name, fake)

    def sides(self) -> Sides:
        """The features on a common scale."""
        reference = self.known.reference(self.material, self.name, "all")
        return Sides(self.name, self.features(), self.members, self.k, self.seed, reference, apart=True)


@dataclass(frozen=True, slots=True)
class Special:
    """A measure for encoders that have a capability.

    Attributes:
        metrics: what it yields, each measured or refused.
        needs: the protocol of that capability.
        lacking: the reason given where no configured encoder has it.
    """

    metrics: tuple[Metric, ...]
    needs: type
    lacking: str
    scores: Callable[[Scene], Iterator[Score]]

    def suits(self, encoder: Encoder) -> bool:
        return isinstance(encoder, self.needs)

    def __call__(self, scenes: Sequence[Scene]) -> Iterator[Score]:
        """Scores in every suitable encoder, or the refusal for want of one; ``scenes`` has one a encoder."""
        suitable = [scene for scene in scenes if self.suits(scene.encoder)]
        for scene in suitable:
            reason = too_few(scene.members, scene.k)
            if reason:
                yield from (scene.place.refused(metric, reason) for metric in self.metrics)
            else:
                yield from self.scores(scene)


def radiomics_distance(scene: Scene) -> Iterator[Score]:
    """``radiomics_distance``: the jackknife is of the logarithm, around the value at this number of images."""
    yield from scores(scene.sides(), (RADIOMICS_DISTANCE,), (log_distance,))


def log_distance(sides: Sides) -> Iterator[Finding]:
    """The logarithm of FD, as in papers, on the scale of the sides."""
    folds = [each.folds for each in sides.frechet_members.clusters]
    yield _logarithm(RADIOMICS_DISTANCE, sides, lambda: frechet_left_out(sides.real, sides.fake, *folds))


def published_radiomics_distance(scene: Scene) -> Iterator[Score]:
    """``frd``: the published distance, standardised by the test images anew without each fold."""
    yield from scores(replace(scene.sides(), reference=Reference()), (FRD,), (_published,))


def _published(sides: Sides) -> Iterator[Finding]:
    real, fake = (each.folds for each in sides.members.merged(FEWEST_FOLDS).clusters)

    def values() -> Floats:
        kept = ((sides.real[real != fold], sides.fake[fake != fold]) for fold in range(-1, FEWEST_FOLDS))
        return np.array([frechet(*by_reference(*each)) for each in kept])

    yield _logarithm(FRD, sides, values)


def by_reference(reference: Rows, other: Rows) -> tuple[Rows, Rows]:
    """Both sets less the mean of the reference over its SD (divisor ``N``), columns constant in it left out."""
    spread, varies = standard_deviations(reference, 0.0)
    mean = reference.mean(axis=0, dtype=np.float64)
    one, two = ((rows[:, varies] - mean[varies]) / spread[varies] for rows in (reference, other))
    return one.astype(np.float32), two.astype(np.float32)


def _logarithm(metric: Metric, sides: Sides, measured: Callable[[], Floats]) -> Finding:
    if sides.place.n < metric.minimum:
        return metric, f"{sides.place.n} images, {metric.key} needs {metric.minimum}"
    values = measured()
    if values.min() <= IDENTICAL * sides.columns:
        return metric, "the two sets have the same features, and the logarithm of 0 is no number"
    return Found(metric, jackknife(np.log(values)))


def newness(scene: Scene) -> Iterator[Score]:
    """``authenticity`` in the features of the training images, standardised by them where columns differ in units."""
    train = scene.material.features(scene.name, scene.material.split.train)
    fake = scene.features()[1]
    if len(train) < 2:
        yield scene.place.refused(AUTHENTICITY, f"{len(train)} training images; 2 are needed")
        return
    if scene.encoder.column_units == "different":
        scale = scale_of(train)
        train, fake = scale(train), scale(fake)
    place = Place(len(fake), "all", scene.name)
    yield place.score(AUTHENTICITY, *authenticity(fake, train))


def sureness(scene: Scene) -> Iterator[Score]:
    """``inception_score``: the mean of ten parts in random order, with Student's interval over the parts."""
    encoder, fake = scene.encoder, scene.features()[1]
    assert isinstance(encoder, Classifies)
    place = Place(len(fake), "all", scene.name)
    if len(fake) < INCEPTION_SCORE.minimum:
        reason = f"{len(fake)} images, inception_score needs {INCEPTION_SCORE.minimum}"
        yield place.refused(INCEPTION_SCORE, reason)
        return
    values = scores_of_parts(encoder, fake, scene.seed)
    yield place.score(INCEPTION_SCORE, float(values.mean()), student_interval(values))


def spectra(scene: Scene) -> Iterator[Score]:
    """``spectrum_distance`` and ``spectral_slope_gap``."""
    encoder, (real, fake) = scene.encoder, scene.features()
    assert isinstance(encoder, HasFrequencies)
    tables = spectrum_distance(real, fake, *scene.members.clusters)
    apart = tables.estimate(second=False), tables.estimate(first=False)
    yield scene.place.scored(Found(SPECTRUM_DISTANCE, tables.estimate(), sides=apart))
    folds = [each.folds for each in scene.members.clusters]
    gap = slope_gap(slopes(real, encoder.frequencies), slopes(fake, encoder.frequencies), *folds)
    yield scene.place.scored(Found(SPECTRAL_SLOPE_GAP, gap))


def perceptual_diversity(scene: Scene) -> Iterator[Score]:
    """``lpips`` among images of as many patients."""
    sides = ((LPIPS, scene.material.images["fidelity"]), (LPIPS_REAL, scene.material.split.test))
    for number, (metric, images) in enumerate(sides):
        rng = np.random.default_rng([scene.seed, 3, number])
        chosen = images.select(one_a_patient(images.patients, scene.pairs, rng))
        place = Place(len(chosen), "all", scene.name)
        if len(chosen) < metric.minimum:
            yield place.refused(metric, f"images of {len(chosen)} patients; {metric.minimum} are needed")
            continue
        yield place.scored(Found(metric, mean_pair_distance(scene.material.features(scene.name, chosen))))


def agreement(scene: Scene) -> Iterator[Score]:
    """``alignment`` of synthetic images with what was asked for and of real ones with what is known of them."""
    encoder = scene.encoder
    assert isinstance(encoder, ReadsText)
    sides = (
        (ALIGNMENT, scene.material.images["fidelity"], scene.members.fake_clusters.folds),
        (ALIGNMENT_REAL, scene.material.split.test, scene.members.real_clusters.folds),
    )
    for metric, images, folds in sides:
        prompts = images.column("prompt")
        place = Place(len(images), "all", scene.name)
        if None in prompts or len(set(prompts)) < FEWEST_FOLDS:
            reason = f"{len(set(prompts) - {None})} different prompts, {prompts.count(None)} images without one"
            yield place.refused(metric, f"{reason}; every image needs one, and {FEWEST_FOLDS} different ones")
            continue
        kinds, which = np.unique(np.asarray(prompts, dtype=np.str_), return_inverse=True)
        try:
            texts = encoder.texts(kinds.tolist())
        except DiskError:
            raise
        except BenchError as missing:
            yield place.refused(metric, str(missing))
            continue
        rows = scene.material.features(scene.name, images)
        yield place.scored(Found(metric, alignment(rows, texts, which, folds)))


SPECIALS = (
    Special(
        (RADIOMICS_DISTANCE,),
        HasRadiomics,
        "no configured encoder has radiomics: add encoder=[...,radiomics]",
        radiomics_distance,
    ),
    Special(
        (FRD,),
        PublishedRadiomics,
        "no configured encoder has the published radiomics: add encoder=[...,frd_v1]",
        published_radiomics_distance,
    ),
    Special(
        (INCEPTION_SCORE,), Classifies, "no configured encoder is a classifier: add encoder=[...,inception]", sureness
    ),
    Special(
        (SPECTRUM_DISTANCE, SPECTRAL_SLOPE_GAP),
        HasFrequencies,
        "no configured encoder gives spectra: add encoder=[...,spectrum]",
        spectra,
    ),
    Special(
        (LPIPS, LPIPS_REAL),
        ComparesPairs,
        "no configured encoder is LPIPS: add encoder=[...,lpips] and set encoder.lpips.path=FILE",
        perceptual_diversity,
    ),
    Special(
        (ALIGNMENT, ALIGNMENT_REAL),
        ReadsText,
        "no configured encoder reads text: add encoder=[...,biomedclip]",
        agreement,
    ),
)
