from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.statistics.arrays import Indices
from bench.statistics.clusters import Clusters
from bench.statistics.resampling import folds
from evaluators.fidelity.cmmd import discrepancy
from evaluators.fidelity.frechet_distance import frechet
from evaluators.fidelity.kernel_distance import kernel_distance
from tests.coverage import truths as truths_module
from tests.coverage.cells import countable
from tests.coverage.populations import DRAWN, MOST_IMAGES, NULL, SHIFTS, SMALL, STRONG, Drawn, Shift
from tests.coverage.radiographs import FOLDER, Halves, Smoothed
from tests.coverage.truths import Truths

KINDS = {each.name: each for each in DRAWN}
PATIENTS = Drawn("of_patients", 8, images_a_patient=3.0, correlation=0.8)
MIXED = Drawn("mixed", 12, 1.5, 0.6, skewed=2, duplicates=2, units="different")


def sizes(owners: Indices) -> Indices:
    return np.unique(owners, return_counts=True)[1]


def test_patients_have_unequal_numbers_of_images_that_are_alike() -> None:
    for population, mean in ((PATIENTS, 3.0), (KINDS["patients"], 1.5)):
        rows, owners = population.patients(20_000, np.random.default_rng(0))
        assert sizes(owners).mean() == pytest.approx(mean, rel=0.03)
        assert set(sizes(owners)) <= set(range(1, MOST_IMAGES + 1)) and len(set(sizes(owners))) > 4
        same = np.flatnonzero(owners[1:] == owners[:-1])
        found = [np.corrcoef(rows[same, column], rows[same + 1, column])[0, 1] for column in range(rows.shape[1])]
        assert np.mean(found) == pytest.approx(population.correlation, abs=0.03)  # type: ignore[attr-defined]


def test_synthetic_images_have_sources_only_where_they_are_said_to() -> None:
    for population in DRAWN:
        draw = population.draw(60, NULL, np.random.default_rng(0))
        assert (sizes(draw.fake_patients).max() > 1) == population.sources
        assert draw.real.shape == draw.fake.shape and draw.reference is population.reference


@pytest.mark.parametrize("population", [PATIENTS, MIXED, KINDS["heavy_tails"]], ids=lambda each: each.name)
def test_moments_are_those_of_images_whatever_the_patients(population: Drawn) -> None:
    mean, covariance = population.moments
    spread = np.sqrt(np.diag(covariance))
    for shift in SHIFTS:
        other, shifted = population.moments_of(shift)
        single = population.images(30_000, np.random.default_rng(1))
        of_patients, _ = population.patients(60_000, np.random.default_rng(2))
        for rows in (single, of_patients):
            scaled = (population.shifted(rows, shift) - mean) / spread
            np.testing.assert_allclose(scaled.mean(axis=0), (other - mean) / spread, atol=0.04)
            off = 0.4 if population.skewed else 0.06
            np.testing.assert_allclose(np.cov(scaled.T), shifted / np.outer(spread, spread), atol=off)


def test_what_makes_columns_unkind_is_there() -> None:
    rows = MIXED.images(40_000, np.random.default_rng(0)).astype(np.float64)
    assert stats.kurtosis(rows[:, 0]) > 30 and abs(stats.kurtosis(rows[:, 5])) < 0.2
    assert np.corrcoef(rows[:, 0], rows[:, -2])[0, 1] > 0.99
    assert rows.std(axis=0).max() / rows.std(axis=0).min() > 1e6
    heavy = KINDS["heavy_tails"].images(40_000, np.random.default_rng(0))
    assert stats.kurtosis(heavy[:, 0]) > 1


