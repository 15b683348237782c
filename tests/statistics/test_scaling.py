"""Columns of different units on one scale, far values drawn in."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import Refused
from bench.statistics.scaling import LINEAR, limited, scale_of


def columns(seed: int, n: int = 80, count: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, count)).astype(np.float32)


def test_the_reference_gets_mean_0_and_deviation_1_and_others_its_scale() -> None:
    reference = columns(0) * np.array([1, 1e3, 1e-3, 7, 0.5], np.float32) + 3
    other = columns(1) * np.array([1.2, 1e3, 1e-3, 7, 0.5], np.float32) + 3
    scale = scale_of(reference)
    assert scale(reference).dtype == np.float32
    np.testing.assert_allclose(scale(reference).mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scale(reference).std(axis=0), 1, atol=1e-3)
    expected = (other - reference.mean(axis=0, dtype=float)) / reference.std(axis=0, dtype=float)
    assert np.abs(expected).max() < LINEAR
    np.testing.assert_allclose(scale(other), expected, atol=1e-5)


def test_units_do_not_matter() -> None:
    reference, rows = columns(0), columns(1) * 4
    units = np.array([1, 1e3, 1e-3, 7, 0.5], np.float32)
    np.testing.assert_allclose(scale_of(reference)(rows), scale_of(reference * units + 3)(rows * units + 3), atol=2e-3)


def test_columns_constant_over_the_reference_are_left_out() -> None:
    reference, rows = columns(0, count=3), columns(1, count=3)
    reference[:, 1] = np.float32(0.1)
    scale = scale_of(reference)
    assert scale.varies.tolist() == [True, False, True]
    np.testing.assert_allclose(scale(rows), scale_of(reference[:, [0, 2]])(rows[:, [0, 2]]))
    with pytest.raises(Refused, match="all 3 features are constant over the reference images"):
        scale_of(np.ones_like(reference))


def test_limited_is_increasing_odd_and_leaves_what_is_near() -> None:
    near, far = np.linspace(-5, 5, 201), np.concatenate([np.linspace(5, 40, 701), [1e3, 1e6, 1e12]])
    np.testing.assert_array_equal(limited(near), near)
    assert (np.diff(limited(np.concatenate([near, far[1:]]))) > 0).all()
    np.testing.assert_array_equal(limited(-far), -limited(far))
    np.testing.assert_allclose(limited(far), 5 + np.log1p(far - 5))
    # the slope is 1 on both sides of the bend
    assert (limited(np.array([5 + 1e-6])) - 5) / 1e-6 == pytest.approx(1, abs=1e-5)


def test_a_single_far_value_does_not_decide_a_distance() -> None:
    reference, rows = columns(0, count=3), columns(1, count=3)
    rows[0, 0] = 1e6
    scaled = scale_of(reference)(rows)
    assert scaled.max() == scaled[0, 0] and np.square(scaled).sum(axis=0)[0] < 10 * np.square(scaled[:, 1]).sum()
