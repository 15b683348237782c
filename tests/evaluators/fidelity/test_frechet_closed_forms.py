"""Parts of the Frechet distance against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fidelity.frechet_distance import cross_trace, floor, null_se


def test_cross_trace_of_two_singular_covariances() -> None:
    first, second = np.ones((2, 2)), np.array([[1.0, 2.0], [2.0, 4.0]])  # a a^T and b b^T, a = (1, 1), b = (1, 2)
    assert cross_trace(first, second) == pytest.approx(3.0)  # |a.b|


def test_floor_and_spread_of_one_column() -> None:
    # squared gaps of means and of deviations have variances l and l / 2 times 1/n1 + 1/n2
    assert floor(np.array([4.0]), 100, 50) == pytest.approx(0.03 * 1.5 * 4)
    assert null_se(np.array([4.0]), 100, 50) == pytest.approx(0.03 * np.sqrt(2.5) * 4)
