"""Precision, recall, density and coverage against the prdc package, and their errors against doing it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.clusters import Clusters
from bench.statistics.distances import centred, mean_row, sweep, within
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import Lists, View, around, lists_of, neighbour_lists, neighbourhood, parts_of
from bench.statistics.resampling import folds, halves, share_interval

PRDC = (View.precision, View.recall, View.density, View.coverage)


def sets(n: int, m: int, columns: int, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, m, columns])
    x = rng.normal(size=(n, columns)) + offset
    y = 0.9 * rng.normal(size=(m, columns)) + offset + 0.2
    return x.astype(np.float32), y.astype(np.float32)


def by_hand(x: np.ndarray, y: np.ndarray, k: int) -> list[float]:
    """The four measures from all distances in float64."""

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).sum(axis=-1))

    real, fake, cross = distances(x, x), distances(y, y), distances(x, y)
    inside = cross < np.sort(real, axis=1)[:, k, None]
    recalled = cross < np.sort(fake, axis=1)[:, k]
    return [
        inside.any(axis=0).mean(),
        recalled.any(axis=1).mean(),
        inside.sum(axis=0).mean() / k,
        inside.any(axis=1).mean(),
    ]


def apart(*sizes: int, count: int = 20) -> list[Clusters]:
    """Every image of a patient of its own, in random folds."""
    rng = np.random.default_rng(sizes)
    return [Clusters.apart(folds(size, count, rng)) for size in sizes]


def prdc(x: np.ndarray, y: np.ndarray, k: int = 5) -> list[Estimate]:
    return neighbourhood(x, y, k, *apart(len(x), len(y))).estimates(PRDC)


@pytest.mark.parametrize(("n", "m", "columns", "k"), [(300, 280, 8, 5), (600, 500, 64, 5), (200, 900, 3, 1)])
def test_counts_equal_prdc(n: int, m: int, columns: int, k: int) -> None:
    reference = pytest.importorskip("prdc")
    x, y = sets(n, m, columns)
    theirs = reference.compute_prdc(real_features=x.astype(np.float64), fake_features=y.astype(np.float64), nearest_k=k)
    whole = neighbourhood(x, y, k, *apart(n, m)).view(0, 0)
    for measure in PRDC:
        assert measure(whole) == pytest.approx(float(theirs[measure.__name__]), abs=1e-15), measure


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_values_and_errors_equal_those_by_hand_with_copies_inside_and_across(
    offset: float, sides: tuple[bool, bool]
) -> None:
    x, y = sets(160, 170, 12, offset)
    y[:20], y[50:60], x[100:120] = y[20:40], x[50:60], x[100]
    rng = np.random.default_rng(0)
    a = Clusters.of([f"p{i}" for i in rng.integers(0, 70, 160)], 12)
    b = Clusters.apart(folds(170, 12, rng))
    table, everyone = [by_hand(x, y, 5)], (np.ones(160, bool), np.ones(170, bool))
    split = halves(12)
    for half in (*split, *~split):
        real, fake = (
            half[each.folds] if told else whole for each, told, whole in zip((a, b), sides, everyone, strict=True)
        )
        table.append(by_hand(x[real], y[fake], 5))
    found = neighbourhood(x, y, 5, a, b).estimates(PRDC, real=sides[0], fake=sides[1])
    for estimate, column in zip(found, np.array(table).T, strict=True):
        assert estimate.value == pytest.approx(column[0], abs=1e-15)
        differences = (column[1:12] - column[12:]) / 2
        assert estimate.se == pytest.approx(np.sqrt(np.square(differences).mean()), abs=1e-12)
        np.testing.assert_allclose(estimate.deviations, differences / np.sqrt(11), atol=1e-12)


def test_both_halves_of_every_split_hold_half_of_the_folds_and_whole_patients() -> None:
    patients = [f"p{i}" for i in np.random.default_rng(1).integers(0, 60, 200)]
    real, fake = Clusters.of(patients, 20), apart(90)[0]
    found = parts_of(real, fake)
    assert found.real.shape == (39, 200) and found.fake.shape == (39, 90)
    assert found.real[0].all() and found.fake[0].all()
    np.testing.assert_array_equal(found.real[1:20], ~found.real[20:])
    for part in found.real[1:]:
        inside = {name for name, there in zip(patients, part, strict=True) if there}
        assert not inside & {name for name, there in zip(patients, part, strict=True) if not there}
        assert len({*real.folds[part]}) == 10
    # a fold leaves both sets at once
    for ours, theirs in zip(found.real, found.fake, strict=True):
        assert {*real.folds[ours]} == {*fake.folds[theirs]}


def test_folds_that_make_no_square_are_merged() -> None:
    found = parts_of(*apart(100, 100, count=15))
    assert found.real.shape == (23, 100)


def lists(rows: np.ndarray, k: int) -> Lists:
    points = centred(rows, mean_row(rows))
    found = neighbour_lists(points, k)
    sweep(within(points), [found])
    return lists_of(found)


def test_a_list_that_runs_out_is_filled_from_the_rest() -> None:
    # all near neighbours of a clump are in its own fold, as the images of one patient are
    x = np.concatenate([sets(40, 1, 4)[0], 20 + 0.01 * sets(40, 2, 4)[0]])
    a = np.concatenate([np.arange(40) % 4, np.full(40, 4)])
    parts = np.stack([(a == fold) | (np.arange(80) == 79) for fold in range(4)] + [a != fold for fold in range(5)])
    found = around(lists(x, 3), 3, parts)
    distances = np.sqrt(((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=-1))
    for kept, radius, median in zip(parts, found.radius, found.median, strict=True):
        stay = np.flatnonzero(kept)
        expected = np.sort(distances[np.ix_(stay, stay)], axis=1)[:, 3]
        np.testing.assert_allclose(radius[stay], expected, rtol=1e-12)
        assert not radius[~kept].any() and median == np.median(radius[stay])


def test_the_nearest_synthetic_image_is_found_where_all_that_were_listed_have_left() -> None:
    """All synthetic images near the real ones are in the folds of one half."""
    x, y = sets(60, 60, 4)
    b = np.arange(60) % 8
    y[~halves(8)[0][b]] += 30
    found = neighbourhood(x, y, 3, Clusters.apart(np.arange(60) % 8), Clusters.apart(b))
    assert not found.parts.fake[8][found.other.indices].any()
    distances = np.sqrt(((x[:, None].astype(np.float64) - y[None]) ** 2).sum(axis=-1))
    for part in range(15):
        view = found.view(part, part)
        inside = distances[np.ix_(view.real, view.fake)]
        np.testing.assert_allclose(view.nearest_fake[0], inside.min(axis=1), rtol=1e-12)
        np.testing.assert_array_equal(view.nearest_fake[1], np.flatnonzero(view.fake)[inside.argmin(axis=1)])


def test_a_half_too_small_is_an_error() -> None:
    x, y = sets(16, 100, 3)
    with pytest.raises(ValueError, match="8 rows have no 8-th neighbour"):
        neighbourhood(x, y, 8, *apart(16, 100, count=8))
    with pytest.raises(ValueError, match="7 folds; half-samples need 8"):
        neighbourhood(x, y, 2, *apart(16, 100, count=7))
    with pytest.raises(ValueError, match="16 rows have no 16-th neighbour"):
        neighbourhood(x, y, 16, *apart(16, 100, count=8))


def test_collapsed_images_are_precise_and_cover_little() -> None:
    x, _ = sets(300, 1, 6)
    precision, recall, _, coverage = prdc(x, np.tile(x.mean(axis=0), (300, 1)))
    assert precision.value == 1.0
    assert recall.value == 0.0
    assert coverage.value < 0.3


def test_perfect_images_reach_the_known_coverage() -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(1000, 5)).astype(np.float32) for _ in range(2))
    _, _, density, coverage = prdc(x, y)
    assert coverage.value == pytest.approx(1 - 2**-5, abs=0.015)
    assert density.value == pytest.approx(1.0, abs=0.15)


def test_far_images_are_neither_precise_nor_recalled() -> None:
    x, y = sets(200, 200, 6)
    assert [(each.value, each.se) for each in prdc(x, y + 50)] == [(0.0, 0.0)] * 4


def draws(count: int, n: int, columns: int, shift: float) -> list[list[Estimate]]:
    """The four estimates of fresh draws."""
    rng, found = np.random.default_rng([count, n]), []
    for _ in range(count):
        x = rng.normal(size=(n, columns)).astype(np.float32)
        y = ((1 - shift / 3) * rng.normal(size=(n, columns)) + shift).astype(np.float32)
        found.append(prdc(x, y))
    return found


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_errors_are_those_of_fresh_draws(shift: float, one_thread: None) -> None:
    for estimates in zip(*draws(80, 120, 8, shift), strict=True):
        ratio = np.mean([each.se for each in estimates]) / np.std([each.value for each in estimates], ddof=1)
        assert 0.8 < ratio < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("n", [150, 300])
def test_intervals_cover_at_their_level(n: int, shift: float, one_thread: None) -> None:
    """The expected value at this number of images: of another number there is another."""
    for measure, estimates in zip(PRDC, zip(*draws(400, n, 8, shift), strict=True), strict=True):
        truth = np.mean([each.value for each in estimates])
        ends = [each.interval if measure is View.density else share_interval(each, n) for each in estimates]
        assert 0.91 <= np.mean([low <= truth <= high for low, high in ends]) <= 0.99, measure
