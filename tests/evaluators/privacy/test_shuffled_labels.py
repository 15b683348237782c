"""p-values under shuffled labels against full enumeration, their size at hub points, and what they find."""

from __future__ import annotations

import logging
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bench.statistics.arrays import Floats, Mask
from evaluators.privacy import shuffled_labels
from evaluators.privacy.closeness import Closeness, closest_by_patient, together
from evaluators.privacy.shuffled_labels import (
    HALF,
    Evidence,
    Weights,
    attack_weights,
    closest_first,
    copying_weights,
    evidence,
    joined,
    nearness,
    p_values,
    shuffled_values,
    shuffles,
    smallest_p,
    tail_size,
    tail_weights,
    tails,
    view_weights,
)
from tests.evaluators.privacy.gaussian import People, people

log = logging.getLogger(__name__)
EXACT = 79  # shuffles with which a p of .0125, half of .025, is just reached: 1 / (1 + 79)


def all_labels(patients: int, members: int) -> Mask:
    """``(C, P)`` every choice of training patients."""
    return np.array([np.isin(np.arange(patients), each) for each in combinations(range(patients), members)])


@pytest.fixture(scope="module")
def eight() -> tuple[People, Closeness, Floats]:
    """Eight patients of several images each, synthetic images, and the distance of each patient to them."""
    rng = np.random.default_rng(5)
    world = people(8, rng, columns=3, most=3)
    made = np.concatenate([world.honest(20, rng), world.copies(rng.integers(0, len(world.rows), 6), 0.05, rng)])
    return world, world.close(made), closest_by_patient(world.rows, made, world.owners, 8)


def test_p_of_every_statistic_is_that_of_all_choices_of_training_patients(
    eight: tuple[People, Closeness, Floats],
) -> None:
    _, close, least = eight
    rng = np.random.default_rng(0)
    weights = view_weights("a", close, least, 0.5, rng)
    every = all_labels(8, 4)
    exact = np.concatenate([every @ weights.table, nearness(close, every)[:, None]], axis=1)
    for own in every[[3, 40]]:
        names, values = shuffled_values(weights, {"a": close}, own, rng, 2000)
        found = p_values(values)[0]
        observed = np.r_[own @ weights.table, nearness(close, own[None])]
        expected = (exact >= observed * (1 - 1e-9)).mean(axis=0)
        assert names[-1] == "a/distance ratio"
        assert found == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 2000))


def test_linear_statistics_by_brute_force(eight: tuple[People, Closeness, Floats]) -> None:
    _, close, least = eight
    order = closest_first(close.distances[:, 0], np.random.default_rng(0))
    for own in all_labels(8, 4)[::9]:
        ours = own[close.owner]
        assert own @ copying_weights(close, 8) == pytest.approx((close.margins[ours] ** 4).sum())
        assert (own @ tail_weights(order, close.owner, 8, [5, 26])).tolist() == [ours[order[:5]].sum(), ours.sum()]
        wins = stats.mannwhitneyu(-least[own], -least[~own]).statistic
        assert own @ attack_weights(least) - 4 * 5 / 2 == pytest.approx(wins)


def test_distance_ratio_by_brute_force(eight: tuple[People, Closeness, Floats]) -> None:
    world, close, _ = eight
    assert close.distances.shape[1] == min(16, len(world.rows))
    for own in all_labels(8, 4)[::9]:
        closest: list[list[float]] = [[], []]
        for distances, owners in zip(close.distances, close.owners, strict=True):
            for part in (0, 1):
                of_part = distances[own[owners] == bool(part)]
                closest[part].append(of_part[0] if len(of_part) else distances[-1])
        assert nearness(close, own[None])[0] == pytest.approx(np.mean(closest[0]) / np.mean(closest[1]))


def test_p_at_the_level_is_not_above_it() -> None:
    """A p of exactly .025 is not one of .02500000000000002, at which nothing would be found."""
    for repeats in (79, 399, 1999):
        for hits in range(1, repeats):
            values = np.zeros((1 + repeats, 1))
            values[:hits] = 1
            assert p_values(values)[0, 0] == hits / (1 + repeats)
            if hits > 0.03 * repeats:
                break


