"""Inception score of synthetic images; ``bench.statistics.inception_score`` has the mathematics."""

from __future__ import annotations

import math

import numpy as np

from bench.api import Classifies, Metric, Rows
from bench.statistics.arrays import Floats
from bench.statistics.inception_score import SPLITS, inception_scores

INCEPTION_SCORE = Metric(
    key="inception_score",
    title="Inception score",
    better="higher",
    reference="arXiv:1606.03498",
    area="fidelity",
    bounds=(1.0, math.inf),
    minimum=500,
    summary=(
        "Whether a classifier of photographs is sure of each synthetic image and finds many classes among them; says "
        "little about images of one organ, and never looks at a real one."
    ),
)


def scores_of_parts(encoder: Classifies, rows: Rows, seed: int) -> Floats:
    """The inception score of each of ten parts of ``(N, D)`` features in random order: ``(10,)``."""
    order = np.random.default_rng([seed, 2]).permutation(len(rows))
    return inception_scores(encoder.logits(rows[order]), SPLITS)
