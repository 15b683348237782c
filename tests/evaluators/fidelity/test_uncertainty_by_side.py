"""The uncertainty of FD and KID by its cause, against the spread over draws of one side or of both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.statistics.resampling import folds
from evaluators.fidelity.fold_tables import Parts
from evaluators.fidelity.frechet_distance import frechet_jackknife
from evaluators.fidelity.kernel_distance import kernel_distance
from evaluators.fidelity.uncertainty_by_side import frechet_parts, kernel_parts

N, M, COLUMNS = 240, 160, 6


def draw(n: int, shift: float, rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(n, COLUMNS)) * np.arange(1, COLUMNS + 1) ** -0.5 + shift).astype(np.float32)


@pytest.mark.parametrize("parts", [frechet_parts, kernel_parts])
def test_each_cause_has_the_spread_that_redrawing_it_has(parts: Callable[..., Parts]) -> None:
    rng = np.random.default_rng(0)
    shift, trials = 0.4, 25
    fixed = draw(N, 0, rng), draw(M, shift, rng)
    found: dict[str, list[tuple[float, float]]] = {"synthetic": [], "real": [], "both": []}
    for _ in range(trials):
        x, y = draw(N, 0, rng), draw(M, shift, rng)
        a, b = folds(N, 20, rng), folds(M, 20, rng)
        for name, sides in (("synthetic", (fixed[0], y)), ("real", (x, fixed[1])), ("both", (x, y))):
            made = parts(*sides, a, b)
            found[name].append((made.value, getattr(made, name).se))
    for name, values in found.items():
        value, se = np.array(values).T
        assert 0.65 * value.std() < se.mean() < 1.8 * value.std(), name


def test_both_together_is_what_the_metrics_report() -> None:
    rng = np.random.default_rng(1)
    x, y = draw(N, 0, rng), draw(M, 0.3, rng)
    a, b = folds(N, 20, rng), folds(M, 20, rng)
    kid, fd = kernel_distance(x, y, a, b), frechet_jackknife(x, y, a, b).corrected
    assert kernel_parts(x, y, a, b).both.interval == pytest.approx(kid.interval, rel=1e-6)
    assert frechet_parts(x, y, a, b).both == fd


def test_nearly_all_the_uncertainty_is_of_the_smaller_side() -> None:
    rng = np.random.default_rng(2)
    x, y = draw(3000, 0, rng), draw(100, 0.4, rng)
    found = kernel_parts(x, y, folds(3000, 20, rng), folds(100, 20, rng))
    assert found.synthetic.se > 3 * found.real.se
