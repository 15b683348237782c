"""What is read from a folder of runs, and what is left out aloud."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from leaderboard.read import NoRuns, check_file, inside, read_runs


def problems_of(root: Path) -> list[str]:
    return [str(problem) for problem in read_runs(root)[1]]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_everything_is_read(board: Path) -> None:
    runs, problems = read_runs(board)
    assert problems == []
    assert [run.place for run in runs][:3] == ["phantom/copy/seed=0", "phantom/folder/seed=0", "phantom/holdout/seed=0"]
    assert len(runs) == 8
    assert set(runs[0].scores) == {"fidelity", "privacy"}


@pytest.mark.parametrize("there", [True, False])
def test_no_run_is_said_clearly(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "runs"
    if there:
        root.mkdir()
    with pytest.raises(NoRuns, match="has no run" if there else "does not exist"):
        read_runs(root)


def test_a_changed_score_file_is_left_out(board: Path) -> None:
    path = board / "phantom/pca/seed=0/scores/fidelity.json"
    path.write_text(path.read_text().replace("30.0", "3.0").replace("28.0", "1.0"))
    assert problems_of(board)[0].startswith("phantom/pca/seed=0/run.json: /evaluators/fidelity/sha256: ")
    assert len(read_runs(board)[0]) == 8


def test_a_missing_score_file_is_named(board: Path) -> None:
    (board / "phantom/pca/seed=0/scores/fidelity.json").unlink()
    assert problems_of(board)[0].startswith("phantom/pca/seed=0/run.json: /evaluators/fidelity/file: ")


def test_another_evaluators_record_is_refused(board: Path) -> None:
    folder = board / "phantom/pca/seed=0"
    entries = json.loads((folder / "run.json").read_text())["evaluators"]
    edit(folder / "run.json", evaluators={"privacy": entries["fidelity"]})
    (folder / "scores/privacy.json").unlink()
    assert problems_of(board)[0].startswith("phantom/pca/seed=0/scores/fidelity.json: /evaluator: ")


def test_an_unlisted_score_file_is_named(board: Path) -> None:
    run = board / "phantom/pca/seed=0/run.json"
    edit(run, evaluators={})
    assert [text.split(": ")[1] for text in problems_of(board)] == ["left out"] * 2


def test_the_same_run_twice_is_refused(board: Path) -> None:
    shutil.copytree(board / "phantom/pca", board / "phantom/zca")
    assert problems_of(board) == [
        "phantom/zca/seed=0/run.json: the same data set, generator and seed as phantom/pca/seed=0; rename or remove one"
    ]


def test_the_seed_is_the_folders(board: Path) -> None:
    shutil.move(board / "phantom/pca/seed=0", board / "phantom/pca/seed=7")
    assert problems_of(board)[0].startswith("phantom/pca/seed=7/run.json: /seed: 0")


def test_links_out_of_the_run_are_not_followed(board: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    path = board / "phantom/pca/seed=0/scores/fidelity.json"
    shutil.copy(path, secret)
    path.unlink()
    path.symlink_to(secret)
    assert inside(board / "phantom/pca/seed=0", "scores/fidelity.json") is None
    assert "no plain file" in problems_of(board)[0]


def test_check_follows_a_run_to_its_scores(board: Path) -> None:
    run = board / "phantom/pca/seed=0/run.json"
    assert check_file(run) == []
    (run.parent / "scores/fidelity.json").write_text("{")
    assert "not strict JSON" in str(check_file(run)[0])
