"""Intervals cover what they claim, and agree with published implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from bench.statistics import resampling
from bench.statistics.estimate import Estimate


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


def test_fixed_folds_are_balanced_and_depend_on_nothing_but_the_set_of_names() -> None:
    names = [f"p{i % 47}" for i in range(130)]
    found = resampling.fixed_folds(names, 10)
    of_name = dict(zip(names, found.tolist(), strict=True))
    assert all(of_name[name] == fold for name, fold in zip(names, found, strict=True))
    assert sorted(np.bincount(list(of_name.values()))) == [4] * 3 + [5] * 7
    order = np.random.default_rng(0).permutation(130)
    np.testing.assert_array_equal(resampling.fixed_folds([names[i] for i in order], 10), found[order])
    # how many images a patient has changes nobody's fold
    once = resampling.fixed_folds(sorted(set(names)), 10)
    assert dict(zip(sorted(set(names)), once.tolist(), strict=True)) == of_name
    # by SHA-256, not by the order of the alphabet
    assert resampling.fixed_folds(["a", "b", "c", "d"], 2).tolist() == [1, 0, 1, 0]


def test_hashed_order_is_a_permutation_that_says_nothing_about_the_names() -> None:
    names = [f"{i:04d}" for i in range(2000)]
    order = resampling.hashed_order(names)
    assert sorted(order.tolist()) == list(range(2000))
    assert abs(reference.spearmanr(order, np.arange(2000)).statistic) < 0.07
    turned = resampling.hashed_order(names[::-1])
    assert [names[i] for i in order] == [names[::-1][i] for i in turned]


@pytest.mark.parametrize("folds", [8, 11, 12, 19, 20, 24, 32, 40])
def test_half_samples_are_balanced_and_orthogonal(folds: int) -> None:
    signs = np.where(resampling.halves(folds), 1, -1)
    count = max(each for each in (8, 12, 20, 24, 32) if each <= folds)
    assert signs.shape == (count - 1, count)
    np.testing.assert_array_equal(signs.sum(axis=1), 0)
    np.testing.assert_array_equal(signs @ signs.T, count * np.eye(count - 1))


def test_fewer_than_eight_folds_have_no_half_samples() -> None:
    with pytest.raises(ValueError, match="7 folds; half-samples need 8"):
        resampling.halves(7)


@pytest.mark.parametrize("folds", [8, 20, 32])
def test_halves_of_a_mean_give_its_standard_error(folds: int) -> None:
    values = np.random.default_rng(folds).normal(size=folds)
    split = resampling.halves(folds)
    first, second = (np.array([values[half].mean() for half in halves]) for halves in (split, ~split))
    found = resampling.from_halves(float(values.mean()), first, second)
    assert found.value == values.mean() and found.folds == folds
    assert found.se == pytest.approx(values.std(ddof=1) / np.sqrt(folds), rel=1e-12)
    assert len(found.deviations) == folds - 1 and np.linalg.norm(found.deviations) == pytest.approx(found.se)


def test_jackknife_has_the_first_value_and_the_error_of_the_others() -> None:
    values = np.random.default_rng(0).normal(size=21)
    found = resampling.jackknife(values)
    assert (found.value, found.folds) == (values[0], 20)
    assert found.se == pytest.approx(resampling.jackknife_se(values[1:])) == np.linalg.norm(found.deviations)
    half = reference.t.ppf(0.975, 19) * found.se
    assert found.interval == pytest.approx((found.value - half, found.value + half))


@pytest.mark.parametrize(
    ("null", "excess", "expected"),
    [(0.5, 0.25, np.sqrt(4 - 0.0625)), (0.5, 1.0, np.sqrt(3.75)), (1.9, 1.0, 1.9), (2.0, 0.25, 2.0), (3.0, 0.25, 3.0)],
)
def test_a_part_of_the_second_order_is_taken_off_and_never_exceeds_the_error(
    null: float, excess: float, expected: float
) -> None:
    values = np.random.default_rng(1).normal(size=21)
    values *= 2 / resampling.jackknife_se(values[1:])
    found = resampling.jackknife(values, null, excess)
    assert found.se == pytest.approx(expected) and found.value == values[0]
    assert np.linalg.norm(found.deviations) == pytest.approx(expected)
    assert resampling.jackknife(values, null) == resampling.jackknife(values, null, resampling.EXCESS)
    # stretched, not changed
    plain = resampling.jackknife(values)
    np.testing.assert_allclose(np.array(found.deviations) / found.se, np.array(plain.deviations) / plain.se)


def test_the_jackknife_counts_a_part_of_second_order_twice() -> None:
    """Of ``mean_{i != j} x_i x_j``, which estimates the square of a mean that is 0: all is of second order."""
    rng, n = np.random.default_rng(2), 20
    x = rng.normal(size=(2000, n))

    def squared_mean(each: np.ndarray) -> np.ndarray:
        return (each.sum(axis=1) ** 2 - (each**2).sum(axis=1)) / (each.shape[1] * (each.shape[1] - 1))

    values = np.stack([squared_mean(x), *(squared_mean(np.delete(x, g, axis=1)) for g in range(n))], axis=1)
    true = values[:, 0].var()
    plain = np.mean([resampling.jackknife(each).se ** 2 for each in values])
    assert plain / true == pytest.approx(2 * (n - 1) / (n - 2), rel=0.1)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (17, 20), (20, 20), (500, 1000)])
def test_wilson_agrees_with_scipy(hits: int, n: int) -> None:
    theirs = reference.binomtest(hits, n).proportion_ci(method="wilson")
    assert resampling.wilson(hits / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_of_an_effective_number_and_another_quantile() -> None:
    # |s - p| = q sqrt(p (1 - p) / n) at both ends
    for share, n, quantile in ((0.3, 12.5, 2.093), (0.9, 3.7, 1.5)):
        for end in resampling.wilson(share, n, quantile):
            assert abs(share - end) == pytest.approx(quantile * np.sqrt(end * (1 - end) / n))


@pytest.mark.parametrize("n", [50, 118, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("se", [0.0, 1e-9, 0.001, 0.02])
def test_no_interval_of_a_share_is_narrower_than_half_of_wilsons(n: int, share: float, se: float) -> None:
    low, high = resampling.share_interval(Estimate(share, se, 20, (se, 0.0)), n)
    below, above = resampling.wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    assert share - low >= 0.5 * (share - below) - 1e-12 and high - share >= 0.5 * (above - share) - 1e-12


def test_an_interval_of_a_share_is_wilsons_of_as_many_items_as_its_error_amounts_to() -> None:
    # 0.3 with an error of 0.05 is 84 items; Student's quantile of 19 degrees of freedom
    low, high = resampling.share_interval(Estimate(0.3, 0.05, 20, (0.05,)), 1000)
    assert (low, high) == pytest.approx(resampling.wilson(0.3, 84, 2.093024))
    # neither beyond 0 nor 1 where a normal interval would be
    assert resampling.share_interval(Estimate(0.02, 0.02, 20, (0.02,)), 1000)[0] > 0
    assert resampling.share_interval(Estimate(0.3, 0.0, 20), 50) == resampling.wilson(0.3, 50)


def test_a_share_of_nothing_or_all_gets_the_exact_binomial_interval() -> None:
    assert resampling.share_interval(Estimate(0.0, 0.0, 20), 60) == resampling.clopper_pearson(0, 60)
    assert resampling.share_interval(Estimate(1.0, 0.0, 20), 60) == resampling.clopper_pearson(60, 60)


def test_a_share_of_nothing_whose_halves_differ_reaches_as_far_as_its_error() -> None:
    """Recall may be 0 by all images and 0.09 by one half: an interval under its own error is none."""
    low, high = resampling.share_interval(Estimate(0.0, 0.045, 20, (0.045, 0.0)), 120)
    assert low == 0 and high == pytest.approx(2.093024 * 0.045)
    low, high = resampling.share_interval(Estimate(1.0, 0.045, 20, (0.045, 0.0)), 120)
    assert high == 1 and low == pytest.approx(1 - 2.093024 * 0.045)


def test_another_error_stretches_the_deviations() -> None:
    found = Estimate(1.0, 5.0, 3, (3.0, 4.0)).with_error(10)
    assert found == Estimate(1.0, 10.0, 3, (6.0, 8.0))
    assert Estimate(1.0, 0.0, 3, (0.0, 0.0)).with_error(2.0) == Estimate(1.0, 2.0, 3, ())
