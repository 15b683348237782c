"""Whatever order evaluators are added in, and wherever that is killed, the folder ends with the bytes of one run."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Laboratory
from tests.faults.places import Folders, differences, image_parts, kinds, results, score


def purposes(folders: Folders) -> dict[str, int]:
    """How many images the record speaks of, by purpose."""
    asked = json.loads((folders.run / "run.json").read_text())["images"]
    return {name: asked[name] for name in ("fidelity", "utility", "privacy") if name in asked}


def stamps(paths: list[Path]) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize("first", ["fidelity", "privacy"])
def test_an_evaluator_that_is_added_samples_and_measures_only_what_is_missing(
    laboratory: Laboratory, first: str
) -> None:
    whole = laboratory.finished().results
    folders = laboratory.empty()
    alone = laboratory.run(f"evaluator=[{first}]")
    assert alone.code == 0, alone.output
    assert list(purposes(folders)) == [first]
    before = stamps([score(folders, first), *image_parts(folders)])
    done = laboratory.run()
    assert done.code == 0, done.output
    assert f"{first}: found" in done.output and "sampling: making" in done.output
    assert stamps(list(before)) == before
    assert purposes(folders) == {"fidelity": 48, "utility": 60, "privacy": 160}
    assert differences(results(folders), whole) == []
    # what is not asked for now stays, and stays true
    again = laboratory.run(f"evaluator=[{first}]")
    assert again.code == 0 and "making" not in again.output, again.output
    assert set(json.loads((folders.run / "run.json").read_text())["evaluators"]) == {
        "fidelity",
        "privacy",
        "utility",
        "card",
    }
    assert len(purposes(folders)) == 3


def test_a_kill_while_a_purpose_is_added_loses_nothing(laboratory: Laboratory) -> None:
    whole = laboratory.finished().results
    steps, killed = [], None
    for _ in range(2):
        folders = laboratory.empty()
        assert laboratory.run("evaluator=[fidelity]").code == 0
        before = stamps([score(folders, "fidelity"), *image_parts(folders)])
        # first to see its steps, then up to the last but one that adds images
        killed = laboratory.run(at=steps[-2] if steps else 0)
        steps = kinds(killed.steps)["run/images"]
    assert killed is not None and killed.code == -signal.SIGKILL
    few = laboratory.run("evaluator=[fidelity]")
    assert few.code == 0 and "speaks of them" in few.output and stamps(list(before)) == before, few.output
    again = laboratory.run()
    assert again.code == 0 and stamps(list(before)) == before, again.output
    assert differences(results(folders), whole) == []


def test_a_folder_in_which_nothing_was_made_is_free(laboratory: Laboratory) -> None:
    """The generator could not be made ready: other settings and other requests may follow in the same place."""
    folders = laboratory.empty()
    failed = laboratory.run("generator=folder", "name=pca", "evaluator=[fidelity]")
    assert failed.code == 1 and "generator.path is not set" in failed.output
    assert not (folders.run / "images").exists() and (folders.run / "requests.csv").exists()
    done = laboratory.run("evaluator=[fidelity]", "requests.fidelity=40")
    assert done.code == 0, done.output
    assert purposes(folders) == {"fidelity": 40}
    other = laboratory.run("evaluator=[fidelity]")
    assert other.code == 1 and "requests.fidelity: 40 images there, 48 now" in other.output
