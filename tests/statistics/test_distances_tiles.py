"""Neighbours that lie in several tiles come in the order of their distance."""

from __future__ import annotations

import numpy as np

from bench.statistics.distances import WIDTH, nearest


def test_neighbours_from_several_tiles_are_ascending_and_exact() -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(40, 3)).astype(np.float32)
    references = rng.normal(size=(2 * WIDTH + 100, 3)).astype(np.float32)
    gaps = queries[:, None].astype(np.float64) - references[None]
    expected = np.sort(np.sqrt((gaps**2).sum(axis=2)), axis=1)[:, :12]
    distances, indices = nearest(queries, references, 12)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    assert all(len(set(row)) == 12 for row in indices.tolist())
