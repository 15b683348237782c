"""The gate itself: it lets a right estimator pass, and none whose intervals are too short, too long or off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from bench.statistics.resampling import Z95, clopper_pearson
from tests.coverage.cells import BAND, Cell, gathered, judged, repeated
from tests.coverage.estimators import Estimator, Found
from tests.coverage.populations import NULL, STRONG, Draw, Drawn, Shift
from tests.coverage.truths import Truths

TINY = Drawn("tiny", 4)
REPETITIONS = 400


def planted(truth: float, length: float = 1.0, off: float = 0.0) -> Estimator:
    """An estimator that knows the truth: it errs by a normal deviate of SD 0.1, plus ``off`` of that.

    Its intervals are ``length`` times as long as they should be.
    """

    def estimate(draw: Draw, rng: np.random.Generator) -> Mapping[str, Found]:
        value = truth + 0.1 * (float(rng.standard_normal()) + off)
        half = 0.1 * Z95 * length
        return dict.fromkeys(("fd", "density"), (value, value - half, value + half))

    return estimate


def cells(shift: Shift, length: float = 1.0, off: float = 0.0) -> dict[str, Cell]:
    truth = Truths(TINY, shift)("fd")
    assert truth is not None
    found = repeated(planted(truth, length, off), TINY, shift, 10, range(REPETITIONS))
    return {each.metric: each for each in gathered(found, "tiny", shift.name, 10, {"fd": truth, "density": None})}


def faults(shift: Shift, length: float = 1.0, off: float = 0.0) -> list[list[str]]:
    return [found for _, _, found in judged(list(cells(shift, length, off).values()))]


@pytest.mark.parametrize("shift", [NULL, STRONG], ids=lambda shift: shift.name)
def test_a_right_estimator_passes(shift: Shift) -> None:
    assert faults(shift) == [[], []]


@pytest.mark.parametrize("shift", [NULL, STRONG], ids=lambda shift: shift.name)
def test_intervals_of_half_their_length_fail(shift: Shift) -> None:
    assert faults(shift, length=0.5) == [["holds too rarely"]] * 2


def test_intervals_of_twice_their_length_fail() -> None:
    assert faults(STRONG, length=2) == [["holds too often"]] * 2
    assert faults(NULL, length=2) == [["too wide"]] * 2


def test_where_the_statistic_is_degenerate_longer_intervals_are_let_pass_and_not_much_longer_ones() -> None:
    assert faults(NULL, length=1.35) == [[], []]
    assert faults(STRONG, length=1.35) == [["holds too often"]] * 2


def test_a_bias_hidden_by_width_fails() -> None:
    cell = cells(NULL, length=1.4, off=1.0)["fd"]
    assert cell.coverage > BAND[0]
    assert cell.faults(1.0) == ["biased"]
    assert cells(NULL, length=1.4, off=-1.0)["fd"].faults(1.0) == ["biased"]
    assert cells(STRONG, off=1.5)["fd"].faults(0.0) == ["holds too rarely"], "of the truth by formula"
    assert cells(STRONG, off=1.5)["density"].faults(1.0) == [], "of the expected value, whose bias nobody knows"


def test_a_p_value_says_what_the_interval_of_the_coverage_says() -> None:
    for hits in range(REPETITIONS - 100, REPETITIONS + 1):
        table = np.tile([0.0, -1.0, 1.0], (REPETITIONS, 1))
        table[hits:, 1:] = 1.0
        cell = Cell("kid", "tiny", "strong", 10, 0.0, table)
        low, high = clopper_pearson(hits, REPETITIONS)
        assert (cell.p_value < 0.05) == (high < BAND[0] or low > BAND[1]), hits


def test_chance_in_many_cells_is_no_fault_and_one_bad_cell_is() -> None:
    rng = np.random.default_rng(0)
    cells = []
    for number in range(200):
        value, half = rng.standard_normal(200), Z95 * (0.6 if number == 150 else 1.0)
        table = np.stack([value, value - half, value + half], axis=1)
        cells.append(Cell("kid", f"tiny {number}", "strong", 10, 0.0, table))
    assert sum(not BAND[0] <= cell.coverage <= BAND[1] for cell in cells) > 5, "by chance"
    assert [cell.population for cell, _, found in judged(cells) if found] == ["tiny 150"]


def test_draws_without_an_interval_are_told() -> None:
    found = [{"kid": (0.0, -1.0, 1.0)}] * 5 + [{}] * 3
    (cell,) = gathered(found, "tiny", "null", 10, {"kid": 0.0, "fd": 0.0})
    assert (cell.repetitions, cell.without, cell.coverage) == (5, 3, 1.0)


def test_a_share_with_the_interval_of_no_count_fails() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(0.042, 0.0005, 400)
    for half, fault in ((0.001, ["narrower than of a count"]), (0.02, [])):
        table = np.stack([value, value - half, value + half], axis=1)
        found = Cell("clipped_coverage", "tiny", "null", 118, None, table).faults(1.0)
        assert [each for each in found if each != "too wide"] == fault
