"""Parts of the Frechet distance against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fidelity.frechet_distance import cross_trace, distance_of_gaussians, from_left_out


def test_cross_trace_of_two_singular_covariances() -> None:
    first, second = np.ones((2, 2)), np.array([[1.0, 2.0], [2.0, 4.0]])  # a a^T and b b^T, a = (1, 1), b = (1, 2)
    assert cross_trace(first, second) == pytest.approx(3.0)  # |a.b|


def test_two_gaussians_of_one_column() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2
    found = distance_of_gaussians(np.array([1.0]), np.array([[4.0]]), np.array([-2.0]), np.array([[25.0]]))
    assert found == pytest.approx(9 + 9)


def test_the_bias_taken_off_is_that_of_a_value_that_falls_with_one_over_n() -> None:
    # 3 + 5/n at 100 images, and at 90 without each of ten folds
    found = from_left_out(np.array([3.05, *[3 + 5 / 90] * 10]), 0.25)
    assert found.plain == 3.05 and found.corrected.value == pytest.approx(3.0)
    assert found.corrected.se == 0.25 and found.corrected.folds == 10
