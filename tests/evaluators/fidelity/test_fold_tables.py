"""Kernel distances over patients against their definition, and against what fresh draws do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from bench.statistics.clusters import Clusters
from bench.statistics.resampling import EXCESS, jackknife_se
from evaluators.fidelity.cmmd import discrepancy, unit
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.kernel_distance import kernel_distance
from evaluators.fidelity.spectral_distance import spectrum_distance

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
Tables = Callable[[np.ndarray, np.ndarray, Clusters, Clusters], FoldTables]


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(float) @ b.astype(float).T / a.shape[1] + 1) ** 3


def gaussian(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    away = np.square(unit(a)[:, None] - unit(b)[None]).sum(axis=-1)
    return np.asarray(1000 * np.exp(-away / 200))


def decibels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 100 * a.astype(float) @ b.astype(float).T / a.shape[1]


KERNELS: list[tuple[Tables, Kernel]] = [
    (kernel_distance, cubic),
    (discrepancy, gaussian),
    (spectrum_distance, decibels),
]
every_kernel = pytest.mark.parametrize(("tables", "kernel"), KERNELS, ids=["kid", "cmmd", "spectrum"])


def by_definition(kernel: Kernel, x: np.ndarray, y: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> float:
    """``|m_x - m_y|^2 - V_x - V_y`` with ``V = sum_p |s_p - n_p m|^2 / (N^2 - sum_p n_p^2)``, patient by patient."""

    def part(rows: np.ndarray, patients: np.ndarray) -> float:
        table, n = kernel(rows, rows), len(rows)
        mean, scatter, squares = table.mean(axis=1), 0.0, 0
        for name in np.unique(patients):
            there = np.flatnonzero(patients == name)
            scatter += table[np.ix_(there, there)].sum() - 2 * len(there) * mean[there].sum()
            scatter += len(there) ** 2 * table.mean()
            squares += len(there) ** 2
        return float(table.mean() - scatter / (n * n - squares))

    return part(x, ours) + part(y, theirs) - 2 * float(kernel(x, y).mean())


def population(
    rng: np.random.Generator, patients: int, most: int, *, shift: float = 0.5, columns: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of patients with 1 to ``most`` images each, alike within a patient, and whose they are."""
    whose = np.repeat(np.arange(patients), rng.integers(1, most + 1, patients))
    rows = np.sqrt(0.8) * rng.normal(size=(patients, columns))[whose]
    rows += np.sqrt(0.2) * rng.normal(size=rows.shape) + shift
    return rows.astype(np.float32), whose


def clusters(rng: np.random.Generator, whose: np.ndarray, count: int) -> Clusters:
    """Patients in random folds."""
    return Clusters((rng.permutation(int(whose.max()) + 1) % count)[whose], whose)


def drawn(seed: int, count: int = 10) -> tuple[np.ndarray, np.ndarray, Clusters, Clusters]:
    rng = np.random.default_rng(seed)
    (x, ours), (y, theirs) = population(rng, 70, 4, shift=1.0), population(rng, 60, 3, shift=1.3)
    return x, y, clusters(rng, ours, count), clusters(rng, theirs, count)


@every_kernel
def test_with_patients_equals_the_definition(tables: Tables, kernel: Kernel) -> None:
    x, y, a, b = drawn(0)
    found, scale = tables(x, y, a, b), kernel(x, y).std()
    assert found.distance() == pytest.approx(by_definition(kernel, x, y, a.patients, b.patients), abs=2e-7 * scale)
    plain = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()
    assert found.plain() == pytest.approx(plain, abs=2e-7 * scale)
    assert found.plain() > found.distance()


@every_kernel
def test_leaving_out_a_fold_is_measuring_without_it(tables: Tables, kernel: Kernel) -> None:
    x, y, a, b = drawn(1)
    found, scale = tables(x, y, a, b), kernel(x, y).std()
    for first, second in ((True, True), (True, False), (False, True)):
        expected = []
        for fold in range(10):
            i = (a.folds != fold) if first else np.ones(len(x), bool)
            j = (b.folds != fold) if second else np.ones(len(y), bool)
            expected.append(by_definition(kernel, x[i], y[j], a.patients[i], b.patients[j]))
        left_out = found.without(first=first, second=second)
        np.testing.assert_allclose(left_out, expected, atol=5e-7 * scale)
        null = found.second_order(first=first, second=second)
        estimate, plain = found.estimate(first=first, second=second), jackknife_se(np.array(expected))
        assert estimate.se == pytest.approx(np.sqrt(max(plain**2 - EXCESS * null**2, null**2)), rel=1e-3)
        assert estimate.value == found.distance() and estimate.folds == 10


@every_kernel
def test_patients_with_equally_many_images_are_compared_over_pairs_of_different_patients(
    tables: Tables, kernel: Kernel
) -> None:
    rng = np.random.default_rng(2)
    x, y = population(rng, 60, 1, shift=1)[0], population(rng, 40, 1, shift=1.3)[0]
    x, y = (np.repeat(each, 3, axis=0) + rng.normal(size=(3 * len(each), 6)) / 9 for each in (x, y))
    x, y = x.astype(np.float32), y.astype(np.float32)
    ours, theirs = np.repeat(np.arange(60), 3), np.repeat(np.arange(40), 3)

    def apart(rows: np.ndarray, whose: np.ndarray) -> float:
        different = whose[:, None] != whose
        return float(kernel(rows, rows)[different].mean())

    expected = apart(x, ours) + apart(y, theirs) - 2 * float(kernel(x, y).mean())
    found = tables(x, y, clusters(rng, ours, 10), clusters(rng, theirs, 10)).distance()
    assert found == pytest.approx(expected, abs=2e-7 * kernel(x, y).std())
    images_apart = tables(x, y, Clusters.apart(ours % 10), Clusters.apart(theirs % 10)).distance()
    assert abs(images_apart - expected) > 1e-3 * abs(expected)


