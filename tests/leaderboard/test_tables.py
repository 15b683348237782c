"""Records whose code finds other numbers in the fixed material never share a column, whatever protocol they name."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from bench.storage.agreement import NumberDeviation
from bench.storage.record import Failure
from leaderboard.build import as_csv, build, tidy
from leaderboard.columns import Arm, sections
from leaderboard.read import read_runs
from leaderboard.tables import departures
from tests.leaderboard.conftest import DISTANCE, fidelity, record, run_record, score, write_run
from tests.leaderboard.test_build import page_of

COMMON = {
    "fd[all|radiomics]": 1.5,
    "fd[all|radiomics].low": 1.25,
    "fd[all|radiomics].high": 1.75,
    "coverage[all|radiomics]": 0.5,
}
CLOSE = {name: value * (1 + 5e-7) for name, value in COMMON.items()}
FAR = {**COMMON, "fd[all|radiomics]": 1.5 * (1 + 4e-6), "fd[all|radiomics].high": 1.75 * (1 + 2e-4)}


def boarded(folder: Path, *members: tuple[str, str | None, dict[str, float] | None]) -> list[Arm]:
    """The tables of a board with one run for each generator, its control and its conformance."""
    for name, control, conformance in members:
        own = fidelity((5, 1), (0.5, 0.1), conformance=conformance)
        write_run(folder, run_record(name, 0, control=control), [own])
    runs = read_runs(folder)[0]
    ((*arms,),) = (section.arms for section in sections(runs))
    shuffled = random.Random(2).sample(runs, len(runs))
    assert [list(section.arms) for section in sections(shuffled)] == [arms], "the order of runs matters"
    return arms


def generators(arms: list[Arm]) -> list[list[str]]:
    return [sorted(row.name for row in arm.rows) for arm in arms]


def test_numbers_to_a_millionth_share_a_column_and_others_do_not(tmp_path: Path) -> None:
    arms = boarded(tmp_path, ("a", None, COMMON), ("b", None, CLOSE), ("c", None, FAR))
    assert generators(arms) == [["a", "b"], ["c"]]
    assert [(arm.number, arm.of, arm.code_number, arm.codes) for arm in arms] == [(1, 1, 1, 2), (1, 1, 2, 2)]
    assert arms[0].protocol == arms[1].protocol and arms[0].code != arms[1].code
    (deviation,) = arms[1].deviations
    assert deviation == NumberDeviation("fd[all|radiomics].high", there=1.75, here=1.75 * (1 + 2e-4))
    columns = [column for arm in arms for grid in arm.grids for column in grid.columns]
    assert not [column for column in columns if {"a", "c"} <= column.cells.keys()]


def test_a_number_that_only_one_code_gives_is_another_code(tmp_path: Path) -> None:
    fewer = {name: value for name, value in COMMON.items() if not name.startswith("coverage")}
    arms = boarded(tmp_path, ("a", None, COMMON), ("b", None, COMMON), ("c", None, fewer))
    assert generators(arms) == [["a", "b"], ["c"]]
    assert arms[1].deviations == (NumberDeviation("coverage[all|radiomics]", there=0.5, here=None),)


def test_unknown_agrees_with_unknown_only_and_stands_last(tmp_path: Path) -> None:
    arms = boarded(tmp_path, ("a", None, None), ("b", None, None), ("c", None, COMMON))
    assert generators(arms) == [["c"], ["a", "b"]]
    assert arms[1].code is None and arms[1].deviations == ()


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ((("a", None, FAR), ("b", None, COMMON), ("c", None, CLOSE)), [["b", "c"], ["a"]]),
        ((("a", None, FAR), ("b", "ceiling", COMMON)), [["b"], ["a"]]),
        ((("a", "ceiling", FAR), ("b", None, COMMON)), [["a"], ["b"]]),
        # nothing tells these apart but the text of their numbers
        ((("a", None, FAR), ("b", None, COMMON)), [["b"], ["a"]]),
        ((("b", None, FAR), ("a", None, COMMON)), [["a"], ["b"]]),
    ],
)
def test_the_first_table_is_that_of_most_generators_then_of_most_controls(
    members: tuple[tuple[str, str | None, dict[str, float]], ...], expected: list[list[str]], tmp_path: Path
) -> None:
    assert generators(boarded(tmp_path, *members)) == expected


def test_agreement_counts_and_not_equality(tmp_path: Path) -> None:
    """Three laboratories that differ in last digits outvote two copies of one modified record."""
    near = {name: value * (1 - 3e-7) for name, value in COMMON.items()}
    honest = [("a", None, COMMON), ("b", None, CLOSE), ("c", None, near)]
    assert generators(boarded(tmp_path, *honest, ("d", None, FAR), ("e", None, FAR))) == [["a", "b", "c"], ["d", "e"]]


def test_a_record_without_a_number_stands_in_the_first_table(tmp_path: Path) -> None:
    broken = Failure(type="ValueError", message="singular", traceback="")
    failed = record("fidelity", [DISTANCE], [], status="failed", error=broken)
    write_run(tmp_path, run_record("z", 0), [failed])
    assert generators(boarded(tmp_path, ("a", None, COMMON), ("b", None, COMMON))) == [["a", "b", "z"]]
    rows = tidy(read_runs(tmp_path)[0])
    assert {row["generator"]: row["conformance"] is None for row in rows} == {"a": False, "b": False, "z": True}


def test_another_protocol_has_codes_of_its_own(tmp_path: Path) -> None:
    other = {"split": "a" * 16, "evaluator": {"name": "fidelity", "version": "2"}}
    write_run(tmp_path, run_record("z", 0), [fidelity((5, 1), (0.5, 0.1), protocol=other, conformance=FAR)])
    arms = boarded(tmp_path, ("a", None, COMMON), ("b", None, COMMON))
    assert [(arm.number, arm.of, arm.code_number, arm.codes) for arm in arms] == [(1, 2, 1, 1), (2, 2, 1, 1)]


def test_at_most_three_metrics_are_named_the_one_that_moved_most_first() -> None:
    there = {f"{name}[all|-]": 1.0 for name in "abcde"} | {"a[all|-].low": 0.5}
    here = {**there, "a[all|-]": 1.1, "a[all|-].low": 0.6, "b[all|-]": 1.3, "d[all|-]": 1.2, "e[all|-]": 1.01}
    found = departures(here, there)
    assert [each.name for each in found] == ["b[all|-]", "a[all|-].low", "d[all|-]"]
    assert found[0] == NumberDeviation("b[all|-]", there=1.0, here=1.3)


def test_the_page_says_modified_code_with_both_values(tmp_path: Path) -> None:
    boarded(tmp_path, ("a", None, COMMON), ("b", None, CLOSE), ("c", None, FAR), ("d", None, None))
    text = " ".join(page_of(tmp_path).text.split())
    assert "fd[all|radiomics].high: 1.75035 here, 1.75 in the first table of this protocol" in text
    assert "Modified code: it says it measures under this protocol" in text
    assert "Unknown code: these records do not say" in text
    assert "measured under this protocol by modified or unknown code and stand in a table of their own below" in text
    assert "differ by more than a millionth of their size were measured by modified code" in text


def test_a_board_of_one_code_says_nothing_of_others(board: Path) -> None:
    text = " ".join(page_of(board).text.split())
    assert "Modified code:" not in text and "Unknown code:" not in text


def test_the_exports_tell_codes_apart(tmp_path: Path) -> None:
    boarded(tmp_path, ("a", None, COMMON), ("b", None, CLOSE), ("c", None, FAR), ("d", None, None))
    runs, problems = read_runs(tmp_path)
    found = {row["generator"]: row["conformance"] for row in tidy(runs)}
    assert found["a"] == found["b"] != found["c"] and found["d"] is None
    assert len(found["a"]) == 8
    rows = csv.DictReader(io.StringIO(as_csv(tidy(runs)).decode()))
    assert {row["generator"]: row["conformance"] or None for row in rows} == found
    assert build(runs, problems)["leaderboard.csv"] == as_csv(tidy(runs))


def test_seeds_of_two_codes_stand_apart_and_say_so(tmp_path: Path) -> None:
    for seed, value in enumerate((1.5, 1.6)):
        conformance = {"fd[all|radiomics]": value}
        own = record("fidelity", [DISTANCE], [score(DISTANCE, (5 + seed, 1))], conformance=conformance)
        write_run(tmp_path, run_record("ldm", seed), [own])
    ((first, second),) = (section.arms for section in sections(read_runs(tmp_path)[0]))
    cells = [arm.grids[0].columns[0].cells["ldm"] for arm in (first, second)]
    assert [cell.estimate and cell.estimate.value for cell in cells] == [5, 6]
    assert cells[0].notes == ("seed 0 only: the others have no record in this table",)
