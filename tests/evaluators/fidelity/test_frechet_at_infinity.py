"""FD at infinite n against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.resampling import folds, jackknife_se
from evaluators.fidelity.chance import Pool
from evaluators.fidelity.frechet_at_infinity import MAGNIFIED, frechet_infinity, frechet_infinity_jackknife, intercept
from evaluators.fidelity.frechet_distance import frechet


def test_a_line_is_read_at_infinity() -> None:
    sizes = np.array([100.0, 150, 200, 400])
    assert intercept(sizes, 3 + 50 / sizes) == pytest.approx(3)


@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_the_bias_is_gone_and_the_interval_holds_the_truth(shift: float) -> None:
    columns, n, trials = 8, 300, 30
    truth = columns * shift**2
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(1000, columns)).astype(np.float32)
    chance, values, plain, held = Pool(pool, np.arange(1000)).chance(n, n), [], [], 0
    assert chance is not None
    for _ in range(trials):
        x, y = (rng.normal(size=(n, columns)).astype(np.float32) for _ in range(2))
        a, b = folds(n, 20, rng), folds(n, 20, rng)
        found = frechet_infinity_jackknife(x, y + np.float32(shift), a, b, chance.sd)
        values.append(found.value)
        plain.append(frechet(x, y + np.float32(shift)))
        held += found.interval[0] <= truth <= found.interval[1]
    error = np.std(values) / np.sqrt(trials)
    assert abs(np.mean(values) - truth) < max(3 * error, 0.15 * abs(np.mean(plain) - truth))
    assert held >= 26


def test_unequal_sides_are_extrapolated_too() -> None:
    rng = np.random.default_rng(1)
    values = []
    for _ in range(20):
        x, y = rng.normal(size=(400, 10)).astype(np.float32), rng.normal(size=(200, 10)).astype(np.float32)
        values.append(frechet_infinity(x, y, folds(400, 20, rng), folds(200, 20, rng)))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(20)


def test_its_error_is_that_of_leaving_out_folds_and_never_less_than_what_chance_does() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(300, 4)).astype(np.float32), rng.normal(size=(260, 4)).astype(np.float32)
    a, b = folds(300, 10, rng), folds(260, 10, rng)
    left_out = []
    for fold in range(10):
        i, j = a != fold, b != fold
        rest = [each - (each > fold) for each in (a[i], b[j])]
        left_out.append(frechet_infinity(x[i], y[j], *rest))
    plain = jackknife_se(np.array(left_out))
    assert frechet_infinity_jackknife(x, y, a, b).se == pytest.approx(plain, rel=1e-4)
    assert frechet_infinity_jackknife(x, y, a, b, plain).se == MAGNIFIED * plain
    some = plain / 2 / MAGNIFIED
    assert frechet_infinity_jackknife(x, y, a, b, some).se == pytest.approx(np.sqrt(0.75) * plain, rel=1e-4)


def test_it_varies_as_much_more_than_fd_as_is_said(one_thread: None) -> None:
    """Between two samples of one population."""
    rng = np.random.default_rng(3)
    plain, found = [], []
    for _ in range(150):
        x, y = (rng.normal(size=(200, 6)).astype(np.float32) for _ in range(2))
        plain.append(frechet(x, y))
        found.append(frechet_infinity(x, y, np.arange(200) % 20, np.arange(200) % 20))
    assert np.std(found) / np.std(plain) == pytest.approx(MAGNIFIED, rel=0.2)
