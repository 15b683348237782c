"""Upper limits of the share of copies of a kind: their parts by brute force, and power by explicit simulation."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy import stats

from evaluators.privacy import bounds
from evaluators.privacy.bounds import (
    Limit,
    found_from,
    limit,
    limits,
    lower_limit,
    most_copies,
    power,
    relabelled,
    upper_limit,
)
from evaluators.privacy.closeness import Closeness, closest_by_patient
from evaluators.privacy.planting import Planted
from evaluators.privacy.shuffled_labels import (
    HALF,
    Weights,
    copying_weights,
    evidence,
    p_values,
    shuffled_values,
    view_weights,
)
from tests.evaluators.privacy.gaussian import People, people

IMAGES = 500


def owned(owner: np.ndarray, margins: np.ndarray) -> Closeness:
    """Images of which nothing but the nearest patient and the margin is known."""
    return Closeness(np.ones((len(owner), 1)), owner[:, None], margins.astype(np.float64), owner)


@pytest.fixture(scope="module")
def world() -> tuple[People, Closeness]:
    rng = np.random.default_rng(8)
    made = people(300, rng, most=3, hubs=3)
    return made, made.close(made.honest(IMAGES, rng))


@pytest.mark.parametrize(("hits", "n"), [(0, 12), (5, 12), (11, 12), (12, 12), (190, 200)])
@pytest.mark.parametrize("level", [0.03, 0.01])
def test_limits_of_a_proportion_are_those_of_the_exact_test(hits: int, n: int, level: float) -> None:
    high = stats.binomtest(hits, n, alternative="less").proportion_ci(1 - level, "exact").high
    low = stats.binomtest(hits, n, alternative="greater").proportion_ci(1 - level, "exact").low
    assert upper_limit(hits, n, level) == pytest.approx(high, rel=1e-6)
    assert lower_limit(hits, n, level) == pytest.approx(low, rel=1e-6)


def test_limits_of_a_proportion_rise_between_whole_numbers() -> None:
    assert upper_limit(5, 12, 0.03) < upper_limit(5.5, 12, 0.03) < upper_limit(6, 12, 0.03)
    assert upper_limit(5, 12.5, 0.03) < upper_limit(5, 12, 0.03)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("among", [0.0, 3.0, 7.9, 40.0])
def test_most_copies_by_brute_force(among: float, rate: float) -> None:
    expected = 100
    for number in range(101):
        seen = sum(comb(number, k) * rate**k * (1 - rate) ** (number - k) for k in range(min(int(among), number) + 1))
        if number >= int(among) and seen <= 0.01:
            expected = number
            break
    assert most_copies(among, rate, 100) == expected


def test_more_among_the_tail_and_rarer_hits_leave_room_for_more_copies() -> None:
    counts = [most_copies(among, 0.5, 1000) for among in (0, 1, 5, 50)]
    assert counts == sorted(counts)
    assert most_copies(5, 0.9, 1000) < most_copies(5, 0.1, 1000)
    assert most_copies(600, 0.9, 500) == 500


def test_power_is_that_of_planting_and_testing(world: tuple[People, Closeness]) -> None:
    """The same copies put among the same images, one split after another, by the copying test itself."""
    made, close = world
    rng = np.random.default_rng(3)
    planted = made.planted(0.55, rng)
    for copies in (4, 6):
        told = np.mean([power(close, planted, labels_of(made, rng), (copies, HALF), rng) for _ in range(3)])
        found = 0
        for _ in range(120):
            member = made.labels(0.5, rng)
            kept = rng.permutation(IMAGES)[copies:]
            drawn = rng.integers(0, len(planted.hits), copies)
            sources = rng.choice(np.flatnonzero(member), copies)
            owner = np.where(planted.hits[drawn], sources, rng.integers(0, made.patients, copies))
            mixed = owned(np.r_[close.owner[kept], owner], np.r_[close.margins[kept], planted.margins[drawn]])
            weights = Weights(("a",), copying_weights(mixed, made.patients)[:, None])
            found += p_values(shuffled_values(weights, {}, member, rng, 399)[1])[0, 0] <= HALF
        assert 0.1 < told < 0.95, "a power at which a difference would show"
        assert told == pytest.approx(found / 120, abs=4 * np.sqrt(0.25 / 120 + 0.25 / 600))


def labels_of(made: People, rng: np.random.Generator, share: float = 0.5) -> bounds.Relabelled:
    return relabelled(made.labels(share, rng), rng)


def test_power_without_copies_that_stand_out_is_the_level(world: tuple[People, Closeness]) -> None:
    made, close = world
    rng = np.random.default_rng(4)
    planted = Planted(rng.choice(close.margins, 200), np.zeros(200, np.bool_))
    told = [power(close, planted, labels_of(made, rng), (100, 0.05), rng) for _ in range(4)]
    assert np.mean(told) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 800)


def test_nothing_is_said_to_be_found_where_half_the_images_are_not_enough(world: tuple[People, Closeness]) -> None:
    made, close = world
    rng = np.random.default_rng(5)
    labels = labels_of(made, rng)
    exact = Planted(np.ones(200), np.ones(200, np.bool_))
    blind = Planted(close.margins[:200], np.zeros(200, np.bool_))
    assert found_from(close, exact, labels, (0.01, HALF), rng) is not None
    assert found_from(close, exact, labels, (0.5, HALF), rng) == 0.5
    assert found_from(close, exact, labels, (0.51, HALF), rng) is None
    assert found_from(close, blind, labels, (0.01, HALF), rng) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("noise", [0.05, 0.6])
def test_limit_is_between_what_is_known_and_all(world: tuple[People, Closeness], noise: float, share: float) -> None:
    made, close = world
    rng = np.random.default_rng(6)
    member = made.labels(share, rng)
    found = limit({"a": close}, {"a": made.planted(noise, rng)}, member, relabelled(member, rng), rng)
    assert isinstance(found, Limit)
    assert 0 < found.most < 1
    assert 0 < found.hit_rate <= 1
    assert found.encoder == "a"
    assert found.found_from is None or found.most <= found.found_from <= 0.5


@pytest.mark.parametrize("noise", [30.0, None], ids=["far away", "no hit at all"])
def test_kinds_that_are_next_to_their_source_by_chance_at_most_have_no_limit(
    world: tuple[People, Closeness], noise: float | None
) -> None:
    made, close = world
    rng = np.random.default_rng(7)
    member = made.labels(0.5, rng)
    planted = Planted(np.ones(200), np.zeros(200, np.bool_)) if noise is None else made.planted(noise, rng)
    assert planted.hits.mean() < 0.03
    views, kinds = {"a": close, "b": close}, {"blind": planted, "exact": Planted(np.ones(200), np.ones(200, np.bool_))}
    found = limits(views, {"a": kinds, "b": kinds}, member, rng)
    assert found["blind"] is None
    assert found["exact"] is not None


def test_encoder_in_which_copies_stand_out_is_taken_whoever_is_in_which_part(world: tuple[People, Closeness]) -> None:
    made, close = world
    rng = np.random.default_rng(9)
    seen, blind = made.planted(0.1, rng), made.planted(0.9, rng)
    chosen = set()
    for _ in range(5):
        member = made.labels(0.5, rng)
        found = limit({"a": close, "b": close}, {"a": blind, "b": seen}, member, relabelled(member, rng), rng)
        assert found is not None
        chosen.add((found.encoder, found.tail, found.hit_rate))
    assert len(chosen) == 1
    assert next(iter(chosen))[0] == "b"


@pytest.mark.parametrize("images", [1, 5, 40])
def test_few_images_and_equal_margins(images: int) -> None:
    rng = np.random.default_rng(images)
    member = np.arange(60) < 30
    close = owned(rng.integers(0, 60, images), np.full(images, 0.2))
    found = limit({"a": close}, {"a": Planted(np.full(60, 0.2), np.ones(60, np.bool_))}, member, LABELS_60, rng)
    assert found is not None
    assert found.tail == images, "images that stand out equally far are in the tail together"
    assert 0 < found.most <= 1
    lower = limit({"a": close}, {"a": Planted(np.full(60, 0.1), np.ones(60, np.bool_))}, member, LABELS_60, rng)
    assert lower is None, "copies that stand out less than every image are seen nowhere"


LABELS_60 = relabelled(np.arange(60) < 30, np.random.default_rng(0))


def promised(noise: float, share: float, splits: int) -> tuple[float | None, float]:
    """The share from which on copies are promised to be found, and how often they are on fresh splits at that share."""
    rng = np.random.default_rng([int(100 * noise), int(100 * share)])
    made = people(300, rng, most=3, hubs=3)
    member = made.labels(share, rng)
    views = {"a": made.close(made.honest(IMAGES, rng))}
    told = limit(views, {"a": made.planted(noise, rng)}, member, relabelled(member, rng), rng)
    if told is None or told.found_from is None:
        return None, 1.0
    copies, found = round(told.found_from * IMAGES), 0
    for _ in range(splits):
        member = made.labels(share, rng)
        rows = np.concatenate(
            [made.honest(IMAGES - copies, rng), made.copies(made.copied(member, copies, rng), noise, rng)]
        )
        close, least = made.close(rows), closest_by_patient(made.rows, rows, made.owners, made.patients)
        weights = view_weights("a", close, least, share, rng)
        found += bool(evidence(*shuffled_values(weights, {}, member, rng, 199)).found)
    return told.found_from, found / splits


def test_what_would_have_been_found_is_found() -> None:
    share, found = promised(0.55, 0.5, 40)
    assert share is not None
    assert found >= 0.93 - 2 * np.sqrt(0.05 * 0.95 / 40)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("noise", [0.05, 0.4, 0.55, 0.7])
def test_what_would_have_been_found_is_found_in_93_of_100_splits(noise: float, share: float) -> None:
    at, found = promised(noise, share, 400)
    assert at is None or found >= 0.93, f"{found} at {at}"
