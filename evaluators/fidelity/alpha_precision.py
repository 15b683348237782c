"""Alpha-precision, beta-recall and authenticity: how typical, how varied, how new (Alaa et al. 2022, arXiv
2102.08921).

The paper measures in a one-class embedding, a network trained anew for every data set and seed. Here it is the
encoder's own features, columns scaled by the real images, and the centre is their mean: the same for every generator
and run, and nothing to train.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Interval
from bench.statistics.distances import nearest
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import View
from bench.statistics.resampling import clopper_pearson
from bench.statistics.scaling import standard_deviations

BRIDGE = 2 * math.sqrt(7 / 60 - math.pi / 32)  # SD of twice the area under the absolute value of a Brownian bridge

ALPHA_PRECISION = Metric(
    key="alpha_precision",
    title="Alpha-precision",
    better="higher",
    reference="arXiv:2102.08921",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "How evenly synthetic images fill the shells that hold equal shares of the real ones around their centre; "
        "chance alone takes 0.04 off a perfect generator at 512 images a side."
    ),
)
BETA_RECALL = Metric(
    key="beta_recall",
    title="Beta-recall",
    better="higher",
    reference="arXiv:2102.08921",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "How evenly real images, from typical to rare, have a synthetic one nearby; about 0.95 at best. At 250 a "
        "side its interval held the expected value in 88 to 100% of redraws."
    ),
)
AUTHENTICITY = Metric(
    key="authenticity",
    title="Authenticity",
    better="higher",
    reference="arXiv:2102.08921",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=50,
    summary=(
        "Share of synthetic images further from their nearest training image than that is from the next. Unseen "
        "real images score well below 1 too: compare with the holdout control."
    ),
)


def from_centre(rows: Rows, centre_of: Rows, scale_of: Rows) -> Floats:
    """Distances ``(N,)`` of rows to the mean of ``centre_of``, every column in units of its SD over ``scale_of``."""
    centre = centre_of.mean(axis=0, dtype=np.float64)
    spread, varies = standard_deviations(scale_of)
    scaled = (rows[:, varies] - centre[varies]) / spread[varies]
    return np.sqrt(np.einsum("nd,nd->n", scaled, scaled))


def level(values: Floats, among: Floats) -> Floats:
    """The share of ``among`` that is below each value, ties counted by half: its level ``(N,)`` in 0..1."""
    ordered = np.sort(among)
    places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return places / (2 * len(ordered))


def from_diagonal(levels: Floats, total: int) -> float:
    """``1 - 2 * integral over a in 0..1 of |a - G(a)|`` for ``G(a)`` the number of levels up to ``a``, over ``total``.

    1 where ``G`` is the diagonal, 0 where it is constant at 0 or 1.
    """
    edges = np.concatenate(([0.0], np.sort(levels), [1.0]))
    heights = np.arange(len(levels) + 1) / total
    low, high = edges[:-1] - heights, edges[1:] - heights
    area = (high * np.abs(high) - low * np.abs(low)) / 2
    return 1 - 2 * float(area.sum())


def alpha_precision(fake_from_centre: Floats, real_from_centre: Floats) -> float:
    """How evenly synthetic images fill the shells around the centre that hold equal shares of the real ones.

    ``G(a)`` is the share of synthetic images as near to the real centre as the nearest ``a`` of the real ones.
    """
    return from_diagonal(level(fake_from_centre, real_from_centre), len(fake_from_centre))


class Outward(NamedTuple):
    """Distances of real and synthetic images from the real centre ``(N,)`` and ``(M,)``, and of synthetic ones from
    their own ``(M,)``."""

    real: Floats
    fake: Floats
    fake_from_fake: Floats

    def with_bridge(self, estimate: Estimate) -> Estimate:
        """Alpha-precision with the error of a perfect generator added to that of the halves.

        Where real and synthetic levels differ little the area between them is that under the absolute value of a
        Brownian bridge, whose standard deviation is ``BRIDGE sqrt(1/N + 1/M)`` (Shepp 1982); halves, which are further
        from one another, see less of it: intervals without it held the mean in 0.77 to 0.91 of Gaussian trials.
        """
        bridge = BRIDGE * np.sqrt(1 / len(self.real) + 1 / len(self.fake))
        return estimate.with_error(float(np.hypot(estimate.se, bridge)))

    def alpha_precision(self, view: View) -> float:
        """In 0..1; what chance does only lowers it: a perfect generator reads ``1 - 0.63 sqrt(1/N + 1/M)``."""
        return alpha_precision(self.fake[view.fake], self.real[view.real])

    def beta_recall(self, view: View) -> float:
        """How evenly real images are reached by synthetic ones, from the most typical to the least; in 0..1.

        ``G(b)`` is the share of real images whose nearest synthetic image lies in their ball and is among the ``b`` of
        such nearest images that are next to the synthetic centre. The ball reaches to the ``k``-th real neighbour; the
        authors' code takes the first, which gives a perfect generator 0.5.
        """
        distance, image = view.nearest_fake
        away = self.fake_from_fake[image]
        reached = distance <= view.real_radius[view.real]
        return from_diagonal(level(away, away)[reached], len(reached))


def outward(real: Rows, fake: Rows) -> Outward:
    """How far out the images of both sets lie."""
    return Outward(from_centre(real, real, real), from_centre(fake, real, real), from_centre(fake, fake, real))


def authenticity(fake: Rows, train: Rows) -> tuple[float, Interval]:
    """The share of synthetic images further from their nearest training image than that is from its own neighbour.

    With the exact binomial interval: synthetic images are independent, the training images are all there are.
    """
    distance, image = nearest(fake, train, 1)
    source, where = np.unique(image[:, 0], return_inverse=True)
    near, at = nearest(train[source], train, 2)
    gap = np.where(at[:, 0] == source, near[:, 1], near[:, 0])[where]
    new = int((distance[:, 0] > gap).sum())
    return new / len(fake), clopper_pearson(new, len(fake))
