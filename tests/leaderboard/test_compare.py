"""The arithmetic and the comparisons of the board, on numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.api import Spread
from bench.storage.record import MetricRow, ScoreRow
from leaderboard.compare import behind_best, better, departure, fooled_by
from leaderboard.estimate import Estimate, combine, loss

LOWER = MetricRow(key="fd", title="FD", better="lower", reference="", low=0)
HIGHER = MetricRow(key="c", title="C", better="higher", reference="", low=0, high=1)
TARGET = MetricRow(key="t", title="T", better="target", target=0.5, reference="")
NEITHER = MetricRow(key="r", title="R", better="neither", reference="")
PRIVATE = {"area": "privacy"}


def best_of(metric: MetricRow, estimates: Mapping[str, Estimate]) -> set[str]:
    return {name for name, each in behind_best(metric, estimates).items() if not each.beyond_doubt}


def measured(value: float, below: float, above: float) -> ScoreRow:
    return ScoreRow(metric="fd", value=value, low=value - below, high=value + above, n=9)


def test_one_seed_keeps_its_interval() -> None:
    assert combine([measured(5, 1, 2)], LOWER) == Estimate(5, 4, 7)


def test_seeds_combine_by_the_stated_formula() -> None:
    found = combine([measured(10, 1, 2), measured(12, 3, 2), measured(11, 2, 2)], LOWER)
    spread = stats.t.ppf(0.975, 2) * 1.0 / math.sqrt(3)
    assert found.value == 11
    assert found.low == pytest.approx(11 - math.hypot(spread, 2))
    assert found.high == pytest.approx(11 + math.hypot(spread, 2))


def test_seeds_without_intervals_have_none_together_and_are_never_best() -> None:
    bare = [ScoreRow(metric="fd", value=v, low=None, high=None, n=9, reason="no theory") for v in (10.0, 10.0, 10.0)]
    assert combine(bare, LOWER) == combine(bare[:1], LOWER) == Estimate(10, None, None)
    assert combine([*bare[:2], measured(13, 1, 1)], LOWER) == Estimate(11, None, None)
    worse = combine([each.model_copy(update={"value": 20.0}) for each in bare], LOWER)
    assert best_of(LOWER, {"a": combine(bare, LOWER), "b": worse}) == set()


def test_a_combined_interval_stays_within_the_bounds() -> None:
    found = combine([measured(1, 1, 1), measured(3, 1, 1)], LOWER)
    assert found.low == 0 and found.high == pytest.approx(2 + math.hypot(stats.t.ppf(0.975, 1), 1))


def test_the_combined_interval_covers_the_truth() -> None:
    """Shared measurement error and seed-to-seed spread together: 95% or more of 2,000 boards."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = rng.normal(0, 1.0) + rng.normal(0, 1.0, 3)
        low, high = combine([measured(value, 1.96, 1.96) for value in values], TARGET)[1:3]
        hits += low <= 0 <= high  # type: ignore[operator]
    assert hits / 2000 >= 0.95


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_a_combined_interval_contains_its_value_and_stays_in_bounds(parts: list[tuple[float, float, float]]) -> None:
    scores = [measured(v, min(a, v), min(b, 1 - v)) for v, a, b in parts]
    value, low, high = combine(scores, HIGHER)[:3]
    assert low is not None and high is not None
    assert 0 <= low <= value + 1e-12 and value - 1e-12 <= high <= 1


def test_loss_by_direction() -> None:
    estimate = Estimate(0.7, 0.6, 0.9)
    assert loss(LOWER, estimate) == (0.7, 0.6, 0.9)
    assert loss(HIGHER, estimate) == (-0.7, -0.9, -0.6)
    assert loss(TARGET, estimate) == pytest.approx((0.2, 0.1, 0.4))
    assert loss(TARGET, Estimate(0.55, 0.4, 0.7)) == pytest.approx((0.05, 0.0, 0.2))
    assert loss(LOWER, Estimate(0.7, None, None)) == (0.7, 0.7, 0.7)


def test_what_only_describes_is_not_judged() -> None:
    with pytest.raises(ValueError, match="r only describes"):
        loss(NEITHER, Estimate(1, 0, 2))
    assert best_of(NEITHER, {"a": Estimate(3, 2, 4), "b": Estimate(9, 8, 10)}) == set()
    same = [("ceiling", Estimate(2, 1, 3)), ("memoriser", Estimate(2, 1, 3)), ("floor", Estimate(2, 1, 3))]
    assert fooled_by(NEITHER, same) == fooled_by(NEITHER.model_copy(update=PRIVATE), same) == ()
    assert fooled_by(LOWER, same) == ("copying", "noise")


