"""Differences of generators: paired where both say how they move with the same real images, and honest either way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.api import Spread
from bench.storage.record import MetricRow, ScoreRow, SpreadRow
from leaderboard.compare import ScoreDifference, against, behind_best, better, difference
from leaderboard.estimate import Estimate, combine, narrowing

LOWER = MetricRow(key="fd", title="FD", better="lower", reference="")
HIGHER = MetricRow(key="c", title="C", better="higher", reference="")
TARGET = MetricRow(key="t", title="T", better="target", target=0.5, reference="")
FOLDS = 20
T = float(stats.t.ppf(0.975, FOLDS - 1))


def estimate(
    value: float, deviations: np.ndarray, half: float | None = None, synthetic: float | None = None
) -> Estimate:
    """A value whose interval is that of Student's t from its deviations, unless ``half`` is given."""
    own = T * math.sqrt(float(deviations @ deviations)) if half is None else half
    return Estimate(value, value - own, value + own, Spread(tuple(deviations.tolist()), synthetic=synthetic))


def jackknifed(folds: np.ndarray) -> np.ndarray:
    """Deviations of the mean of ``folds`` when each is left out in turn."""
    count = len(folds)
    left_out = (folds.sum() - folds) / (count - 1)
    return math.sqrt((count - 1) / count) * (left_out - left_out.mean())


def pair(rng: np.random.Generator, real: float, gap: float = 0.0) -> tuple[Estimate, Estimate]:
    """Two generators of which the second is worse by ``gap``, on one set of real images in ``FOLDS`` folds."""
    common = rng.normal(0, real, FOLDS)
    own = [common + each + rng.normal(0, 1, FOLDS) for each in (0.0, gap)]
    first, second = (estimate(float(folds.mean()), jackknifed(folds)) for folds in own)
    return first, second


def test_the_paired_interval_is_that_of_students_t_of_the_deviations() -> None:
    rng = np.random.default_rng(0)
    d1, d2 = rng.normal(0, 1, (2, FOLDS))
    found = difference(LOWER, estimate(1.0, d1), estimate(4.0, d2))
    error = math.sqrt(float(((d2 - d1) ** 2).sum()))
    assert found.paired and found.resamples == FOLDS and found.value == 3
    assert (found.high - found.low) / 2 == pytest.approx(T * error)
    assert found.p == pytest.approx(2 * stats.t.sf(3 / error, FOLDS - 1))


@pytest.mark.parametrize("metric", [LOWER, HIGHER])
def test_what_the_real_images_do_to_both_is_left_out(metric: MetricRow) -> None:
    rng = np.random.default_rng(1)
    widths = []
    for _ in range(200):
        one, other = pair(rng, real=3.0)
        bare = [each._replace(spread=None) for each in (one, other)]
        paired, apart = difference(metric, one, other), difference(metric, *bare)
        assert paired.paired and not apart.paired
        widths.append((paired.high - paired.low) / (apart.high - apart.low))
    # a common part of three times the own one: 2 own parts in quadrature, of 2 sums of intervals of sqrt(1 + 3^2)
    assert np.mean(widths) == pytest.approx(math.sqrt(2) / (2 * math.sqrt(10)), rel=0.05)


