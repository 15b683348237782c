"""KID against its definition and torch-fidelity, and its interval against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.clusters import Clusters
from bench.statistics.resampling import folds
from evaluators.fidelity.kernel_distance import kernel_distance


def by_definition(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased estimate over all pairs in float64."""
    x, y = first.astype(np.float64), second.astype(np.float64)
    xx, yy, xy = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return float((xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean())


def sets(n: int, m: int, columns: int, shift: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, m, columns])
    x, y = rng.normal(size=(n, columns)), rng.normal(size=(m, columns)) + shift
    return x.astype(np.float32), y.astype(np.float32)


def apart(n: int, m: int, rng: np.random.Generator | None = None) -> tuple[Clusters, Clusters]:
    """Every image of a patient of its own, in random folds."""
    rng = rng or np.random.default_rng(0)
    return Clusters.apart(folds(n, 20, rng)), Clusters.apart(folds(m, 20, rng))


@pytest.mark.parametrize(("n", "m", "columns"), [(300, 280, 16), (700, 1100, 64), (50, 60, 500)])
def test_equals_the_definition(n: int, m: int, columns: int) -> None:
    x, y = sets(n, m, columns)
    assert kernel_distance(x, y, *apart(n, m)).distance() == pytest.approx(by_definition(x, y), abs=1e-7)


def test_equals_torch_fidelity_on_all_images() -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = sets(200, 200, 32)
    theirs = reference.kid_features_to_metric(
        torch.from_numpy(x.astype(np.float64)),
        torch.from_numpy(y.astype(np.float64)),
        kid_subsets=1,
        kid_subset_size=200,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert kernel_distance(x, y, *apart(200, 200)).distance() == pytest.approx(theirs, abs=1e-7)


@pytest.mark.parametrize(("offset", "digits"), [(10, 1e-6), (100, 1e-4)])
def test_a_common_offset_costs_few_digits(offset: float, digits: float) -> None:
    """Kernels are float32 and grow with the sixth power of the offset: up to a million, and to ``10^12``."""
    x, y = sets(120, 110, 16, 0.3)
    x, y = (np.round(each * 1024) / 1024 + offset for each in (x, y))
    x, y = x.astype(np.float32), y.astype(np.float32)
    assert kernel_distance(x, y, *apart(120, 110)).distance() == pytest.approx(by_definition(x, y), rel=digits)


def test_folds_of_one_value_are_refused() -> None:
    x, y = sets(50, 50, 4)
    with pytest.raises(ValueError, match="some hold no row"):
        kernel_distance(x, y, Clusters.apart(np.repeat([0, 2], 25)), Clusters.apart(np.repeat([0, 1], 25)))


def test_grows_with_damage() -> None:
    x, _ = sets(400, 2, 24)
    damaged = [sets(400, 401, 24, shift)[1] for shift in (0, 0.2, 0.5)]
    values = [kernel_distance(x, each, *apart(400, 401)).distance() for each in damaged]
    assert values == sorted(values) and abs(values[0]) < 0.01 < values[1]


def trials(count: int, n: int, shift: float) -> np.ndarray:
    """Which intervals hold KID between two Gaussians of 8 columns, SD 1, means ``shift`` apart in each column.

    With ``x.y`` over both laws, ``E(z/D + 1)^3`` has moments ``E z``, ``E z^2``, ``E z^3`` of the product.
    """
    columns = 8
    rng = np.random.default_rng([count, n])
    truth = cubic(columns, 0, 0) + cubic(columns, shift, shift) - 2 * cubic(columns, 0, shift)
    held = []
    for _ in range(count):
        x, y = rng.normal(size=(n, columns)), rng.normal(size=(n, columns)) + shift
        found = kernel_distance(x.astype(np.float32), y.astype(np.float32), *apart(n, n, rng))
        low, high = found.estimate().interval
        held.append(low <= truth <= high)
    return np.array(held)


def cubic(columns: int, a: float, b: float) -> float:
    """``E (x.y / D + 1)^3`` for independent ``x ~ N(a 1, I)`` and ``y ~ N(b 1, I)``."""
    first = a * b
    second = (1 + a * a) * (1 + b * b)
    third = (a**3 + 3 * a) * (b**3 + 3 * b)
    d = columns
    z1 = d * first
    z2 = d * second + d * (d - 1) * first**2
    z3 = d * third + 3 * d * (d - 1) * second * first + d * (d - 1) * (d - 2) * first**3
    return z3 / d**3 + 3 * z2 / d**2 + 3 * z1 / d + 1


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_interval_holds_the_truth(shift: float, one_thread: None) -> None:
    assert 0.88 <= trials(100, 300, shift).mean() <= 1.0


@pytest.mark.slow
def test_interval_covers_at_its_level(one_thread: None) -> None:
    assert 0.92 <= trials(2000, 300, 0.2).mean() <= 0.98
