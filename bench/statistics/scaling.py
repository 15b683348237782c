"""Bringing columns of features that measure different things to one scale, that of a reference set."""

from __future__ import annotations

import numpy as np

from bench.api import Refused, Rows
from bench.statistics.arrays import Floats, Mask

CONSTANT = 1e-6  # a column whose SD is a smaller part of its mean is constant but for rounding


def standard_deviations(reference: Rows, constant: float = CONSTANT) -> tuple[Floats, Mask]:
    """The SD ``(D,)`` of each column of ``(N, D)``, and whether it is more than the part ``constant`` of the mean."""
    spread, mean = reference.std(axis=0, dtype=np.float64), reference.mean(axis=0, dtype=np.float64)
    return spread, spread > constant * np.abs(mean)


def column_scale(reference: Rows, constant: float = CONSTANT) -> Floats:
    """What to divide each column by so that its SD over the reference is 1: ``(D,)``, 1 where it is constant there."""
    spread, varies = standard_deviations(reference, constant)
    return np.where(varies, spread, 1.0)


def standardise(reference: Rows, other: Rows) -> tuple[Rows, Rows]:
    """Both sets with the columns of the reference brought to mean 0 and SD 1; those constant in it left out.

    Args:
        reference: ``(N, D)``.
        other: ``(M, D)``, moved and scaled as the reference is.

    Raises:
        Refused: all columns are constant.
    """
    mean = reference.mean(axis=0, dtype=np.float64)
    spread, varies = standard_deviations(reference)
    if not varies.any():
        raise Refused(f"all {len(varies)} features are constant over the reference images")
    scaled = ((rows[:, varies] - mean[varies]) / spread[varies] for rows in (reference, other))
    reference_scaled, other_scaled = (rows.astype(np.float32) for rows in scaled)
    return reference_scaled, other_scaled
