from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from scipy.stats import spearmanr

from bench.datasets.csaw_preprocess import Acquisition, preprocess
from bench.datasets.mammogram import PIXEL_MM, WHITE, Anatomy, Mammogram, draw, pixel_mm

FULL = (632, 512)
SIDES: tuple[Literal["L", "R"], Literal["L", "R"]] = ("L", "R")


@pytest.fixture(scope="module")
def full() -> list[tuple[Anatomy, Mammogram]]:
    """Twelve full-size mammograms from fatty to dense, every other a right breast."""
    densities = np.linspace(3, 70, 12)
    anatomies = [
        Anatomy(float(density), 300 - 2 * float(density), (number + 0.5) / 12, SIDES[number % 2])
        for number, density in enumerate(densities)
    ]
    return [(each, draw(each, FULL, np.random.default_rng([4, row]))) for row, each in enumerate(anatomies)]


def nipples(picture: npt.NDArray[np.bool_]) -> int:
    """What an opening with a disk of 16 pixels takes off: regions of 40 pixels or more that touch no end."""
    padded = np.pad(picture, ((20, 20), (20, 0)), mode="edge")
    kept = ndimage.distance_transform_edt(padded) > 16
    opened = ndimage.distance_transform_edt(~kept) <= 16
    regions, _ = ndimage.label((padded & ~opened)[20:-20, 20:])
    found = 0
    for number, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
        touches = rows.start == 0 or rows.stop == picture.shape[0] or columns.start == 0
        found += not touches and int((regions[rows, columns] == number).sum()) >= 40
    return found


def slope(image: npt.NDArray[np.uint8]) -> float:
    """Log-log slope of the noise power spectrum, 0.1 to 0.7 cycles/mm, in 64 x 64 regions inside the breast."""
    inside = ndimage.binary_erosion(image > 0, iterations=12)
    share = ndimage.uniform_filter(inside.astype(float), 64)
    taper = np.hanning(64)[:, None] * np.hanning(64)
    power = np.zeros((64, 64))
    for row in range(32, FULL[0] - 32, 16):
        for column in range(32, FULL[1] - 32, 16):
            if share[row, column] > 0.999:
                region = image[row - 32 : row + 32, column - 32 : column + 32].astype(float)
                power += np.abs(np.fft.fft2((region - region.mean()) * taper)) ** 2
    axis = np.fft.fftfreq(64, PIXEL_MM)
    frequency = np.hypot(axis[:, None], axis)
    band = (frequency >= 0.1) & (frequency <= 0.7)
    return float(np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0])


def test_density_and_area_are_those_asked_for(full: list[tuple[Anatomy, Mammogram]]) -> None:
    for anatomy, mammogram in full:
        assert mammogram.percent_density == pytest.approx(anatomy.percent_density, abs=0.1)
        assert mammogram.breast_area == pytest.approx(anatomy.breast_area, rel=0.15)
        assert mammogram.dense_area == pytest.approx(mammogram.breast_area * mammogram.percent_density / 100, rel=1e-5)


def test_the_density_can_be_seen(full: list[tuple[Anatomy, Mammogram]]) -> None:
    bright = [float((mammogram.raw[mammogram.breast > 0.5] > 0.42 * WHITE).mean()) for _, mammogram in full]
    assert spearmanr(bright, [anatomy.percent_density for anatomy, _ in full]).statistic > 0.9


def test_the_spectrum_is_that_of_mammograms(full: list[tuple[Anatomy, Mammogram]]) -> None:
    slopes = [slope(preprocess(mammogram.raw, Acquisition(anatomy.laterality))) for anatomy, mammogram in full]
    assert np.mean(slopes) == pytest.approx(-3.1, abs=0.15)
    assert min(slopes) > -3.6 and max(slopes) < -2.7


def test_there_is_one_nipple(full: list[tuple[Anatomy, Mammogram]]) -> None:
    counts = [nipples(mammogram.raw[:, :: 1 if anatomy.laterality == "L" else -1] > 0) for anatomy, mammogram in full]
    assert counts == [1] * len(full)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (158, 128), (316, 256), (100, 140)])
def test_any_size_has_one_body_on_a_background_of_zero(size: tuple[int, int]) -> None:
    anatomy = Anatomy(25, 200, 0.5)
    mammogram = draw(anatomy, size, np.random.default_rng(1))
    assert mammogram.raw.shape == size and mammogram.raw.dtype == np.uint16
    assert ndimage.label(mammogram.raw > 0)[1] == 1
    assert mammogram.raw.max() <= WHITE
    assert mammogram.raw[mammogram.raw > 0].min() >= 32, "window and cast must not make the breast background"
    assert not mammogram.raw[:, -1].any() and mammogram.raw[size[0] // 2, 0] > 0
    assert mammogram.percent_density == pytest.approx(25, abs=0.5)
    assert mammogram.breast_area == pytest.approx(200, rel=0.15)


def test_a_right_breast_is_the_mirror_image() -> None:
    left, right = (draw(Anatomy(30, 150, 0.8, side), (64, 48), np.random.default_rng(2)) for side in SIDES)
    assert np.array_equal(left.raw, right.raw[:, ::-1])


def test_the_same_seed_gives_the_same_picture_and_another_does_not() -> None:
    first, again, other = (draw(Anatomy(30, 150, 0.8), (64, 64), np.random.default_rng(seed)).raw for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert (first != other).mean() > 0.1


def test_contrast_shows_at_equal_density() -> None:
    spread = []
    for contrast in (0.05, 0.95):
        drawn = [draw(Anatomy(25, 200, contrast), (64, 64), np.random.default_rng(seed)) for seed in range(12)]
        spread.append(np.mean([mammogram.raw[mammogram.dense > 0.5].mean() for mammogram in drawn]))
    assert spread[1] > 1.15 * spread[0]


def test_pixel_size_scales_with_height() -> None:
    assert pixel_mm(632) == PIXEL_MM
    assert pixel_mm(64) == pytest.approx(4.493, abs=1e-3)
