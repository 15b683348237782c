"""Alpha-precision, beta-recall and authenticity against closed forms and slow versions of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.spatial.distance import cdist

from bench.statistics.clusters import Clusters
from bench.statistics.neighbours import Neighbourhood, neighbourhood
from bench.statistics.resampling import halves
from evaluators.fidelity.alpha_precision import (
    BRIDGE,
    alpha_precision,
    authenticity,
    from_centre,
    from_diagonal,
    outward,
)


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


def test_a_perfect_generator_varies_as_the_bridge_predicts() -> None:
    n, m, values = 300, 200, []
    for seed in range(400):
        real, fake = rows(n, 3, 1, seed), rows(m, 3, 1, seed + 1000)
        values.append(alpha_precision(from_centre(fake, real, real), from_centre(real, real, real)))
    assert np.std(values) == pytest.approx(BRIDGE * np.sqrt(1 / n + 1 / m), rel=0.15)


def test_the_area_is_the_integral() -> None:
    levels = np.random.default_rng(0).uniform(size=37) ** 2
    grid = (np.arange(200_000) + 0.5) / 200_000
    heights = np.searchsorted(np.sort(levels), grid, "right") / 50
    assert from_diagonal(levels, 50) == pytest.approx(1 - 2 * np.abs(grid - heights).mean(), abs=1e-5)
    assert from_diagonal(np.array([]), 10) == pytest.approx(0.0)
    assert from_diagonal((np.arange(1000) + 0.5) / 1000, 1000) == pytest.approx(1, abs=1e-3)


def found_of(real: np.ndarray, fake: np.ndarray, k: int) -> Neighbourhood:
    return neighbourhood(real, fake, k, *(Clusters.apart(np.arange(len(each)) % 8) for each in (real, fake)))


def beta_recall(real: np.ndarray, fake: np.ndarray, k: int) -> float:
    return outward(real, fake).beta_recall(found_of(real, fake, k).view(0, 0))


def slow_beta_recall(real: np.ndarray, fake: np.ndarray, k: int, away: np.ndarray) -> float:
    to_fake = cdist(real, fake)
    radius = np.sort(cdist(real, real), axis=1)[:, k]
    closest = away[to_fake.argmin(axis=1)]
    reached = to_fake.min(axis=1) <= radius
    grid = (np.arange(4000) + 0.5) / 4000
    quantiles = np.quantile(closest, grid, method="inverted_cdf")
    curve = [(reached & (closest <= each)).mean() for each in quantiles]
    return 1 - 2 * float(np.abs(grid - np.array(curve)).mean())


def from_own_centre(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm((fake - fake.mean(axis=0)) / real.std(axis=0), axis=1))


@pytest.mark.parametrize("k", [1, 5])
def test_beta_recall_equals_a_slow_version(k: int) -> None:
    real, fake = rows(120, 4, 1, 0), rows(90, 4, 0.7, 1)
    slow = slow_beta_recall(real, fake, k, from_own_centre(real, fake))
    assert beta_recall(real, fake, k) == pytest.approx(slow, abs=0.02)


def test_beta_recall_of_a_perfect_and_of_a_collapsed_generator() -> None:
    real = rows(600, 4, 1, 0)
    assert beta_recall(real, rows(600, 4, 1, 1), 5) > 0.9
    assert beta_recall(real, rows(600, 4, 1, 1), 1) == pytest.approx(0.5, abs=0.08)
    assert beta_recall(real, rows(600, 4, 0.05, 1), 5) < 0.5


def test_parts_are_measured_among_themselves_about_the_centres_of_all() -> None:
    real, fake = rows(160, 4, 1, 0), rows(150, 4, 0.7, 1)
    found, out, away = found_of(real, fake, 5), outward(real, fake), from_own_centre(real, fake)
    for part in range(1, 15):
        view = found.view(part, part)
        alpha = alpha_precision(from_centre(fake[view.fake], real, real), from_centre(real[view.real], real, real))
        assert out.alpha_precision(view) == pytest.approx(alpha, rel=1e-12)
        slow = slow_beta_recall(real[view.real], fake[view.fake], 5, away[view.fake])
        assert out.beta_recall(view) == pytest.approx(slow, abs=0.03)


@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_errors_are_those_of_measuring_both_halves(sides: tuple[bool, bool]) -> None:
    real, fake = rows(120, 4, 1, 0), rows(112, 4, 0.7, 1)
    out, folds = outward(real, fake), (np.arange(120) % 8, np.arange(112) % 8)
    (estimate,) = found_of(real, fake, 5).estimates((out.alpha_precision,), real=sides[0], fake=sides[1])
    first, second = (
        np.array(
            [
                alpha_precision(
                    out.fake[half[folds[1]]] if sides[1] else out.fake,
                    out.real[half[folds[0]]] if sides[0] else out.real,
                )
                for half in each
            ]
        )
        for each in (halves(8), ~halves(8))
    )
    assert estimate.se == pytest.approx(np.sqrt(np.square((first - second) / 2).mean()), rel=1e-9)


def test_errors_are_near_the_spread_over_draws(one_thread: None) -> None:
    """Those of the halves within a quarter or so: measured are 0.74 to 0.89 (alpha) and 0.77 to 0.95 (beta) of it in
    eight columns; that of alpha-precision with the bridge is not below it."""
    values, errors = [], []
    for seed in range(60):
        real, fake = rows(150, 4, 1, seed), rows(150, 4, 0.7, seed + 500)
        out = outward(real, fake)
        alpha, beta = found_of(real, fake, 5).estimates((out.alpha_precision, out.beta_recall))
        whole = out.with_bridge(alpha)
        assert np.linalg.norm(whole.deviations) == pytest.approx(whole.se) and whole.value == alpha.value
        values.append([each.value for each in (alpha, beta, whole)])
        errors.append([each.se for each in (alpha, beta, whole)])
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0, ddof=1)
    assert (ratio[:2] > 0.7).all() and (ratio[:2] < 1.25).all() and 0.95 < ratio[2] < 1.6, ratio


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
