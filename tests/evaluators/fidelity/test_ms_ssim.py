"""Structural similarity against scikit-image, and its error against fresh draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from evaluators.fidelity.ms_ssim import circle_se, ms_ssim, one_a_patient, scales, similarities, similarity
from tests.toy import toy_set


def texture(seed: int, count: int, side: int) -> np.ndarray:
    """Smooth random grey images."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, side // 8, side // 8))
    return np.clip(np.kron(coarse, np.ones((8, 8))) + rng.normal(0, 9, (count, side, side)), 0, 255).astype(np.uint8)


def test_one_scale_equals_scikit_image() -> None:
    first, second = texture(0, 4, 64), texture(1, 4, 64)
    second[0] = first[0] // 2
    ours, _ = similarity(first.astype(np.float64), second.astype(np.float64))
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    theirs = [structural_similarity(a, b, **settings) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_five_scales_equal_monai() -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("monai.metrics.regression")
    first, second = texture(2, 3, 192), texture(3, 3, 192)
    second = (0.5 * first + 0.5 * second).astype(np.uint8)
    pair = [torch.from_numpy(each[:, None].astype(np.float32)) for each in (first, second)]
    theirs = reference.compute_ms_ssim(*pair, spatial_dims=2, data_range=255.0)
    np.testing.assert_allclose(ms_ssim(first, second), theirs.numpy()[:, 0], atol=3e-6)


def test_an_image_is_wholly_similar_to_itself_and_little_to_its_negative() -> None:
    images = texture(4, 2, 64)
    np.testing.assert_allclose(ms_ssim(images, images), 1.0, atol=1e-12)
    assert (ms_ssim(images, 255 - images) < 0.05).all()


def test_falls_with_noise() -> None:
    images = texture(5, 4, 64)
    noise = np.random.default_rng(0).normal(size=images.shape)
    noisy = [np.clip(images + strength * noise, 0, 255).astype(np.uint8) for strength in (5, 20, 60)]
    values = [ms_ssim(images, each).mean() for each in noisy]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("side", "count"), [(11, 1), (21, 1), (22, 2), (64, 3), (128, 4), (175, 4), (176, 5), (512, 5)]
)
def test_as_many_scales_as_fit(side: int, count: int) -> None:
    assert scales(side) == count


def test_an_image_smaller_than_the_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="side 10 are smaller"):
        scales(10)


def test_pairs_are_of_different_patients() -> None:
    patients = ["a"] * 10 + ["b", "c", "c", "d"]
    for seed in range(20):
        chosen = one_a_patient(patients, 256, np.random.default_rng(seed))
        assert sorted(patients[i] for i in chosen) == ["a", "b", "c", "d"]
    assert len(one_a_patient(patients, 3, np.random.default_rng(0))) == 3


def test_circle_compares_each_image_with_the_next(tmp_path: Path) -> None:
    images = toy_set(tmp_path, "circle", 37)
    values = similarities(images, 256, np.random.default_rng(5))
    order = one_a_patient(images.patients, 256, np.random.default_rng(5))
    pixels = images.pixels()[order]
    np.testing.assert_array_equal(values, ms_ssim(pixels, np.roll(pixels, -1, axis=0)))
    assert len(values) == 37


def test_error_of_a_circle_is_that_of_fresh_draws() -> None:
    rng = np.random.default_rng(1)
    means, errors = [], []
    for _ in range(600):
        images = rng.normal(size=80)
        values = images + np.roll(images, -1) + 0.5 * rng.normal(size=80)
        means.append(values.mean())
        errors.append(circle_se(values))
    held = np.abs(means) <= 1.96 * np.array(errors)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)
    assert 0.91 <= held.mean() <= 0.98
