"""Bringing columns of features that measure different things to one scale, that of a reference set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Refused, Rows
from bench.statistics.arrays import Floats, Mask

CONSTANT = 1e-6  # a column whose SD is a smaller part of its mean is constant but for rounding
LINEAR = 5.0  # standard deviations up to which a scaled value is left as it is


def standard_deviations(reference: Rows, constant: float = CONSTANT) -> tuple[Floats, Mask]:
    """The SD ``(D,)`` of each column of ``(N, D)``, and whether it is more than the part ``constant`` of the mean."""
    spread, mean = reference.std(axis=0, dtype=np.float64), reference.mean(axis=0, dtype=np.float64)
    return spread, spread > constant * np.abs(mean)


def column_scale(reference: Rows, constant: float = CONSTANT) -> Floats:
    """What to divide each column by so that its SD over the reference is 1: ``(D,)``, 1 where it is constant there."""
    spread, varies = standard_deviations(reference, constant)
    return np.where(varies, spread, 1.0)


def limited(values: Floats) -> Floats:
    """Values in standard deviations with those beyond ``LINEAR`` drawn in: ``L + log(1 + |z| - L)``, the sign kept.

    Increasing, so that no order is lost, and equal to ``z`` where nearly all images are; but a single value at a
    thousand standard deviations is not allowed to be all that a distance consists of.
    """
    away = np.abs(values)
    return np.where(away <= LINEAR, values, np.sign(values) * (LINEAR + np.log1p(np.maximum(away - LINEAR, 0.0))))


@dataclass(frozen=True, slots=True)
class Scale:
    """Brings the columns of rows to the mean 0 and SD 1 of a reference, far values drawn in by ``limited``.

    Attributes:
        mean, spread: ``(D,)`` over the reference.
        varies: ``(D,)`` whether a column varies over the reference: the others are left out.
    """

    mean: Floats
    spread: Floats
    varies: Mask

    def __call__(self, rows: Rows) -> Rows:
        """``(N, D)`` rows on the scale, float32, one column for each that varies."""
        kept = rows[:, self.varies] - self.mean[self.varies]
        return limited(kept / self.spread[self.varies]).astype(np.float32)


def scale_of(reference: Rows) -> Scale:
    """The scale of a reference ``(N, D)``.

    Raises:
        Refused: all columns are constant.
    """
    spread, varies = standard_deviations(reference)
    if not varies.any():
        raise Refused(f"all {len(varies)} features are constant over the reference images")
    return Scale(reference.mean(axis=0, dtype=np.float64), spread, varies)
