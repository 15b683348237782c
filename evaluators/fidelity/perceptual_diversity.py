"""How far apart the images of a set are, by a perceptual distance (Zhang et al. 2018, arXiv 1801.03924)."""

from __future__ import annotations

import math

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.estimate import Estimate

LPIPS = Metric(
    key="lpips",
    title="Perceptual distance among synthetic images (LPIPS)",
    better="higher",
    reference="arXiv:1801.03924",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=20,
    summary="Mean LPIPS over all pairs of synthetic images; 0 means all are the same picture.",
)
LPIPS_REAL = Metric(
    key="lpips_real",
    title="Perceptual distance among real images (LPIPS)",
    better="neither",
    reference="arXiv:1801.03924",
    role="describes",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=20,
    summary="The same of test images of different patients: what lpips should be near to.",
)


def mean_pair_distance(rows: Rows) -> Estimate:
    """The mean over all pairs of the squared distance of ``(N, D)`` rows: twice the trace of their covariance.

    The standard error is that of a mean over pairs, ``2 sd(|x - mean|^2) / sqrt(n)`` (Hoeffding 1948).
    """
    wide = rows.astype(np.float64)
    away = np.square(wide - wide.mean(axis=0)).sum(axis=1)
    value, se = 2 * away.sum() / (len(away) - 1), 2 * away.std(ddof=1) / math.sqrt(len(away))
    return Estimate(float(value), float(se), len(away))
