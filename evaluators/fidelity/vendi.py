"""Vendi score: how many different images a set amounts to.

``exp(-sum l_i log l_i)`` over the eigenvalues of ``K / n``, with ``K`` the cosines between rows (Friedman & Dieng 2023,
arXiv 2210.02410). It grows with ``n``, so sets are compared at equal numbers of images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife
from evaluators.fidelity.cmmd import unit

VENDI = Metric(
    key="vendi",
    title="Vendi score of synthetic images",
    better="higher",
    reference="arXiv:2210.02410",
    area="fidelity",
    bounds=(1.0, math.inf),
    minimum=50,
    summary="How many entirely different images the synthetic set amounts to; it grows with n, and noise has most.",
)
VENDI_REAL = Metric(
    key="vendi_real",
    title="Vendi score of real images",
    better="neither",
    reference="arXiv:2210.02410",
    role="describes",
    area="fidelity",
    bounds=(1.0, math.inf),
    minimum=50,
    summary="The same of equally many test images: what vendi should be near to.",
)
VENDI_RATIO = Metric(
    key="vendi_ratio",
    title="Vendi score, synthetic over real",
    better="target",
    target=1.0,
    reference="arXiv:2210.02410",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="vendi over vendi_real at equal numbers of images: below 1 too uniform, above 1 too varied.",
)


def effective_number(gram: Floats) -> float:
    """``exp`` of the entropy of the eigenvalues of a positive semi-definite matrix, scaled to trace 1."""
    import torch

    values = torch.linalg.eigvalsh(torch.from_numpy(gram)).clamp(min=0).numpy()
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def vendi(rows: Rows, folds: Indices) -> Floats:
    """Vendi score of ``(N, D)`` rows, then without each fold: ``(1 + G,)``.

    ``X^T X`` and ``X X^T`` have the same eigenvalues but for zeros; the smaller one is taken.
    """
    x = unit(rows)
    count = fold_count(folds)
    if len(x) <= x.shape[1]:
        kernel = x @ x.T
        kept = [np.flatnonzero(folds != fold) for fold in (-1, *range(count))]
        return np.array([effective_number(kernel[np.ix_(each, each)]) for each in kept])
    parts = np.stack([x[folds == fold].T @ x[folds == fold] for fold in range(count)])
    whole = parts.sum(axis=0)
    return np.array([effective_number(whole), *(effective_number(whole - part) for part in parts)])


def diversity(fake: Sequence[float] | Floats, real: Sequence[float] | Floats) -> tuple[Estimate, Estimate, Estimate]:
    """Vendi score of the synthetic set, of the real set, and their ratio, from ``(1 + G,)`` values each.

    Errors are those of the delete-fold jackknife, around the value at this number of images.
    """
    ours, theirs = np.asarray(fake), np.asarray(real)
    return jackknife(ours), jackknife(theirs), jackknife(ours / theirs)
