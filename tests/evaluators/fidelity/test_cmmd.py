"""CMMD against its definition and its linear limit, and its interval against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.clusters import Clusters
from evaluators.fidelity.cmmd import discrepancy, unit


def by_definition(x: np.ndarray, y: np.ndarray, *, biased: bool) -> float:
    """In float64, from the differences."""
    x, y = unit(x), unit(y)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = np.stack([np.square(row - b).sum(axis=1) for row in a])
        return np.asarray(1000 * np.expm1(-squares / 200))

    n, m = len(x), len(y)
    within = n * n + 0.0 if biased else n * (n - 1.0), m * m + 0.0 if biased else m * (m - 1.0)
    return float(kernel(x, x).sum() / within[0] + kernel(y, y).sum() / within[1] - 2 * kernel(x, y).mean())


def sets(
    n: int, m: int, columns: int = 24, shift: float = 0.0, seed: int = 0, offset: float = 2
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(count, columns)) + offset for count in (n, m))
    return x.astype(np.float32), (y + shift).astype(np.float32)


def apart(n: int, m: int, count: int = 10, seed: int = 1) -> tuple[Clusters, Clusters]:
    """Every image of a patient of its own, in random folds."""
    rng = np.random.default_rng(seed)
    return Clusters.apart(rng.permutation(n) % count), Clusters.apart(rng.permutation(m) % count)


@pytest.mark.parametrize(
    ("n", "m", "columns", "offset"),
    [(60, 60, 24, 2), (90, 70, 24, 0), (600, 530, 24, 2), (80, 70, 3, 0), (300, 260, 768, 0.5), (80, 80, 24, 200)],
)
def test_both_estimates_equal_their_definition(n: int, m: int, columns: int, offset: float) -> None:
    """Products are float32, and a kernel next to 1 has few digits there: what is left of it loses none."""
    x, y = sets(n, m, columns, shift=0.3, offset=offset)
    found = discrepancy(x, y, *apart(n, m))
    assert found.distance() == pytest.approx(by_definition(x, y, biased=False), abs=1e-8)
    assert found.plain() == pytest.approx(by_definition(x, y, biased=True), abs=1e-8)


def test_rows_of_zeros_and_opposite_rows_are_as_far_as_they_are() -> None:
    x, y = sets(60, 60, 5, offset=0)
    x[:6], y[:9], y[10:20] = 0, 0, -x[10:20]
    found = discrepancy(x, y, *apart(60, 60))
    assert found.distance() == pytest.approx(by_definition(x, y, biased=False), abs=1e-7)


def test_is_ten_times_the_squared_distance_of_means() -> None:
    x, y = sets(400, 400, shift=0.5)
    linear = 10 * np.square(unit(x).mean(axis=0) - unit(y).mean(axis=0)).sum()
    assert discrepancy(x, y, *apart(400, 400)).plain() == pytest.approx(linear, rel=0.02)


def test_what_only_makes_features_longer_is_not_seen() -> None:
    x, y = sets(200, 180, shift=0.3)
    lengths = np.random.default_rng(0).uniform(0.1, 10, (180, 1)).astype(np.float32)
    some = apart(200, 180)
    assert discrepancy(x, y * lengths, *some).distance() == pytest.approx(discrepancy(x, y, *some).distance(), abs=1e-7)


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_the_interval_holds_the_truth(shift: float, one_thread: None) -> None:
    truth = discrepancy(*sets(3000, 3000, 8, shift, seed=99), *apart(3000, 3000)).distance() if shift else 0.0
    hits = 0
    for seed in range(60):
        found = discrepancy(*sets(150, 150, 8, shift, seed), *apart(150, 150, 20, seed))
        low, high = found.estimate().interval
        hits += low <= truth <= high
    assert hits >= 53
