"""Neighbours are those of float64, copies are at distance 0, and memory does not grow with the references."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.distances import nearest, pair_distances


def by_hand(queries: np.ndarray, references: np.ndarray) -> np.ndarray:
    """All distances in float64 by their definition."""
    return np.sqrt(((queries[:, None].astype(np.float64) - references[None]) ** 2).sum(axis=-1))


def rows(seed: int, n: int, columns: int, offset: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, columns)) + offset).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_exact_at_any_offset(offset: float, k: int) -> None:
    queries, references = rows(0, 300, 24, offset), rows(1, 2300, 24, offset)
    distances, indices = nearest(queries, references, k)
    truth = by_hand(queries, references)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :k], rtol=1e-13)
    np.testing.assert_array_equal(indices, np.argsort(truth, axis=1)[:, :k])


def test_planted_copies_are_at_distance_exactly_zero() -> None:
    references = rows(2, 3000, 40, 7.0)
    planted = np.arange(0, 3000, 60)
    distances, indices = nearest(references[planted], references)
    assert (distances == 0).all()
    np.testing.assert_array_equal(indices[:, 0], planted)


def test_near_copies_are_told_from_copies() -> None:
    references = rows(3, 500, 40, 50.0)
    queries = references[:20].copy()
    queries[:, 0] += np.float32(1e-4)
    distances, _ = nearest(queries, references)
    np.testing.assert_allclose(distances[:, 0], by_hand(queries, references)[np.arange(20), np.arange(20)], rtol=1e-12)
    assert (distances > 0).all()


def test_a_set_against_itself_leaves_each_row_out_of_its_own_neighbours() -> None:
    points = rows(4, 700, 8)
    truth = by_hand(points, points)
    np.fill_diagonal(truth, np.inf)
    distances, indices = nearest(points, points, 3, exclude_self=True)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :3], rtol=1e-13)
    assert not (indices == np.arange(700)[:, None]).any()


def test_every_other_row_can_be_asked_for() -> None:
    points = rows(5, 9, 3)
    distances, indices = nearest(points, points, 8, exclude_self=True)
    assert np.isfinite(distances).all()
    for i, found in enumerate(indices):
        assert sorted(found) == [j for j in range(9) if j != i]


def test_many_duplicates_are_all_neighbours_at_zero() -> None:
    points = np.repeat(rows(6, 3, 5), 50, axis=0)
    distances, indices = nearest(points, points, 49, exclude_self=True)
    assert (distances == 0).all()
    assert all(len(set(found)) == 49 and i not in found for i, found in enumerate(indices.tolist()))


def test_an_outlier_does_not_spoil_the_order_of_the_rest() -> None:
    references = rows(7, 800, 12)
    references[5] *= 1e6
    queries = rows(8, 60, 12)
    distances, _ = nearest(queries, references, 4)
    np.testing.assert_allclose(distances, np.sort(by_hand(queries, references), axis=1)[:, :4], rtol=1e-12)


def test_pair_distances_are_those_of_the_pairs() -> None:
    left, right = rows(9, 30, 6), rows(10, 40, 6)
    i, j = np.array([0, 29, 3]), np.array([39, 0, 3])
    np.testing.assert_allclose(pair_distances(left, right, i, j), by_hand(left, right)[i, j], rtol=1e-14)


@pytest.mark.parametrize(
    ("queries", "references", "k", "message"),
    [
        (rows(0, 3, 4), rows(0, 3, 5), 1, "4 columns, references 5"),
        (rows(0, 3, 4), rows(0, 3, 4), 4, "4 neighbours among 3"),
        (np.full((2, 4), np.nan, np.float32), rows(0, 3, 4), 1, "not finite"),
    ],
)
def test_unusable_input_is_an_error(queries: np.ndarray, references: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest(queries, references, k)
