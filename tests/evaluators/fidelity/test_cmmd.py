"""CMMD against its definition and its linear limit, and its interval against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.resampling import folds
from evaluators.fidelity.cmmd import discrepancy, unit


def by_definition(x: np.ndarray, y: np.ndarray, *, biased: bool) -> float:
    x, y = unit(x), unit(y)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return 1000 * np.expm1(-np.square(a[:, None] - b[None]).sum(axis=2) / 200)

    n, m = len(x), len(y)
    within = n * n + 0.0 if biased else n * (n - 1.0), m * m + 0.0 if biased else m * (m - 1.0)
    return float(kernel(x, x).sum() / within[0] + kernel(y, y).sum() / within[1] - 2 * kernel(x, y).mean())


def sets(n: int, m: int, columns: int = 24, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(count, columns)) + 2 for count in (n, m))
    return x.astype(np.float32), (y + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (90, 70), (600, 530)])
def test_both_estimates_equal_their_definition(n: int, m: int) -> None:
    x, y = sets(n, m, shift=0.3)
    rng = np.random.default_rng(1)
    found = discrepancy(x, y, folds(n, 10, rng), folds(m, 10, rng))
    assert found.unbiased.value == pytest.approx(by_definition(x, y, biased=False), abs=2e-6)
    assert found.published == pytest.approx(by_definition(x, y, biased=True), abs=2e-6)


def test_a_common_offset_costs_no_digits() -> None:
    x, y = sets(80, 80)
    x[:, 0] += 200
    y[:, 0] += 200
    some = folds(80, 10, np.random.default_rng(0))
    found = discrepancy(x, y, some, some)
    assert found.published == pytest.approx(by_definition(x, y, biased=True), rel=1e-3)


def test_is_ten_times_the_squared_distance_of_means() -> None:
    x, y = sets(400, 400, shift=0.5)
    some = folds(400, 20, np.random.default_rng(0))
    linear = 10 * np.square(unit(x).mean(axis=0) - unit(y).mean(axis=0)).sum()
    assert discrepancy(x, y, some, some).published == pytest.approx(linear, rel=0.02)


def test_leaving_out_a_fold_is_measuring_without_it() -> None:
    x, y = sets(60, 50, shift=0.4)
    rng = np.random.default_rng(2)
    a, b = folds(60, 10, rng), folds(50, 10, rng)
    parts = discrepancy(x, y, a, b).unbiased

    def jackknife(first: bool, second: bool) -> float:
        left = [by_definition(x[a != g] if first else x, y[b != g] if second else y, biased=False) for g in range(10)]
        return float(np.sqrt(0.9 * np.square(np.array(left) - np.mean(left)).sum()))

    assert parts.synthetic.se > jackknife(False, True)
    assert parts.synthetic.se**2 - jackknife(False, True) ** 2 == pytest.approx(
        (parts.both.se**2 - jackknife(True, True) ** 2) * (60 / 110) ** 2, rel=1e-3
    )
    assert parts.real.se**2 - jackknife(True, False) ** 2 == pytest.approx(
        (parts.both.se**2 - jackknife(True, True) ** 2) * (50 / 110) ** 2, rel=1e-3
    )


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_the_interval_holds_the_truth(shift: float) -> None:
    big = sets(6000, 6000, 8, shift, seed=99)
    some = folds(6000, 10, np.random.default_rng(0))
    truth = discrepancy(*big, some, some).unbiased.value if shift else 0.0
    hits = 0
    for seed in range(40):
        x, y = sets(150, 150, 8, shift, seed)
        rng = np.random.default_rng(seed)
        low, high = discrepancy(x, y, folds(150, 20, rng), folds(150, 20, rng)).unbiased.both.interval
        hits += low <= truth <= high
    assert hits >= 35
