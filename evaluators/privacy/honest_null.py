"""What the test part finds where synthetic images stand: real people of the same population, none of them learned from.

All generators of a board share one split, and with it the luck of who was drawn into which part. The test part has the
same luck and no leak.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.statistics.arrays import Floats, Integers, Interval, Mask
from bench.statistics.classification import auc, percentile_interval
from evaluators.privacy.closeness import Closeness
from evaluators.privacy.shuffled_labels import HALF, close_weights, evidence, joined, shuffled_values, tails

RESAMPLES = 1000
WEIGHTS = 2**24  # numbers, one a patient, held at a time
HALVES = 100
SHUFFLES = 499


def area_above(
    least: Floats, null: Floats, member: Mask, rng: np.random.Generator, repeats: int = RESAMPLES
) -> tuple[float, Interval]:
    """How far the membership attack's area on the synthetic images is above that on the null's, and its 95% interval.

    Both areas are of the same patients, so a bootstrap of patients leaves out what the split does to both.

    Args:
        least: ``(P,)`` distance from each patient to the closest synthetic image; ``null``: to the closest test image.
    """

    def difference(weights: Floats) -> Floats:
        return auc(-least, member, weights) - auc(-null, member, weights)

    count = len(member)
    step = max(1, WEIGHTS // count)
    chances = np.full(count, 1 / count)
    parts = [min(step, repeats - start) for start in range(0, repeats, step)]
    draws = [difference(rng.multinomial(count, chances, size=each).astype(np.float64)) for each in parts]
    value = float(difference(np.ones((1, count)))[0])
    return value, percentile_interval(value, np.concatenate(draws))


def false_alarms(
    views: dict[str, Closeness], member: Mask, rng: np.random.Generator, halves: int = HALVES
) -> tuple[float, int]:
    """Share of random halves of the null that are flagged, and their number of images.

    By the copying tests and the tails, as ``shuffled_labels.evidence`` weighs them. Over splits drawn at random 5% are
    expected at most; on a given split it may be more or less for every generator alike.
    """
    images = len(next(iter(views.values()))) // 2
    chosen = [np.sort(rng.permutation(2 * images)[:images]) for _ in range(halves)]
    held = len(member) * len(views) * (1 + len(tails(images, float(member.mean()))))
    step = max(1, WEIGHTS // held)
    parts = [chosen[start : start + step] for start in range(0, halves, step)]
    return sum(_flagged(views, member, part, rng) for part in parts) / halves, images


def _flagged(views: dict[str, Closeness], member: Mask, chosen: Sequence[Integers], rng: np.random.Generator) -> int:
    """How many sets of the null's images are flagged, all under the same shuffles."""
    patients, share = len(member), float(member.mean())
    tables = [
        close_weights(name, close.select(rows), patients, share, rng)
        for rows in chosen
        for name, close in views.items()
    ]
    names, values = shuffled_values(joined(tables), {}, member, rng, SHUFFLES)
    width = values.shape[1] // len(chosen)
    flagged = 0
    for place in range(len(chosen)):
        part = slice(place * width, (place + 1) * width)
        found = evidence(names[part], values[:, part])
        flagged += min(*found.copying.values(), found.other) <= HALF
    return flagged
