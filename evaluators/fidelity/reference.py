"""What real images beside the test part tell of features: their scale, and what chance does to distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench.api import ColumnUnits, ImageSet, Material, Rows, Split
from bench.statistics.arrays import Indices
from bench.statistics.resampling import hashed_order
from bench.statistics.scaling import scale_of
from evaluators.fidelity.chance import Pool
from evaluators.fidelity.comparison import Reference

MOST = 5_000  # real images looked at: the scale is then known to 1%, and an encoder has not to see a whole collection
FEWEST = 50  # training images under which their scale is too uncertain to be taken as known


@dataclass(frozen=True, eq=False)
class RealImages:
    """Images of the training and holdout parts, whole patients by the hash of their names, the same for everybody.

    Attributes:
        train, holdout: those of each part.
        rows: the features read so far, by encoder.
    """

    train: ImageSet
    holdout: ImageSet
    rows: dict[str, Rows] = field(default_factory=dict)

    @classmethod
    def of(cls, split: Split) -> RealImages:
        """At most ``MOST`` images of both parts together."""
        parts = split.train, split.holdout
        patients = [name for part in parts for name in part.patients]
        chosen = np.zeros(len(patients), bool)
        chosen[_whole_patients(patients, MOST)] = True
        first, second = np.split(chosen, [len(split.train)])
        return cls(split.train.select(np.flatnonzero(first)), split.holdout.select(np.flatnonzero(second)))

    def reference(self, material: Material, encoder: str, group: str) -> Reference:
        """What they tell of a group of images in an encoder: its own images first, then all."""
        rows = self._read(material, encoder)
        pools = [Pool(rows, self._patients)]
        if group != "all":
            pools.insert(0, pools[0].select(self._of_group(group)))
        pools = [pool for pool in pools if len(pool.rows)]
        return reference_of(rows[: len(self.train)], material.encoders[encoder].column_units, pools)

    @cached_property
    def _patients(self) -> Indices:
        names = np.asarray([*self.train.patients, *self.holdout.patients], dtype=np.str_)
        return np.unique(names, return_inverse=True)[1].reshape(-1)

    def _read(self, material: Material, encoder: str) -> Rows:
        if encoder not in self.rows:
            parts = [material.features(encoder, part) for part in (self.train, self.holdout) if len(part)]
            self.rows[encoder] = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        return self.rows[encoder]

    def _of_group(self, group: str) -> Indices:
        column, value = group.split("=", 1)
        values = [*self.train.group(column), *self.holdout.group(column)]
        return np.flatnonzero(np.asarray(values, dtype=np.str_) == value)


def reference_of(training: Rows, units: ColumnUnits, pools: Sequence[Pool]) -> Reference:
    """What rows ``(N, D)`` of training images and ``pools`` of real ones tell of columns of these units."""
    if units == "alike":
        return Reference(pools=pools)
    if len(training) < FEWEST:
        return Reference(own=True, pools=pools)
    return Reference(scale_of(training), pools=pools)


def _whole_patients(patients: Sequence[str], most: int) -> Indices:
    """Images ``(n,)`` of the patients that come first by the hash of their names and fit, at most ``most``."""
    names, number = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    number = number.reshape(-1)
    sizes = np.bincount(number, minlength=len(names))
    taken = []
    for patient in hashed_order(names.tolist()).tolist():
        if sizes[patient] <= most:
            taken.append(patient)
            most -= int(sizes[patient])
    return np.flatnonzero(np.isin(number, taken))
