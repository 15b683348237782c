"""The project's estimates of one draw, as its evaluator gives them: the only file here that names its functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from bench.api import Metric, Score
from bench.statistics.clusters import Clusters
from bench.statistics.scaling import scale_of
from evaluators.fidelity.alpha_precision import ALPHA_PRECISION, AUTHENTICITY, BETA_RECALL, authenticity
from evaluators.fidelity.chance import Pool
from evaluators.fidelity.clipped_density_coverage import CLIPPED_COVERAGE, CLIPPED_DENSITY
from evaluators.fidelity.cmmd import CMMD
from evaluators.fidelity.comparison import Found as Finding
from evaluators.fidelity.comparison import Members, Reference, Sides
from evaluators.fidelity.encoder_metrics import log_distance
from evaluators.fidelity.feature_metrics import MEASURES as OF_FEATURES
from evaluators.fidelity.feature_metrics import at_infinity, scores
from evaluators.fidelity.frechet_at_infinity import FD_INFINITY
from evaluators.fidelity.frechet_distance import FD, RADIOMICS_DISTANCE
from evaluators.fidelity.kernel_distance import KID
from evaluators.fidelity.prdc import COVERAGE, DENSITY, PRECISION, RECALL
from evaluators.fidelity.spectral_distance import (
    SPECTRAL_SLOPE_GAP,
    SPECTRUM_DISTANCE,
    slope_gap,
    slopes,
    spectrum_distance,
)
from evaluators.fidelity.vendi import VENDI, VENDI_RATIO, VENDI_REAL
from tests.coverage.populations import Draw

Found = tuple[float, float, float]  # value, low, high
Estimator = Callable[[Draw, np.random.Generator], Mapping[str, Found]]

K, FOLDS = 5, 20
FRECHET, PAIRS, DIVERSITY = OF_FEATURES


def of_project(metrics: Collection[str]) -> Estimator:
    """What the project says of the metrics named, each with its interval; one without is left out."""
    wanted = [(measure, names) for names, measure in MEASURES if not metrics or metrics & {each.key for each in names}]

    def estimate(draw: Draw, rng: np.random.Generator) -> dict[str, Found]:
        sides = compared(draw, rng)
        found = [score for measure, _ in wanted for score in measure(draw, sides)]
        return {
            score.metric: (score.value, score.low, score.high)
            for score in found
            if score.value is not None and score.low is not None and score.high is not None
        }

    return estimate


def compared(draw: Draw, rng: np.random.Generator) -> Sides:
    """Both sides as the evaluator compares them: the scale of the training images, which also tell what chance does."""
    patients = [[str(each) for each in owners] for owners in (draw.real_patients, draw.fake_patients)]
    count = min(FOLDS, *(len(set(each)) for each in patients))
    clusters = [Clusters.of(each, count) for each in patients]
    members = Members("all", np.arange(len(draw.real)), np.arange(len(draw.fake)), *clusters)
    scale = scale_of(draw.reference) if draw.units == "different" else None
    reference = Reference(scale, pools=[Pool(draw.reference, draw.reference_patients)])
    return Sides("population", (draw.real, draw.fake), members, K, int(rng.integers(2**62)), reference)


def _frechet(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield from scores(sides, (FD,), (FRECHET,))


def _frechet_at_infinity(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield from at_infinity(sides)


def _radiomics_distance(draw: Draw, sides: Sides) -> Iterator[Score]:
    if draw.units == "different":
        yield from scores(sides, (RADIOMICS_DISTANCE,), (log_distance,))


def _pairs(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield from scores(sides, (), (PAIRS,))


def _diversity(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield from scores(sides, (), (DIVERSITY,))


def _newness(draw: Draw, sides: Sides) -> Iterator[Score]:
    train, fake = draw.reference, draw.fake
    if draw.units == "different":
        scale = scale_of(train)
        train, fake = scale(train), scale(fake)
    yield sides.place.score(AUTHENTICITY, *authenticity(fake, train))


def _spectra(draw: Draw, sides: Sides) -> Iterator[Score]:
    """Rows read as logarithms of power in bands 1, 2, ..."""
    if draw.units == "alike":
        frequencies = np.arange(1.0, sides.columns + 1)
        distance = spectrum_distance(draw.real, draw.fake, *sides.clusters).estimate()
        yield sides.place.scored(Finding(SPECTRUM_DISTANCE, distance))
        folds = [each.folds for each in sides.clusters]
        slope = slope_gap(slopes(draw.real, frequencies), slopes(draw.fake, frequencies), *folds)
        yield sides.place.scored(Finding(SPECTRAL_SLOPE_GAP, slope))


BY_PAIRS = (
    KID,
    CMMD,
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    CLIPPED_DENSITY,
    CLIPPED_COVERAGE,
    ALPHA_PRECISION,
    BETA_RECALL,
)
MEASURES: tuple[tuple[tuple[Metric, ...], Callable[[Draw, Sides], Iterator[Score]]], ...] = (
    ((FD,), _frechet),
    ((FD_INFINITY,), _frechet_at_infinity),
    ((RADIOMICS_DISTANCE,), _radiomics_distance),
    (BY_PAIRS, _pairs),
    ((VENDI, VENDI_REAL, VENDI_RATIO), _diversity),
    ((AUTHENTICITY,), _newness),
    ((SPECTRUM_DISTANCE, SPECTRAL_SLOPE_GAP), _spectra),
)
KEYS = frozenset(metric.key for metrics, _ in MEASURES for metric in metrics)
