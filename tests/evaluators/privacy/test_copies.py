from __future__ import annotations

import numpy as np

from bench.api import Images, ImageSet, Split
from bench.statistics.arrays import Integers
from evaluators.privacy.closeness import pool_of
from evaluators.privacy.copies import Copies, copies_of
from tests.toy import described, image_set

REAL = 120


def plain(rng: np.random.Generator, count: int) -> Images:
    """Slopes of grey with a little noise: differences of cells all have one sign, so that all hashes are equal."""
    slope = np.add.outer(np.linspace(0, 60, 64), np.linspace(0, 150, 64)) + 20
    return np.clip(slope + rng.normal(0, 3, (count, 64, 64)), 0, 255).astype(np.uint8)


def part(pictures: Images, places: Integers) -> ImageSet:
    """Those at ``places``, in ascending order, each of a patient of its own."""
    names = [f"p{place:03}" for place in places]
    return image_set(pictures[places], described(), image_id=names)


def owners(pictures: Images, made: ImageSet, train: Integers) -> Copies:
    rest = np.setdiff1d(np.arange(len(pictures)), train)
    split = Split(part(pictures, train), part(pictures, rest), part(pictures, rest[:1]))
    return copies_of(split, made, pool_of(split), 0.999)


def test_who_is_in_which_part_decides_no_closest_picture() -> None:
    rng = np.random.default_rng(0)
    pictures, made = plain(rng, REAL), image_set(plain(rng, 60), described())
    trains = [np.sort(rng.permutation(REAL)[:90]) for _ in range(3)]
    found = [owners(pictures, made, train) for train in trains]
    for own, train in zip(found, trains, strict=True):
        assert (own.owner == found[0].owner).all()
        # in the list of train, then holdout, that place is the same patient's
        listed = np.concatenate([train, np.setdiff1d(np.arange(REAL), train)])
        assert (listed[own.near.made.where] == own.owner).all()
