from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from bench.datasets.csaw_preprocess import (
    Acquisition,
    breast,
    centre,
    invert,
    orient,
    preprocess,
    remove_text,
    window,
)
from bench.datasets.mammogram import WHITE, Anatomy, draw
from bench.datasets.phantom import burn_in

Side = Literal["L", "R"]
SIZES = [(632, 512), (158, 128), (64, 64)]


def raw(size: tuple[int, int], laterality: Side = "L", seed: int = 0) -> npt.NDArray[np.uint16]:
    return draw(Anatomy(20, 180, 0.5, laterality), size, np.random.default_rng(seed)).raw


def test_window_golden_values() -> None:
    values = np.array([[0, 15, 16, 2047, 4080, 4095]], np.uint16)
    assert window(values, 2047, 4096).tolist() == [[0, 0, 1, 127, 254, 255]]
    assert window(values, 2047, 100).tolist() == [[0, 0, 0, 127, 255, 255]]


def test_orient_and_invert() -> None:
    values = np.array([[1, 2, 3]], np.uint16)
    assert orient(values, "R").tolist() == [[3, 2, 1]]
    assert orient(values, "L").tolist() == [[1, 2, 3]]
    assert invert(np.array([[0, 1, 255]], np.uint8)).tolist() == [[255, 254, 0]]


def test_breast_is_the_largest_region_without_holes() -> None:
    image = np.zeros((8, 9), np.uint8)
    image[1:7, 0:5] = 9
    image[3, 2] = 0
    image[2:4, 7:9] = 200
    expected = np.zeros((8, 9), bool)
    expected[1:7, 0:5] = True
    assert np.array_equal(breast(image), expected)
    with pytest.raises(ValueError, match="no breast"):
        breast(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("columns", [(0, 3), (5, 10), (2, 8)])
def test_centre_is_padding_and_cutting(columns: tuple[int, int]) -> None:
    image = np.zeros((4, 10), np.uint8)
    image[:, slice(*columns)] = 7
    centroid = (columns[0] + columns[1] - 1) // 2
    left, right = (10 - 2 * centroid, 0) if centroid < 5 else (0, 2 * centroid - 10)
    padded = np.pad(image, ((0, 0), (left, right)))
    start = (padded.shape[1] - 10) // 2
    assert np.array_equal(centre(image), padded[:, start : start + 10])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_the_centroid_is_in_the_middle_column(size: tuple[int, int], seed: int) -> None:
    image = preprocess(raw(size, seed=seed), Acquisition("L"))
    columns = np.nonzero(breast(image))[1]
    assert image.shape == size and image.dtype == np.uint8
    assert columns.mean() == pytest.approx(size[1] // 2, abs=1)


@pytest.mark.parametrize("size", SIZES)
def test_left_and_right_come_out_alike(size: tuple[int, int]) -> None:
    left = preprocess(raw(size, "L"), Acquisition("L"))
    assert np.array_equal(left, preprocess(raw(size, "R"), Acquisition("R")))


@pytest.mark.parametrize("size", SIZES)
def test_monochrome1_comes_out_as_monochrome2(size: tuple[int, int]) -> None:
    values = raw(size)
    plain = preprocess(values, Acquisition("L"))
    inverted = preprocess((WHITE - values).astype(np.uint16), Acquisition("L", photometric="MONOCHROME1"))
    assert np.array_equal(inverted > 0, plain > 0)
    assert np.abs(inverted.astype(int) - plain).max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_burnt_in_text_goes_and_the_breast_stays(size: tuple[int, int], laterality: Side) -> None:
    clean = raw(size, laterality)
    printed = burn_in(clean, f"{laterality}MLO", laterality)
    assert (printed != clean).sum() > 4, "the text must have been printed"
    acquisition = Acquisition(laterality)
    assert np.array_equal(preprocess(printed, acquisition), preprocess(clean, acquisition))


def test_text_rules() -> None:
    image = np.zeros((632, 512), np.uint8)
    image[100:500, :200] = 90
    kept, left, right = image.copy(), (slice(40, 60), slice(300, 340)), (slice(80, 100), slice(420, 460))
    kept[600:615, 300:340] = 250
    assert np.array_equal(remove_text(kept), kept), "below the foot of the breast nothing is text"
    large = image.copy()
    large[20:140, 300:420] = 250
    assert np.array_equal(remove_text(large), large), "over 10,000 pixels is no text"
    both = image.copy()
    both[left] = both[right] = 250
    cleaned = remove_text(both)
    assert not cleaned[right].any(), "the right-most goes"
    assert (cleaned[left] == 250).all(), "and only that"
    assert np.array_equal(remove_text(image), image)
