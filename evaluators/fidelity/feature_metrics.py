"""From two sets of features to scores: the measures that every encoder made to judge likeness gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.api import Metric, Rows, Score
from bench.statistics.arrays import Interval
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import clopper_pearson
from evaluators.fidelity.alpha_precision import ALPHA_PRECISION, BETA_RECALL, Nearest, from_centre, support
from evaluators.fidelity.clipped_density_coverage import (
    CLIPPED_COVERAGE,
    CLIPPED_DENSITY,
    clipped,
    lists,
    own_reach,
    pairs_within,
)
from evaluators.fidelity.cmmd import CMMD, CMMD_PUBLISHED, discrepancy
from evaluators.fidelity.comparison import FEWEST_FOLDS, WIDE, Members, Place, Sides
from evaluators.fidelity.frechet_at_infinity import FD_INFINITY, SHARES, frechet_infinity, frechet_infinity_jackknife
from evaluators.fidelity.frechet_distance import FD, FD_FLOOR, FD_PLAIN, frechet
from evaluators.fidelity.kernel_distance import KID
from evaluators.fidelity.metrics import OF_FEATURES
from evaluators.fidelity.pairwise_pass import compare
from evaluators.fidelity.prdc import neighbour_scores
from evaluators.fidelity.vendi import VENDI, VENDI_RATIO, VENDI_REAL, diversity, vendi

NOTHING_VARIES = "no image of one side is near the other, or all are: leaving out images changes nothing"
BIASED = "biased upward, so an interval around it would miss the truth: see "


def likeness(sides: Sides) -> Iterator[Score]:
    """Every metric of ``OF_FEATURES``, measured or refused."""
    place = sides.place
    reason = too_few(sides.members, sides.k)
    if reason:
        yield from (place.refused(metric, reason) for metric in OF_FEATURES)
        return
    for measure in MEASURES:
        yield from measure(sides)


def too_few(members: Members, k: int) -> str | None:
    """Why nothing can be said of these images, if so."""
    if members.n < KID.minimum:
        return f"{members.n} images; {KID.minimum} are needed"
    if members.fold_count < FEWEST_FOLDS:
        return f"images of {members.fold_count} patients; {FEWEST_FOLDS} are needed for an interval"
    if members.left <= k:
        return f"nearly all images are of one patient: {members.left} are left without them"
    return None


def _frechet(sides: Sides) -> Iterator[Score]:
    """FD without its bias, as in papers, and its floor."""
    place = sides.place
    if place.n < FD.minimum:
        reason = f"{place.n} images, fd needs {FD.minimum}"
        yield from (place.refused(metric, reason) for metric in (FD, FD_PLAIN, FD_FLOOR))
        return
    see = f"{BIASED}fd and fd_floor"
    if not sides.outnumber_columns:
        reason = (
            f"{place.n} images for {sides.columns} features: with fewer images than features the bias cannot be "
            "told; see kid, or compare fd_plain with that of the holdout control"
        )
        yield from (place.refused(metric, reason) for metric in (FD, FD_FLOOR))
        yield place.score(FD_PLAIN, frechet(sides.real, sides.fake), None, see)
        return
    found = sides.frechet
    yield place.score(FD, found.corrected.value, found.corrected.interval)
    yield place.score(FD_PLAIN, found.plain, None, see)
    yield place.score(FD_FLOOR, found.floor, None, "computed from the spectrum of the real features, not sampled")


def at_infinity(sides: Sides) -> Score:
    """``fd_infinity``, measured or refused."""
    place, members = sides.place, sides.members
    reason = too_few(members, sides.k)
    smallest = int(SHARES[0] * members.left)
    if not reason and smallest <= sides.columns:
        reason = f"{smallest} images, the fewest of the line, do not outnumber {sides.columns} features"
    if reason:
        return place.refused(FD_INFINITY, reason)
    folds = sides.costly_folds
    if sides.columns < WIDE:
        return place.estimated(FD_INFINITY, frechet_infinity_jackknife(sides.real, sides.fake, *folds))
    value = frechet_infinity(sides.real, sides.fake, *folds)
    return place.score(FD_INFINITY, value, None, "its folds would take minutes: see fd")


def _pairs(sides: Sides) -> Iterator[Score]:
    """KID, precision, recall, density and coverage, from one pass over the pairs."""
    place, n, m = sides.place, len(sides.real), len(sides.fake)
    kid, found = compare(sides.real, sides.fake, sides.k, *sides.folds)
    yield place.score(KID, kid.value, kid.interval)
    yield from neighbour_scores(found, place, n, m)


def _discrepancy(sides: Sides) -> Iterator[Score]:
    found = discrepancy(sides.real, sides.fake, *sides.folds)
    yield sides.place.estimated(CMMD, found.unbiased.both)
    yield sides.place.score(CMMD_PUBLISHED, found.published, None, f"{BIASED}cmmd")


def _manifold(sides: Sides) -> Iterator[Score]:
    """Clipped density and coverage, alpha-precision and beta-recall, which share lists of neighbours."""
    place, real, fake, k = sides.place, sides.real, sides.fake, sides.k
    real_folds, fake_folds = sides.folds
    own, across = lists(real, real, k, real_folds, own=True), lists(real, fake, k, fake_folds)
    found = clipped(own, across, pairs_within(real, fake, own_reach(own, k)), k)
    yield _varying(place, CLIPPED_DENSITY, found.density)
    yield place.score(CLIPPED_COVERAGE, found.coverage.value, sampled_interval(found.coverage, place.n))
    outward = from_centre(real, real, real), from_centre(fake, real, real)
    alpha, beta = support(Nearest(own, across, from_centre(fake, fake, real)), *outward, k)
    yield _varying(place, ALPHA_PRECISION, alpha)
    yield _varying(place, BETA_RECALL, beta)


def _varying(place: Place, metric: Metric, estimate: Estimate) -> Score:
    """The score with its interval, or without where leaving out folds changes nothing."""
    if estimate.se:
        return place.estimated(metric, estimate)
    return place.score(metric, min(estimate.value, 1.0), None, NOTHING_VARIES)


def _vendi(sides: Sides) -> Iterator[Score]:
    """Vendi scores of equally many images of both sides."""
    place = sides.place
    rng = np.random.default_rng([sides.seed, 1])
    folds = sides.costly_folds
    fake, real = (
        _thinned(rows, each, place.n, rng) for rows, each in zip((sides.fake, sides.real), folds[::-1], strict=True)
    )
    found = diversity(vendi(*fake), vendi(*real))
    for metric, estimate in zip((VENDI, VENDI_REAL, VENDI_RATIO), found, strict=True):
        yield place.estimated(metric, estimate)


def _thinned(rows: Rows, folds: np.ndarray, n: int, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
    """``n`` random rows, in order, with their folds."""
    if len(rows) == n:
        return rows, folds
    kept = np.sort(rng.permutation(len(rows))[:n])
    return rows[kept], folds[kept]


def sampled_interval(estimate: Estimate, n: int) -> Interval:
    """The interval of a share read off a table of steps, where leaving out a fold may change nothing: never narrower
    than the exact binomial one of the same share of ``n`` images."""
    low, high = clopper_pearson(estimate.value * n, n)
    folds = estimate.interval
    return min(low, folds[0]), max(high, folds[1])


# What is measured in turn; together they yield the metrics of OF_FEATURES.
MEASURES: tuple[Callable[[Sides], Iterator[Score]], ...] = (_frechet, _pairs, _discrepancy, _manifold, _vendi)
