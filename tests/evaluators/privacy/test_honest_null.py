"""The honest null: an interval of the difference that covers 0 where both are honest, and the alarms of a split."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.arrays import Floats
from bench.statistics.classification import auc
from evaluators.privacy import honest_null
from evaluators.privacy.closeness import closest_by_patient
from evaluators.privacy.honest_null import area_above, false_alarms
from tests.evaluators.privacy.gaussian import People, people


def least(world: People, rows: np.ndarray) -> Floats:
    return closest_by_patient(world.rows, rows, world.owners, world.patients)


def test_value_is_the_difference_of_two_areas() -> None:
    rng = np.random.default_rng(0)
    own, null, member = rng.normal(size=40), rng.normal(size=40), np.arange(40) < 25
    one = np.ones((1, 40))
    value, (low, high) = area_above(own, null, member, rng, 200)
    assert value == pytest.approx(float(auc(-own, member, one)[0] - auc(-null, member, one)[0]))
    assert low <= value <= high


def test_same_distances_differ_by_nothing() -> None:
    own, member = np.random.default_rng(0).normal(size=40), np.arange(40) < 25
    assert area_above(own, own, member, np.random.default_rng(1), 100) == (0, (0, 0))


def test_few_resamples_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    own, null, member = rng.normal(size=50), rng.normal(size=50), np.arange(50) < 20
    whole = area_above(own, null, member, np.random.default_rng(3), 101)
    monkeypatch.setattr(honest_null, "WEIGHTS", 350)
    assert area_above(own, null, member, np.random.default_rng(3), 101) == whole


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_interval_covers_no_difference_where_both_are_honest(share: float) -> None:
    outside = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 4])
        world = people(150, rng, columns=8, most=3, hubs=2)
        own, null = least(world, world.honest(100, rng)), least(world, world.honest(100, rng))
        low, high = area_above(own, null, world.labels(share, rng), rng, 300)[1]
        outside += not low <= 0 <= high
    assert outside / 100 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)


def test_copies_are_above_the_null() -> None:
    rng = np.random.default_rng(1)
    world = people(300, rng, columns=8)
    member = world.labels(0.5, rng)
    made = [world.honest(60, rng), world.copies(world.copied(member, 140, rng), 0.1, rng)]
    value, (low, _) = area_above(least(world, np.concatenate(made)), least(world, world.honest(200, rng)), member, rng)
    assert value > 0.1
    assert low > 0


def alarms(world: People, null: np.ndarray, share: float, rng: np.random.Generator, halves: int = 8) -> float:
    close = {"a": world.close(null), "b": world.close(null[:, ::-1].copy())}
    found, images = false_alarms(close, world.labels(share, rng), rng, halves)
    assert images == len(null) // 2
    return found


def test_alarms_over_random_splits_are_one_in_twenty_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(honest_null, "SHUFFLES", 79)
    found = []
    for seed in range(100):
        rng = np.random.default_rng([seed, 5])
        world = people(80, rng, columns=10, most=3, hubs=2)
        found.append(alarms(world, world.honest(120, rng), (0.5, 0.8)[seed % 2], rng))
    assert np.mean(found) <= 0.05 + 2 * np.std(found) / np.sqrt(len(found))


def test_halves_that_are_held_one_at_a_time_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    world = people(100, rng, columns=10)
    copied = world.copied(member := world.labels(0.5, rng), 30, rng)
    close = {"a": world.close(np.concatenate([world.honest(30, rng), world.copies(copied, 0.05, rng)]))}
    monkeypatch.setattr(honest_null, "WEIGHTS", 1)
    assert false_alarms(close, member, rng, 7) == (1.0, 30)


def test_a_split_by_whose_luck_the_test_part_prefers_train_has_many_alarms() -> None:
    """Training patients are those whom the test part happens to come close to, as in an unlucky draw."""
    rng = np.random.default_rng(0)
    world = people(120, rng, columns=10)
    close = world.close(world.honest(300, rng))
    weight = np.bincount(close.owner, close.margins**4, minlength=120)
    lucky = np.argsort(-weight)
    member = np.zeros(120, np.bool_)
    member[lucky[:20]] = True
    member[rng.permutation(lucky[20:])[:40]] = True
    assert false_alarms({"a": close}, member, rng, 20)[0] > 0.6
    assert false_alarms({"a": close}, rng.permutation(member), rng, 20)[0] < 0.3
