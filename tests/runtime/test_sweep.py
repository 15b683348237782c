"""A sweep with a failed job ends with an exit code above 0 and names the job, whoever launches it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus

from bench.runtime.sweep import Collected, JobFailed, name_failed
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


class Losing:
    """A launcher whose second batch never comes back, as when a job is killed or runs out of memory."""

    def launch(self, job_overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        if initial_job_idx:
            raise RuntimeError("job 7 was killed")
        return [JobReturn(overrides=each, status=JobStatus.COMPLETED) for each in job_overrides]


def test_a_job_that_never_came_back_is_named(caplog: pytest.LogCaptureFixture) -> None:
    collected = Collected(Losing())  # type: ignore[arg-type]
    assert [*collected.launch([["seed=0"]], 0), *collected.launch([["seed=1"], ["seed=2"]], 1)] == []
    assert name_failed(collected.results) == 1
    assert "2 of 3 jobs failed" in caplog.text and "seed=0" not in caplog.text
    assert "seed=2: not known to have finished: RuntimeError: job 7 was killed" in caplog.text


def test_the_highest_exit_code_counts_and_survives_the_way_between_processes() -> None:
    failed = pickle.loads(pickle.dumps(JobFailed("in use by process 7", 75)))
    assert (str(failed), failed.code) == ("in use by process 7", 75)
    results = [JobReturn(overrides=[], status=JobStatus.FAILED, _return_value=each) for each in (failed, ValueError())]
    assert name_failed(results) == 75 and name_failed([]) == 0
