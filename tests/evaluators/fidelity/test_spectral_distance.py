"""Spectral measures against the truth on made-up spectra and images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bench.statistics.clusters import Clusters
from bench.statistics.resampling import folds
from evaluators.encoders.spectrum import Spectrum, radial_power
from evaluators.fidelity.spectral_distance import slope_gap, slopes, spectrum_distance


def power_law(exponent: float, n: int, side: int, seed: int) -> np.ndarray:
    """Images whose power falls as ``f ** -exponent``, with grey levels 0..255."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    radius[0, 0] = np.inf
    noise = np.fft.rfft2(rng.normal(size=(n, side, side))) * radius ** (-exponent / 2)
    images = np.fft.irfft2(noise, (side, side))
    return np.clip(128 + 40 * images / images.std(axis=(1, 2), keepdims=True), 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_the_slope_of_power_law_noise(exponent: float) -> None:
    encoder = Spectrum(16)
    found = slopes(encoder(power_law(exponent, 40, 128, 0)), encoder.frequencies)
    assert found.mean() == pytest.approx(-exponent, abs=0.1)


def test_white_noise_has_its_variance_in_every_band_but_that_of_the_mean() -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 48, 64), dtype=np.uint8)
    np.testing.assert_allclose(radial_power(images, 16).mean(axis=0)[1:], (256**2 - 1) / 12, rtol=0.05)


def test_a_wave_lands_in_the_band_of_its_frequency() -> None:
    x = np.arange(64)
    for cycles in (8, 17, 27):
        wave = np.broadcast_to(128 + 100 * np.cos(2 * np.pi * cycles * x / 64), (64, 64)).round().astype(np.uint8)
        for image in (wave, wave.T.copy()):
            power = radial_power(image[None], 16)[0]
            assert power.argmax() == int(cycles / 64 * 32 - 1e-9)


def test_turning_an_image_changes_nothing() -> None:
    images = power_law(2, 6, 64, 1)
    np.testing.assert_allclose(radial_power(images, 16), radial_power(np.rot90(images, axes=(1, 2)), 16), rtol=1e-9)


def test_blur_lowers_and_noise_raises_the_slope() -> None:
    real, other = power_law(2, 150, 64, 0), power_law(2, 150, 64, 1)
    blurred = gaussian_filter(other.astype(float), (0, 0.8, 0.8)).round().astype(np.uint8)
    noisy = np.clip(other + np.random.default_rng(2).normal(0, 8, other.shape), 0, 255).astype(np.uint8)
    encoder, some = Spectrum(16), folds(150, 15, np.random.default_rng(3))
    gaps = [
        slope_gap(*(slopes(encoder(each), encoder.frequencies) for each in (real, fake)), some, some)
        for fake in (other, blurred, noisy)
    ]
    assert gaps[0].interval[0] < 0 < gaps[0].interval[1]
    assert gaps[1].interval[1] < 0 < gaps[2].interval[0]


def test_the_distance_is_free_of_bias_and_its_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(16, 16)) / 4
    for shift in (0.0, 0.05, 0.3):
        found = []
        for _ in range(150):
            real, fake = (rng.normal(size=(100, 16)) @ mix for _ in range(2))
            a, b = folds(100, 20, rng), folds(100, 20, rng)
            real, fake = real.astype(np.float32), (fake + shift).astype(np.float32)
            found.append(spectrum_distance(real, fake, Clusters.apart(a), Clusters.apart(b)).estimate())
        truth = 100 * shift**2
        held = np.mean([low <= truth <= high for low, high in (each.interval for each in found)])
        error = np.std([each.value for each in found]) / np.sqrt(150)
        assert np.mean([each.value for each in found]) == pytest.approx(truth, abs=3 * error)
        assert held >= 0.9


def test_the_distance_is_that_of_the_mean_spectra_in_decibels_less_their_scatter() -> None:
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(80, 12)) + 50, rng.normal(size=(70, 12)) + 50.3
    real, fake = real.astype(np.float32), fake.astype(np.float32)
    found = spectrum_distance(real, fake, *(Clusters.apart(np.arange(n) % 10) for n in (80, 70)))
    gap = 10 * (real.mean(axis=0, dtype=float) - fake.mean(axis=0, dtype=float))
    assert found.plain() == pytest.approx(np.square(gap).mean(), rel=1e-6)
    scatter = sum(100 * each.var(axis=0, ddof=1, dtype=float).mean() / len(each) for each in (real, fake))
    assert found.distance() == pytest.approx(np.square(gap).mean() - scatter, rel=1e-6)
