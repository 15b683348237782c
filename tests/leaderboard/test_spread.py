"""What the board makes of scores that say how they move with their images, and of those that are not to be ranked."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Score, Spread
from bench.pipeline.evaluation import as_scores
from bench.storage.record import MetricRow, Record, ScoreRow, SpreadRow
from leaderboard.build import build
from leaderboard.cells import Cell
from leaderboard.check import Broken, parse_record
from leaderboard.columns import Column, sections
from leaderboard.read import read_runs
from leaderboard.sweep import table
from tests.leaderboard.conftest import COVERAGE, DISTANCE, SPLIT, record, run_record, score, write_run

FD = DISTANCE.model_copy(update={"role": "headline"})
FOLDS = 20
RNG = np.random.default_rng(0)
REAL = RNG.normal(0, 1, FOLDS)  # what the real images do to everybody
OWN = {name: RNG.normal(0, 0.2, FOLDS) for name in ("ldm", "sana")}
PROTOCOL = {"split": SPLIT, "evaluator": {"name": "fidelity", "version": "1"}}


def moving(value: float, name: str, group: str = "all", **changes: Any) -> ScoreRow:
    """A score with an interval of 10 to either side, nearly all of it by the real images."""
    deviations = REAL + OWN[name]
    spread = SpreadRow(deviations=deviations.tolist(), real=4.5, synthetic=0.9)
    return score(FD, (value, 10.0), group).model_copy(update={"spread": spread, **changes})


def board_of(
    folder: Path, scores: Mapping[str, list[ScoreRow]], controls: Mapping[str, Any] | None = None, **changes: Any
) -> Path:
    for name, own in scores.items():
        found = record("fidelity", [COVERAGE, FD], own, **{"protocol": PROTOCOL, **changes})
        write_run(folder, run_record(name, 0, control=(controls or {}).get(name)), [found])
    return folder


def columns(folder: Path, group: str = "all") -> dict[str, Column]:
    ((arm,),) = (list(section.arms) for section in sections(read_runs(folder)[0]))
    (grid,) = [grid for grid in arm.grids if grid.group == group]
    return {column.metric.key: column for column in grid.columns}


def page(folder: Path) -> str:
    return " ".join(build(*read_runs(folder))["index.html"].decode().split())


def test_two_whose_intervals_overlap_are_told_apart_where_the_real_images_move_both(tmp_path: Path) -> None:
    folder = board_of(tmp_path, {"ldm": [moving(30, "ldm")], "sana": [moving(45, "sana")]})
    found = columns(folder)["fd"]
    assert found.leader == "ldm" and found.cells["ldm"].best and not found.cells["sana"].best
    behind = found.cells["sana"].behind
    assert behind is not None and behind.paired and behind.resamples == FOLDS
    text = page(folder)
    assert "worse than ldm: by 15" in text and "paired on the same real images: p " in text and "the best value" in text
    bare = {"ldm": [moving(30, "ldm", spread=None)], "sana": [moving(45, "sana", spread=None)]}
    folder = board_of(tmp_path / "bare", bare)
    assert all(cell.best for cell in columns(folder)["fd"].cells.values())
    assert "not told apart from ldm: by 15" in page(folder) and "unpaired: the intervals overlap" in page(folder)


def test_scores_of_other_splits_or_of_an_unknown_one_are_never_paired(tmp_path: Path) -> None:
    def behind(folder: Path) -> list[Cell]:
        found = [column for section in sections(read_runs(folder)[0]) for column in section.arms[0].grids[0].columns]
        return [cell for column in found for cell in column.cells.values() if cell.behind and cell.behind.paired]

    scores = {"ldm": [moving(30, "ldm")], "sana": [moving(45, "sana")]}
    assert behind(board_of(tmp_path / "same", scores))
    unknown = board_of(tmp_path / "unknown", scores, protocol={"evaluator": PROTOCOL["evaluator"]})
    assert not behind(unknown) and columns(unknown)["fd"].cells["sana"].behind is not None
    for place, digests in (("protocol", {"split": SPLIT}), ("both", {"split": "b" * 16})):
        folder = board_of(tmp_path / place, {"ldm": scores["ldm"]})
        other = record("fidelity", [COVERAGE, FD], scores["sana"], protocol={**PROTOCOL, "split": "b" * 16})
        write_run(folder, run_record("sana", 0, digests=digests), [other])
        assert not behind(folder)


def test_the_page_says_which_images_would_narrow_an_interval(tmp_path: Path) -> None:
    text = page(board_of(tmp_path, {"ldm": [moving(30, "ldm")], "sana": [moving(45, "sana", spread=None)]}))
    assert text.count('<small title="more real images would narrow it">[20') == 1
    assert text.count("<td>more real images would narrow it</td>") == 1
    assert "<small>[35" in text, "nothing is said where nothing is known"


def test_headline_metrics_come_first(tmp_path: Path) -> None:
    scores = [score(COVERAGE, (0.5, 0.1)), moving(30, "ldm")]
    assert list(columns(board_of(tmp_path, {"ldm": scores}))) == ["fd", "coverage"]


UNRANKED = {"ranked": False, "reason": "asked for, not a condition"}


def test_a_score_that_is_not_ranked_is_shown_with_its_reason_and_not_judged(tmp_path: Path) -> None:
    def score_of(name: str, value: float, **changes: Any) -> list[ScoreRow]:
        return [moving(value + 9, "ldm"), score(FD, (value, 1.0), "view=AP").model_copy(update=changes)]

    scores = {
        "ldm": score_of("ldm", 2, **UNRANKED),
        "flux": score_of("flux", 30),
        "sana": score_of("sana", 40),
        "holdout": score_of("holdout", 20),
        "noise": score_of("noise", 5, ranked=False),
    }
    folder = board_of(tmp_path, scores, {"holdout": "ceiling", "noise": "floor"})
    found = columns(folder, "view=AP")["fd"]
    assert found.leader == "flux" and [name for name, cell in found.cells.items() if cell.best] == ["flux"]
    assert found.marks == (), "noise in that group is not judged, so it marks nothing"
    assert found.cells["ldm"].behind is None and not found.cells["ldm"].ranked
    text = page(folder)
    assert text.count('<td class="unranked">') == 2 and text.count("<small>not ranked</small>") == 2
    assert text.count("not ranked: asked for, not a condition</li>") == 1, "one note for both"
    assert "<small>[1.0, 3.0]</small> <small>not ranked</small>" in text
    rows = list(csv.DictReader(io.StringIO(build(*read_runs(folder))["leaderboard.csv"].decode())))
    assert {row["generator"] for row in rows if row["ranked"] == "False"} == {"ldm", "noise"}
    _, *lines = table(read_runs(folder)[0], ["fidelity/fd/radiomics/view=AP"]).splitlines()
    assert [line.split()[1] for line in lines][:3] == ["holdout", "flux", "sana"]
    assert sum(line.endswith("(not ranked)") for line in lines) == 2


def test_a_mean_over_seeds_is_not_ranked_where_one_seed_is_not(tmp_path: Path) -> None:
    for seed in (0, 1):
        own = moving(10 + seed, "ldm", **(UNRANKED if seed else {}))
        write_run(tmp_path, run_record("ldm", seed), [record("fidelity", [COVERAGE, FD], [own], protocol=PROTOCOL)])
    cell = columns(tmp_path)["fd"].cells["ldm"]
    assert not cell.ranked and cell.notes == ("not ranked: asked for, not a condition (seed 1)",)


def test_the_tidy_scores_tell_the_sides_apart_and_leave_the_deviations_to_the_records(tmp_path: Path) -> None:
    files = build(*read_runs(board_of(tmp_path, {"ldm": [moving(30, "ldm"), score(COVERAGE, (0.5, 0.1))]})))
    rows = list(csv.DictReader(io.StringIO(files["leaderboard.csv"].decode())))
    assert [(row["se_real"], row["se_synthetic"], row["ranked"]) for row in rows] == [
        ("4.5", "0.9", "True"),
        ("", "", "True"),
    ]
    assert "deviations" not in files["leaderboard.json"].decode()


def test_a_score_comes_back_from_its_record_as_it_was() -> None:
    measured = Score("fd", 3.0, 1.0, 5.0, 9, reason="why", spread=Spread((0.5, -0.5), 0.25), ranked=False)
    written = record("fidelity", [FD], [ScoreRow(**asdict(measured))]).model_dump(by_alias=True)
    found = parse_record(json.dumps(written).encode(), "f")
    assert isinstance(found, Record) and as_scores(found) == [measured]


def faults(score: ScoreRow, change: Callable[[Any], object] = lambda _: None, metric: MetricRow = FD) -> list[str]:
    data = json.loads(json.dumps(record("fidelity", [metric], [score]).model_dump(by_alias=True)))
    change(data["scores"][0])
    try:
        parse_record(json.dumps(data).encode(), "f")
    except Broken as broken:
        return [str(problem) for problem in broken.problems]
    return []


def spread(error: float, count: int = FOLDS) -> dict[str, Any]:
    """Deviations whose root sum of squares is ``error``."""
    return {"deviations": [error / math.sqrt(count)] * count}


def test_deviations_beyond_their_interval_are_named_by_pointer() -> None:
    right = moving(30, "ldm")
    assert faults(right) == []
    (fault,) = faults(right, lambda data: data.update(spread=spread(10.6)))
    assert fault.startswith(
        "f: /scores/0/spread/deviations: the standard error 10.6 by these is more than the interval"
    )
    (fault,) = faults(right, lambda data: data.update(spread=spread(1, count=1)))
    assert fault.startswith("f: /scores/0/spread/deviations: ")
    (fault,) = faults(right, lambda data: data.update(spread=spread(1, count=1001)))
    assert fault.startswith("f: /scores/0/spread/deviations: ")
    (fault,) = faults(right, lambda data: data["spread"]["deviations"].append("1"))
    assert fault.startswith("f: /scores/0/spread/deviations/20: ")
    (fault,) = faults(right, lambda data: data["spread"].update(real=-1.0))
    assert fault.startswith("f: /scores/0/spread/real: ")


def test_an_interval_wider_than_its_deviations_or_cut_at_a_bound_is_no_fault() -> None:
    right = moving(30, "ldm")
    assert faults(right, lambda data: data.update(spread=spread(0.0))) == []
    assert faults(right, lambda data: data.update(value=0.5, low=0.0, spread=spread(4.5))) == []
    assert faults(right, lambda data: data.update(low=None, high=None, reason="no theory", spread=spread(99.0))) == []


@pytest.mark.parametrize("n", [20, 50, 118, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.5, 0.98])
def test_no_interval_of_a_share_by_wilson_is_taken_for_a_fault(n: int, share: float) -> None:
    z = 1.959964
    centre, spread_of = (share + z * z / (2 * n)) / (1 + z * z / n), share * (1 - share) / n
    half = z * math.sqrt(spread_of + z * z / (4 * n * n)) / (1 + z * z / n)
    own = spread(math.sqrt(spread_of))
    low, high = min(centre - half, share), max(centre + half, share)
    found = score(COVERAGE, (0.5, 0.1)).model_copy(
        update={"value": share, "low": max(low, 0.0), "high": min(high, 1.0)}
    )
    assert faults(found, lambda data: data.update(spread=own), COVERAGE) == []