@every_kernel
def test_the_order_of_the_images_and_the_folds_do_not_move_the_value(tables: Tables, kernel: Kernel) -> None:
    x, y, a, b = drawn(3)
    order = np.random.default_rng(0).permutation(len(x))
    others = Clusters(np.random.default_rng(1).permutation(70)[a.patients] % 14, a.patients)
    found = tables(x[order], y, others.kept(order), clusters(np.random.default_rng(2), b.patients, 14))
    assert found.distance() == pytest.approx(tables(x, y, a, b).distance(), abs=3e-7 * kernel(x, y).std())


@every_kernel
def test_two_samples_of_one_clustered_population_are_at_distance_0(
    tables: Tables, kernel: Kernel, one_thread: None
) -> None:
    """By pairs of different patients, and not by all pairs; the spread is what is said to be of second order."""
    rng = np.random.default_rng(4)
    by_patient, by_image, told = [], [], []
    for _ in range(160):
        sides = [population(rng, patients, 5) for patients in (40, 30)]
        a, b = (clusters(rng, whose, 15) for _, whose in sides)
        found = tables(sides[0][0], sides[1][0], a, b)
        by_patient.append(found.distance())
        told.append(found.second_order() ** 2)
        apart = Clusters.apart(a.folds), Clusters.apart(b.folds)
        by_image.append(tables(sides[0][0], sides[1][0], *apart).distance())
    error = np.std(by_patient) / np.sqrt(160)
    assert abs(np.mean(by_patient)) < 2.5 * error
    assert np.mean(by_image) > 10 * error
    assert np.sqrt(np.mean(told)) == pytest.approx(np.std(by_patient), rel=0.15)


@pytest.mark.parametrize(("tables", "kernel"), KERNELS[:1] + KERNELS[2:], ids=["kid", "spectrum"])
def test_each_set_alone_has_the_spread_that_redrawing_it_has(tables: Tables, kernel: Kernel, one_thread: None) -> None:
    rng = np.random.default_rng(5)
    fixed = population(rng, 90, 2, shift=0.0), population(rng, 60, 3, shift=0.5)
    found: dict[tuple[bool, bool], list[tuple[float, float]]] = {(True, False): [], (False, True): [], (True, True): []}
    for _ in range(60):
        fresh = population(rng, 90, 2, shift=0.0), population(rng, 60, 3, shift=0.5)
        for redrawn, values in found.items():
            (x, ours), (y, theirs) = (
                new if again else old for again, new, old in zip(redrawn, fresh, fixed, strict=True)
            )
            made = tables(x, y, clusters(rng, ours, 20), clusters(rng, theirs, 20))
            values.append((made.distance(), made.estimate(first=redrawn[0], second=redrawn[1]).se))
    for redrawn, both in found.items():
        value, se = np.array(both).T
        assert 0.8 < se.mean() / value.std(ddof=1) < 1.25, redrawn
    one, two, both_ = (np.mean([se for _, se in found[key]]) for key in found)
    assert both_ == pytest.approx(np.hypot(one, two), rel=0.15)


def test_nearly_all_the_uncertainty_is_of_the_smaller_side() -> None:
    rng = np.random.default_rng(6)
    (x, ours), (y, theirs) = population(rng, 2000, 1, shift=0.0), population(rng, 80, 1, shift=0.4)
    found = kernel_distance(x, y, clusters(rng, ours, 20), clusters(rng, theirs, 20))
    assert found.estimate(first=False).se > 3 * found.estimate(second=False).se


def test_tables_add_up() -> None:
    x, y, a, b = drawn(7)
    one, two = kernel_distance(x, y, a, b), discrepancy(x, y, a, b)
    both = one.plus(two, 0.5)
    assert both.distance() == pytest.approx(one.distance() + 0.5 * two.distance(), rel=1e-9)
    np.testing.assert_allclose(
        both.without(first=True, second=True),
        one.without(first=True, second=True) + 0.5 * two.without(first=True, second=True),
        rtol=1e-9,
    )


def test_second_order_is_free_of_what_the_folds_are() -> None:
    """Unbiased for ``tr C^2``: over all ways to deal out few patients it is that of a known covariance."""
    rng = np.random.default_rng(8)
    spread = np.array([1.0, 0.5, 0.25])
    found = []
    for _ in range(600):
        x, y = (rng.normal(size=(n, 3)) * spread for n in (24, 40))
        levels = (each.astype(np.float32) for each in (x, y))
        sides = Clusters.apart(np.arange(24) % 8), Clusters.apart(np.arange(40) % 8)
        found.append(spectrum_distance(*levels, *sides))
    squares = float((spread**4).sum()) * (100 / 3) ** 2
    for sides, n in (((True, False), 1 / 24), ((False, True), 1 / 40), ((True, True), 1 / 24 + 1 / 40)):
        told = np.mean([each.second_order(first=sides[0], second=sides[1]) ** 2 for each in found])
        assert told == pytest.approx(2 * squares * n**2, rel=0.1), sides


def test_pairs_of_a_patient_are_summed_once_in_each_order() -> None:
    x, y, a, b = drawn(9)
    table = cubic(x, x) - 1
    expected = np.zeros(10)
    for i, j in combinations(range(len(x)), 2):
        if a.patients[i] == a.patients[j]:
            expected[a.folds[i]] += 2 * table[i, j]
    expected += np.bincount(a.folds, np.diag(table))
    np.testing.assert_allclose(kernel_distance(x, y, a, b).first.patients, expected, rtol=1e-9)
