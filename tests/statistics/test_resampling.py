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


def test_cluster_bootstrap_covers_a_mean_when_patients_have_several_images() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        patient = rng.normal(0, 1, 60).repeat(4)
        values = patient + rng.normal(0, 0.3, 240)
        names = [f"p{i // 4}" for i in range(240)]
        interval, _ = resampling.cluster_bootstrap(lambda rows, v=values: float(v[rows].mean()), names, rng, 300)
        covered += interval[0] <= 0 <= interval[1]
    # treating the 240 images as independent would cover about 67 of 100
    assert 88 <= covered <= 99


def test_cluster_bootstrap_says_when_the_statistic_is_mostly_undefined() -> None:
    with pytest.raises(ValueError, match="undefined in 20 of 20"):
        resampling.cluster_bootstrap(lambda _: float("nan"), ["a", "b"], np.random.default_rng(0), 20)
