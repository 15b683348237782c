"""The arithmetic and the comparisons of the board, on numbers worked out by hand."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.storage.record import MetricRow, ScoreRow
from leaderboard.read import read_runs
from leaderboard.table import (
    Arm,
    Difference,
    Estimate,
    best_of,
    better,
    combine,
    differences,
    fooled_by,
    loss,
    sections,
)
from tests.leaderboard.conftest import COVERAGE, DISTANCE, fidelity, record, run_record, score, write_run

LOWER = MetricRow(key="fd", title="FD", better="lower", reference="", low=0)
HIGHER = MetricRow(key="c", title="C", better="higher", reference="", low=0, high=1)
TARGET = MetricRow(key="t", title="T", better="target", target=0.5, reference="")
NEITHER = MetricRow(key="r", title="R", better="neither", reference="")


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
        low, high = combine([measured(value, 1.96, 1.96) for value in values], TARGET)[1:]
        hits += low <= 0 <= high  # type: ignore[operator]
    assert hits / 2000 >= 0.95


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_a_combined_interval_contains_its_value_and_stays_in_bounds(parts: list[tuple[float, float, float]]) -> None:
    scores = [measured(v, min(a, v), min(b, 1 - v)) for v, a, b in parts]
    value, low, high = combine(scores, HIGHER)
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
    assert fooled_by(NEITHER, same, privacy=False) == fooled_by(NEITHER, same, privacy=True) == ()
    assert fooled_by(LOWER, same, privacy=False) == ("copying", "noise")


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
    ],
)
def test_controls_show_what_a_metric_misses(others: list, privacy: bool, marks: tuple[str, ...]) -> None:
    assert fooled_by(LOWER, [TOP, *others], privacy=privacy) == marks


def test_no_ceiling_no_mark() -> None:
    assert fooled_by(LOWER, [("memoriser", Estimate(2, 1, 3)), ("floor", Estimate(2, 1, 3))], privacy=False) == ()


def test_differences_by_path() -> None:
    here = {"a": {"k": 5, "same": 1}, "new": [1], "n": None}
    there = {"a": {"k": 10, "same": 1}, "n": 0}
    assert differences(here, there) == [
        Difference("a.k", "5", "10"),
        Difference("n", "null", "0"),
        Difference("new", "[1]", None),
    ]


def arms(board: Path) -> dict[tuple[str, int], Arm]:
    (section,) = sections(read_runs(board)[0])
    return {(arm.evaluator, arm.number): arm for arm in section.arms}


def test_protocols_do_not_share_a_table(board: Path) -> None:
    found = arms(board)
    first, second = found["fidelity", 1], found["fidelity", 2]
    assert [row.name for row in first.rows] == ["holdout", "ldm", "sana", "pca", "copy", "noise"]
    assert [row.name for row in second.rows] == ["folder"]
    assert second.differences == (Difference("evaluator.folds", "5", "10"),)


def test_another_encoder_does_not_part_the_table_and_another_version_parts_the_column(tmp_path: Path) -> None:
    one = fidelity((5, 2), (0.6, 0.1), protocol={"encoders": {"radiomics": "radiomics-1"}})
    more = fidelity((6, 2), (0.6, 0.1), protocol={"encoders": {"radiomics": "radiomics-1", "rad_dino": "x"}})
    newer = fidelity((7, 2), (0.6, 0.1), protocol={"encoders": {"radiomics": "radiomics-2"}})
    for name, kept in (("ldm", one), ("sana", more), ("flux", newer)):
        write_run(tmp_path, run_record(name, 0), [kept])
    runs, _ = read_runs(tmp_path)
    ((arm,),) = (list(section.arms) for section in sections(runs))
    measured = [{name for name, cell in each.cells.items() if cell.state == "value"} for each in arm.grids[0].columns]
    assert sorted(map(sorted, measured)) == [["flux"], ["flux"], ["ldm", "sana"], ["ldm", "sana"]]
    assert arm.grids[0].clashes == ["coverage", "fd"]


def test_the_encoder_with_the_earliest_metric_comes_first(tmp_path: Path) -> None:
    scores = [score(COVERAGE, (0.5, 0.1), encoder=None), score(COVERAGE, (0.6, 0.1), encoder="apples")]
    scores.append(score(DISTANCE, (5, 2), encoder="pears"))
    write_run(tmp_path, run_record("ldm", 0), [record("fidelity", [DISTANCE, COVERAGE], scores)])
    runs, _ = read_runs(tmp_path)
    ((arm,),) = (list(section.arms) for section in sections(runs))
    assert arm.grids[0].encoders == [("pears", 1), (None, 1), ("apples", 1)]


def test_cells(board: Path) -> None:
    found = arms(board)
    distance, coverage = found["fidelity", 1].grids[0].columns
    assert {name for name, cell in distance.cells.items() if cell.best} == {"ldm", "sana"}
    assert distance.cells["ldm"].estimate is not None
    assert distance.cells["ldm"].estimate.value == 11
    assert coverage.cells["sana"].state == "refused"
    assert coverage.cells["sana"].notes == ("refused: needs 50 images of each class, got 12",)
    assert (distance.marks, coverage.marks) == (("copying",), ("copying", "noise"))
    (attack,) = found["privacy", 1].grids[0].columns
    assert attack.cells["folder"].state == "failed"
    assert attack.cells["folder"].notes == ("failed: ValueError: singular covariance",)
    assert attack.marks == ()
    assert [grid.group for grid in found["fidelity", 1].grids] == ["all", "view=CC"]


def test_a_metric_defined_otherwise_has_another_column(board: Path) -> None:
    path = board / "phantom/pca/seed=0"
    record = json.loads((path / "scores/fidelity.json").read_text())
    record["metrics"][0]["better"] = "higher"
    content = json.dumps(record).encode()
    (path / "scores/fidelity.json").write_bytes(content)
    run = json.loads((path / "run.json").read_text())
    run["evaluators"]["fidelity"]["sha256"] = hashlib.sha256(content).hexdigest()
    (path / "run.json").write_text(json.dumps(run))
    grid = arms(board)["fidelity", 1].grids[0]
    assert grid.clashes == ["fd"]
    assert len(grid.columns) == 3


def test_seeds_measured_in_part_say_so(board: Path) -> None:
    run = board / "phantom/ldm/seed=1/run.json"
    data = json.loads(run.read_text())
    del data["evaluators"]["privacy"]
    run.write_text(json.dumps(data))
    (board / "phantom/ldm/seed=1/scores/privacy.json").unlink()
    (attack,) = arms(board)["privacy", 1].grids[0].columns
    assert attack.cells["ldm"].notes == ("seed 0 only: the others have no record under this protocol",)


def test_seeds_of_different_settings_say_so(board: Path) -> None:
    run = board / "phantom/ldm/seed=1/run.json"
    data = json.loads(run.read_text())
    data["config"]["generator"]["steps"] = 200
    run.write_text(json.dumps(data))
    (section,) = sections(read_runs(board)[0])
    changed = {row.name: row.changed for row in section.rows}
    assert changed["ldm"] == [Difference("steps", "200", "50")]
    assert changed["pca"] == []


def test_order_of_runs_does_not_matter(board: Path) -> None:
    runs = read_runs(board)[0]
    shuffled = random.Random(1).sample(runs, len(runs))
    assert sections(runs) == sections(shuffled)


def test_another_split_is_another_section_that_says_what_differs(board: Path) -> None:
    run = board / "phantom/pca/seed=0/run.json"
    data = json.loads(run.read_text())
    data["digests"]["split"] = "b" * 16
    data["config"]["dataset"] = {"image_size": [64, 64]}
    run.write_text(json.dumps(data))
    first, second = sections(read_runs(board)[0])
    assert (first.of, second.of, first.unlike) == (2, 2, ())
    assert [row.name for row in second.rows] == ["pca"]
    assert second.unlike == (Difference("everything", '{"image_size": [64, 64]}', "null"),)


def test_a_value_with_a_refused_seed_says_which(board: Path) -> None:
    shutil.copytree(board / "phantom/sana/seed=0", board / "phantom/ldm/seed=2")
    run = board / "phantom/ldm/seed=2/run.json"
    run.write_text(json.dumps({**json.loads(run.read_text()), "generator": "ldm", "seed": 2}))
    coverage = arms(board)["fidelity", 1].grids[0].columns[1]
    assert coverage.cells["ldm"].state == "value"
    assert coverage.cells["ldm"].notes == ("refused: needs 50 images of each class, got 12 (seed 2)",)
