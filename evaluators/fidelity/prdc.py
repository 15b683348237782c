"""Precision, recall, density, coverage of two sets of features; ``bench.statistics.neighbours`` has the mathematics."""

from __future__ import annotations

import math

from bench.api import Metric

PRECISION = Metric(
    key="precision",
    title="Precision",
    better="higher",
    reference="arXiv:1904.06991",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "Share of synthetic images that lie among the real ones; at this number of images, for it changes with it. "
        "At 250 a side its interval held the expected value in 89 to 97% of redraws."
    ),
)
RECALL = Metric(
    key="recall",
    title="Recall",
    better="higher",
    reference="arXiv:1904.06991",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "Share of real images that lie among the synthetic ones; at this number of images, for it changes with it. "
        "At 250 a side its interval held the expected value in 91 to 100% of redraws."
    ),
)
DENSITY = Metric(
    key="density",
    title="Density",
    better="higher",
    reference="arXiv:2002.09797",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary=(
        "How thickly synthetic images lie where real ones are: about 1 for a perfect generator, or above; at this "
        "number of images, for it changes with it. At 250 a side its interval held the expected value in 89 to "
        "100% of redraws."
    ),
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
    summary=(
        "Share of real images with a synthetic one nearby; about 0.97 at best for 5 neighbours and equal n, and at "
        "this number of images, for it changes with it. At 250 a side its interval held the expected value in 90 "
        "to 100% of redraws."
    ),
)
