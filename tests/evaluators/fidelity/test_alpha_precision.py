"""Alpha-precision, beta-recall and authenticity against closed forms and slow versions of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.spatial.distance import cdist

from evaluators.fidelity.alpha_precision import (
    Nearest,
    alpha_precision,
    authenticity,
    beta_recall,
    from_centre,
    from_diagonal,
    support,
)
from evaluators.fidelity.clipped_density_coverage import lists


def rows(n: int, columns: int, scale: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, columns)) * scale).astype(np.float32)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("columns", [2, 8])
def test_alpha_precision_of_gaussians(scale: float, columns: int) -> None:
    """``G(a) = F(F^-1(a) / s)`` with ``F`` the chi distribution."""
    chi = stats.chi(columns)
    area, _ = quad(lambda a: abs(a - chi.cdf(chi.ppf(a) / scale)), 0, 1, limit=200)
    real, fake = rows(20000, columns, 1, 0), rows(20000, columns, scale, 1)
    found = alpha_precision(from_centre(fake, real, real), from_centre(real, real, real))
    assert found == pytest.approx(1 - 2 * area, abs=0.012)


def test_a_perfect_generator_loses_what_the_bridge_predicts() -> None:
    n, losses = 200, []
    for seed in range(200):
        real, fake = rows(n, 3, 1, seed), rows(n, 3, 1, seed + 1000)
        losses.append(1 - alpha_precision(from_centre(fake, real, real), from_centre(real, real, real)))
    assert np.mean(losses) == pytest.approx(2 * np.sqrt(2 / np.pi) * np.pi / 8 * np.sqrt(2 / n), rel=0.15)


def test_the_area_is_the_integral() -> None:
    levels = np.random.default_rng(0).uniform(size=37) ** 2
    grid = (np.arange(200_000) + 0.5) / 200_000
    heights = np.searchsorted(np.sort(levels), grid, "right") / 50
    assert from_diagonal(levels, 50) == pytest.approx(1 - 2 * np.abs(grid - heights).mean(), abs=1e-5)
    assert from_diagonal(np.array([]), 10) == pytest.approx(0.0)
    assert from_diagonal((np.arange(1000) + 0.5) / 1000, 1000) == pytest.approx(1, abs=1e-3)


def found_of(real: np.ndarray, fake: np.ndarray, k: int) -> Nearest:
    a, b = np.arange(len(real)) % 10, np.arange(len(fake)) % 10
    own, across = lists(real, real, k, a, own=True), lists(real, fake, k, b)
    return Nearest(own, across, from_centre(fake, fake, real))


@pytest.mark.parametrize("k", [1, 5])
def test_beta_recall_equals_a_slow_version(k: int) -> None:
    real, fake = rows(120, 4, 1, 0), rows(90, 4, 0.7, 1)
    to_fake = cdist(real, fake)
    radius = np.sort(cdist(real, real), axis=1)[:, k]
    closest = to_fake.argmin(axis=1)
    spread = real.std(axis=0)
    outward = np.linalg.norm((fake - fake.mean(axis=0)) / spread, axis=1)[closest]
    reached = to_fake.min(axis=1) <= radius
    grid = (np.arange(4000) + 0.5) / 4000
    quantiles = np.quantile(outward, grid, method="inverted_cdf")
    curve = [(reached & (outward <= each)).mean() for each in quantiles]
    slow = 1 - 2 * np.abs(grid - np.array(curve)).mean()
    assert beta_recall(found_of(real, fake, k), k) == pytest.approx(slow, abs=0.02)


def test_beta_recall_of_a_perfect_and_of_a_collapsed_generator() -> None:
    real = rows(600, 4, 1, 0)
    assert beta_recall(found_of(real, rows(600, 4, 1, 1), 5), 5) > 0.9
    assert beta_recall(found_of(real, rows(600, 4, 1, 1), 1), 1) == pytest.approx(0.5, abs=0.08)
    assert beta_recall(found_of(real, rows(600, 4, 0.05, 1), 5), 5) < 0.5


def test_errors_match_the_spread_over_draws() -> None:
    values, errors = [], []
    for seed in range(40):
        real, fake = rows(150, 4, 1, seed), rows(150, 4, 0.7, seed + 500)
        outward = from_centre(real, real, real), from_centre(fake, real, real)
        alpha, beta = support(found_of(real, fake, 5), *outward, 5)
        values.append((alpha.value, beta.value))
        errors.append((alpha.se, beta.se))
    spread, claimed = np.std(values, axis=0), np.mean(errors, axis=0)
    assert (claimed > 0.75 * spread).all() and (claimed < 3 * spread).all()


def test_authenticity_equals_a_slow_version() -> None:
    train, fake = rows(150, 5, 1, 0), rows(80, 5, 1, 1)
    fake[:20] = train[:20]
    to_train, among = cdist(fake, train), cdist(train, train)
    np.fill_diagonal(among, np.inf)
    closest = to_train.argmin(axis=1)
    wanted = (to_train.min(axis=1) > among[closest].min(axis=1)).mean()
    share, (low, high) = authenticity(fake, train)
    assert share == pytest.approx(wanted) and low < share < high
    assert authenticity(train[:50], train)[0] == 0
    assert authenticity(rows(50, 5, 1, 2) + 50, train)[0] == 1
