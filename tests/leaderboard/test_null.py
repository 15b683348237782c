"""The null beside every contender, and copiers that are never best: on records of invented numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.storage.record import MetricRow, Record, ScoreRow, SpreadRow
from leaderboard.build import build
from leaderboard.columns import Arm, sections
from leaderboard.read import read_runs
from tests.leaderboard.conftest import DISTANCE, SPLIT, fidelity, record, run_record, score, write_run

AUC = MetricRow(key="mia_auc", title="MIA AUC", better="lower", reference="", low=0, high=1, area="privacy")
P = MetricRow(key="tail_p", title="p", better="neither", reference="", low=0, high=1, area="privacy", role="describes")
LEAK = MetricRow(
    key="leak_found", title="Verdict", better="neither", reference="", low=0, high=1, area="privacy", role="describes"
)
LONG = (
    "no leak found; exact or recoloured copies above 2%, re-posed above 9% would have been found; blends and parts are "
    "not seen"
)
FOLDS = np.random.default_rng(0).normal(0, 1, (4, 20)) * 0.002


def asked(count: int | None, **more: Any) -> dict[str, Any]:
    return {"split": SPLIT, "evaluator": "privacy/3", "conditions": {"rule": 1, "privacy": count}, **more}


def judged(auc: float, count: int | None, leak: bool = False, row: int | None = None, **protocol: Any) -> Record:
    """A privacy record: an AUC of half-width 0.03, a p-value and the verdict."""
    attack = score(AUC, (auc, 0.03), encoder="pixels")
    if row is not None:
        shared = np.full(20, 0.0032)  # what the split does to everybody
        spread = SpreadRow(deviations=(shared + FOLDS[row] * 0.5).tolist())
        attack = attack.model_copy(update={"spread": spread})
    words = "leak found (pixels)" if leak else LONG
    verdict = ScoreRow(metric="leak_found", value=float(leak), low=None, high=None, n=9, reason="no interval")
    p = ScoreRow(metric="tail_p", value=0.001 if leak else 0.4, low=None, high=None, n=9, reason="a p has none")
    scores = [attack, p, verdict.model_copy(update={"words": words})]
    return record("privacy", [AUC, P, LEAK], scores, protocol=asked(count, **protocol))


def refused(evaluator: str, protocol: Mapping[str, Any]) -> Record:
    return record(evaluator, [DISTANCE], [], status="refused", reason="no images for it: its own", protocol=protocol)


def null(folder: Path, auc: float = 0.52, **changes: Any) -> None:
    run = run_record(
        "test_part", 0, control="null", shows_real=True, images={"asked": 512, "made": 512, "privacy": 512}
    )
    write_run(folder, run, [judged(auc, None, **changes)])


def arms(folder: Path) -> list[Arm]:
    runs, problems = read_runs(folder)
    assert not problems
    return [arm for section in sections(runs) for arm in section.arms]


def page(folder: Path) -> str:
    return " ".join(build(*read_runs(folder))["index.html"].decode().split())


def names(arm: Arm) -> list[str]:
    return [row.name for row in arm.rows]


def test_the_null_stands_beside_contenders_of_any_number_of_images(tmp_path: Path) -> None:
    for name, count in (("ldm", 1024), ("sana", 1024), ("folder", 600)):
        write_run(tmp_path, run_record(name, 0), [judged(0.53, count)])
    null(tmp_path)
    write_run(tmp_path, run_record("holdout", 0, control="ceiling"), [refused("privacy", asked(None))])
    many, few = arms(tmp_path)
    assert names(many) == ["holdout", "test_part", "ldm", "sana"] and names(few) == ["holdout", "test_part", "folder"]
    assert (many.number, many.of, few.number, few.of) == (1, 2, 2, 2)
    assert "512 images" in page(tmp_path)


def test_the_null_does_not_stand_beside_another_split_evaluator_or_setting(tmp_path: Path) -> None:
    write_run(tmp_path, run_record("ldm", 0), [judged(0.53, 1024, settings={"same_picture": 0.9})])
    null(tmp_path)
    assert [names(arm) for arm in arms(tmp_path)] == [["ldm"], ["test_part"]]


def test_a_contender_that_leaves_its_number_open_stands_alone(tmp_path: Path) -> None:
    write_run(tmp_path, run_record("ldm", 0), [judged(0.53, 1024)])
    write_run(tmp_path, run_record("sana", 0), [judged(0.50, None)])
    null(tmp_path)
    first, other = arms(tmp_path)
    assert names(first) == ["test_part", "ldm"] and names(other) == ["sana"]


def test_controls_alone_share_a_table(tmp_path: Path) -> None:
    null(tmp_path)
    write_run(tmp_path, run_record("holdout", 0, control="ceiling"), [refused("privacy", asked(None))])
    (arm,) = arms(tmp_path)
    assert names(arm) == ["holdout", "test_part"]


def test_what_the_null_refuses_is_said_in_the_table_of_the_others(tmp_path: Path) -> None:
    given = {"split": SPLIT, "evaluator": "fidelity/4", "conditions": {"rule": 1, "fidelity": 512}}
    open_ = {**given, "conditions": {"rule": 1, "fidelity": None}}
    write_run(tmp_path, run_record("ldm", 0), [fidelity((9, 1), (0.5, 0.1), protocol=given)])
    run = run_record("test_part", 0, control="null")
    write_run(tmp_path, run, [refused("fidelity", open_)])
    (arm,) = arms(tmp_path)
    cell = arm.grids[0].columns[0].cells["test_part"]
    assert names(arm) == ["test_part", "ldm"]
    assert cell.state == "refused" and cell.notes == ("refused: no images for it: its own",)


@pytest.mark.parametrize("paired", [True, False])
def test_a_membership_score_is_shown_against_the_null(tmp_path: Path, paired: bool) -> None:
    write_run(tmp_path, run_record("ldm", 0), [judged(0.541, 1024, row=1 if paired else None)])
    write_run(tmp_path, run_record("copy", 0, control="memoriser"), [judged(0.9, 1024)])
    null(tmp_path, row=0 if paired else None)
    (arm,) = arms(tmp_path)
    columns = {column.metric.key: column for column in arm.grids[0].columns}
    cells = columns["mia_auc"].cells
    found = cells["ldm"].above_null
    assert found is not None and found.value == pytest.approx(0.021) and found.paired == paired
    half = (found.high - found.low) / 2
    assert (half < 0.03) if paired else half == pytest.approx(0.03 * 2**0.5)
    assert cells["copy"].above_null is not None and cells["test_part"].above_null is None
    assert columns["tail_p"].cells["ldm"].above_null is None, "p is exact, and never corrected"
    assert columns["mia_auc"].marks == (), "the memoriser is worse than the null"
    text = page(tmp_path)
    assert "from test_part, where nothing leaked: 95% interval" in text
    assert text.count('<small class="from-null"') == 2
    assert ("paired on the same real images" if paired else "as if independent") in text


def test_without_a_null_nothing_is_said_of_it(tmp_path: Path) -> None:
    write_run(tmp_path, run_record("ldm", 0), [judged(0.541, 1024)])
    assert '<small class="from-null"' not in page(tmp_path)


def copier_board(folder: Path) -> Path:
    """Two honest contenders, and one that gives back a fifth of the training images: the best by every number."""
    given = {"split": SPLIT, "evaluator": "fidelity/4", "conditions": {"rule": 1, "fidelity": 512}}
    for name, distance, auc in (("ldm", 9, 0.53), ("sana", 11, 0.54), ("copier", 2, 0.50)):
        scores = fidelity((distance, 1), (0.5, 0.1), protocol=given)
        write_run(folder, run_record(name, 0), [scores, judged(auc, 1024, leak=name == "copier")])
    return folder


def test_a_copier_is_never_best_nor_leader_in_any_column(tmp_path: Path) -> None:
    columns = [each for arm in arms(copier_board(tmp_path)) for grid in arm.grids for each in grid.columns]
    contested = [each for each in columns if each.leader]
    assert {(each.metric.key, each.leader) for each in contested} >= {("fd", "ldm"), ("mia_auc", "ldm")}
    for each in columns:
        assert not each.cells["copier"].best and each.leader != "copier"
        assert each.metric.better == "neither" or not each.cells["copier"].ranked
    fd = next(each for each in columns if each.metric.key == "fd")
    assert fd.cells["copier"].estimate is not None, "shown all the same"
    assert not next(each for each in columns if each.metric.key == "tail_p").leader, "no contest on p"
    text = page(tmp_path)
    assert text.count('in no column: a copy of a training image is as good as that image">leak found</span>') >= 2


def test_a_leak_with_one_seed_is_a_leak_of_the_generator(tmp_path: Path) -> None:
    copier_board(tmp_path)
    given = {"split": SPLIT, "evaluator": "fidelity/4", "conditions": {"rule": 1, "fidelity": 512}}
    scores = fidelity((2, 1), (0.5, 0.1), protocol=given)
    write_run(tmp_path, run_record("copier", 1), [scores, judged(0.5, 1024)])
    columns = [each for arm in arms(tmp_path) for grid in arm.grids for each in grid.columns]
    assert all(not each.cells["copier"].best for each in columns)


def test_a_control_that_copies_keeps_its_marks(tmp_path: Path) -> None:
    write_run(tmp_path, run_record("ldm", 0), [judged(0.53, 1024)])
    write_run(tmp_path, run_record("copy", 0, control="memoriser"), [judged(0.51, 1024, leak=True)])
    null(tmp_path)
    (arm,) = arms(tmp_path)
    attack = next(each for each in arm.grids[0].columns if each.metric.key == "mia_auc")
    assert attack.marks == ("copying",), "the memoriser's number is judged, for the mark is found from it"
    assert LONG in page(tmp_path)
