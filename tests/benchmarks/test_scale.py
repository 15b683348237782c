"""Memory stays bounded from the files of a data set to the record of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.scale import Spent, memory, rates, slope
from tests.conftest import ROOT


def test_what_a_further_image_added_counts_real_and_generated_ones() -> None:
    assert slope([2000, 8000], [100.0, 100.0 + 12]) == 12 * 2**20 / 12000


def test_tables_say_what_was_measured() -> None:
    runs = {2000: [Spent("loading", 2000, 4.0, 3.0, 100, 150)], 8000: [Spent("loading", 8000, 16.0, 9.0, 112, 174)]}
    assert rates(runs[8000]).splitlines()[-1] == "| loading | 8,000 | 500 | 889 | 0.31 |"
    assert memory(runs).splitlines()[-1] == "| loading | 100 | 112 | 1,049 | 2,097 |"


def stages(images: int) -> dict[str, Spent]:
    command = [sys.executable, "-m", "benchmarks.scale", "--alone", "--images", str(images)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return {each["stage"]: Spent(**each) for each in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.slow
def test_a_further_image_adds_little_to_any_stage() -> None:
    """Under 4 GiB for 474,000 images: (4 GiB - 0.5 GiB before any image) / 474,000 is 7,900 bytes; a third of it."""
    few, many = stages(2000), stages(10_000)
    added = {name: slope([2000, 10_000], [few[name].private, many[name].private]) for name in many}
    assert max(added.values()) < 2600, added
