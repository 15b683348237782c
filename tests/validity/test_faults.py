"""Faults that a radiologist would name are what they are called, on as many images as said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.api import Images
from bench.validity.damages import DAMAGES, Damage
from bench.validity.faults import (
    NAMES,
    burnt_in_name,
    fewer_pixels,
    half_missing,
    jpeg,
    mirrored,
    negative,
    other_side,
    sharpening,
    upside_down,
)
from bench.validity.stand_in import OfSomeImages, OfWords, Pool, StandIn
from tests.toy import toy_split

RNG = np.random.default_rng
BY_NAME = {damage.name: damage for damage in DAMAGES}


@pytest.fixture(scope="module")
def images() -> Images:
    return RNG(0).integers(0, 200, (9, 48, 40), dtype=np.uint8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    pool = Pool.of(toy_split(tmp_path_factory.mktemp("faults"), 40, 60, 20))
    return StandIn.of(pool, np.arange(0, 60, 2))


@pytest.mark.parametrize("change", [upside_down, mirrored, negative])
def test_turning_twice_is_as_before(change: Callable[..., Images], images: Images) -> None:
    once = change(images, RNG(0))
    assert not np.array_equal(once, images) and np.array_equal(change(once, RNG(0)), images)


def test_each_is_what_it_is_called(images: Images) -> None:
    assert np.array_equal(upside_down(images, RNG(0))[:, 0], images[:, -1])
    assert np.array_equal(mirrored(images, RNG(0))[:, :, 0], images[:, :, -1])
    assert negative(images, RNG(0))[0, 0, 0] == 255 - images[0, 0, 0]
    half = half_missing(images, RNG(0))
    assert not half[:, 24:].any() and np.array_equal(half[:, :24], images[:, :24])


@pytest.mark.parametrize("side", [64, 256])
def test_a_name_stands_in_one_corner_and_is_not_the_same_on_every_image(side: int) -> None:
    black = np.zeros((30, side, side), np.uint8)
    written = burnt_in_name(black, RNG(0))
    assert (written.max(axis=(1, 2)) > 150).all() and not written[:, side // 3 :].any()
    assert (written[:, :, -side // 2 :].sum(axis=(1, 2)) > written[:, :, : side // 2].sum(axis=(1, 2))).all()
    assert len({each.tobytes() for each in written}) == len(NAMES)
    bright = np.full((1, side, side), 255, np.uint8)
    assert np.array_equal(burnt_in_name(bright, RNG(0)), bright)


def test_sharpening_is_an_unsharp_mask() -> None:
    from scipy.ndimage import gaussian_filter

    image = RNG(0).integers(60, 190, (1, 64, 64), dtype=np.uint8)
    blurred = gaussian_filter(image[0].astype(float), 1, mode="nearest")
    wanted = np.clip(np.rint(image[0] + 2 * (image[0] - blurred)), 0, 255)
    assert np.abs(sharpening(image, 2.0, RNG(0))[0].astype(float) - wanted).max() <= 1


def test_a_jpeg_is_the_one_of_that_quality(images: Images) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(images[0]).save(file, "JPEG", quality=30)
    assert np.array_equal(jpeg(images[:1], 70.0, RNG(0))[0], np.asarray(Image.open(file)))


def test_fewer_pixels_keep_no_detail_finer_than_they_are() -> None:
    comb = np.zeros((1, 64, 64), np.uint8)
    comb[:, :, ::2] = 200
    assert np.ptp(fewer_pixels(comb, 0.5, RNG(0))[0, :, 8:-8].astype(int)) < 40
    assert fewer_pixels(comb, 0.875, RNG(0)).shape == comb.shape


@pytest.mark.parametrize(
    "damage", [each for each in DAMAGES if isinstance(each.fault, OfSomeImages)], ids=lambda x: x.name
)
def test_as_many_images_are_affected_as_said_and_more_at_every_grade(damage: Damage, whole: StandIn) -> None:
    before: set[int] = set()
    for strength in damage.strengths:
        found = damage.fault(whole, strength, RNG(1))
        changed = set(np.flatnonzero((found.images != whole.images).any(axis=(1, 2))).tolist())
        assert len(changed) == round(strength * 30) and before <= changed
        assert found.told == whole.told and found.images.dtype == np.uint8
        before = changed


def test_ignored_labels_leave_the_images_and_what_was_asked_for_and_part_the_two(whole: StandIn) -> None:
    found = BY_NAME["labels"].fault(whole, 1.0, RNG(0))
    assert found.told == whole.told
    assert sorted(found.shown.tolist()) == whole.shown.tolist() and (found.shown != whole.shown).all()
    assert sorted(each.tobytes() for each in found.images) == sorted(each.tobytes() for each in whole.images)


def test_lost_groups_are_still_asked_for_and_copies_under_their_own_labels(whole: StandIn) -> None:
    lost = BY_NAME["groups"].fault(whole, 0.8, RNG(0))
    assert lost.told == whole.told and len({whole.pool.groups[row] for row in lost.shown}) == 1
    copied = BY_NAME["copies"].fault(whole, 1.0, RNG(0))
    assert (copied.shown >= whole.pool.held_out).all()
    assert copied.told == [whole.pool.told[row] for row in copied.shown]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Left pleural effusion, right lung clear.", "Right pleural effusion, left lung clear."),
        ("LEFT breast", "RIGHT breast"),
        ("bright, leftover, cleft", "bright, leftover, cleft"),
        ("L", "R"),
        ("r", "l"),
        ("L5 vertebra", "L5 vertebra"),
        (None, None),
    ],
)
def test_sides_are_exchanged_where_they_are_said(said: str | None, wanted: str | None) -> None:
    told = {"labels": {"level": 1}, "attributes": {"laterality": said}, "prompt": said}
    found = other_side(told)
    assert found == {"labels": {"level": 1}, "attributes": {"laterality": wanted}, "prompt": wanted}
    assert other_side(found) == told


def test_where_no_side_is_said_a_wrong_one_is_no_damage(whole: StandIn) -> None:
    fault = BY_NAME["laterality"].fault
    assert isinstance(fault, OfWords)
    assert fault.applies(whole.pool) == any(each["attributes"]["laterality"] for each in whole.pool.told)
    nobody = Pool(whole.pool.images.select(np.arange(4)), 4)
    nobody.__dict__["told"] = [{"labels": {}, "attributes": {"laterality": None}, "prompt": "a breast"}] * 4
    assert not fault.applies(nobody)


def test_every_fault_has_pictures_with_words(whole: StandIn) -> None:
    counts = {damage.name: damage.fault.pictures(whole, damage.strengths, RNG(0)) for damage in DAMAGES}
    assert {len(found) for found in counts.values()} == {2, 6}
    assert all(each.image.shape == (32, 32) and each.caption for found in counts.values() for each in found)
    assert all("asked for" in each.caption for name in ("labels", "groups") for each in counts[name])
    assert {each.caption for each in counts["repeats"]} != {each.caption for each in counts["copies"]}


def test_names_are_told_apart() -> None:
    assert len(BY_NAME) == len(DAMAGES) == 17
    assert all(len(each.strengths) == len(each.chance) == 5 for each in DAMAGES)
