"""Frechet distance between two sets of features and its standard error.

``FD = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)`` for means ``m`` and covariances ``S`` (Frechet 1957;
Heusel et al. 2017, arXiv 1706.08500). The last term is the nuclear norm ``||A^T B||_*`` of any factors
``S1 = A A^T``, ``S2 = B B^T``, so no square root of a matrix is ever taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.distances import mean_row, operand, product, slices
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife

if TYPE_CHECKING:
    import torch

CHUNK = 2048
BLOCK = 512  # columns of a block of the products; only those on and above the diagonal are computed
FLAT = 1e-18  # variance, relative to the greatest, under which a direction counts as constant

FD = Metric(
    key="fd",
    title="Fréchet distance, bias removed",
    better="lower",
    reference="arXiv:1706.08500",
    role="headline",
    area="fidelity",
    minimum=100,
    summary=(
        "Squared distance between Gaussian fits of real and synthetic features, its bias removed by the jackknife: "
        "0 for a perfect generator, and slightly negative by chance. Images of a patient leave together, and count "
        "as one where it is asked whether they outnumber the features."
    ),
)
FD_PLAIN = Metric(
    key="fd_plain",
    title="Fréchet distance, as in papers",
    better="lower",
    reference="arXiv:1706.08500",
    area="fidelity",
    minimum=100,
    summary=(
        "The usual plug-in value. It is too large, by about fd_floor where it is small, so compare it only at equal n; "
        "it has no interval because one around it would miss the truth: see fd."
    ),
)
FD_FLOOR = Metric(
    key="fd_floor",
    title="Fréchet distance by chance",
    better="neither",
    reference="arXiv:1706.08500",
    role="describes",
    area="fidelity",
    bounds=(0.0, math.inf),
    minimum=100,
    summary=(
        "The fd_plain that real images get among themselves: the mean over random pairs of sets of different patients "
        "of the training and holdout parts, of as many images as here, or of fewer and then taken as falling with 1/n. "
        "Its interval is the range of the middle 95 in 100 of the pairs drawn, at most 40, which share images."
    ),
)
RADIOMICS_DISTANCE = Metric(
    key="radiomics_distance",
    title="Radiomics distance, logarithm",
    better="lower",
    reference="arXiv:2412.01496",
    area="fidelity",
    minimum=100,
    summary=(
        "Natural logarithm of fd_plain in radiomics: the formula of the Fréchet radiomics distance on the features of "
        "the encoder named above, on this benchmark's scale, so that its values are not those of papers: see frd. "
        "Compare at equal n and in one encoder only."
    ),
)
FRD = Metric(
    key="frd",
    title="Fréchet radiomics distance, as published",
    better="lower",
    reference="arXiv:2412.01496",
    area="fidelity",
    minimum=100,
    summary=(
        "Natural logarithm of the squared Fréchet distance of the published radiomics, each standardised by the test "
        "images: the value of the authors' code (their equation takes the root first, which is half of this). "
        "Biased upward at any n, so compare at equal n only."
    ),
)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums that merge and subtract: ``n``, ``sum (x - pivot)`` ``(D,)`` and ``sum (x - pivot)(x - pivot)^T``."""

    n: int
    pivot: Floats
    total: Floats
    gram: Floats

    def __sub__(self, part: Moments) -> Moments:
        """The moments of what is left when ``part``, about the same pivot, is taken out."""
        return Moments(self.n - part.n, self.pivot, self.total - part.total, self.gram - part.gram)

    @property
    def mean(self) -> Floats:
        return self.pivot + self.total / self.n

    @property
    def covariance(self) -> Floats:
        """``(D, D)``, divisor ``n - 1``."""
        covariance = self.gram / (self.n - 1)
        for part in slices(len(covariance), BLOCK):
            covariance[part] -= np.outer(self.total[part] / (self.n * (self.n - 1.0)), self.total)
        return covariance


