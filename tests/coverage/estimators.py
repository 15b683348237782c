"""The project's estimates of one draw, as its evaluator gives them: the only file here that names its functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from bench.api import Metric, Score
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import cluster_folds, folds, jackknife
from bench.statistics.scaling import standardise
from evaluators.fidelity.alpha_precision import (
    ALPHA_PRECISION,
    AUTHENTICITY,
    BETA_RECALL,
    Nearest,
    authenticity,
    from_centre,
    support,
)
from evaluators.fidelity.clipped_density_coverage import (
    CLIPPED_COVERAGE,
    CLIPPED_DENSITY,
    clipped,
    lists,
    own_reach,
    pairs_within,
)
from evaluators.fidelity.cmmd import CMMD, discrepancy
from evaluators.fidelity.comparison import Members, Sides
from evaluators.fidelity.feature_metrics import sampled_interval
from evaluators.fidelity.frechet_at_infinity import FD_INFINITY, frechet_infinity_jackknife
from evaluators.fidelity.frechet_distance import FD, FRD, frechet_left_out
from evaluators.fidelity.kernel_distance import KID
from evaluators.fidelity.pairwise_pass import compare
from evaluators.fidelity.prdc import COVERAGE, DENSITY, PRECISION, RECALL, neighbour_scores
from evaluators.fidelity.spectral_distance import (
    SPECTRAL_SLOPE_GAP,
    SPECTRUM_DISTANCE,
    slope_gap,
    slopes,
    spectrum_distance,
)
from evaluators.fidelity.vendi import VENDI, VENDI_RATIO, VENDI_REAL, diversity, vendi
from tests.coverage.populations import Draw

Found = tuple[float, float, float]  # value, low, high
Estimator = Callable[[Draw, np.random.Generator], Mapping[str, Found]]

K, FOLDS = 5, 20
SCALED_BY_REFERENCE = False  # whether columns of different units are scaled by the training images


def of_project(metrics: Collection[str]) -> Estimator:
    """What the project says of the metrics named, each with its interval; one without is left out."""
    wanted = [(measure, names) for names, measure in MEASURES if not metrics or metrics & {each.key for each in names}]

    def estimate(draw: Draw, rng: np.random.Generator) -> dict[str, Found]:
        sides = compared(draw, rng)
        scores = [score for measure, _ in wanted for score in measure(draw, sides)]
        return {
            score.metric: (score.value, score.low, score.high)
            for score in scores
            if score.value is not None and score.low is not None and score.high is not None
        }

    return estimate


def compared(draw: Draw, rng: np.random.Generator) -> Sides:
    """Both sides on the scale and in the folds in which the evaluator compares them."""
    real, fake = standardise(draw.real, draw.fake) if draw.units == "different" else (draw.real, draw.fake)
    count = min(FOLDS, len(np.unique(draw.real_patients)), len(fake))
    real_folds = cluster_folds([str(each) for each in draw.real_patients], count, rng)
    members = Members("all", np.arange(len(real)), np.arange(len(fake)), real_folds, folds(len(fake), count, rng))
    return Sides("population", real, fake, members, K, int(rng.integers(2**62)))


def _frechet(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield sides.place.estimated(FD, sides.frechet.corrected)


def _frechet_at_infinity(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield sides.place.estimated(FD_INFINITY, frechet_infinity_jackknife(sides.real, sides.fake, *sides.costly_folds))


def _radiomics_distance(draw: Draw, sides: Sides) -> Iterator[Score]:
    if draw.units == "different":
        values = frechet_left_out(sides.real, sides.fake, *sides.frechet_folds)
        yield sides.place.estimated(FRD, jackknife(np.log(values)))


def _pairs(draw: Draw, sides: Sides) -> Iterator[Score]:
    kid, found = compare(sides.real, sides.fake, sides.k, *sides.folds)
    yield sides.place.score(KID, kid.value, kid.interval)
    yield from neighbour_scores(found, sides.place, len(sides.real), len(sides.fake))


def _discrepancy(draw: Draw, sides: Sides) -> Iterator[Score]:
    yield sides.place.estimated(CMMD, discrepancy(sides.real, sides.fake, *sides.folds).unbiased.both)


def _manifold(draw: Draw, sides: Sides) -> Iterator[Score]:
    place, real, fake, k = sides.place, sides.real, sides.fake, sides.k
    real_folds, fake_folds = sides.folds
    own, across = lists(real, real, k, real_folds, own=True), lists(real, fake, k, fake_folds)
    found = clipped(own, across, pairs_within(real, fake, own_reach(own, k)), k)
    outward = from_centre(real, real, real), from_centre(fake, real, real)
    alpha, beta = support(Nearest(own, across, from_centre(fake, fake, real)), *outward, k)
    yield place.score(CLIPPED_COVERAGE, found.coverage.value, sampled_interval(found.coverage, place.n))
    yield from _varying(sides, {CLIPPED_DENSITY: found.density, ALPHA_PRECISION: alpha, BETA_RECALL: beta})


def _varying(sides: Sides, estimates: Mapping[Metric, Estimate]) -> Iterator[Score]:
    """No interval where leaving out images changes nothing."""
    yield from (sides.place.estimated(metric, found) for metric, found in estimates.items() if found.se)


def _diversity(draw: Draw, sides: Sides) -> Iterator[Score]:
    real_folds, fake_folds = sides.costly_folds
    found = diversity(vendi(sides.fake, fake_folds), vendi(sides.real, real_folds))
    for metric, each in zip((VENDI, VENDI_REAL, VENDI_RATIO), found, strict=True):
        yield sides.place.estimated(metric, each)


def _newness(draw: Draw, sides: Sides) -> Iterator[Score]:
    train, fake = draw.reference, draw.fake
    train, fake = standardise(train, fake) if draw.units == "different" else (train, fake)
    yield sides.place.score(AUTHENTICITY, *authenticity(fake, train))


def _spectra(draw: Draw, sides: Sides) -> Iterator[Score]:
    """Rows read as logarithms of power in bands 1, 2, ..."""
    if draw.units == "alike":
        frequencies = np.arange(1.0, sides.columns + 1)
        yield sides.place.estimated(SPECTRUM_DISTANCE, spectrum_distance(draw.real, draw.fake, *sides.folds))
        slope = slope_gap(slopes(draw.real, frequencies), slopes(draw.fake, frequencies), *sides.folds)
        yield sides.place.estimated(SPECTRAL_SLOPE_GAP, slope)


MEASURES: tuple[tuple[tuple[Metric, ...], Callable[[Draw, Sides], Iterator[Score]]], ...] = (
    ((FD,), _frechet),
    ((FD_INFINITY,), _frechet_at_infinity),
    ((FRD,), _radiomics_distance),
    ((KID, PRECISION, RECALL, DENSITY, COVERAGE), _pairs),
    ((CMMD,), _discrepancy),
    ((CLIPPED_DENSITY, CLIPPED_COVERAGE, ALPHA_PRECISION, BETA_RECALL), _manifold),
    ((VENDI, VENDI_REAL, VENDI_RATIO), _diversity),
    ((AUTHENTICITY,), _newness),
    ((SPECTRUM_DISTANCE, SPECTRAL_SLOPE_GAP), _spectra),
)
KEYS = frozenset(metric.key for metrics, _ in MEASURES for metric in metrics)
