"""The spectrum encoder's limits; its measurements are tested with the measures that read it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import BenchError
from evaluators.encoders.spectrum import FAINTEST, Spectrum


def test_flat_images_have_the_faintest_power_and_no_infinity() -> None:
    rows = Spectrum(8)(np.full((2, 20, 30), 77, np.uint8))
    np.testing.assert_allclose(rows, np.log10(FAINTEST))


def test_brightness_does_not_count_and_contrast_does() -> None:
    images = np.random.default_rng(0).integers(0, 100, (3, 32, 32), dtype=np.uint8)
    encoder = Spectrum(16)
    np.testing.assert_allclose(encoder(images + 50), encoder(images), atol=1e-5)
    np.testing.assert_allclose(encoder(images * 2), encoder(images) + np.log10(4), atol=1e-5)


def test_small_images_and_few_bands_are_errors() -> None:
    with pytest.raises(BenchError, match=r"needed 32 for 16 bands"):
        Spectrum(16)(np.zeros((1, 31, 64), np.uint8))
    with pytest.raises(BenchError, match="at least 4"):
        Spectrum(3)
