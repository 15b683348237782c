"""Copies among the pictures themselves, of either part, and what they say under shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet, Score, Split
from bench.statistics.arrays import Floats, Integers
from bench.statistics.resampling import clopper_pearson
from evaluators.privacy.closeness import Pool
from evaluators.privacy.near_duplicates import (
    DUPLICATES,
    NEAR_DUPLICATES,
    NEAR_DUPLICATES_HOLDOUT,
    closest_pictures,
    exact_copies,
    fingerprints,
)
from evaluators.privacy.shuffled_labels import Weights, closest_first, tail_weights, tails

ALIKE_FLOOR = 0.9
FEW_TAILS = 3


@dataclass(frozen=True, slots=True)
class Copies:
    """What the pictures say.

    Attributes:
        exact: number of images that are exactly training images.
        scores: of copies.
        fault: why nothing can be said of membership on this split, if so.
        alike, owner: ``(M,)`` correlation with the most alike pooled picture, and whose that is.
        threshold: correlation above which two pictures count as copies.
        facts: for the report.
    """

    exact: int
    scores: tuple[Score, ...]
    fault: str | None
    alike: Floats
    owner: Integers
    threshold: float
    facts: dict[str, float]

    def weights(self, pool: Pool, rng: np.random.Generator) -> Weights:
        """The statistics of pictures: who owns those most alike, and the near copies."""
        sizes = tails(len(self.alike), pool.share)[:FEW_TAILS]
        order = closest_first(-self.alike, rng)
        copied = np.bincount(self.owner[self.alike > self.threshold], minlength=pool.patients)
        table = np.column_stack([tail_weights(order, self.owner, pool.patients, sizes), copied])
        return Weights((*(f"pictures/tail {size}" for size in sizes), "pictures/near copies"), table.astype(np.float64))


def copies_of(split: Split, images: ImageSet, pool: Pool, same_picture: float) -> Copies:
    """Exact and near copies of both parts."""
    made, train, holdout = (fingerprints(each) for each in (images, split.train, split.holdout))
    across, where = closest_pictures(holdout, train)
    threshold = min(same_picture, max(ALIKE_FLOOR, float(across.max())))
    exact = exact_copies(images, split.train)
    n = len(images)
    (ours, at), (theirs, place) = closest_pictures(made, train), closest_pictures(made, holdout)
    pooled = np.empty(len(pool.order), np.int64)
    pooled[pool.order] = np.arange(len(pool.order))
    owner = pool.owners[pooled[np.where(ours >= theirs, at, place + len(split.train))]]
    rule = f"correlation above {threshold:.4f}: no holdout image is as much like a training image"
    scores = [DUPLICATES(exact / n, n=n, interval=clopper_pearson(exact, n))]
    facts = {"exact": float(exact), "threshold": threshold}
    for metric, alike, part in ((NEAR_DUPLICATES, ours, split.train), (NEAR_DUPLICATES_HOLDOUT, theirs, split.holdout)):
        hits = int((alike > threshold).sum())
        facts[metric.key] = hits
        reason = f"{rule}; searched {len(part)} images"
        scores.append(metric(hits / n, n=n, interval=clopper_pearson(hits, n), reason=reason))
    fault = _same_pictures(split, across, where, same_picture)
    return Copies(exact, tuple(scores), fault, np.maximum(ours, theirs), owner, threshold, facts)


def _same_pictures(split: Split, across: Floats, where: Integers, same_picture: float) -> str | None:
    same = np.flatnonzero(across >= same_picture)
    if not len(same):
        return None
    first = int(same[0])
    pair = split.holdout.ids[first], split.train.ids[int(where[first])]
    return (
        f"{len(same)} holdout images are also training pictures, first holdout {pair[0]} and train {pair[1]} "
        f"(correlation {across[first]:.4f}, needed below {same_picture})"
    )
