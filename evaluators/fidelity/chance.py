"""What chance makes of the Fréchet distance: measured between sets of real images of different patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.api import Keep, Rows, made_anew
from bench.statistics.arrays import Indices, array_digest
from evaluators.fidelity.frechet_distance import frechet

DRAWS, FEW_DRAWS = 40, 20  # pairs of sets; fewer where each costs seconds


class Chance(NamedTuple):
    """FD, as in papers, between two sets of one population: its mean, its standard deviation, and where 95% lie.

    ``side`` is the number of images of the smaller set that was measured.
    """

    mean: float
    sd: float
    low: float
    high: float
    side: int

    @property
    def words(self) -> str:
        """For a reader of the score."""
        return f"measured between sets of about {self.side} images of different patients; for other n taken as 1/n"


@dataclass(frozen=True, eq=False)
class Pool:
    """Real images of one population, ``(N, D)`` rows, and the patient ``(N,)`` of each."""

    rows: Rows
    patients: Indices

    def select(self, chosen: Indices) -> Pool:
        return Pool(self.rows[chosen], self.patients[chosen])

    def chance(self, n: int, m: int, draws: int = DRAWS, keep: Keep = made_anew) -> Chance | None:
        """Chance between ``n`` and ``m`` images, or between as many as there are, scaled by ``1/n + 1/m``.

        Sets are drawn without replacement, whole patients at a time, the same for everybody. ``None`` where in most
        draws the images of a side do not outnumber the features: then FD does not fall with ``1/n``.
        """
        identity = ["chance", array_digest(self.rows), array_digest(self.patients), n, m, draws]
        values = keep(identity, lambda: {"values": np.array(self._measured(n, m, draws) or (), np.float64)})["values"]
        if not len(values):
            return None
        mean, sd, low, high, side = values.tolist()
        return Chance(mean, sd, low, high, int(side))

    def _measured(self, n: int, m: int, draws: int) -> Chance | None:
        share = min(1.0, len(self.rows) / (n + m))
        a, b = int(n * share), int(m * share)
        rng = np.random.default_rng(len(self.rows))
        drawn = [self._pair(a, b, rng) for _ in range(draws)]
        pairs = [pair for pair in drawn if min(map(len, pair)) > self.rows.shape[1]]
        if len(pairs) < draws / 2:
            return None
        values = [self._scaled(one, two, 1 / n + 1 / m) for one, two in pairs]
        low, high = np.quantile(values, (0.025, 0.975))
        side = int(np.median([min(map(len, pair)) for pair in pairs]))
        return Chance(float(np.mean(values)), float(np.std(values, ddof=1)), float(low), float(high), side)

    def _pair(self, a: int, b: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Images of random patients: up to ``a`` of some and up to ``b`` of others."""
        _, number = np.unique(self.patients, return_inverse=True)
        place = rng.permutation(int(number.max(initial=-1)) + 1)[number.reshape(-1)]
        order = np.argsort(place, kind="stable")
        sizes = np.bincount(place)
        before = np.cumsum(sizes)
        one = int(np.searchsorted(before, a, side="right"))
        start = int(before[one - 1]) if one else 0
        two = int(np.searchsorted(before, start + b, side="right"))
        stop = int(before[two - 1]) if two else 0
        return order[:start], order[start:stop]

    def _scaled(self, one: Indices, two: Indices, wanted: float) -> float:
        return frechet(self.rows[one], self.rows[two]) * wanted / (1 / len(one) + 1 / len(two))
