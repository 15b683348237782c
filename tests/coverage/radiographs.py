"""Populations made of the real radiomics of a sample of chest radiographs, whole patients at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from bench.api import ColumnUnits, Encoder, Rows
from bench.datasets.nih_cxr14 import NihCxr14
from bench.runtime.code_digest import code_digest
from bench.runtime.plugins import build
from bench.statistics.arrays import Floats, Indices
from bench.storage.files import content_key
from tests.conftest import ROOT
from tests.coverage.populations import NULL, Draw, Population, Shift

FOLDER = Path(os.environ.get("BENCH_SHARED_DATA", ROOT.parent / "shared" / "data")) / "nih_cxr14"
TRAINING = 1 / 3  # share of the patients whose images are the reference, where those of a draw are real ones
SMOOTHING = 0.3  # deviation of what is added to a patient's features, in that of all patients
SHARED = 0.6  # share of its variance that all images of a patient have in common


@dataclass(frozen=True)
class Halves(Population):
    """Real images of two disjoint random sets of patients: a draw of the null, and of nothing else."""

    rows: Rows
    owners: Indices
    name: str = "radiographs_halves"
    units: ColumnUnits = "different"
    sources: bool = True
    shifts: tuple[Shift, ...] = (NULL,)
    finite: bool = True

    def patients(self, n: int, rng: np.random.Generator) -> tuple[Rows, Indices]:
        return self._of(rng.permutation(self._judged), n)

    def images(self, n: int, rng: np.random.Generator) -> Rows:
        return self.rows[rng.permutation(np.flatnonzero(np.isin(self.owners, self._judged)))[:n]]

    def draw(self, n: int, shift: Shift, rng: np.random.Generator) -> Draw:
        """At most as many images as half of the patients have."""
        order = rng.permutation(self._judged)
        first, second = order[::2], order[1::2]
        real, fake = self._of(first, n), self._of(second, n)
        return Draw(real[0], fake[0], real[1], fake[1], *self.training, self.units)

    @cached_property
    def training(self) -> tuple[Rows, Indices]:
        others = ~np.isin(self.owners, self._judged)
        return self.rows[others], self.owners[others]

    @cached_property
    def _judged(self) -> Indices:
        """The patients that are drawn from; the others are the training part."""
        everyone = self.stream("training").permutation(np.unique(self.owners))
        return everyone[round(TRAINING * len(everyone)) :]

    def _of(self, patients: Indices, n: int) -> tuple[Rows, Indices]:
        found = np.concatenate([np.flatnonzero(self.owners == patient) for patient in patients])[:n]
        return self.rows[found], self.owners[found]


@dataclass(frozen=True)
class Smoothed(Population):
    """A smoothed bootstrap of the real patients: their images with a little normal noise, moments kept.

    Unlike the patients themselves it is a population without end: any number of patients, none met twice.
    """

    rows: Rows
    owners: Indices
    name: str = "radiographs"
    units: ColumnUnits = "different"
    of: dict[int, Indices] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {number: np.flatnonzero(self.owners == who) for number, who in enumerate(np.unique(self.owners))}
        object.__setattr__(self, "of", found)

    def patients(self, n: int, rng: np.random.Generator) -> tuple[Rows, Indices]:
        chosen = [self.of[each] for each in rng.integers(len(self.of), size=n)]
        whose = np.repeat(np.arange(n), [len(each) for each in chosen])[:n]
        return self._smoothed(np.concatenate(chosen)[:n], whose, rng), whose

    def images(self, n: int, rng: np.random.Generator) -> Rows:
        return self._smoothed(rng.integers(len(self.rows), size=n), np.arange(n), rng)

    def _smoothed(self, places: Indices, whose: Indices, rng: np.random.Generator) -> Rows:
        common, own = (rng.standard_normal((size, self.rows.shape[1])) for size in (whose[-1] + 1, len(whose)))
        noise = (SHARED**0.5 * common[whose] + (1 - SHARED) ** 0.5 * own) @ self._root.T
        mean = self.rows.mean(axis=0, dtype=np.float64)
        near = self.rows[places] - mean + SMOOTHING * noise
        return (mean + near / (1 + SMOOTHING**2) ** 0.5).astype(np.float32)

    @cached_property
    def _root(self) -> Floats:
        """``A`` with ``A A^T`` the covariance of the real images."""
        spread = self.rows.std(axis=0, dtype=np.float64)
        values, vectors = np.linalg.eigh(np.corrcoef(self.rows, rowvar=False))
        return spread[:, None] * vectors * np.sqrt(np.maximum(values, 0))


def radiographs(cache: Path) -> tuple[Population, ...]:
    """Both populations, from features that are computed once and kept in ``cache``.

    Raises:
        FileNotFoundError: no radiographs are there.
    """
    if not FOLDER.is_dir():
        raise FileNotFoundError(f"no radiographs at {FOLDER} (set BENCH_SHARED_DATA)")
    encoder = build(OmegaConf.load(ROOT / "conf" / "encoder" / "radiomics.yaml").radiomics, Encoder)
    path = cache / f"radiographs-{content_key([encoder.id, code_digest(type(encoder), NihCxr14)])}.npz"
    if not path.exists():
        split = NihCxr14(str(FOLDER)).load(cache)
        parts = split.train, split.holdout, split.test
        rows = np.concatenate([encoder(part.pixels()) for part in parts])
        owners = np.unique([who for part in parts for who in part.patients], return_inverse=True)[1]
        np.savez(path, rows=rows, owners=owners)
    kept = np.load(path)
    varies = kept["rows"].std(axis=0) > 1e-6 * np.abs(kept["rows"].mean(axis=0))
    return tuple(kind(kept["rows"][:, varies], kept["owners"]) for kind in (Halves, Smoothed))
