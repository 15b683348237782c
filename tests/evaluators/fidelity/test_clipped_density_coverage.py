"""Clipped density and coverage against slow versions of their published definitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import betabinom

from bench.statistics.clusters import Clusters
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import neighbourhood
from bench.statistics.resampling import halves, wilson
from evaluators.fidelity.clipped_density_coverage import (
    clipped_coverage,
    clipped_density,
    expected_coverage,
    good_share,
)


def folds(*sizes: int, count: int = 8) -> list[Clusters]:
    return [Clusters.apart(np.arange(size) % count) for size in sizes]


def measure(real: np.ndarray, fake: np.ndarray, k: int = 5) -> list[Estimate]:
    """Clipped density and clipped coverage."""
    found = neighbourhood(real, fake, k, *folds(len(real), len(fake)))
    return found.estimates((clipped_density, clipped_coverage))


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
    """Between two whole numbers of good images on a straight line, from 0 to ``k`` on another, the last one goes on."""
    inside = (cdist(real, fake) < radii(real, k)[:, None]).sum(axis=1)
    mean = np.mean(np.minimum(inside, k) / k)
    table = slow_calibration(len(real), len(fake), k)
    good = max(g for g, value in enumerate(table) if value <= mean and (g >= k or g == 0))
    good = min(good, len(table) - 2)
    following = good + 1 if good >= k else k
    part = (mean - table[good]) / (table[following] - table[good])
    return float(good + part * (following - good)) / (len(table) - 1)


def published_coverage(real: np.ndarray, fake: np.ndarray, k: int) -> float:
    """The share of the table that lies below the mean."""
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
    density, coverage = measure(real, fake, k)
    assert density.value == pytest.approx(slow_density(real, fake, k), rel=1e-12)
    assert coverage.value == pytest.approx(slow_coverage(real, fake, k), rel=1e-12)
    assert abs(min(coverage.value, 1.0) - published_coverage(real, fake, k)) <= 1.5 / m


@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_errors_are_those_of_measuring_both_halves(sides: tuple[bool, bool]) -> None:
    real, fake = sets(70, 66, 0.5)
    a, b = (each.folds for each in folds(70, 66))
    found = neighbourhood(real, fake, 5, *folds(70, 66))
    estimates = found.estimates((clipped_density, clipped_coverage), real=sides[0], fake=sides[1])
    split = halves(8)
    for slow, estimate in zip((slow_density, slow_coverage), estimates, strict=True):
        first, second = (
            np.array(
                [slow(real[half[a]] if sides[0] else real, fake[half[b]] if sides[1] else fake, 5) for half in each]
            )
            for each in (split, ~split)
        )
        assert estimate.se == pytest.approx(np.sqrt(np.square((first - second) / 2).mean()), rel=1e-9)


@pytest.mark.parametrize("good", [0.04, 0.1, 0.5])
def test_a_step_of_the_table_is_no_certainty(good: float) -> None:
    """Read off steps, it may not change at all between halves, as if nothing were left to chance."""
    for seed in range(6):
        real, fake = sets(118, 118, 0.0, seed)
        fake[round(good * 118) :] += 3
        estimate = measure(real, fake)[1]
        low, high = wilson(estimate.value, 118)
        assert 4 * 1.96 * estimate.se > high - low


@pytest.mark.parametrize(("n", "m", "k"), [(50, 40, 5), (30, 60, 1), (200, 120, 3)])
def test_the_closed_form_of_the_calibration(n: int, m: int, k: int) -> None:
    np.testing.assert_allclose(expected_coverage(n, m, k), slow_calibration(n, m, k), atol=1e-12)


def test_reads_as_the_share_of_good_images() -> None:
    real, fake = sets(1000, 1000, 0.0)
    for share in (1.0, 0.6, 0.2):
        mixed = fake.copy()
        mixed[round(share * 1000) :] += 100
        density, coverage = measure(real, mixed)
        assert density.value == pytest.approx(share, abs=0.06)
        assert coverage.value == pytest.approx(share, abs=0.08)


def test_outliers_among_the_real_images_do_not_raise_density() -> None:
    real, _ = sets(200, 200, 0.0)
    rng = np.random.default_rng(5)
    far = np.concatenate([real, (rng.normal(size=(15, 6)) * 30).astype(np.float32)])
    bad = (rng.normal(size=(200, 6)) * 15).astype(np.float32)
    assert measure(far, bad)[0].value < 0.05


def test_density_is_divided_by_what_the_real_images_that_are_there_score() -> None:
    """In a half too: its median ball, its neighbours, its own density."""
    real, fake = sets(120, 110, 0.4)
    found = neighbourhood(real, fake, 5, *folds(120, 110))
    for part in range(1, 15):
        view = found.view(part, part)
        assert clipped_density(view) == pytest.approx(slow_density(real[view.real], fake[view.fake], 5), rel=1e-12)
        assert clipped_coverage(view) == pytest.approx(slow_coverage(real[view.real], fake[view.fake], 5), rel=1e-12)


def test_the_share_of_good_images_rises_with_every_mean() -> None:
    """Beyond what is expected of all too, so that chance above 1 is not taken for certainty."""
    found = [good_share(mean, 90, 60, 5) for mean in np.linspace(0, 1, 500)]
    assert (np.diff(found) > 0).all() and found[-1] > 1
    assert good_share(expected_coverage(90, 60, 5)[-1], 90, 60, 5) == pytest.approx(1.0)
    assert good_share(expected_coverage(90, 60, 5)[30], 90, 60, 5) == pytest.approx(0.5)


def test_no_image_inside_is_none_good() -> None:
    assert good_share(0.0, 100, 100, 5) == 0.0