def moments(rows: Rows, pivot: Floats | None = None) -> Moments:
    """Moments of ``(N, D)`` rows: float32 products of 2048-row chunks, float64 sums.

    ``pivot`` is the first chunk's mean by default, rounded to float32; being subtracted before anything is
    multiplied, it makes the result good to about 1e-7 whatever the offset of the features.
    """
    import torch

    n, columns = rows.shape
    rounded = (mean_row(rows[:CHUNK]) if pivot is None else pivot).astype(np.float32)
    total = np.zeros(columns)
    gram = torch.zeros((columns, columns), dtype=torch.float64)
    for part in slices(n, CHUNK):
        shifted = (rows[part] - rounded).astype(np.float32, copy=False)
        total += shifted.sum(axis=0, dtype=np.float64)
        turned = torch.from_numpy(shifted).T.contiguous()
        for block in slices(columns, BLOCK):
            gram[block, block.start :] += product(operand(turned[block]), operand(turned[block.start :]))
    for block in slices(columns, BLOCK):
        gram[block.stop :, block] = gram[block, block.stop :].T
    return Moments(n, rounded.astype(np.float64), total, gram.numpy())


def cross_trace(first: Floats, second: Floats) -> float:
    """``tr (S1 S2)^(1/2)`` of two covariances ``(D, D)``: eigenvalues of ``L^T S2 L`` with ``S1 = L L^T``.

    LAPACK forms that product in a quarter of the operations of two matrix products. Falls back to eigenvector factors
    where neither covariance is positive definite.
    """
    import torch
    from scipy.linalg import lapack

    # A column without variance on one side takes its row out of the product altogether.
    varies = (np.diag(first) > FLAT * np.diag(first).max()) & (np.diag(second) > FLAT * np.diag(second).max())
    if not varies.any():
        return 0.0
    if not varies.all():
        first, second = first[np.ix_(varies, varies)], second[np.ix_(varies, varies)]
    for one, other in ((first, second), (second, first)):
        factor, failed = lapack.dpotrf(one.T, lower=1, clean=0)
        if not failed:
            congruent, _ = lapack.dsygst(other.T, factor, itype=2, lower=1)
            del factor
            values = torch.linalg.eigvalsh(torch.from_numpy(congruent.T), UPLO="U")
            return float(values.clamp(min=0).sqrt().sum())
    return float(torch.linalg.svdvals(_factor(first).T @ _factor(second)).sum())


def _factor(covariance: Floats) -> torch.Tensor:
    """``A`` with ``A A^T`` the covariance, for any positive semi-definite matrix."""
    import torch

    eigenvalues, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
    return vectors * eigenvalues.clamp(min=0).sqrt()


def distance_of_moments(first: Moments, second: Moments) -> float:
    """FD of two sets given by their moments: the route for more images than features."""
    return distance_of_gaussians(first.mean, first.covariance, second.mean, second.covariance)


