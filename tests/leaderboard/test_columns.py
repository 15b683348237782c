"""What stands beside what on the board, and in which order."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path

from bench.storage.differences import Difference, differences
from bench.storage.record import MetricRow
from leaderboard.columns import Arm, sections
from leaderboard.read import read_runs
from tests.leaderboard.conftest import COVERAGE, DISTANCE, fidelity, record, run_record, score, write_run


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
    assert attack.cells["ldm"].notes == ("seed 0 only: the others have no record in this table",)


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


def marks_of(folder: Path, evaluator: str, metric: MetricRow) -> tuple[str, ...]:
    """The marks of a metric in which the floor has the value of the ceiling."""
    for name, control in (("holdout", "ceiling"), ("noise", "floor")):
        own = record(evaluator, [metric], [score(metric, (0.5, 0.05), encoder=None)])
        write_run(folder, run_record(name, 0, control=control), [own])
    ((arm,),) = (list(section.arms) for section in sections(read_runs(folder)[0]))
    (column,) = arm.grids[0].columns
    return column.marks


def test_what_is_private_is_said_by_the_metric_and_not_by_the_name_of_its_evaluator(tmp_path: Path) -> None:
    attack = MetricRow(key="auc", title="AUC", better="lower", reference="", low=0, high=1)
    private = attack.model_copy(update={"area": "privacy"})
    assert marks_of(tmp_path / "one", "mia", private) == ()
    assert marks_of(tmp_path / "two", "mia", attack) == ("noise",)
    assert marks_of(tmp_path / "three", "my_privacy_thing", attack) == ("noise",)


def test_a_metric_of_another_role_keeps_its_column_and_of_another_area_does_not(tmp_path: Path) -> None:
    for name, change in (("a", {}), ("b", {"role": "headline"}), ("c", {"area": "fidelity"})):
        metric = DISTANCE.model_copy(update=change)
        write_run(tmp_path, run_record(name, 0), [record("fidelity", [metric], [score(metric, (5, 1))])])
    ((arm,),) = (list(section.arms) for section in sections(read_runs(tmp_path)[0]))
    measured = [{name for name, cell in each.cells.items() if cell.state == "value"} for each in arm.grids[0].columns]
    assert sorted(map(sorted, measured)) == [["a", "b"], ["c"]]