def test_a_draw_depends_on_its_random_numbers_only() -> None:
    first, again, other = (MIXED.draw(40, STRONG, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.fake, again.fake)
    assert not np.array_equal(first.real, other.real)
    np.testing.assert_array_equal(first.reference, other.reference)


@pytest.mark.parametrize("shift", [SMALL, STRONG], ids=lambda shift: shift.name)
def test_truths_are_what_many_images_give(shift: Shift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truths_module, "PAIRED", 1500)
    population = Drawn("for_truths", 8)
    truths, rng = Truths(population, shift), np.random.default_rng(0)
    real, fake = population.images(1500, rng), population.shifted(population.images(1500, rng), shift)
    clusters = Clusters.apart(folds(1500, 20, rng)), Clusters.apart(folds(1500, 20, rng))
    assert truths("fd") == pytest.approx(frechet(real, fake), abs=0.05, rel=0.1)
    estimates = {
        "kid": kernel_distance(real, fake, *clusters).estimate(),
        "cmmd": discrepancy(real, fake, *clusters).estimate(),
    }
    for metric, found in estimates.items():
        assert abs(found.value - truths(metric)) < 3.5 * found.se
    assert truths("precision") is None


def test_the_scale_is_that_of_the_training_images_and_far_values_are_drawn_in() -> None:
    truths = Truths(MIXED, STRONG)
    scaled = truths._scaled(MIXED.reference)
    assert np.abs(np.clip(scaled, -5, 5) - scaled).max() > 0.1  # it has far values
    within = np.abs(scaled) <= 5
    plain = (MIXED.reference - MIXED.reference.mean(axis=0)) / MIXED.reference.std(axis=0)
    np.testing.assert_allclose(scaled[within], plain[within], atol=1e-3)
    assert np.abs(scaled).max() < np.abs(plain).max()


@pytest.fixture(scope="module")
def clustered() -> tuple[np.ndarray, Indices]:
    """Rows of 90 patients in place of those of radiographs."""
    return Drawn("stand_in", 5, 1.5, 0.7, units="different").patients(150, np.random.default_rng(0))


def test_halves_are_disjoint_and_leave_the_training_part_alone(clustered: tuple[np.ndarray, Indices]) -> None:
    halves = Halves(*clustered)
    training = {tuple(row) for row in halves.reference.tolist()}
    for seed in range(5):
        draw = halves.draw(40, NULL, np.random.default_rng(seed))
        assert not set(draw.real_patients) & set(draw.fake_patients)
        assert not training & {tuple(row) for row in (*draw.real.tolist(), *draw.fake.tolist())}
    assert len(halves.reference) > 20
    assert countable({"kid", "vendi", "vendi_real", "vendi_ratio"}, halves) == ["kid", "vendi_ratio"]
    assert countable({"kid", "vendi"}, Smoothed(*clustered)) == ["kid", "vendi"]


def test_a_smoothed_population_keeps_moments_and_patients(clustered: tuple[np.ndarray, Indices]) -> None:
    smoothed = Smoothed(*clustered)
    rows, owners = smoothed.patients(30_000, np.random.default_rng(0))
    scale = clustered[0].std(axis=0)
    np.testing.assert_allclose(rows.mean(axis=0) / scale, clustered[0].mean(axis=0) / scale, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(rows.T), np.corrcoef(clustered[0].T), atol=0.05)
    same = np.flatnonzero(owners[1:] == owners[:-1])
    assert np.corrcoef(rows[same, 0], rows[same + 1, 0])[0, 1] > 0.5
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no radiographs at {FOLDER} (set BENCH_SHARED_DATA)")
@pytest.mark.slow
def test_radiographs_are_read_once(tmp_path: Path) -> None:
    from tests.coverage.radiographs import radiographs

    halves, smoothed = radiographs(tmp_path)
    (kept,) = tmp_path.glob("*.npz")
    written = kept.stat().st_mtime_ns
    again, _ = radiographs(tmp_path)
    np.testing.assert_array_equal(halves.rows, again.rows)  # type: ignore[attr-defined]
    assert kept.stat().st_mtime_ns == written
    assert len(smoothed.rows) == 727 and len(np.unique(smoothed.owners)) == 494  # type: ignore[attr-defined]
