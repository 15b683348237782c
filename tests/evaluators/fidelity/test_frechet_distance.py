"""The Frechet distance against closed forms and reference implementations, and its interval against the truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from bench.statistics.resampling import EXCESS, folds
from evaluators.fidelity.chance import Pool
from evaluators.fidelity.frechet_distance import (
    cross_trace,
    distance_of_moments,
    frechet,
    frechet_jackknife,
    frechet_left_out,
    moments,
    pairs,
)


def features(seed: int, n: int, columns: int, *, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Rotated Gaussian features whose variances fall off as 1/i, as those of encoders do."""
    turn, _ = np.linalg.qr(np.random.default_rng(columns).normal(size=(columns, columns)))
    spread = np.arange(1, columns + 1) ** -0.5
    rows = np.random.default_rng([seed, n]).normal(size=(n, columns)) * spread
    return (rows @ turn * scale + shift).astype(np.float32)


def by_square_root(first: np.ndarray, second: np.ndarray) -> float:
    """FD by its definition, with scipy's matrix square root in float64."""
    x, y = first.astype(np.float64), second.astype(np.float64)
    a, b, gap = np.cov(x.T), np.cov(y.T), x.mean(axis=0) - y.mean(axis=0)
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * np.trace(scipy.linalg.sqrtm(a @ b)).real)


@pytest.mark.parametrize(("n", "m", "columns"), [(400, 300, 32), (90, 2500, 64), (40, 50, 64), (70, 60, 64)])
def test_equals_the_matrix_square_root(n: int, m: int, columns: int) -> None:
    x, y = features(0, n, columns), features(1, m, columns, scale=1.2, shift=0.1)
    assert frechet(x, y) == pytest.approx(by_square_root(x, y), rel=1e-6)


def test_equals_torch_fidelity() -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torch_fidelity.metric_fid")
    x, y = features(2, 500, 48), features(3, 450, 48, scale=0.8)
    statistics = [reference.fid_features_to_statistics(torch.from_numpy(each.astype(np.float64))) for each in (x, y)]
    theirs = reference.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet(x, y) == pytest.approx(theirs, rel=1e-6)


def test_commuting_gaussians_have_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(50, 50)))
    a, b = 10 ** rng.uniform(-3, 2, 50), 10 ** rng.uniform(-3, 2, 50)
    first, second = (turn * values @ turn.T for values in (a, b))
    assert cross_trace((first + first.T) / 2, (second + second.T) / 2) == pytest.approx(np.sqrt(a * b).sum(), rel=1e-12)


@pytest.mark.parametrize(("n", "columns"), [(300, 40), (30, 200)])
def test_of_a_set_with_itself_is_zero(n: int, columns: int) -> None:
    x = features(4, n, columns)
    assert abs(frechet(x, x)) <= 1e-7 * x.var(axis=0).sum()


def test_the_route_through_the_data_equals_the_route_through_covariances() -> None:
    x, y = features(5, 80, 60), features(6, 90, 60, scale=1.1)
    by_data = pairs(x, y).distance(np.arange(80), np.arange(90))
    assert by_data == pytest.approx(distance_of_moments(moments(x), moments(y)), rel=1e-6)


@pytest.mark.parametrize("n", [3000, 40])
def test_an_offset_common_to_all_changes_nothing(n: int) -> None:
    # Steps of 1/1024 survive the addition of 1000 in float32, so that only the arithmetic is on trial.
    x, y = (np.round(each * 1024) / 1024 for each in (features(7, n, 64), features(8, n, 64, scale=1.3)))
    moved = frechet((x + 1000).astype(np.float32), (y + 1000).astype(np.float32))
    assert moved == pytest.approx(frechet(x.astype(np.float32), y.astype(np.float32)), rel=1e-6)


def test_order_of_the_images_does_not_matter() -> None:
    x, y = features(9, 5000, 16), features(10, 300, 16)
    shuffled = x[np.random.default_rng(0).permutation(5000)]
    assert frechet(shuffled, y) == pytest.approx(frechet(x, y), rel=1e-6)


def test_columns_without_variance_and_copies_of_columns_are_harmless() -> None:
    x, y = features(11, 300, 10), features(12, 300, 10, scale=1.2)
    flat = [np.hstack([each, np.full((300, 1), 3, np.float32), each[:, :1]]) for each in (x, y)]
    assert frechet(*flat) == pytest.approx(by_square_root(*flat), rel=1e-5)


def test_identical_synthetic_images_leave_the_spread_of_the_real_ones() -> None:
    x = features(13, 200, 12)
    expected = ((x.mean(axis=0) - 1) ** 2).sum() + x.var(axis=0, ddof=1).sum()
    assert frechet(x, np.ones((200, 12), np.float32)) == pytest.approx(expected, rel=1e-5)


