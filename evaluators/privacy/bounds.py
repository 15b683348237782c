"""What share of copies of a named kind the synthetic images can hold, and from what share on they would be found.

Both are read from the margins (``Closeness.margins``) of the synthetic images and of copies planted in the same data:
they hold for copies like the planted ones and say nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.statistics.arrays import Floats, Integers, Mask, Singles
from evaluators.privacy.closeness import Closeness
from evaluators.privacy.excess import effective_size
from evaluators.privacy.planting import Planted
from evaluators.privacy.shuffled_labels import HALF, POWER

LABELS, COUNTS, HITS = 0.03, 0.01, 0.01  # of the 5% by which a bound may fail, for each of its three uncertainties
LEAST_HITS = 0.02  # share of planted copies that must stand out, certainly, for anything to be said
SMALLEST_TAIL, SIZES = 8, 14
POWERED, TRIALS, SHUFFLES = 0.95, 200, 399
STEP = 1.25


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one kind of copies.

    Attributes:
        most: upper 95% limit of their share of the synthetic images.
        found_from: a share from which on 95% of such leaks would be found, never below ``most``; ``None`` where
            even half of the images would not be.
        encoder: whose features show most.
        tail: how many of the synthetic images it was read from.
        hit_rate: share of planted copies that are next to their source and stand out as far as that tail.
    """

    most: float
    found_from: float | None
    encoder: str
    tail: int
    hit_rate: float


@dataclass(frozen=True, slots=True)
class _Choice:
    """A tail to read from: ``expected`` is the limit it gives if labels are as chance would have them.

    ``rate`` is the lower limit of the ``hit_rate``.
    """

    expected: float
    encoder: str
    rows: Integers
    effective: float
    rate: float
    hit_rate: float


@dataclass(frozen=True, slots=True)
class Relabelled:
    """Labels for all trials: ``trials (TRIALS, P)`` who is copied, ``shuffles (SHUFFLES, P)`` what is compared with."""

    trials: Mask
    shuffles: Singles


def relabelled(member: Mask, rng: np.random.Generator) -> Relabelled:
    """As many training patients as there are, at random."""
    drawn = [rng.permuted(np.tile(member, (count, 1)), axis=1) for count in (TRIALS, SHUFFLES)]
    return Relabelled(drawn[0], drawn[1].astype(np.float32))


def limits(
    views: Mapping[str, Closeness],
    planted: Mapping[str, Mapping[str, Planted]],
    member: Mask,
    rng: np.random.Generator,
) -> dict[str, Limit | None]:
    """The limit of each kind of copies, see ``limit``; ``planted`` is by encoder and kind."""
    labels = relabelled(member, rng)
    kinds = next(iter(planted.values()))
    return {
        kind: limit(views, {name: own[kind] for name, own in planted.items()}, member, labels, rng) for kind in kinds
    }


def limit(
    views: Mapping[str, Closeness],
    planted: Mapping[str, Planted],
    member: Mask,
    labels: Relabelled,
    rng: np.random.Generator,
) -> Limit | None:
    """The limit of one kind of copies, ``None`` where planted ones do not stand out in any encoder's features.

    Copies of training images that are next to their source and stand out by a margin of at least ``r`` are among the
    ``t`` synthetic images that do. With ``f`` the share of training patients and ``p`` an upper limit of their share
    of those ``t``, at most ``K = t (p - f) / (1 - f)`` are copies; with ``h`` a lower limit of the share of planted
    copies that stand out so far, the greatest number of copies of which at most ``K`` do is the limit.

    ``p`` is exact for a proportion (Clopper & Pearson 1934) at the effective size ``t / deff`` (Korn & Graubard 1998),
    ``deff = sum w^2 / sum w`` over the numbers ``w`` of images per patient; as many copies count as one draw at ``h``,
    for those of one picture stand out together or not at all. Encoder and ``r`` are those that promise the smallest
    limit, chosen without a look at the labels, so that nothing is to be corrected for the choice.
    """
    share = float(member.mean())
    choices = [each for name, close in views.items() for each in _choices(name, close, planted[name], share)]
    if not choices:
        return None
    best = min(choices, key=lambda each: each.expected)
    close = views[best.encoder]
    held = float(member[close.owner[best.rows]].mean())
    most = _most(len(best.rows), held, best.effective, share, best.rate, len(close))
    found = found_from(close, planted[best.encoder], labels, (most, HALF / len(views)), rng)
    return Limit(most, found, best.encoder, len(best.rows), best.hit_rate)


def _choices(name: str, close: Closeness, planted: Planted, share: float) -> list[_Choice]:
    images = len(close)
    ordered = np.sort(close.margins)[::-1]
    sizes = np.unique(np.round(np.geomspace(min(SMALLEST_TAIL, images), images, SIZES)).astype(np.int64))
    found = []
    for least in np.unique(ordered[sizes - 1]):
        rows = np.flatnonzero(close.margins >= least)
        hits = int((planted.hits & (planted.margins >= least)).sum())
        rate = lower_limit(hits, len(planted.hits), HITS)
        if rate < LEAST_HITS:
            continue
        effective = effective_size(close.owner[rows])
        expected = _most(len(rows), share, effective, share, rate, images)
        found.append(_Choice(expected, name, rows, effective, rate, hits / len(planted.hits)))
    return found


