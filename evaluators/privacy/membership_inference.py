"""Whether training patients can be told from holdout patients by the synthetic images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.api import Metric
from bench.statistics.arrays import Floats, Integers, Interval, Mask
from bench.statistics.classification import auc, patient_weights, percentile_interval
from bench.statistics.resampling import normal_interval

RESAMPLES = 1000
WEIGHTS = 2**25  # numbers in a table of resamples

DISTANCE_RATIO = Metric(
    key="nn_distance_ratio",
    title="Distance to train / holdout",
    better="target",
    target=1.0,
    reference="10.1038/s41551-025-01468-8",
    area="privacy",
    bounds=(0.0, math.inf),
    summary="Mean distance from a synthetic image to the closest training image over that to the closest holdout "
    "image, among equally many patients; below 1 means drawn towards training patients.",
)
MIA_AUC = Metric(
    key="mia_auc",
    title="Membership inference, AUC",
    better="lower",
    reference="10.1145/3372297.3417238",
    role="headline",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="How well an attacker who measures the distance to the closest synthetic image tells training from "
    "holdout patients: 0.5 is chance, and less gives nobody of the training set away.",
)
MIA_TPR = Metric(
    key="mia_tpr",
    title="Membership inference, TPR at 1% FPR",
    better="target",
    target=0.01,
    reference="arXiv:2112.03570",
    area="privacy",
    bounds=(0.0, 1.0),
    summary="Share of training patients the same attacker names while accusing one holdout patient in a hundred.",
)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The ``k`` closest images of one part of the split for every synthetic image, closest first.

    Attributes:
        distances: ``(M, k)``.
        owners: ``(M, k)`` whose images they are: patients ``0..patients-1``.
    """

    distances: Floats
    owners: Integers
    patients: int

    def closest(self, kept: Mask) -> Floats:
        """``(M,)`` distance to the closest image of the ``kept (patients,)``; the ``k``-th where none is listed."""
        listed = kept[self.owners]
        column = np.where(listed.any(axis=1), listed.argmax(axis=1), listed.shape[1] - 1)
        return self.distances[np.arange(len(column)), column]


def patient_auc(
    scores: Floats, member: Mask, patients: Sequence[str], rng: np.random.Generator
) -> tuple[float, Interval]:
    """Area under the ROC curve of members against non-members, with its patient-cluster bootstrap interval."""
    value = float(auc(scores, member, np.ones((1, len(scores))))[0])
    step = max(1, WEIGHTS // len(scores))
    counts = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    draws = [auc(scores, member, patient_weights(patients, rng, count)) for count in counts]
    return value, percentile_interval(value, np.concatenate(draws))


def by_patient(scores: Floats, patients: Sequence[str]) -> tuple[Floats, list[str]]:
    """The highest score of each patient, and the patients in the same order."""
    names, place = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    highest = np.full(len(names), -np.inf)
    np.maximum.at(highest, place, scores)
    return highest, names.tolist()


def true_positive_rate(
    members: Floats, others: Floats, rng: np.random.Generator, allowed: float = 0.01
) -> tuple[int, int]:
    """Members scored above the threshold that a random half of the others exceeds at rate ``allowed``: (hits, members).

    The threshold is fixed on that half alone.
    """
    half = rng.permutation(others)[: len(others) // 2]
    threshold = np.quantile(half, 1 - allowed, method="higher")
    return int((members > threshold).sum()), len(members)


def matched_ratio(train: Neighbours, holdout: Neighbours, rng: np.random.Generator) -> tuple[float, Interval] | None:
    """Mean distance to the closest training image over that to the closest holdout image, patients matched in number.

    The larger side is thinned to as many random patients as the smaller has, and the ratio averaged over 50 such
    choices. The interval is the normal one with the standard error over 200 bootstrap resamples of patients on both
    sides and of synthetic images. ``None`` where every distance to the holdout is 0.

    Means, not medians: with three training patients to a holdout patient, thinning hides two copies in three, and a
    median does not see the third.
    """
    count = min(train.patients, holdout.patients)
    images = len(train.distances)
    if not holdout.closest(np.ones(holdout.patients, np.bool_)).any():
        return None

    def chosen(patients: int, replace: bool) -> Mask:
        kept = np.zeros(patients, np.bool_)
        kept[rng.choice(patients, count, replace=replace)] = True
        return kept

    def ratio(weights: Floats, replace: bool) -> float:
        near = train.closest(chosen(train.patients, replace)) @ weights
        far = holdout.closest(chosen(holdout.patients, replace)) @ weights
        return float(near / far)

    value = float(np.mean([ratio(np.ones(images), False) for _ in range(50)]))
    resampled = rng.multinomial(images, np.full(images, 1 / images), size=200).astype(np.float64)
    spread = float(np.std([ratio(weights, True) for weights in resampled], ddof=1))
    return value, normal_interval(value, spread)


def neighbours_needed(patients: int, matched: int, images: int) -> int:
    """How many neighbours to list so that almost every image finds one after thinning ``patients`` to ``matched``."""
    return int(min(images, max(8, min(256, -(-8 * patients // matched)))))
