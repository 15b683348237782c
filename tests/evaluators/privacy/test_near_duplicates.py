from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.api import Images
from evaluators.privacy.near_duplicates import (
    Fingerprints,
    closest_pictures,
    difference_hash,
    exact_copies,
    fingerprints,
    near_copies,
    same_pictures,
    symmetry,
    thumbnails,
)
from tests.toy import described, image_set


def pictures(seed: int, count: int, size: int = 64) -> Images:
    """Smooth random pictures with a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 220, (count, 8, 8)).astype(np.uint8)
    smooth = [np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BICUBIC)) for each in coarse]
    return np.clip(np.stack(smooth) + rng.normal(0, 3, (count, size, size)), 1, 254).astype(np.uint8)


def prints(images: Images) -> Fingerprints:
    small = thumbnails(images)
    return Fingerprints(small, difference_hash(small))


def jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer))


REAL = pictures(0, 200)
DAMAGE = {
    "jpeg": np.stack([jpeg(image) for image in REAL[:20]]),
    "brighter": REAL[:20] + np.uint8(1),
    "mirrored": REAL[:20, :, ::-1],
    "upside down": REAL[:20, ::-1],
    "turned": np.rot90(REAL[:20], 1, axes=(1, 2)),
    "turned and mirrored": np.rot90(REAL[:20], 3, axes=(1, 2))[:, :, ::-1],
    "gamma": (255 * (REAL[:20] / 255) ** 0.8).astype(np.uint8),
    "noise": np.clip(REAL[:20] + np.random.default_rng(1).normal(0, 5, (20, 64, 64)), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_copies_are_recognised(damage: str) -> None:
    found = closest_pictures(prints(np.ascontiguousarray(DAMAGE[damage])), prints(REAL), np.arange(200))
    alike, where = found.correlation, found.where
    assert where.tolist() == list(range(20))
    assert alike.min() > 0.97


def test_other_pictures_are_not_alike() -> None:
    found = closest_pictures(prints(pictures(5, 100)), prints(REAL), np.arange(200))
    assert found.correlation.max() < 0.9


def test_one_grey_level_does_not_wrap() -> None:
    """Subtracting uint8 images wraps: a copy one level darker would look 255 levels away."""
    image = REAL[:1]
    wrapped = float(np.sqrt(np.mean((image - (image + np.uint8(1))).astype(np.float64) ** 2)))
    assert wrapped == 255.0
    found = closest_pictures(prints(image), prints(image + np.uint8(1)), np.arange(1))
    assert found.correlation[0] == pytest.approx(1.0, abs=1e-6)
    assert found.ratio[0] == 1, "there is nobody else"


def test_eight_symmetries_are_distinct() -> None:
    assert len({symmetry(REAL[:1], number).tobytes() for number in range(8)}) == 8
    assert (symmetry(REAL[:1], 0) == REAL[:1]).all()


def test_hash_ignores_brightness_and_contrast() -> None:
    changed = (REAL // 2 + np.uint8(60)).astype(np.uint8)
    differ = np.bitwise_count(difference_hash(REAL) ^ difference_hash(changed)).sum(axis=1)
    assert differ.max() <= 4
    assert np.bitwise_count(difference_hash(REAL[:1]) ^ difference_hash(REAL[1:2])).sum() > 20


def test_exactly_the_planted_copies_are_counted(tmp_path: Path) -> None:
    made = pictures(9, 60)
    made[[3, 17, 40]] = REAL[[1, 2, 1]]
    real, generated = (image_set(images, described(), tmp_path / str(len(images))) for images in (REAL, made))
    assert exact_copies(generated, real) == 3
    found = closest_pictures(fingerprints(generated), fingerprints(real), np.arange(200))
    assert (found.correlation > 0.99).sum() == 3


def test_large_and_oblong_images_are_compared_too() -> None:
    tall = pictures(4, 10, 128)[:, :, :96]
    mirrored = prints(np.ascontiguousarray(tall[:, :, ::-1]))
    found = closest_pictures(mirrored, prints(np.ascontiguousarray(tall)), np.arange(10))
    assert found.where.tolist() == list(range(10))
    assert found.correlation.min() > 0.99


PATIENTS = [str(number) for number in range(200)]


def test_a_swap_of_the_parts_changes_nothing() -> None:
    """The old threshold was the largest correlation of a holdout with a training image: another split, another rule."""
    order = np.random.default_rng(3).permutation(200)
    made = prints(np.concatenate([DAMAGE["jpeg"], pictures(5, 60)]))
    found = near_copies(made, prints(REAL), PATIENTS)
    again = near_copies(made, prints(REAL[order]), [PATIENTS[place] for place in order])
    assert again.threshold == pytest.approx(found.threshold)
    assert again.limit == pytest.approx(found.limit)
    assert (again.above == found.above).all()
    assert (order[again.made.where[:20]] == found.made.where[:20]).all()


def test_threshold_and_limit_are_those_of_two_patients_by_brute_force() -> None:
    real = REAL[:8].copy()
    real[5] = np.clip(real[1] + np.random.default_rng(0).normal(0, 12, (64, 64)), 0, 255)
    real[6] = real[0, ::-1]
    table = np.array([[max(_alike(a, b)) for b in real] for a in real])
    owners = np.array([0, 1, 2, 3, 4, 5, 0, 7])
    away = np.where(owners[:, None] == owners, -1, table)
    found = near_copies(prints(real[:1]), prints(real), [str(owner) for owner in owners])
    assert found.threshold == pytest.approx(max(0.9, away.max()), abs=1e-5)
    assert away.max() == table[1, 5] > 0.9
    assert found.real.correlation[1] == pytest.approx(table[1, 5], abs=1e-5)
    assert found.made.where[0] in (0, 6)
    assert found.made.correlation[0] == pytest.approx(1, abs=1e-5)
    assert found.made.runner_up[0] < 0.9, "not the other picture of the same patient"


def _alike(first: Images, second: Images) -> list[float]:
    turned = [symmetry(first[None], number)[0] for number in range(8)]
    return [float(np.corrcoef(each.ravel(), second.ravel())[0, 1]) for each in turned]


def test_one_picture_filed_under_two_patients_is_no_measure_of_chance() -> None:
    real = np.concatenate([REAL[:50], REAL[:1]])
    found = near_copies(prints(DAMAGE["jpeg"]), prints(real), [str(number) for number in range(51)])
    assert found.threshold == 0.9
    assert found.stands_out[1:].all()
    assert same_pictures(found, 50) == [(50, 0)]
    assert same_pictures(found, 51) == []


def test_a_patient_with_many_pictures_still_has_a_runner_up() -> None:
    """All candidates are hers, so that others have to be searched for."""
    many = np.concatenate([np.repeat(REAL[:1], 30, axis=0), REAL[1:40]])
    owners = np.array([0] * 30 + list(range(1, 40)))
    found = closest_pictures(prints(DAMAGE["noise"][:1]), prints(many), owners)
    assert -1 < found.runner_up[0] < 0.9
    assert found.ratio[0] < 0.2


def test_plain_and_average_pictures_do_not_stand_out() -> None:
    smooth = REAL.mean(axis=0).astype(np.uint8)[None]
    found = near_copies(prints(np.concatenate([smooth, np.full((1, 64, 64), 9, np.uint8)])), prints(REAL), PATIENTS)
    assert not found.stands_out.any()
    assert found.made.correlation[1] == 0
