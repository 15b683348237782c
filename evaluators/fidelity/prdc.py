"""Precision, recall, density, coverage of two sets of features; ``bench.statistics.neighbours`` has the mathematics."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.api import Metric, Score
from bench.statistics.arrays import Interval
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import Neighbours
from bench.statistics.resampling import clopper_pearson
from evaluators.fidelity.comparison import Place

NONE_INSIDE = "no synthetic image is inside any real ball, so nothing varies"

PRECISION = Metric(
    key="precision",
    title="Precision",
    better="higher",
    reference="arXiv:1904.06991",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of synthetic images that lie among the real ones; at this number of images, for it changes with it.",
)
RECALL = Metric(
    key="recall",
    title="Recall",
    better="higher",
    reference="arXiv:1904.06991",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of real images that lie among the synthetic ones; at this number of images, for it changes with it.",
)
DENSITY = Metric(
    key="density",
    title="Density",
    better="higher",
    reference="arXiv:2002.09797",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="How thickly synthetic images lie where real ones are: about 1 for a perfect generator, or above; at this "
    "number of images, for it changes with it.",
)
COVERAGE = Metric(
    key="coverage",
    title="Coverage",
    better="higher",
    reference="arXiv:2002.09797",
    role="headline",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of real images with a synthetic one nearby; about 0.97 at best for 5 neighbours and equal n.",
)


def share_interval(estimate: Estimate, n: int) -> Interval:
    """The interval of a share; the exact binomial one where it is 0 or 1 and the folds all agree."""
    return estimate.interval if estimate.se else clopper_pearson(round(estimate.value * n), n)


def neighbour_scores(found: Neighbours, place: Place, n: int, m: int) -> Iterator[Score]:
    """The four scores of ``n`` real and ``m`` synthetic images."""
    yield place.score(PRECISION, found.precision.value, share_interval(found.precision, m))
    yield place.score(RECALL, found.recall.value, share_interval(found.recall, n))
    none = None if found.density.se else NONE_INSIDE
    yield place.score(DENSITY, found.density.value, None if none else found.density.interval, none)
    yield place.score(COVERAGE, found.coverage.value, share_interval(found.coverage, n))
