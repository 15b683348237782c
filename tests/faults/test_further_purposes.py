"""Whatever order evaluators are added in, and wherever that is killed, the folder ends with the bytes of one run."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.conftest import Laboratory
from tests.faults.places import Folders, differences, image_parts, kinds, results, score


def purposes(folders: Folders) -> dict[str, int]:
    """How many images the record speaks of, by purpose."""
    asked = json.loads((folders.run / "run.json").read_text())["images"]
    return {name: asked[name] for name in ("fidelity", "utility", "privacy") if name in asked}


def stamps(paths: list[Path]) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize("first", ["privacy", pytest.param("fidelity", marks=pytest.mark.slow)])
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
    assert differences(results(folders), whole) == ["run.json: other content"], "it has another configuration"
    old, new = (json.loads(each["run.json"]) for each in (whole, results(folders)))
    assert {name for name in old if old[name] != new[name]} == {"config"}


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_folder_of_few_images_is_measured_for_fidelity_alone(laboratory: Laboratory) -> None:
    folders = laboratory.empty()
    pictures = folders.home / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(pictures / f"{number}.png")
    (pictures / "metadata.csv").write_text("\n".join(["file_name", *(f"{number}.png" for number in range(48))]))
    choice = ["generator=folder", "name=pca", f"generator.path={pictures}"]
    done = laboratory.run(*choice, "evaluator=[fidelity]")
    assert done.code == 0 and purposes(folders) == {"fidelity": 48}, done.output
    before = results(folders)
    more = laboratory.run(*choice, "evaluator=[fidelity,privacy]")
    assert more.code == 1 and "privacy, any labels: 160 asked, 48 there" in more.output
    assert more.output.index("requests.privacy=48") < more.output.index("generator.reuse=true")
    # the lines to be filled are there, and the finished run is as it was
    assert (folders.run / "requests.csv").read_text().count("\nprivacy-") == 160
    assert laboratory.run(*choice, "evaluator=[fidelity]").code == 0
    assert differences(results(folders), before) == []
    fewer = laboratory.run(*choice, "evaluator=[fidelity,privacy]", "requests.privacy=48")
    assert fewer.code == 0 and purposes(folders) == {"fidelity": 48, "privacy": 48}, fewer.output
