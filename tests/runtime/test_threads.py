"""``threads`` is the number of threads that are used, whatever the machine has and whatever is imported already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.runtime.threads import VARIABLES
from tests.conftest import ROOT

SCRIPT = """
import atexit, json, sys
from threadpoolctl import threadpool_info
import bench.__main__

def tell():
    import numpy, scipy.linalg, torch
    found = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
    print(json.dumps({**found, "torch": torch.get_num_threads()}))

atexit.register(tell)
sys.argv = ["bench", "experiment=smoke", "generator=noise", "dry_run=true", *sys.argv[1:]]
bench.__main__.main()
"""


@pytest.mark.parametrize("count", [1, 2])
def test_as_many_as_are_set_and_no_more(count: int, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", SCRIPT, f"threads={count}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 3 and set(found.values()) == {count}, found