def test_p_is_never_zero_and_counts_ties() -> None:
    values = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 0.0]])
    assert p_values(values).tolist() == [[0.5, 0.75], [1.0, 0.75], [0.75, 0.75], [0.5, 1.0]]
    highest = np.r_[9.0, np.zeros(99)][:, None]
    assert p_values(highest)[0, 0] == 0.01
    assert p_values(np.zeros((100, 1)))[0, 0] == 1


def test_sums_that_differ_by_rounding_are_ties() -> None:
    table = np.random.default_rng(0).uniform(size=(40, 1))
    forth, back = np.ones(40) @ table, np.ones(40) @ table[::-1]
    assert p_values(np.array([forth * (1 + 1e-12), back]))[0, 0] == 1


def test_smallest_p_by_brute_force() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 6, (60, 4)).astype(float)
    p = [[np.mean(values[:, c] >= values[r, c]) for c in range(4)] for r in range(60)]
    least = [min(row) for row in p]
    assert smallest_p(p_values(values)) == pytest.approx(np.mean([each <= least[0] for each in least]))


def test_smallest_p_of_one_statistic_is_its_own() -> None:
    values = np.random.default_rng(3).normal(size=(80, 1))
    assert smallest_p(p_values(values)) == p_values(values)[0, 0]


def test_tails_start_where_they_can_reject_and_end_with_all_images() -> None:
    assert (tail_size(1000, 0.5), tail_size(3000, 0.5), tail_size(1000, 0.75)) == (10, 30, 25)
    assert 0.9 ** tail_size(1000, 0.9) <= 0.001
    assert tail_size(1000, 0.1) == 10
    assert tails(1000, 0.5) == [10, 20, 40, 80, 160, 320, 640, 1000]
    assert tails(7, 0.9) == [7]


def test_shuffles_keep_the_number_of_training_patients_and_their_own_labels_first() -> None:
    member = np.arange(50) < 20
    rows = np.concatenate(list(shuffles(member, np.random.default_rng(0), 300)))
    assert rows.shape == (301, 50)
    assert (rows[0] == member).all()
    assert (rows.sum(axis=1) == 20).all()
    assert rows[1:].mean(axis=0) == pytest.approx(np.full(50, 0.4), abs=4 * np.sqrt(0.24 / 300))


def test_more_patients_than_are_held_at_a_time_are_shuffled_one_row_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shuffled_labels, "CHUNK", 10)
    rows = list(shuffles(np.arange(11) < 4, np.random.default_rng(0), 3))
    assert [part.shape for part in rows] == [(1, 11)] * 4
    assert [part.sum() for part in rows] == [4] * 4


def test_the_closest_come_first_and_ties_in_random_order() -> None:
    values = np.r_[np.zeros(50), -1.0]
    one, other = (closest_first(values, np.random.default_rng(seed)) for seed in (0, 1))
    assert one[0] == other[0] == 50
    assert (one != other).any()


def evidence_of(close: Closeness, least: Floats, member: Mask, rng: np.random.Generator, *, ratio: bool) -> Evidence:
    """Two encoders, the second of which sees one half of the images the other way round."""
    half = len(close) // 2
    turned = together(close.select(np.arange(half, len(close))), close.select(np.arange(half)))
    parts = [view_weights(name, each, least, member.mean(), rng) for name, each in (("a", close), ("b", turned))]
    return evidence(*shuffled_values(joined(parts), {"a": close} if ratio else {}, member, rng, EXACT))


def flagged(world: People, share: float, labels: int, rng: np.random.Generator, *, ratio: bool) -> list[bool]:
    """Whether a leak is found in as many honest images as there are patients, for each of several random labels."""
    made = world.honest(world.patients, rng)
    close, least = world.close(made), closest_by_patient(world.rows, made, world.owners, world.patients)
    return [bool(evidence_of(close, least, world.labels(share, rng), rng, ratio=ratio).found) for _ in range(labels)]


