"""Which items of a set belong together: the images of a patient, the patients of a fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.statistics.arrays import Indices, Mask
from bench.statistics.resampling import fixed_folds


@dataclass(frozen=True, eq=False)
class Clusters:
    """The fold and the patient ``(N,)`` of each of ``N`` images; no patient is in two folds.

    Folds are numbered from 0; patients are numbers in any order.
    """

    folds: Indices
    patients: Indices

    @classmethod
    def of(cls, patients: Sequence[str], count: int) -> Clusters:
        """Patients dealt out to ``count`` folds by their names alone, see ``fixed_folds``."""
        names, number = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        return cls(fixed_folds(names.tolist(), max(1, count))[number], number.reshape(-1))

    @classmethod
    def apart(cls, folds: Indices) -> Clusters:
        """Every image of a patient of its own."""
        return cls(folds, np.arange(len(folds)))

    def __len__(self) -> int:
        return len(self.folds)

    @property
    def count(self) -> int:
        """The number of folds; some may be empty."""
        return int(self.folds.max(initial=-1)) + 1

    @property
    def together(self) -> Indices:
        """``(N,)`` how many images the patient of each image has."""
        _, number, sizes = np.unique(self.patients, return_inverse=True, return_counts=True)
        return sizes[number.reshape(-1)]

    def merged(self, count: int) -> Clusters:
        """The same patients in ``count`` folds at most."""
        return Clusters(self.folds % count, self.patients)

    def kept(self, rows: Indices | Mask) -> Clusters:
        """Those of some of the images."""
        return Clusters(self.folds[rows], self.patients[rows])

    def pairs(self) -> Iterator[tuple[Indices, Indices]]:
        """All pairs of two images of one patient, each once."""
        order = np.argsort(self.patients, kind="stable")
        for step in range(1, int(self.together.max(initial=1))):
            one, other = order[:-step], order[step:]
            same = self.patients[one] == self.patients[other]
            yield one[same], other[same]
