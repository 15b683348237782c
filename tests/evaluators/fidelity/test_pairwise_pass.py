"""One pass gives what separate passes give, and its tiles cover every pair."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics import distances, neighbours
from bench.statistics.clusters import Clusters
from bench.statistics.distances import Nearest, Tile, across, centred, mean_row, sweep, within
from bench.statistics.neighbours import Crowded, View, neighbourhood
from bench.statistics.resampling import folds
from evaluators.fidelity.clipped_density_coverage import clipped_coverage, clipped_density
from evaluators.fidelity.cmmd import discrepancy
from evaluators.fidelity.kernel_distance import kernel_distance
from evaluators.fidelity.pairwise_pass import compare


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "HEIGHT", 7)
    monkeypatch.setattr(distances, "WIDTH", 30)


def sets(n: int, m: int, columns: int) -> tuple[np.ndarray, np.ndarray, Clusters, Clusters]:
    """Two sets of rows, the first of patients with up to several images."""
    rng = np.random.default_rng([n, m])
    x = (rng.normal(size=(n, columns)) + 3).astype(np.float32)
    y = (0.9 * rng.normal(size=(m, columns)) + 3.1).astype(np.float32)
    patients = [f"p{i}" for i in rng.integers(0, max(1, n // 2), n)]
    return x, y, Clusters.of(patients, 10), Clusters.apart(rng.permutation(m) % 10)


def table(tiles: object, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Products put back in place, pairs of one set in both orders, and how often each place was filled."""
    products, filled = np.zeros((n, m)), np.zeros((n, m), int)

    def put(tile: Tile) -> None:
        rows, columns = tile.rows, tile.columns
        products[rows, columns] = tile.products.numpy()
        filled[rows, columns] += 1
        if tile.place == "above":
            products[columns, rows] = tile.products.numpy().T
            filled[columns, rows] += 1

    sweep(tiles, [put])  # type: ignore[arg-type]
    return products, filled


@pytest.mark.parametrize("n", [5, 30, 61, 97])
def test_tiles_hold_every_pair_once(n: int, small_tiles: None) -> None:
    x, y, _, _ = sets(n, 47, 6)
    centre = mean_row(x)
    left, right = centred(x, centre), centred(y, centre)
    for tiles, other in ((within(left), left), (across(left, right), right)):
        products, filled = table(tiles, n, len(other))
        assert (filled == 1).all()
        expected = (x - left.centre.astype(float)) @ (other.rows - left.centre.astype(float)).T
        np.testing.assert_allclose(products, expected, atol=1e-4)


@pytest.mark.parametrize(("n", "m"), [(160, 170), (150, 90)])
def test_values_and_errors_are_those_of_separate_passes(n: int, m: int, small_tiles: None) -> None:
    x, y, a, b = sets(n, m, 12)
    kid, cmmd, found = compare(x, y, 5, a, b)
    measures = (View.precision, View.recall, View.density, View.coverage, clipped_density, clipped_coverage)
    assert found.estimates(measures) == neighbourhood(x, y, 5, a, b).estimates(measures)
    for together, alone in ((kid, kernel_distance(x, y, a, b)), (cmmd, discrepancy(x, y, a, b))):
        assert together.distance() == pytest.approx(alone.distance(), abs=1e-7)
        assert together.plain() == pytest.approx(alone.plain(), abs=1e-7)
        assert together.estimate().se == pytest.approx(alone.estimate().se, rel=1e-4)


def test_lists_of_small_tiles_are_those_of_all_distances(small_tiles: None) -> None:
    x, y, _, _ = sets(140, 111, 5)
    centre = mean_row(x)
    left, right = centred(x, centre), centred(y, centre)
    for one, other, tiles in ((left, left, within(left)), (right, left, across(right, left))):
        found = Nearest(one, other, 6)
        sweep(tiles, [found])
        truth = np.sqrt(((one.rows[:, None].astype(float) - other.rows[None]) ** 2).sum(axis=-1))
        if one is other:
            np.fill_diagonal(truth, np.inf)
        distances_, indices = found.exact()
        np.testing.assert_allclose(distances_, np.sort(truth, axis=1)[:, :6], rtol=1e-12)
        np.testing.assert_array_equal(indices, np.argsort(truth, axis=1)[:, :6])


def test_rounding_that_leaves_the_order_open_is_settled_in_float64() -> None:
    # Rows 1e-4 apart at a distance of 1e4 from their centre: float32 products cannot order them.
    rng = np.random.default_rng(0)
    near = 1e4 + np.arange(60)[:, None] * np.float32(2**-9) + np.zeros((60, 4))
    points = np.concatenate([near, -near, rng.normal(size=(20, 4))]).astype(np.float32)
    truth = np.sqrt(((points[:, None].astype(float) - points[None]) ** 2).sum(axis=-1))
    np.fill_diagonal(truth, np.inf)
    found, _ = distances.nearest(points, points, 3, exclude_self=True)
    np.testing.assert_allclose(found, np.sort(truth, axis=1)[:, :3], rtol=1e-12)


def test_a_set_spread_far_wider_than_the_other_is_crowded_and_holds_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all images are then inside each other's balls: memory would grow with the product of both numbers."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(300, 8)).astype(np.float32), (8 * rng.normal(size=(300, 8))).astype(np.float32)
    clusters = Clusters.apart(folds(300, 20, rng)), Clusters.apart(folds(300, 20, rng))
    whole = compare(real, fake, 5, *clusters)
    assert not isinstance(whole.neighbourhood, Crowded) and len(whole.neighbourhood.pairs.real) > 20_000
    monkeypatch.setattr(neighbours, "CROWDED", (10, 1000))
    found = compare(real, fake, 5, *clusters)
    assert isinstance(found.neighbourhood, Crowded) and "too many pairs" in str(found.neighbourhood)
    assert found.kernel_distance.distance() == whole.kernel_distance.distance()
