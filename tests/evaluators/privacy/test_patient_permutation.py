"""Planted leaks: the test must stay silent on honest generators of any spread and find small numbers of copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from bench.statistics.distances import nearest
from evaluators.privacy import patient_permutation
from evaluators.privacy.patient_permutation import (
    Closest,
    closeness_order,
    copied_share,
    excess_copies,
    permutation_p,
    tail_size,
)

IMAGES = 1000


@dataclass(frozen=True)
class Plan:
    """A world of Gaussian patients (1 to ``most`` images each) and a generator that copies a share of its images."""

    copies: float = 0.0
    shrink: float = 1.0
    most: int = 1
    train_share: float = 0.5
    patients: int = 1600

    def closest(self, seed: int) -> Closest:
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(self.patients, 32))
        owners = np.repeat(np.arange(self.patients), rng.integers(1, self.most + 1, self.patients))
        real = centres[owners] + 0.35 * rng.normal(size=(len(owners), 32))
        member = np.arange(self.patients) < self.train_share * self.patients
        made = self.shrink * (rng.normal(size=(IMAGES, 32)) + 0.35 * rng.normal(size=(IMAGES, 32)))
        count = round(self.copies * IMAGES)
        sources = rng.choice(np.flatnonzero(member[owners]), count)
        made[:count] = real[sources] + 0.1 * rng.normal(size=(count, 32))
        distances, indices = nearest(made.astype(np.float32), real.astype(np.float32))
        return Closest(distances[:, 0], owners[indices[:, 0]], member)


def p_value(closest: Closest, seed: int) -> float:
    rng = np.random.default_rng([seed, 1])
    size = tail_size(IMAGES, float(closest.member.mean()))
    return permutation_p(closest.owners[closeness_order(closest.distances, rng)[:size]], closest.member, rng, 499)


def rejections(plan: Plan, seeds: int) -> int:
    return sum(p_value(plan.closest(seed), seed) <= 0.05 for seed in range(seeds))


def size_limit(seeds: int) -> int:
    """Most rejections at level 5% that chance gives in 999 of 1000 tests of an honest generator."""
    return int(stats.binom.ppf(0.999, seeds, 0.05))


def test_honest_generator_is_left_alone() -> None:
    assert rejections(Plan(), 40) <= size_limit(40)


@pytest.mark.parametrize("plan", [Plan(most=5), Plan(train_share=0.75), Plan(shrink=0.7)], ids=str)
def test_honest_generator_is_left_alone_whatever_the_split_and_its_spread(plan: Plan) -> None:
    assert rejections(plan, 20) <= size_limit(20)


def test_one_percent_of_copies_is_mostly_found() -> None:
    assert rejections(Plan(copies=0.01), 15) >= 9


@pytest.mark.parametrize("plan", [Plan(copies=0.02), Plan(copies=0.02, shrink=1.3), Plan(copies=0.02, most=5)], ids=str)
def test_two_percent_of_copies_are_found(plan: Plan) -> None:
    assert rejections(plan, 10) >= 9


def test_copies_are_found_when_most_patients_are_training_patients() -> None:
    assert rejections(Plan(copies=0.05, train_share=0.75), 10) >= 9


@pytest.mark.parametrize("copies", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_interval_of_the_excess_covers_the_planted_share(copies: float) -> None:
    covered, values = 0, []
    for seed in range(12):
        closest = Plan(copies=copies).closest(seed)
        order = closeness_order(closest.distances, np.random.default_rng(seed))
        estimate = excess_copies(closest.owners[order], closest.member, 10)
        covered += estimate.low <= copies <= estimate.high
        values.append(estimate.value)
    assert covered >= 10
    assert np.mean(values) == pytest.approx(copies, abs=0.01 + 0.25 * copies * (1 - copies))


def test_p_value_is_hypergeometric_when_every_tail_image_has_its_own_patient() -> None:
    member = np.arange(60) < 30
    owners = np.r_[np.arange(9), 59]
    exact = stats.hypergeom.sf(8, 60, 30, 10)
    assert permutation_p(owners, member, np.random.default_rng(0), 40_000) == pytest.approx(exact, rel=0.15)


def test_images_of_one_patient_count_as_one_piece_of_evidence() -> None:
    member = np.arange(60) < 30
    assert permutation_p(np.zeros(10, np.int64), member, np.random.default_rng(0)) == pytest.approx(0.5, abs=0.05)
    one, many = copied_share(np.zeros(10, np.int64), member, 100), copied_share(np.arange(10), member, 100)
    assert one.value == many.value == pytest.approx(0.1)
    assert one.low < many.low


def test_tail_can_reject_even_when_most_patients_are_training_patients() -> None:
    assert tail_size(1000, 0.5) == 10
    assert tail_size(3000, 0.5) == 30
    assert tail_size(1000, 0.75) == 25
    assert 0.9 ** tail_size(1000, 0.9) <= 0.001


def test_smallest_detectable_leak_is_found_when_planted() -> None:
    closest = Plan().closest(3)
    found = patient_permutation.detectable_share(closest, 1.0, np.random.default_rng(0))
    assert found is not None
    assert 0.005 <= found <= 0.012
    copies = round(found * IMAGES)
    assert patient_permutation.power(closest, 2 * copies, 1.0, np.random.default_rng(1)) >= 0.9
    assert patient_permutation.power(closest, 0, 1.0, np.random.default_rng(1)) <= 0.2


def test_leak_is_undetectable_where_copies_do_not_stand_out() -> None:
    closest = Plan().closest(3)
    assert patient_permutation.detectable_share(closest, 100.0, np.random.default_rng(0)) is None
