"""Ctrl-C ends a run with a sentence and 130, wherever it is, and the same command goes on from there."""

from __future__ import annotations

import signal

import pytest

from bench.runtime.start import SIGNALS
from tests.faults.conftest import DIFFUSION, Laboratory
from tests.faults.fork_server import Done
from tests.faults.places import differences, kinds, results


def assert_interrupted(done: Done) -> None:
    assert done.code == 130, done.output
    assert done.output.count(SIGNALS[signal.SIGINT]) == 1, done.output
    assert "Traceback" not in done.output and "KeyboardInterrupt" not in done.output


@pytest.mark.parametrize("part", ["cache/prepared", "run/images", "run/scores"])
def test_ctrl_c_in_each_part_of_a_run_changes_no_byte(laboratory: Laboratory, part: str) -> None:
    steps = kinds(laboratory.finished().done.steps)[part]
    folders = laboratory.empty()
    assert_interrupted(laboratory.run(at=steps[len(steps) // 2], number=signal.SIGINT))
    log = folders.run / "bench.log"
    assert SIGNALS[signal.SIGINT] in log.read_text()
    again = laboratory.run()
    assert again.code == 0, again.output
    assert differences(results(folders), laboratory.finished().results) == []


@pytest.mark.slow
def test_ctrl_c_in_a_training_of_the_diffusion_model(laboratory: Laboratory) -> None:
    steps = kinds(laboratory.finished(*DIFFUSION).done.steps)["cache/fits"]
    for place in (len(steps) // 4, len(steps) // 2):
        folders = laboratory.empty()
        stopped = laboratory.run(*DIFFUSION, at=steps[place], number=signal.SIGINT)
        assert_interrupted(stopped)
        assert "training: making" in stopped.output and "fidelity: making" not in stopped.output
        again = laboratory.run(*DIFFUSION)
        assert again.code == 0, again.output
        assert differences(results(folders), laboratory.finished(*DIFFUSION).results) == []


def test_ctrl_c_stops_a_sweep(laboratory: Laboratory) -> None:
    laboratory.finished()
    folders = laboratory.empty()
    done = laboratory.run("hydra.mode=MULTIRUN", "seed=0,1", at=40, number=signal.SIGINT)
    assert_interrupted(done)
    assert len(list(folders.home.glob("runs/*/*/seed=*"))) == 1
