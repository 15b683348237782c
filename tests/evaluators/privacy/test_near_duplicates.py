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
    correlation,
    difference_hash,
    exact_copies,
    fingerprints,
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
    alike, where = closest_pictures(prints(np.ascontiguousarray(DAMAGE[damage])), prints(REAL))
    assert where.tolist() == list(range(20))
    assert alike.min() > 0.97


def test_other_pictures_are_not_alike() -> None:
    alike, _ = closest_pictures(prints(pictures(5, 100)), prints(REAL))
    assert alike.max() < 0.9


def test_correlation_is_that_of_numpy_and_zero_for_a_constant_image() -> None:
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(REAL[:5], REAL[5:10], strict=True)]
    assert correlation(REAL[:5], REAL[5:10]) == pytest.approx(expected)
    assert correlation(np.full((1, 64, 64), 7, np.uint8), REAL[:1]).tolist() == [0.0]


def test_one_grey_level_does_not_wrap() -> None:
    """Subtracting uint8 images wraps: a copy one level darker would look 255 levels away."""
    image = REAL[:1]
    wrapped = float(np.sqrt(np.mean((image - (image + np.uint8(1))).astype(np.float64) ** 2)))
    assert wrapped == 255.0
    assert correlation(image, image + np.uint8(1))[0] == pytest.approx(1.0)


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
    assert (closest_pictures(fingerprints(generated), fingerprints(real))[0] > 0.99).sum() == 3


def test_large_and_oblong_images_are_compared_too() -> None:
    tall = pictures(4, 10, 128)[:, :, :96]
    alike, where = closest_pictures(prints(np.ascontiguousarray(tall[:, :, ::-1])), prints(np.ascontiguousarray(tall)))
    assert where.tolist() == list(range(10))
    assert alike.min() > 0.99
