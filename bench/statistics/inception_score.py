"""Inception score: whether a classifier is sure of every image and unsure of the set.

``exp(mean_x KL(p(y|x) || mean_x p(y|x)))`` (Salimans et al. 2016, arXiv 1606.03498), over ten parts of the images. Its
classes are those of photographs, so on images of one organ it says little (Barratt & Sharma 2018, arXiv 1801.01973).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Floats

SPLITS = 10


def inception_scores(logits: Rows, splits: int = SPLITS) -> Floats:
    """The score of each of ``splits`` runs of consecutive rows of ``(N, C)`` logits: ``(splits,)``."""
    edges = np.arange(splits + 1) * len(logits) // splits
    return np.array([score(logits[start:stop]) for start, stop in pairwise(edges)])


def score(logits: Rows) -> float:
    """The inception score of ``(N, C)`` logits as one part."""
    from scipy.special import log_softmax

    logs = log_softmax(logits.astype(np.float64), axis=1)
    chances = np.exp(logs)
    return float(np.exp((chances * (logs - np.log(chances.mean(axis=0)))).sum(axis=1).mean()))
