"""Clipped density and coverage against slow versions of their published definitions."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import betabinom

from evaluators.fidelity.clipped_density_coverage import (
    clipped,
    expected_coverage,
    good_share,
    lists,
    own_reach,
    pairs_within,
)


def measure(real: np.ndarray, fake: np.ndarray, k: int = 5, count: int = 10) -> tuple:
    a, b = np.arange(len(real)) % count, np.arange(len(fake)) % count
    own, across = lists(real, real, k, a, own=True), lists(real, fake, k, b)
    return clipped(own, across, pairs_within(real, fake, own_reach(own, k)), k)


def radii(real: np.ndarray, k: int) -> np.ndarray:
    return np.sort(cdist(real, real), axis=1)[:, k]


def slow_density(real: np.ndarray, fake: np.ndarray, k: int) -> float:
    """Loops over the definition, points and balls one at a time."""
    radius = radii(real, k)
    radius = np.minimum(radius, np.median(radius))
    to_fake, to_real = cdist(real, fake), cdist(real, real)
    good = [min(sum(to_fake[i, j] <= radius[i] for i in range(len(real))) / k, 1) for j in range(len(fake))]
    own = [min(sum(to_real[i, j] <= radius[i] for i in range(len(real)) if i != j) / k, 1) for j in range(len(real))]
    return float(np.mean(good) / np.mean(own))


def slow_calibration(n: int, m: int, k: int) -> list[float]:
    """``E min(J, k) / k`` for ``J`` beta-binomial, term by term; 0 below ``k`` as published."""
    values = []
    for good in range(m + 1):
        chances = betabinom(good, k, n - k).pmf(np.arange(good + 1))
        values.append(float((np.minimum(np.arange(good + 1), k) * chances).sum() / k) if good >= k else 0.0)
    return values


def slow_coverage(real: np.ndarray, fake: np.ndarray, k: int) -> float:
    inside = (cdist(real, fake) < radii(real, k)[:, None]).sum(axis=1)
    mean = np.mean(np.minimum(inside, k) / k)
    table = slow_calibration(len(real), len(fake), k)
    return sum(value < mean for value in table) / len(table)


def sets(n: int, m: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)).astype(np.float32), (rng.normal(size=(m, 6)) + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "shift", "k"), product((60, 90), (60, 75), (0.0, 0.8), (3, 5)))
def test_values_equal_the_slow_versions(n: int, m: int, shift: float, k: int) -> None:
    real, fake = sets(n, m, shift)
    found = measure(real, fake, k)
    assert found.density.value == pytest.approx(slow_density(real, fake, k), rel=1e-12)
    assert found.coverage.value == pytest.approx(slow_coverage(real, fake, k), rel=1e-12)


def test_errors_are_those_of_measuring_without_each_fold() -> None:
    real, fake = sets(70, 60, 0.5)
    a, b = np.arange(70) % 10, np.arange(60) % 10
    found = measure(real, fake)
    for slow, estimate in ((slow_density, found.density), (slow_coverage, found.coverage)):
        left = np.array([slow(real[a != g], fake[b != g], 5) for g in range(10)])
        assert estimate.se == pytest.approx(math.sqrt(0.9 * np.square(left - left.mean()).sum()), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "k"), [(50, 40, 5), (30, 60, 1), (200, 120, 3)])
def test_the_closed_form_of_the_calibration(n: int, m: int, k: int) -> None:
    np.testing.assert_allclose(expected_coverage(n, m, k), slow_calibration(n, m, k), atol=1e-12)


def test_reads_as_the_share_of_good_images() -> None:
    real, fake = sets(1000, 1000, 0.0)
    for share in (1.0, 0.6, 0.2):
        mixed = fake.copy()
        mixed[round(share * 1000) :] += 100
        found = measure(real, mixed, count=10)
        assert found.density.value == pytest.approx(share, abs=0.06)
        assert found.coverage.value == pytest.approx(share, abs=0.08)


def test_outliers_among_the_real_images_do_not_raise_density() -> None:
    real, _ = sets(200, 200, 0.0)
    rng = np.random.default_rng(5)
    far = np.concatenate([real, (rng.normal(size=(15, 6)) * 30).astype(np.float32)])
    bad = (rng.normal(size=(200, 6)) * 15).astype(np.float32)
    assert measure(far, bad).density.value < 0.05


def test_lists_reach_on_where_a_fold_holds_all_neighbours() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 3)).astype(np.float32)
    rows[:40] = rows[0] + rng.normal(size=(40, 3)).astype(np.float32) * 1e-3
    folds = np.where(np.arange(80) < 40, 0, np.arange(80) % 9 + 1)
    found = lists(rows, rows, 5, folds, own=True)
    wanted = np.sort(cdist(rows[:1], rows[40:])[0])[4]
    assert found.radius(5, 0)[0] == pytest.approx(wanted, rel=1e-6)


def test_no_more_than_all_are_good() -> None:
    assert good_share(1.0, 100, 100, 5) == 1.0
    assert good_share(0.0, 100, 100, 5) == 0.0
