"""Intervals cover what they claim, and agree with published implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from bench.statistics import resampling


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=200)
    left_out = (values.sum() - values) / (len(values) - 1)
    assert resampling.jackknife_se(left_out) == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), rel=1e-12)


def test_folds_are_balanced_and_clusters_stay_together() -> None:
    rng = np.random.default_rng(1)
    assert sorted(np.bincount(resampling.folds(23, 5, rng))) == [4, 4, 5, 5, 5]
    clusters = [f"p{i // 3}" for i in range(60)]
    fold = resampling.cluster_folds(clusters, 4, rng)
    assert all(len({fold[i] for i in range(60) if clusters[i] == name}) == 1 for name in set(clusters))


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (20, 20), (500, 1000)])
def test_clopper_pearson_agrees_with_scipy(hits: int, n: int) -> None:
    exact = reference.binomtest(hits, n).proportion_ci(method="exact")
    assert resampling.clopper_pearson(hits, n) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_holm_on_a_worked_example() -> None:
    assert resampling.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_student_interval_needs_two_values() -> None:
    assert resampling.student_interval(np.array([1.0])) is None
    interval = reference.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval()
    assert resampling.student_interval(np.array([1.0, 2.0, 4.0])) == pytest.approx((interval.low, interval.high))


def test_clopper_pearson_of_effective_numbers_lies_between_its_neighbours() -> None:
    below, between, above = (resampling.clopper_pearson(hits, 20) for hits in (3, 3.5, 4))
    assert below[0] < between[0] < above[0] and below[1] < between[1] < above[1]
    assert resampling.clopper_pearson(3 + 1e-9, 20) == pytest.approx(below, abs=1e-8)
    assert resampling.clopper_pearson(7.5, 7.5)[1] == 1.0