def test_better_needs_intervals_apart() -> None:
    assert better(LOWER, Estimate(1, 0, 2), Estimate(4, 3, 5))
    assert not better(LOWER, Estimate(1, 0, 3), Estimate(4, 3, 5))
    assert better(HIGHER, Estimate(0.9, 0.8, 1), Estimate(0.5, 0.4, 0.6))


def test_ties_are_best_together() -> None:
    field = {"a": Estimate(3, 2, 4), "b": Estimate(5, 3.5, 6), "c": Estimate(9, 8, 10)}
    assert best_of(LOWER, field) == {"a", "b"}
    assert best_of(LOWER, {"a": Estimate(3, 2, 4)}) == set()


def test_a_number_without_an_interval_is_never_best() -> None:
    bare = Estimate(1, None, None)
    field = {"a": Estimate(3, 2, 4), "b": Estimate(9, 8, 10)}
    assert best_of(LOWER, {**field, "bare": bare}) == {"a"}
    assert best_of(LOWER, {"a": Estimate(3, 2, 4), "bare": bare}) == set()
    assert best_of(LOWER, {"bare": bare, "other": Estimate(5, None, None)}) == set()


TOP = ("ceiling", Estimate(2, 1, 3))


@pytest.mark.parametrize(
    ("others", "privacy", "marks"),
    [
        ([("memoriser", Estimate(9, 8, 10)), ("floor", Estimate(50, 40, 60))], False, ()),
        ([("memoriser", Estimate(2.5, 1, 4))], False, ("copying",)),
        ([("memoriser", Estimate(0.5, 0, 0.9))], True, ("copying",)),
        ([("floor", Estimate(2.5, 1, 4))], False, ("noise",)),
        ([("floor", Estimate(2.5, 1, 4))], True, ()),
        ([("floor", Estimate(9, 8, 10)), (None, Estimate(20, 19, 21))], False, ("noise",)),
        ([("floor", Estimate(9, 8, 10)), ("memoriser", Estimate(20, 19, 21))], False, ()),
        ([(None, Estimate(2, 1, 3))], False, ()),
        ([("leaky", Estimate(2, 1, 3))], False, ()),
    ],
)
def test_controls_show_what_a_metric_misses(others: list, privacy: bool, marks: tuple[str, ...]) -> None:
    metric = LOWER.model_copy(update=PRIVATE) if privacy else LOWER
    assert fooled_by(metric, [TOP, *others]) == marks


def test_in_privacy_the_null_is_what_a_memoriser_must_be_worse_than() -> None:
    """The ceiling's own cells are refused there."""
    private, null = LOWER.model_copy(update=PRIVATE), ("null", Estimate(2, 1, 3))
    assert fooled_by(private, [null, ("memoriser", Estimate(2.5, 1, 4))]) == ("copying",)
    assert fooled_by(private, [null, ("memoriser", Estimate(9, 8, 10))]) == ()


def test_the_departure_from_the_null_is_that_of_two_independent_numbers_where_nothing_says_how_they_move() -> None:
    found = departure(Estimate(0.52, 0.49, 0.56), Estimate(0.60, 0.56, 0.63))
    assert found is not None and not found.paired
    assert found.value == pytest.approx(0.08)
    assert found.low == pytest.approx(0.08 - math.hypot(0.04, 0.04))
    assert found.high == pytest.approx(0.08 + math.hypot(0.03, 0.03))
    assert departure(Estimate(0.5, None, None), Estimate(0.6, 0.5, 0.7)) is None


def test_the_departure_from_the_null_leaves_out_what_the_split_does_to_both() -> None:
    """Of 200 pairs that share a split, 95 in 100 intervals hold the true difference, and they are much shorter."""
    rng = np.random.default_rng(12)
    held, lengths = 0, []
    for _ in range(200):
        split = rng.normal(0, 3, 20)  # of one row's number and of the other's
        one, other = (of_folds(split + rng.normal(each, 1, 20)) for each in (0.0, 2.0))
        found = departure(one, other)
        apart = departure(one._replace(spread=None), other)
        assert found is not None and apart is not None and found.paired and not apart.paired
        held += found.low <= 2 <= found.high
        lengths.append((found.high - found.low) / (apart.high - apart.low))
    assert 0.9 <= held / 200 <= 0.99 and np.mean(lengths) < 0.5


def of_folds(folds: np.ndarray) -> Estimate:
    deviations = (folds - folds.mean()) / math.sqrt(len(folds) * (len(folds) - 1))
    half = float(stats.t.ppf(0.975, len(folds) - 1)) * math.sqrt(float(deviations @ deviations))
    return Estimate(float(folds.mean()), folds.mean() - half, folds.mean() + half, Spread(tuple(deviations.tolist())))


def test_no_ceiling_no_mark() -> None:
    assert fooled_by(LOWER, [("memoriser", Estimate(2, 1, 3)), ("floor", Estimate(2, 1, 3))]) == ()
