"""The patient-permutation tail test: do the synthetic images closest to real ones prefer training patients?

If patients were put into train and holdout at random, and the generator kept nothing of its training patients beyond
what the population has in common, then which patients are training patients is exchangeable given the synthetic
images. Take the synthetic images closest to any real image, count those whose closest real image belongs to a
training patient, and shuffle the labels of patients: the p-value is exact whatever the generator's quality or
diversity, the features, or the number of images of a patient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.api import Metric
from bench.statistics.arrays import Floats, Integers, Mask
from bench.statistics.resampling import clopper_pearson

SHARE = 0.01
FINEST_P = 0.001
LEVEL = 0.05
FEWEST_IMAGES = 500
TAIL_P = Metric(
    key="tail_p",
    title="Tail test, p",
    better="neither",
    reference="Phipson & Smyth 2010, 10.2202/1544-6115.1585",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="p-value, corrected for the number of encoders, of training patients owning as many of the closest "
    "synthetic images as they do. A large one is no evidence of safety: a weak test gives large ones too.",
)
EXCESS = Metric(
    key="excess_copy_share",
    title="Excess among the closest images",
    better="neither",
    reference="Korn & Graubard 1998 (interval)",
    role="describes",
    area="privacy",
    bounds=(-math.inf, 1.0),
    minimum=FEWEST_IMAGES,
    summary="How many more of the closest synthetic images belong to training patients than chance gives, as a share "
    "of all synthetic images. Copies that are not among the closest are not in it, nor below its upper end.",
)
DETECTABLE = Metric(
    key="detectable_leak",
    title="Standing-out copies needed (design)",
    better="neither",
    reference="simulation of planted copies",
    role="describes",
    area="privacy",
    bounds=(0.0, 1.0),
    minimum=FEWEST_IMAGES,
    summary="A design figure: smallest share of copies, planted much closer to training images than anything else, "
    "that the tail test finds in 80% of trials in these features alone. Of other copies far more are missed.",
)


@dataclass(frozen=True, slots=True)
class Closest:
    """The closest real image of every synthetic one, among train and holdout together.

    Attributes:
        distances: ``(M,)`` to the closest real image.
        owners: ``(M,)`` whose image that is: a patient ``0..P-1``.
        member: ``(P,)`` whether the patient is a training patient.
    """

    distances: Floats
    owners: Integers
    member: Mask


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share of the synthetic images with its 95% interval, and the tail it was read from."""

    value: float
    low: float
    high: float
    tail: int


def tail_size(images: int, member_share: float) -> int:
    """How many of ``images`` form the tail: 1%, at least 5, and enough that ``member_share ** size`` is 0.001.

    The last keeps the test able to reject when most patients are training patients. It depends on the split and the
    number of images only, never on distances.
    """
    finest = math.ceil(math.log(FINEST_P) / math.log(member_share))
    return min(images, max(5, round(SHARE * images), finest))


def closeness_order(distances: Floats, rng: np.random.Generator) -> Integers:
    """Indices from the closest to the farthest, ties in random order."""
    return np.lexsort((rng.permutation(len(distances)), distances))


def permutation_p(owners: Integers, member: Mask, rng: np.random.Generator, repeats: int = 1999) -> float:
    """One-sided p-value of the number of tail images held by training patients.

    ``(1 + #{shuffles with at least the observed number}) / (1 + repeats)``; a shuffle gives the same number of
    training labels to other patients, all images of a patient together.

    Args:
        owners: ``(t,)`` patient of the closest real image of each tail image.
        member: ``(P,)`` whether a patient is a training patient.
    """
    patients, hits = np.unique(owners, return_counts=True)
    left = np.full(repeats, int(member.sum()))
    count = np.zeros(repeats)
    for place, weight in enumerate(hits):
        drawn = rng.random(repeats) * (len(member) - place) < left
        count += weight * drawn
        left -= drawn
    observed = float(hits @ member[patients])
    return float((1 + np.count_nonzero(count >= observed)) / (1 + repeats))


def copied_share(owners: Integers, member: Mask, images: int) -> Estimate:
    """Share of all ``images`` that are in this tail because they were copied from training patients.

    Copies outside the tail are in neither the value nor the interval, which ends at ``t / images``: it bounds the
    copies among the closest images, never those of the generator.

    With training patients a share ``f`` of all patients and ``p`` of the tail, ``t (p - f) / (1 - f) / images``: what
    is not copied falls on training patients with probability ``f``. The interval is exact for a proportion
    (Clopper & Pearson 1934) at the effective size ``t / deff``, ``deff = sum w^2 / sum w`` over the numbers ``w`` of
    tail images per patient (Korn & Graubard 1998): a bootstrap of so few, often unanimous, images has no width.
    """
    weights = np.unique(owners, return_counts=True)[1].astype(np.float64)
    tail = len(owners)
    effective = tail * weights.sum() / (weights @ weights)
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


def power(closest: Closest, copies: int, distance: float, rng: np.random.Generator, trials: int = 60) -> float:
    """Share of trials in which the test finds ``copies`` planted copies of training patients at the 5% level.

    Each trial labels patients afresh at random, so that what the generator itself copied counts for nothing, and
    puts ``copies`` images of random training patients at ``distance`` in the place of the closest synthetic ones.
    """
    size = tail_size(len(closest.distances), float(closest.member.mean()))
    found = 0
    for _ in range(trials):
        member = rng.permutation(closest.member)
        replaced = closeness_order(closest.distances, rng)[:copies]
        distances, owners = closest.distances.copy(), closest.owners.copy()
        distances[replaced] = distance
        owners[replaced] = rng.choice(np.flatnonzero(member), copies)
        tail = closeness_order(distances, rng)[:size]
        found += permutation_p(owners[tail], member, rng, 399) <= LEVEL
    return found / trials


def detectable_share(closest: Closest, distance: float, rng: np.random.Generator) -> float | None:
    """Smallest share of copies at ``distance`` that the test finds in 80% of trials; ``None`` if half is not enough.

    Measured by planting (``power``) among this generator's own distances, in the features in use, at the level of one
    test and in the place of the closest images: more than that is needed where several encoders are corrected for.
    """
    images = len(closest.distances)
    low, high = 0, images // 2
    if power(closest, high, distance, rng) < 0.8:
        return None
    while high - low > 1:
        middle = max(low + 1, min((low + high) // 2, 2 * low + 4))
        if power(closest, middle, distance, rng) >= 0.8:
            high = middle
        else:
            low = middle
    return high / images
