"""A sweep with a failed job ends with an exit code above 0 and names the job, whoever launches it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LAUNCHERS = {
    "basic": ["hydra.sweeper.max_batch_size=1"],  # a failure in one batch must not stop the next
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local"],
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data and features shared by the tests of this file."""
    return tmp_path_factory.mktemp("cache")


def sweep(folder: Path, cache: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    shared = ["experiment=smoke", "wandb.mode=disabled", "evaluator=[fidelity]", f"cache={cache}"]
    arguments = [sys.executable, "-m", "bench", "-m", *shared, *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_failed_jobs_are_named_and_the_others_run(launcher: str, cache: Path, tmp_path: Path) -> None:
    found = sweep(tmp_path, cache, *LAUNCHERS[launcher], "generator=folder,noise,parquet")
    said = found.stdout + found.stderr
    assert found.returncode == 1, said
    assert "2 of 3 jobs failed" in said
    for failed in ("folder", "parquet"):
        line = next(each for each in reversed(said.splitlines()) if f"generator={failed}" in each)
        assert "generator.path is not set" in line
    assert (tmp_path / "runs" / "phantom" / "noise" / "seed=0" / "run.json").exists()
    assert "Traceback" not in said


def test_a_sweep_without_a_failure_ends_with_0(cache: Path, tmp_path: Path) -> None:
    found = sweep(tmp_path, cache, "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "generator=noise", "seed=0,1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert len(list((tmp_path / "runs").glob("*/*/seed=*/run.json"))) == 2
