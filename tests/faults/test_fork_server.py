"""A copy of the server ends as the command line ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import SMALL, Laboratory


def test_a_wrong_name_ends_as_on_the_command_line(laboratory: Laboratory) -> None:
    folders = laboratory.empty()
    copied = laboratory.run("generator=ldn")
    command = [sys.executable, "-m", "bench", *SMALL, "generator=ldn"]
    real = subprocess.run(
        command, cwd=folders.home, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (copied.code, copied.output) == (real.returncode, real.stdout + real.stderr)
    assert copied.code == 1 and "generator has no 'ldn'" in copied.output


def test_a_run_of_its_own_reads_its_own_settings(laboratory: Laboratory) -> None:
    assert laboratory.run("--help").code == 0
    laboratory.empty()
    done = laboratory.run("dataset.n_train=-1")
    assert done.code == 1 and "n_train" in done.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_signal_at_a_step_gives_the_code_of_the_command_line(laboratory: Laboratory, number: int, code: int) -> None:
    laboratory.empty()
    done = laboratory.run(at=18, number=number)
    assert done.code == code, done.output
    assert len(done.steps) >= 18 and all(re.match(r"(open|os\.\w+) /", step) for step in done.steps)
    assert code < 0 or "the same command goes on from there" in done.output
