"""Precision, recall, density and coverage against the prdc package, and their errors against doing it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.neighbours import balls, neighbours
from bench.statistics.resampling import folds, jackknife_se


def sets(n: int, m: int, columns: int, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, m, columns])
    x = rng.normal(size=(n, columns)) + offset
    y = 0.9 * rng.normal(size=(m, columns)) + offset + 0.2
    return x.astype(np.float32), y.astype(np.float32)


def by_hand(x: np.ndarray, y: np.ndarray, k: int) -> list[float]:
    """The four measures from all distances in float64."""

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).sum(axis=-1))

    real, fake, cross = distances(x, x), distances(y, y), distances(x, y)
    inside = cross < np.sort(real, axis=1)[:, k, None]
    recalled = cross < np.sort(fake, axis=1)[:, k]
    return [
        inside.any(axis=0).mean(),
        recalled.any(axis=1).mean(),
        inside.sum(axis=0).mean() / k,
        inside.any(axis=1).mean(),
    ]


@pytest.mark.parametrize(("n", "m", "columns", "k"), [(300, 280, 8, 5), (600, 500, 64, 5), (200, 900, 3, 1)])
def test_counts_equal_prdc(n: int, m: int, columns: int, k: int) -> None:
    reference = pytest.importorskip("prdc")
    x, y = sets(n, m, columns)
    theirs = reference.compute_prdc(real_features=x.astype(np.float64), fake_features=y.astype(np.float64), nearest_k=k)
    rng = np.random.default_rng(0)
    found = neighbours(x, y, k, folds(n, 20, rng), folds(m, 20, rng))
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name).value == pytest.approx(float(theirs[name]), abs=1e-15), name


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_values_and_errors_equal_those_by_hand_with_copies_inside_and_across(offset: float) -> None:
    x, y = sets(160, 170, 12, offset)
    y[:20], y[50:60], x[100:120] = y[20:40], x[50:60], x[100]
    rng = np.random.default_rng(0)
    a, b = np.sort(folds(160, 10, rng)), folds(170, 10, rng)
    table = np.array([by_hand(x[a != fold], y[b != fold], 5) for fold in (-1, *range(10))])
    for estimate, column in zip(neighbours(x, y, 5, a, b), table.T, strict=True):
        assert estimate.value == pytest.approx(column[0], abs=1e-15)
        assert estimate.se == pytest.approx(jackknife_se(column[1:]), abs=1e-12)


def test_a_list_that_runs_out_is_filled_from_the_rest() -> None:
    # All near neighbours of a clump are in its own fold, as the images of one patient are.
    x = np.concatenate([sets(40, 1, 4)[0], 20 + 0.01 * sets(40, 2, 4)[0]])
    a = np.concatenate([np.arange(40) % 4, np.full(40, 4)])
    around = balls(x, 3, a, 5)
    distances = np.sqrt(((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=-1))
    for fold in range(5):
        stay = np.flatnonzero(a != fold)
        expected = np.sort(distances[np.ix_(stay, stay)], axis=1)[:, 3]
        np.testing.assert_allclose(around.without[stay, fold], expected, rtol=1e-12)


def test_a_set_too_small_without_a_fold_is_an_error() -> None:
    x, _ = sets(12, 1, 3)
    with pytest.raises(ValueError, match="less a fold of 8 have no 5-th neighbour"):
        balls(x, 5, np.array([0] * 8 + [1] * 4), 2)


def test_collapsed_images_are_precise_and_cover_little() -> None:
    x, _ = sets(300, 1, 6)
    rng = np.random.default_rng(0)
    found = neighbours(x, np.tile(x.mean(axis=0), (300, 1)), 5, folds(300, 20, rng), folds(300, 20, rng))
    assert found.precision.value == 1.0
    assert found.recall.value == 0.0
    assert found.coverage.value < 0.3


def test_perfect_images_reach_the_known_coverage() -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(1000, 5)).astype(np.float32) for _ in range(2))
    found = neighbours(x, y, 5, folds(1000, 20, rng), folds(1000, 20, rng))
    assert found.coverage.value == pytest.approx(1 - 2**-5, abs=0.015)
    assert found.density.value == pytest.approx(1.0, abs=0.15)


def test_far_images_are_neither_precise_nor_recalled() -> None:
    x, y = sets(200, 200, 6)
    rng = np.random.default_rng(0)
    found = neighbours(x, y + 50, 5, folds(200, 20, rng), folds(200, 20, rng))
    assert [estimate.value for estimate in found] == [0.0, 0.0, 0.0, 0.0]


def spread(count: int, n: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors, ``(count, 4)`` each, of fresh draws."""
    rng = np.random.default_rng([count, n])
    values, errors = [], []
    for _ in range(count):
        x = rng.normal(size=(n, columns)).astype(np.float32)
        y = (0.9 * rng.normal(size=(n, columns)) + 0.3).astype(np.float32)
        found = neighbours(x, y, 5, folds(n, 20, rng), folds(n, 20, rng))
        values.append([each.value for each in found])
        errors.append([each.se for each in found])
    return np.array(values), np.array(errors)


def test_errors_are_not_too_small_nor_twice_too_large() -> None:
    values, errors = spread(60, 300, 8)
    ratio = errors.mean(axis=0) / values.std(axis=0, ddof=1)
    assert (ratio > 0.9).all() and (ratio < 2.3).all()


@pytest.mark.slow
def test_intervals_cover_at_least_at_their_level() -> None:
    values, errors = spread(400, 300, 8)
    held = np.abs(values - values.mean(axis=0)) <= 2.093 * errors
    assert (held.mean(axis=0) >= 0.92).all()