def test_grows_with_damage() -> None:
    x = features(14, 600, 24)
    noise = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    values = [frechet(x, features(15, 600, 24) + strength * noise) for strength in (0.0, 0.3, 0.6, 1.2)]
    assert values == sorted(values) and values[-1] > 3 * values[0]


@pytest.mark.parametrize(("n", "m", "columns"), [(200, 160, 12), (120, 140, 150)])
def test_leaving_out_a_fold_is_the_same_as_never_having_had_it(n: int, m: int, columns: int) -> None:
    x, y = features(16, n, columns), features(17, m, columns, shift=0.2)
    rng = np.random.default_rng(0)
    a, b = folds(n, 10, rng), folds(m, 10, rng)
    left_out = np.array([by_square_root(x[a != fold], y[b != fold]) for fold in range(10)])
    spread = np.sqrt(0.9 * ((left_out - left_out.mean()) ** 2).sum())
    for null, expected in ((0.0, spread), (spread, spread), (0.5 * spread, np.sqrt(1 - EXCESS / 4) * spread)):
        found = frechet_jackknife(x, y, a, b, null)
        assert found.plain == pytest.approx(by_square_root(x, y), rel=1e-6)
        assert found.corrected.value == pytest.approx(10 * found.plain - 9 * left_out.mean(), abs=1e-4 * found.plain)
        assert found.corrected.se == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "m", "columns"), [(200, 160, 12), (120, 140, 150)])
def test_a_side_whose_folds_are_none_stays_whole(n: int, m: int, columns: int) -> None:
    x, y = features(16, n, columns), features(17, m, columns, shift=0.2)
    a, b = np.arange(n) % 10, np.arange(m) % 10
    whole = by_square_root(x, y)
    real = frechet_left_out(x, y, a, np.full(m, -1))
    fake = frechet_left_out(x, y, np.full(n, -1), b)
    np.testing.assert_allclose(real, [whole, *(by_square_root(x[a != g], y) for g in range(10))], rtol=1e-5)
    np.testing.assert_allclose(fake, [whole, *(by_square_root(x, y[b != g]) for g in range(10))], rtol=1e-5)


def trials(
    count: int, n: int, columns: int, shift: float, scale: float, power: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which intervals hold the true distance of known Gaussians; the estimates and plain values over the truth."""
    spread = np.arange(1, columns + 1) ** -power
    truth = columns * shift**2 + ((1 - scale) ** 2 * spread**2).sum()
    rng = np.random.default_rng([n, columns])
    pool = (rng.normal(size=(max(1000, 2 * n), columns)) * spread).astype(np.float32)
    chance, rows = Pool(pool, np.arange(len(pool))).chance(n, n), []
    assert chance is not None
    for _ in range(count):
        x = (rng.normal(size=(n, columns)) * spread).astype(np.float32)
        y = (rng.normal(size=(n, columns)) * spread * scale + shift).astype(np.float32)
        plain, estimate = frechet_jackknife(x, y, folds(n, 20, rng), folds(n, 20, rng), chance.sd)
        low, high = estimate.interval
        rows.append((low <= truth <= high, estimate.value - truth, plain - truth))
    held, error, plain_error = np.array(rows).T
    return held, error, plain_error


def test_interval_holds_the_truth_and_the_bias_is_gone(one_thread: None) -> None:
    held, error, plain_error = trials(80, 300, 8, shift=0.1, scale=1.2)
    assert 0.88 <= held.mean() <= 0.99
    assert abs(error.mean()) < 0.25 * plain_error.mean()


def test_interval_of_a_perfect_generator_holds_zero_where_the_plain_value_is_far_from_it(one_thread: None) -> None:
    held, error, plain_error = trials(40, 80, 40, shift=0.0, scale=1.0)
    assert held.mean() >= 0.92
    assert abs(error.mean()) < 0.05 * plain_error.mean()


def test_interval_holds_a_small_distance_in_two_directions(one_thread: None) -> None:
    held, _, _ = trials(150, 240, 2, shift=0.1, scale=1.0)
    assert held.mean() >= 0.92


ONE_DIRECTION = pytest.mark.xfail(
    strict=True,
    reason="where one direction holds nearly all variance, the error is small when the estimate is: 0.81 to 0.85",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "columns", "shift", "scale", "power"),
    [
        (300, 8, 0.1, 1.2, 0.5),
        (200, 64, 0.1, 1.2, 0.5),
        (100, 32, 0.2, 0.9, 0.5),
        pytest.param(240, 8, 0.1, 1.1, 2.0, marks=ONE_DIRECTION),
        pytest.param(240, 1, 0.15, 1.0, 0.5, marks=ONE_DIRECTION),
    ],
)
def test_interval_covers_at_its_level(
    n: int, columns: int, shift: float, scale: float, power: float, one_thread: None
) -> None:
    held, _, _ = trials(1000, n, columns, shift, scale, power)
    assert 0.92 <= held.mean() <= 0.99
