"""Damage is seeded, grows with its strength, and at strength 0 is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.api import Images
from bench.validity.corruptions import blur, contrast, copies, fewer_groups, noise, others_images, repeats, warp
from bench.validity.faults import fewer_pixels, jpeg, sharpening
from tests.toy import draw

Change = Callable[[Images, float, np.random.Generator], Images]
PIXELS: dict[Change, tuple[float, ...]] = {
    blur: (0.008, 0.016, 0.032, 0.064),
    noise: (1, 4, 16),
    contrast: (0.05, 0.2, 0.8),
    warp: (0.01, 0.04, 0.08),
    sharpening: (0.25, 1, 4),
    jpeg: (10, 50, 90),
    fewer_pixels: (0.25, 0.5, 0.75, 0.875),
}


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(5)
    return np.stack([draw(rng, i % 4 + 1, 48)[:, :40] for i in range(12)])


@pytest.mark.parametrize("change", PIXELS, ids=lambda change: change.__name__)
def test_a_stronger_dose_changes_every_image_more(change: Change, images: Images) -> None:
    before = np.zeros(len(images))
    for strength in PIXELS[change]:
        changed = change(images, strength, np.random.default_rng(1))
        assert changed.shape == images.shape and changed.dtype == np.uint8
        distance = np.abs(changed.astype(float) - images).mean(axis=(1, 2))
        assert (distance > before).all()
        before = distance


@pytest.mark.parametrize("change", PIXELS, ids=lambda change: change.__name__)
def test_no_dose_is_no_damage(change: Change, images: Images) -> None:
    original = images.copy()
    assert np.array_equal(change(images, 0.0, np.random.default_rng(1)), original)
    change(images, PIXELS[change][-1], np.random.default_rng(1))
    assert np.array_equal(images, original)


@pytest.mark.parametrize("change", [noise, warp])
def test_the_same_seed_gives_the_same_damage(change: Change, images: Images) -> None:
    one, again, other = (change(images, PIXELS[change][-1], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_strengths_are_what_they_say() -> None:
    grey = np.full((40, 64, 64), 128, np.uint8)
    assert noise(grey, 8.0, np.random.default_rng(0)).std() == pytest.approx(8.0, rel=0.02)
    edge = np.zeros((1, 64, 64), np.uint8)
    edge[:, :, 32:] = 255
    slope = np.diff(blur(edge, 2 / 64, np.random.default_rng(0))[0].astype(float), axis=1).sum(axis=0)
    assert np.sqrt(slope @ (np.arange(63) - 31) ** 2 / slope.sum()) == pytest.approx(2.0, rel=0.03)
    halves = np.zeros((1, 8, 8), np.uint8)
    halves[:, :4] = 200
    assert set(np.unique(contrast(halves, 0.5, np.random.default_rng(0))).tolist()) == {50, 150}


def test_a_warp_moves_by_the_stated_share_of_the_side() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3 + 30, (30, 64, 1))
    moved = (warp(ramp, 0.05, np.random.default_rng(3)).astype(float) - ramp)[:, 16:48, 16:48] / 3
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.05 * 64, rel=0.15)


def test_groups_go_rarest_first_and_leave_the_number_of_images() -> None:
    groups = ["a"] * 20 + ["b"] * 12 + ["c"] * 8 + ["a"] * 30 + ["b"] * 5 + ["c"] * 5
    chosen = np.arange(40)
    names = np.asarray(groups)
    for strength, kept in ((0.0, "abc"), (0.2, "ab"), (0.5, "a"), (0.99, "a")):
        rows = fewer_groups(groups, chosen, strength, np.random.default_rng(0))
        assert len(rows) == 40 and set(names[rows]) == set(kept)
    unseen = fewer_groups(groups, chosen, 0.5, np.random.default_rng(0))
    assert len(set(unseen.tolist())) == 40  # there were enough others of the group kept, so none is twice


def test_repeats_leave_few_distinct_rows_in_equal_shares() -> None:
    chosen = np.arange(100, 164)
    rows = repeats(chosen, 0.75, np.random.default_rng(0))
    _, counts = np.unique(rows, return_counts=True)
    assert counts.tolist() == [4] * 16 and np.isin(rows, chosen).all()
    assert sorted(repeats(chosen, 0.0, np.random.default_rng(0))) == chosen.tolist()
    assert len(set(repeats(chosen, 1.0, np.random.default_rng(0)).tolist())) == 1


def test_copies_grow_into_each_other() -> None:
    chosen, train = np.arange(50), np.arange(50, 250)
    before: set[int] = set()
    for strength in (0.0, 0.1, 0.5, 1.0):
        rows = copies(chosen, train, strength, np.random.default_rng(0))
        copied = {int(row) for row in rows if row >= 50}
        assert len(copied) == round(strength * 50) and before <= copied
        before = copied


def test_images_handed_on_leave_the_set_and_reach_others() -> None:
    chosen = np.arange(30, 90)
    before: set[int] = set()
    for strength in (0.0, 0.1, 0.5, 1.0):
        rows = others_images(chosen, strength, np.random.default_rng(0))
        moved = set(np.flatnonzero(rows != chosen).tolist())
        assert sorted(rows.tolist()) == chosen.tolist() and len(moved) == round(strength * 60) and before <= moved
        before = moved
