"""Vendi score against its definition, closed forms, and what it should tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fidelity.cmmd import unit
from evaluators.fidelity.vendi import diversity, vendi


def primal(rows: np.ndarray) -> float:
    """The definition: entropy of the eigenvalues of the (N, N) kernel."""
    x = unit(rows)
    values = np.clip(np.linalg.eigvalsh(x @ x.T / len(x)), 1e-300, None)
    return float(np.exp(-(values * np.log(values)).sum()))


@pytest.mark.parametrize("shape", [(120, 10), (40, 90)])
def test_both_routes_equal_the_definition(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows, folds = rng.normal(size=shape).astype(np.float32) + 0.5, np.arange(shape[0]) % 10
    found = vendi(rows, folds)
    wanted = [primal(rows), *(primal(rows[folds != g]) for g in range(10))]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_counts_directions_that_share_nothing() -> None:
    rows = np.eye(7, 12, dtype=np.float32)[np.arange(70) % 7]
    assert vendi(rows, np.arange(70) % 10)[0] == pytest.approx(7)
    assert vendi(np.ones((70, 12), np.float32), np.arange(70) % 10)[0] == pytest.approx(1)


def test_a_collapsed_set_has_a_ratio_below_one_for_sure() -> None:
    rng = np.random.default_rng(1)
    folds = np.arange(300) % 20
    real, same, collapsed = (rng.normal(size=(300, 8)).astype(np.float32) for _ in range(3))
    collapsed[:, 2:] *= 0.3
    _, _, fair = diversity(vendi(same, folds), vendi(real, folds))
    _, _, poor = diversity(vendi(collapsed, folds), vendi(real, folds))
    assert fair.interval[0] < 1 < fair.interval[1]
    assert poor.interval[1] < 0.8