def _most(tail: int, held: float, effective: float, share: float, rate: float, images: int) -> float:
    """The greatest share of ``images`` that may be copies, if training patients own ``held`` of the tail."""
    upper = upper_limit(held * effective, effective, LABELS)
    among = max(0.0, tail * (upper - share) / (1 - share))
    alike = tail / effective
    return min(images, alike * most_copies(among / alike, rate, math.ceil(images / alike))) / images


def upper_limit(hits: float, n: float, level: float) -> float:
    """One-sided upper limit of a proportion (Clopper & Pearson 1934); neither number need be whole."""
    from scipy import stats

    return 1.0 if hits >= n else float(stats.beta.ppf(1 - level, hits + 1, n - hits))


def lower_limit(hits: float, n: float, level: float) -> float:
    """One-sided lower limit of a proportion (Clopper & Pearson 1934)."""
    from scipy import stats

    return 0.0 if hits <= 0 else float(stats.beta.ppf(level, hits, n - hits + 1))


def most_copies(among: float, rate: float, images: int) -> int:
    """The smallest number of copies, each in the tail at ``rate``, that leaves ``among`` or fewer there rarely.

    At most ``images``; rarely is a probability of ``COUNTS`` at most.
    """
    from scipy import stats

    numbers = np.arange(int(among), images + 1)
    rare = stats.binom.cdf(np.floor(among), numbers, rate) <= COUNTS
    return int(numbers[rare.argmax()]) if rare.any() else images


def found_from(
    close: Closeness, planted: Planted, labels: Relabelled, least: tuple[float, float], rng: np.random.Generator
) -> float | None:
    """The first of the shares ``start``, 1.25 ``start``, ... of copies that the copying test finds in 95% of trials.

    A trial labels patients afresh, so that what the generator itself copied counts for nothing, and puts planted
    copies of random training patients in the place of random synthetic images; the test is that of one encoder at
    ``level``. ``None`` where half of the images is not enough. Copies of a few patients only are harder to find.

    Args:
        least: ``(start, level)``.
    """
    start, level = least
    images = len(close)
    copies = max(1, int(np.ceil(start * images - 1e-9)))
    while copies <= images / 2:
        if power(close, planted, labels, (copies, level), rng) >= POWERED:
            return copies / images
        copies = max(copies + 1, int(np.ceil(copies * STEP)))
    return None


def power(
    close: Closeness, planted: Planted, labels: Relabelled, task: tuple[int, float], rng: np.random.Generator
) -> float:
    """Share of ``TRIALS`` in which the copying test of one encoder finds planted copies; ``task``: how many, level."""
    copies, level = task
    patients = labels.trials.shape[1]
    sums = _kept_sums(close, patients, copies, rng) + _copied_sums(planted, labels.trials, copies, rng)
    null = sums.astype(np.float32) @ labels.shuffles.T
    observed = np.einsum("tp,tp->t", sums, labels.trials)
    at_least = (null >= observed[:, None] * (1 - 1e-6)).sum(axis=1)
    return float(((1 + at_least) / (1 + SHUFFLES) <= level).mean())


def _kept_sums(close: Closeness, patients: int, copies: int, rng: np.random.Generator) -> Floats:
    """``(TRIALS, P)`` the copying test's sums of the synthetic images, without ``copies`` random ones in each trial."""
    weights = close.margins**POWER
    left_out = rng.random((TRIALS, len(close))).argpartition(copies - 1, axis=1)[:, :copies]
    whole = np.bincount(close.owner, weights, minlength=patients)
    return whole - _sums(close.owner[left_out], weights[left_out], patients)


def _copied_sums(planted: Planted, labels: Mask, copies: int, rng: np.random.Generator) -> Floats:
    """``(TRIALS, P)`` what planted copies of training patients add, who are those of ``labels (TRIALS, P)``."""
    shape, patients = (TRIALS, copies), labels.shape[1]
    members = np.nonzero(labels)[1].reshape(TRIALS, -1)
    sources = np.take_along_axis(members, rng.integers(0, members.shape[1], shape), axis=1)
    drawn = rng.integers(0, len(planted.hits), shape)
    owners = np.where(planted.hits[drawn], sources, rng.integers(0, patients, shape))
    return _sums(owners, planted.margins[drawn] ** POWER, patients)


def _sums(owners: Integers, weights: Floats, patients: int) -> Floats:
    """``(T, P)`` sums of weights ``(T, c)`` by owner."""
    trial = np.arange(len(owners))[:, None] * patients
    sums = np.bincount((trial + owners).ravel(), weights.ravel(), minlength=len(owners) * patients)
    return sums.astype(np.float64).reshape(-1, patients)
