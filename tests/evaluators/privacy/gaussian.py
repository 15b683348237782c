"""A world of Gaussian patients, honest images of fresh people, and copies: what the mathematics is tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Rows
from bench.statistics.arrays import Integers, Mask
from evaluators.privacy.closeness import Closeness, closeness
from evaluators.privacy.planting import Planted

WITHIN = 0.35  # standard deviation of a patient's images about the patient, of whom the standard deviation is 1


@dataclass(frozen=True)
class People:
    """Patients ``0..P-1`` with 1 to ``most`` images each; ``hubs`` of them lie near the centre, next to everybody."""

    rows: Rows
    owners: Integers
    patients: int

    @property
    def columns(self) -> int:
        return int(self.rows.shape[1])

    def labels(self, share: float, rng: np.random.Generator) -> Mask:
        """Who is a training patient, at random."""
        return rng.permutation(np.arange(self.patients) < round(share * self.patients))

    def close(self, rows: Rows) -> Closeness:
        return closeness(rows, self.rows, self.owners)

    def honest(self, count: int, rng: np.random.Generator) -> Rows:
        """Images of people who are in neither part."""
        return singles(np.hypot(1, WITHIN) * rng.normal(size=(count, self.columns)))

    def copies(self, sources: Integers, noise: float, rng: np.random.Generator) -> Rows:
        """The pooled images at ``sources``, each moved by ``noise`` times a standard Gaussian."""
        return singles(self.rows[sources] + noise * rng.normal(size=(len(sources), self.columns)))

    def copied(self, member: Mask, count: int, rng: np.random.Generator) -> Integers:
        """Random images of training patients."""
        return rng.choice(np.flatnonzero(member[self.owners]), count)

    def planted(self, noise: float, rng: np.random.Generator, count: int = 200) -> Planted:
        """Copies of one image each of random patients, whoever is in which part."""
        sources = [rng.choice(np.flatnonzero(self.owners == each)) for each in rng.permutation(self.patients)[:count]]
        found = self.close(self.copies(np.array(sources), noise, rng))
        return Planted(found.margins, found.owner == self.owners[sources])


def people(patients: int, rng: np.random.Generator, columns: int = 16, most: int = 1, hubs: int = 0) -> People:
    centres = rng.normal(size=(patients, columns))
    centres[:hubs] *= 0.2
    owners = np.repeat(np.arange(patients), rng.integers(1, most + 1, patients))
    return People(singles(centres[owners] + WITHIN * rng.normal(size=(len(owners), columns))), owners, patients)


def singles(rows: object) -> Rows:
    return np.asarray(rows, np.float32)