def distance_of_gaussians(first_mean: Floats, first: Floats, second_mean: Floats, second: Floats) -> float:
    """FD of two Gaussians with means ``(D,)`` and covariances ``(D, D)``."""
    gap = first_mean - second_mean
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * cross_trace(first, second))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two sets of fewer images than features: what FD needs of them, about a common pivot.

    The centred rows are themselves factors of the covariances, so ``tr (S1 S2)^(1/2)`` is the nuclear norm of their
    ``(N1, N2)`` products and nothing of size ``(D, D)`` is ever made.
    """

    first: Rows
    second: Rows
    products: Floats

    def distance(self, i: Indices, j: Indices) -> float:
        """FD of rows ``i`` of the first set and rows ``j`` of the second."""
        import torch

        one, two = self.first[i], self.second[j]
        gap = mean_row(one) - mean_row(two)
        traces = sum(float(each.var(axis=0, ddof=1, dtype=np.float64).sum()) for each in (one, two))
        products = self.products[np.ix_(i, j)]
        products = products - products.mean(axis=0) - products.mean(axis=1, keepdims=True) + products.mean()
        products = torch.from_numpy(products if len(i) <= len(j) else products.T)
        nuclear = torch.linalg.eigvalsh(products @ products.T).clamp(min=0).sqrt().sum()
        return float(gap @ gap + traces - 2 * float(nuclear) / np.sqrt((len(i) - 1.0) * (len(j) - 1.0)))


def pairs(first: Rows, second: Rows) -> Pairs:
    """Prepare two sets for ``Pairs.distance``."""
    import torch

    pivot = mean_row(first)
    one, two = (rows - pivot for rows in (first, second))
    products = (torch.from_numpy(one) @ torch.from_numpy(two).T).numpy()
    return Pairs(one.astype(np.float32), two.astype(np.float32), products)


def few(first: Rows, second: Rows) -> bool:
    """Whether the route through the data is the cheaper one, folds left out or not."""
    return max(len(first), len(second)) <= 1.25 * first.shape[1]


def frechet(first: Rows, second: Rows) -> float:
    """The plain plug-in FD of ``(N1, D)`` and ``(N2, D)`` features, as papers report it; biased upward by ~1/N."""
    if few(first, second):
        return pairs(first, second).distance(np.arange(len(first)), np.arange(len(second)))
    (a_mean, a), (b_mean, b) = (_gaussian(moments(rows)) for rows in (first, second))
    return distance_of_gaussians(a_mean, a, b_mean, b)


def _gaussian(found: Moments) -> tuple[Floats, Floats]:
    """Mean and covariance, so that the moments themselves need not be kept."""
    return found.mean, found.covariance


class Frechet(NamedTuple):
    """FD of two samples: the plug-in value, and the estimate of FD between the populations.

    ``corrected`` may be slightly negative, as any unbiased estimate of a distance near 0 must be.
    """

    plain: float
    corrected: Estimate


def frechet_jackknife(
    first: Rows, second: Rows, first_folds: Indices, second_folds: Indices, null: float = 0.0
) -> Frechet:
    """FD with the delete-fold jackknife over both sets: ``G FD - (G-1) mean FD_(-g)`` (Quenouille 1956).

    The bias of FD is ``b1/N1 + b2/N2`` to first order, which leaving out fold ``g`` of both sets at once reveals. It
    is gone when both sets have more rows than columns without any fold, and not otherwise. ``null`` is the standard
    deviation of FD between two samples of one population, of these sizes: see ``jackknife``.
    """
    return from_left_out(frechet_left_out(first, second, first_folds, second_folds), null)


def from_left_out(values: Floats, null: float) -> Frechet:
    """FD from its plain value and those without each fold ``(1 + G,)``."""
    plain = jackknife(values, null)
    corrected = plain.folds * plain.value - (plain.folds - 1) * float(values[1:].mean())
    return Frechet(plain.value, replace(plain, value=corrected))


def frechet_left_out(first: Rows, second: Rows, first_folds: Indices, second_folds: Indices) -> Floats:
    """The plain FD, then the plain FD without each fold of both sets: ``(1 + G,)``.

    A side whose folds are all -1 stays whole.
    """
    count = fold_count(first_folds, second_folds)
    leave_one = _few_left_out if few(first, second) else _many_left_out
    return np.array(list(leave_one(first, second, first_folds, second_folds, count)))


def _few_left_out(
    first: Rows, second: Rows, first_folds: Indices, second_folds: Indices, count: int
) -> Iterator[float]:
    """FD, then FD without each fold, by the route through the data."""
    both = pairs(first, second)
    yield both.distance(np.arange(len(first)), np.arange(len(second)))
    for fold in range(count):
        yield both.distance(np.flatnonzero(first_folds != fold), np.flatnonzero(second_folds != fold))


def _many_left_out(
    first: Rows, second: Rows, first_folds: Indices, second_folds: Indices, count: int
) -> Iterator[float]:
    """FD, then FD without each fold, by subtracting the fold's moments."""
    one, two = moments(first), moments(second)
    yield distance_of_moments(one, two)
    for fold in range(count):
        yield distance_of_moments(
            one - moments(first[first_folds == fold], one.pivot),
            two - moments(second[second_folds == fold], two.pivot),
        )
