"""What chance makes of FD, measured between patients, against fresh draws of the population."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fidelity.chance import DRAWS, Pool
from evaluators.fidelity.frechet_distance import frechet

COLUMNS = 4


def population(rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """Heavy-tailed rows of patients with 1 to 3 images each, alike within a patient, and whose they are."""
    whose = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    rows = rng.standard_t(5, (patients, COLUMNS))[whose] + 0.5 * rng.standard_t(5, (len(whose), COLUMNS))
    return rows.astype(np.float32), whose


def gaussian_mean(rows: np.ndarray, n: int, m: int) -> float:
    """The expectation of FD between two samples of independent Gaussian images, to first order.

    The gap between the means brings ``tr C``, that between the covariances, of eigenvalues ``l``, half of
    ``sum_ij l_i l_j / (l_i + l_j)`` with its diagonal counted twice.
    """
    values = np.linalg.eigvalsh(np.cov(rows.T))
    together = values[:, None] * values / (values[:, None] + values)
    return float((1 / n + 1 / m) * (values.sum() + (together.sum() + np.trace(together)) / 2))


def fresh(count: int, n: int, m: int) -> np.ndarray:
    """FD between fresh sets of about ``n`` and ``m`` images, scaled to them by ``1/n + 1/m``."""
    rng = np.random.default_rng(1)
    values = []
    for _ in range(count):
        one, two = (population(rng, size // 2)[0] for size in (n, m))
        values.append(frechet(one, two) * (1 / n + 1 / m) / (1 / len(one) + 1 / len(two)))
    return np.array(values)


def test_mean_and_deviation_are_those_of_fresh_draws_where_a_closed_form_is_not(one_thread: None) -> None:
    n, m = 120, 100
    truth = fresh(300, n, m)
    means, deviations, closed = [], [], []
    for seed in range(6):
        rows, whose = population(np.random.default_rng([2, seed]), 600)
        found = Pool(rows, whose).chance(n, m)
        assert found is not None
        means.append(found.mean)
        deviations.append(found.sd)
        closed.append(gaussian_mean(rows, n, m))
    assert np.mean(means) == pytest.approx(truth.mean(), rel=0.1)
    assert np.mean(deviations) == pytest.approx(truth.std(), rel=0.2)
    assert truth.mean() > 1.5 * np.mean(closed)


def test_the_closed_form_is_right_for_independent_gaussians(one_thread: None) -> None:
    """And so is what is measured: it is the population above that the closed form is wrong for."""
    rows = np.random.default_rng(0).normal(size=(2000, COLUMNS)).astype(np.float32)
    found = Pool(rows, np.arange(2000)).chance(200, 150)
    assert found is not None
    assert found.mean == pytest.approx(gaussian_mean(rows, 200, 150), rel=0.1)


def test_its_range_holds_nearly_all_of_its_draws() -> None:
    rows, whose = population(np.random.default_rng(3), 400)
    found = Pool(rows, whose).chance(90, 90)
    assert found is not None and 0 < found.low < found.mean < found.high
    assert found.high - found.low > 3 * found.sd


@pytest.mark.parametrize(("a", "b"), [(90, 90), (40, 150), (3, 4)])
def test_no_patient_is_on_both_sides_and_none_is_cut(a: int, b: int) -> None:
    rows, whose = population(np.random.default_rng(4), 150)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(rows))
    pool, seen = Pool(rows[shuffled], whose[shuffled]), set()
    for _ in range(30):
        one, two = pool._pair(a, b, rng)
        ours, theirs = (set(pool.patients[side].tolist()) for side in (one, two))
        assert not ours & theirs
        for side, names in ((one, ours), (two, theirs)):
            assert len(side) == len(set(side.tolist())) == np.isin(pool.patients, list(names)).sum()
        assert a - 2 <= len(one) <= a and b - 2 <= len(two) <= b
        seen |= ours | theirs
    assert len(seen) > 100 or a < 10


def test_fewer_images_than_asked_for_are_measured_and_scaled(one_thread: None) -> None:
    rows = np.random.default_rng(5).normal(size=(300, COLUMNS)).astype(np.float32)
    found = Pool(rows, np.arange(300)).chance(1000, 500)
    assert found is not None and found.side == 100 and "100 images" in found.words
    assert found.mean == pytest.approx(gaussian_mean(rows, 1000, 500), rel=0.15)


def test_the_same_for_everybody_and_whatever_was_drawn_before() -> None:
    rows, whose = population(np.random.default_rng(6), 100)
    np.random.default_rng(0).normal()
    assert Pool(rows, whose).chance(60, 60) == Pool(rows.copy(), whose.copy()).chance(60, 60)
    assert DRAWS >= 20


@pytest.mark.parametrize(("images", "enough"), [(0, False), (7, False), (10, True)])
def test_too_few_images_for_the_features_tell_nothing(images: int, enough: bool) -> None:
    """Both sides must outnumber the columns."""
    rows = np.random.default_rng(7).normal(size=(images, COLUMNS)).astype(np.float32)
    assert (Pool(rows, np.arange(images)).chance(50, 50, 5) is not None) is enough


def test_one_patient_with_many_images_tells_nothing() -> None:
    rows = np.random.default_rng(8).normal(size=(300, COLUMNS)).astype(np.float32)
    assert Pool(rows, np.where(np.arange(300) < 290, 0, np.arange(300))).chance(100, 100) is None


def test_some_of_a_pool_are_its_rows_and_their_patients() -> None:
    rows, whose = population(np.random.default_rng(9), 50)
    some = Pool(rows, whose).select(np.array([5, 2, 40]))
    np.testing.assert_array_equal(some.rows, rows[[5, 2, 40]])
    np.testing.assert_array_equal(some.patients, whose[[5, 2, 40]])
