from __future__ import annotations

import numpy as np
import pytest

from evaluators.encoders.pixels import Pixels, area_average, area_weights


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 48, 40), dtype=np.uint8)


def test_area_average_of_whole_cells_is_the_block_mean(images: np.ndarray) -> None:
    want = images.reshape(6, 12, 4, 10, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(area_average(images, (12, 10)), want, atol=1e-10)


@pytest.mark.parametrize(("length", "cells"), [(64, 32), (50, 32), (7, 32), (33, 32)])
def test_area_weights_share_every_pixel_out(length: int, cells: int) -> None:
    weights = area_weights(length, cells)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=0), cells / length)


def test_distance_is_the_correlation(images: np.ndarray) -> None:
    rows = Pixels(16)(images)
    small = area_average(images, (16, 16)).reshape(6, -1)
    for a, b in ((0, 1), (2, 5)):
        correlation = np.corrcoef(small[a], small[b])[0, 1]
        assert np.linalg.norm(rows[a] - rows[b]) == pytest.approx(np.sqrt(2 - 2 * correlation), rel=1e-5)


def test_copies_are_near_whatever_their_brightness(images: np.ndarray) -> None:
    darker = (images // 2 + 20).astype(np.uint8)
    rows, copies = Pixels()(images), Pixels()(darker)
    near = np.linalg.norm(rows - copies, axis=1)
    far = np.linalg.norm(rows - np.roll(copies, 1, axis=0), axis=1)
    assert near.max() < 0.02 < 1 < far.min()
    np.testing.assert_array_equal(rows, Pixels()(images))


def test_flat_images_are_the_origin() -> None:
    rows = Pixels()(np.stack([np.full((64, 64), value, np.uint8) for value in (0, 13, 255)]))
    assert rows.dtype == np.float32
    assert not rows.any()


def test_shape_and_id() -> None:
    encoder = Pixels(8)
    assert encoder(np.zeros((3, 20, 30), np.uint8)).shape == (3, encoder.dim) == (3, 64)
    assert encoder.id != Pixels(16).id
