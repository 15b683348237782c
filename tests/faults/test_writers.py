"""Two processes in one run folder, and what a run that fails leaves for a person to look at."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Laboratory
from tests.faults.places import differences, kinds, results

FAILING = """
from bench.api import Evaluator, Generator, Metric

class Grey(Generator):
    def fit(self, train, folder, seed):
        self.size = train.size
    def sample(self, requests):
        raise ZeroDivisionError("planted")

class Broken(Evaluator):
    id, metrics, purposes = "broken", (Metric("gap", "Gap", "lower", "none"),), ("fidelity",)
    def __call__(self, material):
        raise ZeroDivisionError("planted")
"""
BROKEN_GENERATOR = (
    "allow=[planted]",
    "generator._target_=planted.Grey",
    *(f"~generator.{key}" for key in ("components", "variance", "images", "block")),
)
BROKEN_EVALUATOR = ("allow=[planted]", "+evaluator.broken._target_=planted.Broken")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below, hidden ones too, with its time and content."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): f"{path.stat().st_mtime_ns} ".encode() + path.read_bytes() for path in files}


def test_a_second_process_leaves_with_75_and_has_touched_nothing(laboratory: Laboratory) -> None:
    """The first is stopped in the middle of its scores, so that both are there at once however slow the machine is."""
    steps = kinds(laboratory.finished().done.steps)["run/scores"]
    folders = laboratory.empty()
    first = laboratory.start(at=steps[len(steps) // 2], number=signal.SIGSTOP)
    assert first.stands_still()
    before = snapshot(folders.run)
    try:
        second = laboratory.run("wandb.project=another")
        after = snapshot(folders.run)
    finally:
        os.kill(first.process, signal.SIGCONT)
    done = first.wait()
    assert done.code == 0 and differences(results(folders), laboratory.finished().results) == [], done.output
    assert second.code == 75, second.output
    assert "is in use by process" in second.output
    assert differences(after, before) == []


@pytest.mark.parametrize(("broken", "part"), [(BROKEN_GENERATOR, "generator"), (BROKEN_EVALUATOR, "evaluator")])
def test_who_fails_leaves_the_requests(laboratory: Laboratory, broken: tuple[str, ...], part: str) -> None:
    """They say what was asked when it failed."""
    folders = laboratory.restored()
    (folders.home / "planted.py").write_text(FAILING)
    done = laboratory.run(*broken, f"name=broken_{part}", environment={"PYTHONPATH": str(folders.home)})
    assert done.code == 1 and "ZeroDivisionError: planted" in done.output, done.output
    left = folders.run.parents[1] / f"broken_{part}" / "seed=0" / "requests.csv"
    assert left.read_bytes() == laboratory.finished().results["requests.csv"]
