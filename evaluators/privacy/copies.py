"""Copies among the pictures themselves, of either part, and what they say under shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet, Score, Split
from bench.statistics.arrays import Integers
from bench.statistics.resampling import clopper_pearson
from evaluators.privacy.closeness import Pool
from evaluators.privacy.holdout_control import plain_leak, repeated, void_control
from evaluators.privacy.near_duplicates import (
    DUPLICATES,
    NEAR_DUPLICATES,
    NEAR_DUPLICATES_HOLDOUT,
    NearCopies,
    exact_copies,
    fingerprints,
    near_copies,
    same_pictures,
)
from evaluators.privacy.shuffled_labels import POWER, Weights


@dataclass(frozen=True, slots=True)
class Copies:
    """What the pictures say.

    Attributes:
        plain: why there is a leak that needs no test of labels, if so.
        doubt: what keeps the images from being cleared, if anything.
        scores: of copies.
        fault: why nothing can be said of membership, if so.
        near: the real picture closest to each synthetic one, by place in train, then holdout.
        owner: ``(M,)`` whose that is.
        facts: for the report.
    """

    plain: str | None
    doubt: str | None
    scores: tuple[Score, ...]
    fault: str | None
    near: NearCopies
    owner: Integers
    facts: dict[str, float]

    def weights(self, pool: Pool) -> Weights:
        """The statistics of pictures: near copies by owner, and how far they stand out, as in features."""
        margins = np.clip(1 - self.near.made.ratio, 0, 1) ** POWER
        columns = [
            np.bincount(self.owner, each, minlength=pool.patients) for each in (self.near.above.astype(float), margins)
        ]
        return Weights(("pictures/near copies", "pictures/margins"), np.stack(columns, axis=1))


def copies_of(split: Split, images: ImageSet, pool: Pool, same_picture: float) -> Copies:
    """Exact and near copies of both parts.

    Args:
        same_picture: correlation from which a holdout and a training picture count as one.
    """
    train, n = len(split.train), len(images)
    real = fingerprints(split.train, split.holdout).select(pool.order)
    pooled = near_copies(fingerprints(images), real, [pool.names[each] for each in pool.owners], same_picture)
    near = pooled.listed(pool.order)
    fault = _same_pictures(split, near, same_picture) or void_control(images, split.train, split.holdout, near)
    exact = exact_copies(images, split.train)
    rule = f"correlation above {near.threshold:.4f}: no two real images of different patients are as much alike"
    scores = [DUPLICATES(exact / n, n=n, interval=clopper_pearson(exact, n))]
    facts = {"exact": float(exact), "threshold": near.threshold}
    ours = near.made.where < train
    for metric, part, count in ((NEAR_DUPLICATES, ours, train), (NEAR_DUPLICATES_HOLDOUT, ~ours, len(split.holdout))):
        hits = int((near.above & part).sum())
        facts[metric.key] = hits
        reason = f"{rule}; these are {count} of {len(pool.order)} images searched"
        scores.append(metric(hits / n, n=n, interval=clopper_pearson(hits, n), reason=reason))
    owner = pool.owners[pooled.made.where]
    return Copies(plain_leak(exact, near, train), repeated(near, train), tuple(scores), fault, near, owner, facts)


def _same_pictures(split: Split, near: NearCopies, same_picture: float) -> str | None:
    same = same_pictures(near, len(split.train), same_picture)
    if not same:
        return None
    holdout, train = same[0]
    pair = split.holdout.ids[holdout - len(split.train)], split.train.ids[train]
    return (
        f"{len(same)} holdout images are also training pictures, first holdout {pair[0]} and train {pair[1]} "
        f"(correlation {near.real.correlation[holdout]:.4f}, needed below {same_picture})"
    )
