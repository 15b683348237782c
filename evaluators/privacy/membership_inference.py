"""Whether training patients can be told from holdout patients by the synthetic images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.api import Metric
from bench.statistics.arrays import Floats, Integers, Interval, Mask
from bench.statistics.classification import auc, patient_weights, percentile_interval
from bench.statistics.resampling import fixed_folds, jackknife, normal_interval
from evaluators.privacy.closeness import closest_kept

RESAMPLES = 1000
FOLDS = 20  # of the patients that an area is found again without
TENTHS = 10
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
        return closest_kept(self.distances, kept[self.owners])


def patient_auc(
    scores: Floats, member: Mask, patients: Sequence[str], rng: np.random.Generator
) -> tuple[float, Interval]:
    """Area under the ROC curve of members against non-members, with its patient-cluster bootstrap interval."""
    value = float(auc(scores, member, np.ones((1, len(scores))))[0])
    step = max(1, WEIGHTS // len(scores))
    counts = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    draws = [auc(scores, member, patient_weights(patients, rng, count)) for count in counts]
    return value, percentile_interval(value, np.concatenate(draws))


def auc_deviations(scores: Floats, member: Mask, patients: Sequence[str], interval: Interval) -> tuple[float, ...]:
    """How the area moves when patients are left out: one number for each of ``FOLDS`` folds, for ``Spread.deviations``.

    The deviations of a delete-one-fold jackknife (Tukey 1958), stretched to the error that ``interval`` has: few folds
    know their own less well than a bootstrap does, and what an interval holds beyond its deviations is never paired.
    Members and others are dealt to the folds each by their names alone, so the deviations of two generators on one
    split may be subtracted: the luck of the split, which both share, cancels.

    Args:
        scores: ``(n,)``; ``member``: ``(n,)``; ``patients``: the name of whose each score is, each name once.
        interval: that of ``patient_auc``.
    """
    names = np.asarray(patients, dtype=np.str_)
    fold = np.empty(len(names), np.int64)
    for side in (member, ~member):
        fold[side] = fixed_folds(names[side].tolist(), FOLDS)
    kept = np.concatenate([np.ones((1, len(fold))), fold != np.arange(FOLDS)[:, None]])
    found = jackknife(auc(scores, member, kept))
    if not found.se:  # an area of 0 or 1 that no patient moves
        return found.deviations
    return found.with_error((interval[1] - interval[0]) / 2 / found.quantile).deviations


def tpr_at_fpr(members: Floats, others: Floats, allowed: float = 0.01) -> tuple[float, Interval, float]:
    """How many members an attacker names who accuses a share ``allowed`` of the others (Carlini et al. 2022).

    The threshold is the ``floor((m + 1) allowed)``-th highest score of the others: one more of them is above it with a
    probability of at most ``allowed``, whatever the scores are. Carlini et al.: arXiv 2112.03570.

    The interval is of the share of the population of members above the ``1 - allowed`` quantile of the population of
    others, so it knows of both samples. The number of others above that quantile is binomial, which says between which
    two of their scores it lies with what probability (the order statistics' interval of a quantile, Thompson 1936);
    given these, the share of members above it has a beta distribution (Jeffreys', between the two of Clopper & Pearson
    1934). The ends are the 2.5% and 97.5% quantiles of that mixture: nothing is drawn at random.

    Args:
        members: ``(n,)`` one score a patient, higher for whoever is believed to be a member.
        others: ``(m,)``, patients that are none, in an order that says nothing of their scores.
        allowed: at least ``1 / (m + 1)``.

    Returns:
        The share of members above the threshold, its 95% interval, and the achieved false positive rate: the share of
        others above the threshold that the same rule sets on nine tenths of them to which they do not belong.

    Raises:
        ValueError: no member, or so few others that not one of them may be accused.
    """
    from scipy import stats

    n, m = len(members), len(others)
    if not n or (m + 1) * allowed < 1:
        raise ValueError(f"{n} members and {m} others; a rate of {allowed} needs 1 and {1 / allowed - 1:.0f}")
    falling = np.concatenate([[np.inf], -np.sort(-others)])
    hits = n - np.searchsorted(np.sort(members), falling, side="right")  # above the j-th highest score of the others
    value = float(hits[accused(m, allowed)] / n)
    exceeding = np.arange(*stats.binom.ppf((1e-9, 1 - 1e-9), m, allowed).astype(np.int64))
    either = np.concatenate([hits[exceeding], hits[exceeding + 1]])
    weights = np.tile(stats.binom.pmf(exceeding, m, allowed), 2)
    low, high = beta_mixture_interval(either, n, weights / weights.sum())
    place = np.arange(m) % TENTHS
    tenths = [(others[place == each], others[place != each]) for each in range(TENTHS)]
    wrong = sum(int((new > -np.sort(-known)[accused(len(known), allowed) - 1]).sum()) for new, known in tenths)
    return value, (min(low, value), max(high, value)), wrong / m


def accused(others: int, allowed: float) -> int:
    """The place, from the highest score and from 1, of the score that ``others`` set a threshold at; at least 1."""
    return max(1, int((others + 1) * allowed))


def beta_mixture_interval(hits: Integers, n: int, weights: Floats) -> Interval:
    """The 2.5% and 97.5% quantiles of a mixture of Jeffreys' beta distributions of ``hits (k,)`` of ``n``.

    ``weights (k,)`` sum up to 1.
    """
    from scipy import optimize, special

    known, which = np.unique(hits, return_inverse=True)
    shares = np.bincount(which.reshape(-1), weights)

    def over(share: float, level: float) -> float:
        return float(shares @ special.betainc(known + 0.5, n - known + 0.5, share)) - level

    low, high = (optimize.brentq(over, 0, 1, (level,), xtol=1e-9) for level in (0.025, 0.975))
    return float(low), float(high)


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