@pytest.mark.parametrize("real", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_paired_interval_holds_the_true_difference_95_times_in_100(real: float, better: str) -> None:
    rng = np.random.default_rng(2)
    metric = LOWER.model_copy(update={"better": better})
    truth = 0.4 if better == "lower" else -0.4
    found = [difference(metric, *pair(rng, real, gap=0.4)) for _ in range(1000)]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert all(each.paired for each in found) and 0.93 <= held <= 0.97


def test_what_an_interval_holds_beyond_its_deviations_is_not_shared() -> None:
    """A share that is the same without any fold has no deviation, and its interval is that of its number of images."""
    rng = np.random.default_rng(3)
    moving = rng.normal(0, 0.01, FOLDS)
    still = np.zeros(FOLDS)
    one, other = estimate(0.1, still, half=0.05), estimate(0.3, moving)
    found = difference(LOWER, one, other)
    assert (found.high - found.low) / 2 == pytest.approx(math.hypot(0.05, T * math.sqrt(float(moving @ moving))))
    guarded = difference(LOWER, estimate(0.1, moving, half=0.5), estimate(0.3, moving[::-1], half=0.5))
    assert (guarded.high - guarded.low) / 2 > 0.69
    assert not difference(LOWER, estimate(0.1, still, half=0.05), estimate(0.3, still, half=0.06)).paired


def test_only_the_arms_that_face_each_other_count() -> None:
    d1, d2 = np.random.default_rng(4).normal(0, 0.0001, (2, FOLDS))
    one = Estimate(0.02, 0.0, 0.5, Spread(tuple(d1.tolist())))
    other = Estimate(0.6, 0.55, 0.9, Spread(tuple(d2.tolist())))
    upwards, downwards = difference(LOWER, one, other), difference(HIGHER, other, one)
    assert upwards.low == pytest.approx(downwards.low) and upwards.high == pytest.approx(downwards.high)
    assert 0.58 - upwards.low == pytest.approx(math.hypot(0.48, 0.05), rel=1e-3)
    assert upwards.high - 0.58 == pytest.approx(math.hypot(0.02, 0.3), rel=1e-3)


def test_deviations_of_another_number_or_of_one_set_of_images_are_not_paired() -> None:
    deviations = np.random.default_rng(5).normal(0, 1, FOLDS)
    one = estimate(1.0, deviations)
    for other in (
        estimate(2.0, deviations[:-1]),
        estimate(2.0, deviations),
        estimate(2.0, deviations * (1 + 1e-9)),
        estimate(2.0, deviations)._replace(spread=None),
        Estimate(2.0, None, None, Spread(tuple((deviations + 1).tolist()))),
    ):
        found = difference(LOWER, one, other)
        assert not found.paired and found.p is None
        assert not better(LOWER, one, other), "a step of 1 within intervals that reach 9 is no difference"


def test_deviations_copied_from_another_win_no_more_than_its_synthetic_images_allow() -> None:
    deviations = np.random.default_rng(6).normal(0, 1, FOLDS)
    honest = estimate(2.0, deviations, synthetic=3.0)
    copied = estimate(0.0, deviations * 0.99)
    found = difference(LOWER, copied, honest)
    assert found.paired and found.low == pytest.approx(2.0 - T * 3.0, abs=0.1) and not found.beyond_doubt
    assert difference(LOWER, copied, honest._replace(spread=Spread(honest.spread.deviations))).beyond_doubt  # type: ignore[union-attr]


def test_the_distance_from_a_target_is_paired_where_it_is_linear() -> None:
    d1, d2 = np.random.default_rng(7).normal(0, 0.01, (2, FOLDS))
    below, above = estimate(0.2, d1), estimate(0.9, d2)
    found = difference(TARGET, below, above)
    error = math.sqrt(float(((d2 + d1) ** 2).sum()))
    assert found.paired and found.value == pytest.approx(0.1)
    assert (found.high - found.low) / 2 == pytest.approx(T * error)
    assert not difference(TARGET, estimate(0.5, d1), above).paired


def test_p_values_of_one_column_are_adjusted_together() -> None:
    rng = np.random.default_rng(8)
    best = estimate(0.0, rng.normal(0, 1, FOLDS))
    others = {str(place): estimate(8.0 + place, rng.normal(0, 1, FOLDS)) for place in range(5)}
    raw = sorted(difference(LOWER, best, each).p or 0.0 for each in others.values())
    found = sorted(each.p or 0.0 for each in against(LOWER, best, others).values())
    assert found[0] == pytest.approx(5 * raw[0]) and found[-1] >= raw[-1]
    bare = {"bare": estimate(99.0, rng.normal(0, 1, FOLDS))._replace(spread=None)}
    mixed = against(LOWER, best, {**others, **bare})
    assert mixed["bare"] == difference(LOWER, best, bare["bare"]) and mixed["bare"].beyond_doubt


def test_the_truly_best_is_left_out_of_the_best_in_at_most_5_of_100() -> None:
    rng = np.random.default_rng(9)
    missed = 0
    for _ in range(400):
        common = rng.normal(0, 2, FOLDS)
        folds = {str(place): common + rng.normal(0, 1, FOLDS) for place in range(4)}
        field = {name: estimate(float(own.mean()), jackknifed(own)) for name, own in folds.items()}
        missed += behind_best(LOWER, field)["0"].beyond_doubt
    assert missed / 400 <= 0.05


def test_the_best_stands_first_and_is_not_behind_itself() -> None:
    rng = np.random.default_rng(10)
    field = {name: estimate(value, rng.normal(0, 0.1, FOLDS)) for name, value in (("a", 5.0), ("b", 1.0), ("c", 9.0))}
    found = behind_best(LOWER, field)
    assert next(iter(found)) == "b" and found["b"] == ScoreDifference(0.0, 0.0, 0.0)
    assert {name for name, each in found.items() if each.beyond_doubt} == {"a", "c"}


def scored(value: float, deviations: np.ndarray, real: float | None = None, synthetic: float | None = None) -> ScoreRow:
    half = T * math.sqrt(float(deviations @ deviations))
    spread = SpreadRow(deviations=deviations.tolist(), real=real, synthetic=synthetic)
    return ScoreRow(metric="fd", value=value, low=value - half, high=value + half, n=9, spread=spread)


def test_deviations_of_seeds_are_averaged_and_the_spread_over_seeds_is_not_shared() -> None:
    rng = np.random.default_rng(11)
    d1, d2, other = rng.normal(0, 1, (3, FOLDS))
    both = combine([scored(10.0, d1, 2.0, 3.0), scored(14.0, d2, 2.0, 3.0)], LOWER)
    assert both.spread is not None and both.spread.deviations == pytest.approx(tuple((d1 + d2) / 2))
    assert (both.spread.real, both.spread.synthetic) == (2.0, pytest.approx(3.0 / math.sqrt(2)))
    found = difference(LOWER, both, estimate(60.0, other))
    over_seeds = float(stats.t.ppf(0.975, 1)) * 2.0
    assert found.paired and (found.high - found.low) / 2 > over_seeds
    assert combine([scored(10.0, d1), scored(14.0, d2[:-1])], LOWER).spread is None
    bare = scored(14.0, d2).model_copy(update={"spread": None})
    assert combine([scored(10.0, d1), bare], LOWER).spread is None
    assert combine([scored(10.0, d1, 2.0), scored(14.0, d2)], LOWER).spread.real is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("real", "synthetic", "said"),
    [
        (3.0, 1.0, "more real images would narrow it"),
        (math.sqrt(2), 1.0, "more real images would narrow it"),
        (1.0, 1.0, "more of both would narrow it"),
        (1.0, 1.5, "more synthetic images would narrow it"),
        (0.0, 0.0, ""),
        (None, 1.0, ""),
        (1.0, None, ""),
        (1e200, 1.0, "more real images would narrow it"),
    ],
)
def test_the_side_that_brings_most_of_the_variance_is_named(
    real: float | None, synthetic: float | None, said: str
) -> None:
    assert narrowing(Estimate(1.0, 0.0, 2.0, Spread((1.0, 1.0), real, synthetic))) == said
    assert narrowing(Estimate(1.0, 0.0, 2.0)) == ""


NUMBERS = st.floats(-1e308, 1e308)


@given(st.lists(NUMBERS, min_size=2, max_size=4), st.lists(NUMBERS, min_size=2, max_size=4), NUMBERS, NUMBERS)
def test_no_record_breaks_a_comparison(first: list[float], second: list[float], one: float, other: float) -> None:
    field = {
        name: Estimate(value, value, value, Spread(tuple(deviations), synthetic=abs(value)))
        for name, value, deviations in (("one", one, first), ("other", other, second))
    }
    with np.errstate(over="ignore", invalid="ignore"):
        found = behind_best(LOWER, field)
    assert len(found) == 2 and not any(math.isnan(number) for each in found.values() for number in each[:3])