def test_honest_images_are_flagged_in_one_of_twenty_splits_at_most() -> None:
    """320 splits: worlds with hub points and several images a patient, each with 16 choices of training patients."""
    found: list[bool] = []
    for seed in range(20):
        rng = np.random.default_rng([seed, 1])
        world = people(60, rng, columns=12, most=4, hubs=2)
        found += flagged(world, (0.5, 0.9)[seed % 2], 16, rng, ratio=seed < 4)
    assert np.mean(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(found))


@pytest.mark.slow
@pytest.mark.parametrize("hubs", [0, 3, 20])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, 0.9])
def test_size_over_four_thousand_splits(share: float, hubs: int) -> None:
    found: list[bool] = []
    for seed in range(400):
        rng = np.random.default_rng([seed, 2])
        world = people(80, rng, columns=12, most=5, hubs=hubs)
        found += flagged(world, share, 10, rng, ratio=True)
    log.info("share %s, hubs %s: %.4f of %s splits flagged", share, hubs, np.mean(found), len(found))
    assert np.mean(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(found))


def power(noise: float, copies: float, splits: int, columns: int = 16) -> tuple[float, float]:
    """Share of splits in which the copying test, and a tail of the 25 closest images, are at most ``HALF``."""
    found = np.zeros(2)
    for seed in range(splits):
        rng = np.random.default_rng([seed, 3])
        world = people(1000, rng, columns=columns, most=3)
        member = world.labels(0.75, rng)
        count = round(copies * 800)
        made = [world.honest(800 - count, rng), world.copies(world.copied(member, count, rng), noise, rng)]
        close = world.close(np.concatenate(made))
        order = closest_first(close.distances[:, 0], rng)
        table = [copying_weights(close, 1000)[:, None], tail_weights(order, close.owner, 1000, [25])]
        values = shuffled_values(
            Weights(("a/copying", "a/tail 25"), np.concatenate(table, axis=1)), {}, member, rng, 199
        )
        found += p_values(values[1])[0] <= HALF
    return float(found[0] / splits), float(found[1] / splits)


def test_two_percent_of_near_copies_are_found_more_often_than_by_a_plain_tail() -> None:
    copying, tail = power(0.4, 0.02, 20)
    assert copying >= 0.9
    assert copying >= tail + 0.3


@pytest.mark.slow
def test_power_by_noise_and_share() -> None:
    for noise in (0.1, 0.3, 0.5, 0.7):
        for copies in (0.01, 0.02, 0.05):
            copying, tail = power(noise, copies, 100)
            log.info("noise %s, copies %s: copying test %.2f, tail of 25 %.2f", noise, copies, copying, tail)
            assert copying >= tail - 0.05


def test_found_names_the_encoders_or_the_strongest_of_the_other_statistics() -> None:
    single = {"a/copying": 0.001, "b/copying": 0.4, "b/tail 20": 0.002, "a/attack": 0.001, "a/tail 10": 0.001}
    assert Evidence({"a": 0.025, "b": 0.4}, 0.001, single).found == ["a"]
    assert Evidence({"a": 0.01, "b": 0.02}, 0.9, single).found == ["a", "b"]
    assert Evidence({"a": 0.03, "b": 0.4}, 0.025, single).found == ["a/attack"]
    assert Evidence({"a": 0.03, "b": 0.4}, 0.026, single).found == []


def test_copying_tests_are_corrected_among_themselves_and_the_rest_by_the_smallest_p() -> None:
    values = np.zeros((100, 4))
    values[0] = [5, 0, 4, 0]
    values[1, 2] = 9
    found = evidence(("a/copying", "b/copying", "a/tail 5", "b/tail 5"), values)
    assert found.copying == {"a": 0.02, "b": 1.0}
    assert found.single == {"a/copying": 0.01, "b/copying": 1.0, "a/tail 5": 0.02, "b/tail 5": 1.0}
    assert found.other == 0.02
