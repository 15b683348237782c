"""How many more of the images that stand out belong to training patients than chance gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.statistics.arrays import Integers, Mask
from bench.statistics.resampling import clopper_pearson


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share of the synthetic images with its 95% interval, and the tail it was read from."""

    value: float
    low: float
    high: float
    tail: int


def effective_size(owners: Integers) -> float:
    """``t / deff`` of ``t`` images: ``deff = sum w^2 / sum w`` over the numbers ``w`` of images per owner."""
    weights = np.unique(owners, return_counts=True)[1].astype(np.float64)
    return float(len(owners) * weights.sum() / (weights @ weights))


def copied_share(owners: Integers, member: Mask, images: int) -> Estimate:
    """Share of all ``images`` that are in this tail because they were copied from training patients.

    Copies outside the tail are in neither the value nor the interval, which ends at ``t / images``: it bounds the
    copies among the closest images, never those of the generator.

    With training patients a share ``f`` of all patients and ``p`` of the tail, ``t (p - f) / (1 - f) / images``: what
    is not copied falls on training patients with probability ``f``. The interval is exact for a proportion
    (Clopper & Pearson 1934) at the effective size ``t / deff``, ``deff = sum w^2 / sum w`` over the numbers ``w`` of
    tail images per patient (Korn & Graubard 1998): a bootstrap of so few, often unanimous, images has no width.
    """
    tail, effective = len(owners), effective_size(owners)
    share = float(member[owners].mean())
    low, high = clopper_pearson(share * effective, effective)
    chance = float(member.mean())

    def scaled(part: float) -> float:
        return tail * (part - chance) / (1 - chance) / images

    return Estimate(scaled(share), scaled(min(low, share)), scaled(max(high, share)), tail)


def excess_copies(ordered: Integers, member: Mask, first: int) -> Estimate:
    """``copied_share`` of the first tail, doubled as long as it shows copies.

    A tail of ``t`` images cannot show more than ``t`` copies, so it is doubled from ``first`` on as long as its
    interval lies above zero, up to all images. Copies farther away than honest images are never counted.

    Args:
        ordered: ``(M,)`` owners from the closest synthetic image to the farthest.
    """
    tail = first
    while True:
        estimate = copied_share(ordered[:tail], member, len(ordered))
        if estimate.low <= 0 or tail == len(ordered):
            return estimate
        tail = min(2 * tail, len(ordered))
