"""Congruence and coverage of two clouds of features, as pure functions.

A ``Frame`` is fitted on the real reference alone and applied to every set; ``x`` are reference points, ``y`` the
points judged, both ``(N, P)`` float64 in the frame's whitened principal components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Floats
from bench.statistics.distances import nearest

Points = Floats
NEIGHBOURS = 3


@dataclass(frozen=True)
class Frame:
    """Mean and whitening axes of the reference: principal components holding ``share`` of its variance."""

    mean: Points
    scale: Points
    axes: Points

    @classmethod
    def fit(cls, reference: Rows, share: float = 0.95, most: int = 64) -> Frame:
        """Z-score each column of ``(N, D)`` rows, keep at most ``most`` components; constant columns drop out."""
        rows = reference.astype(np.float64)
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        alive = spread > 1e-9 * np.maximum(1.0, np.abs(mean))
        scale = np.where(alive, 1.0 / np.where(alive, spread, 1.0), 0.0)
        _, singular, axes = np.linalg.svd((rows - mean) * scale, full_matrices=False)
        variance = singular**2 / (len(rows) - 1)
        kept = min(most, int(np.searchsorted(np.cumsum(variance) / variance.sum(), share)) + 1)
        return cls(mean, scale, axes[:kept].T / np.sqrt(variance[:kept]))

    def __call__(self, rows: Rows) -> Points:
        """``(N, D)`` rows to ``(N, P)`` whitened components."""
        return ((rows.astype(np.float64) - self.mean) * self.scale) @ self.axes


def earth_movers(x: Points, y: Points) -> float:
    """``2 mean_j W1(U(0, 1), F_j(y_j))``, with ``F_j`` the empirical distribution of component j of ``x``; in [0, 1].

    Rubner et al. 2000, made unitless by the probability transform of the reference.
    """
    grid = (np.arange(len(y)) + 0.5) / len(y)
    total = 0.0
    for j in range(x.shape[1]):
        ordered = np.sort(x[:, j])
        below = np.searchsorted(ordered, y[:, j], side="left")
        upto = np.searchsorted(ordered, y[:, j], side="right")
        total += np.abs(np.sort((below + upto) / (2 * len(x))) - grid).mean()
    return float(min(1.0, 2 * total / x.shape[1]))


def bin_divergence(x: Points, y: Points, seed: int = 0) -> float:
    """Jensen-Shannon divergence (base 2) of the shares of ``x`` and ``y`` in k-means bins of ``x``; in [0, 1].

    Richardson & Weiss 2018 (arXiv:1805.12462); ``K = clip(n / 20, 10, 100)`` bins.
    """
    from sklearn.cluster import KMeans

    bins = int(np.clip(len(x) // 20, 10, 100))
    means = KMeans(bins, n_init=3, random_state=seed).fit(x)
    p = np.bincount(means.labels_, minlength=bins) / len(x)
    q = np.bincount(means.predict(y), minlength=bins) / len(y)
    middle = (p + q) / 2

    def relative(a: Points) -> float:
        used = a > 0
        return float((a[used] * np.log2(a[used] / middle[used])).sum())

    return float(np.clip((relative(p) + relative(q)) / 2, 0.0, 1.0))


def variance_ratio(x: Points, y: Points) -> float:
    """``tr Cov(y) / tr Cov(x)``; 1 is best."""
    return float(y.var(axis=0, ddof=1).sum() / x.var(axis=0, ddof=1).sum())


def entropy_difference(x: Points, y: Points) -> float:
    """Differential entropy of ``y`` less that of ``x``, per component, in nats (Kozachenko & Leonenko 1987).

    ``mean log r_k(y) - mean log r_k(x)`` for sets of equal size, whose constants cancel; ``r_k`` is the distance to the
    third neighbour in the set. Repeated points, whose distance is 0, count as the smallest positive distance.
    """

    def mean_log(points: Points) -> float:
        radius = nearest(points.astype(np.float32), points.astype(np.float32), NEIGHBOURS, exclude_self=True)[0][:, -1]
        positive = radius[radius > 0]
        if not len(positive):
            return -np.inf
        return float(np.log(np.maximum(radius, positive.min())).mean())

    size = min(len(x), len(y))
    return mean_log(y[:size]) - mean_log(x[:size])


def hull_ratio(x: Points, y: Points) -> float:
    """Ratio of the convex hulls' sizes in the first three components, as the root that makes it a length; 1 is best.

    The 2% of points of each set that lie farthest from the centre of ``x`` are left out: one outlier would decide.
    """
    sides = min(3, x.shape[1])
    centre = x[:, :sides].mean(axis=0)

    def volume(points: Points) -> float:
        first = points[:, :sides] - centre
        distance = (first**2).sum(axis=1)
        return _hull(first[distance <= np.quantile(distance, 0.98)])

    return float((volume(y) / volume(x)) ** (1 / sides))


def _hull(points: Points) -> float:
    from scipy.spatial import ConvexHull, QhullError

    if points.shape[1] == 1:
        return float(np.ptp(points))
    try:
        return float(ConvexHull(points).volume)
    except QhullError:  # too few distinct points, or all in a plane
        return 0.0


def rarity(x: Points, y: Points) -> tuple[float, float]:
    """Share of ``y`` inside the reference manifold, and its mean rarity rank there (Han et al. 2022, arXiv:2206.08549).

    The manifold is made of balls round half of ``x`` that reach to the third neighbour; the rarity of a point is the
    smallest radius among the balls it lies in. Its rank is its position among the rarities of the other half, so that
    points of the same law rank 0.5 on average; ``(0, 0)`` where nothing lies inside.
    """
    from sklearn.metrics import pairwise_distances

    balls, others = x[::2], x[1::2]
    radius = np.sort(pairwise_distances(balls), axis=1)[:, NEIGHBOURS]

    def rarities(points: Points) -> Points:
        inside = pairwise_distances(points, balls) <= radius[None, :]
        smallest = np.where(inside, radius[None, :], np.inf).min(axis=1)
        return np.asarray(smallest[np.isfinite(smallest)])

    known, found = np.sort(rarities(others)), rarities(y)
    if not len(found) or not len(known):
        return 0.0, 0.0
    rank = (np.searchsorted(known, found, "left") + np.searchsorted(known, found, "right")) / (2 * len(known))
    return len(found) / len(y), float(rank.mean())


def balance(ratio: float) -> float:
    """``min(r, 1/r)``: a ratio whose best value is 1 as a share in [0, 1]."""
    return float(min(ratio, 1 / ratio)) if ratio > 0 else 0.0
