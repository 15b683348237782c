"""A sweep with a failed job ends with an exit code above 0 and names the job, whoever launches it."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hydra.conf import HydraConf
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf

from bench.api import BenchError, Metric
from bench.runtime.objective import Objective
from bench.runtime.submitit_jobs import failure
from bench.runtime.sweep import GRID, Collected, JobFailed, Lost, prepared, signals_pass, told
from bench.runtime.sweep_folders import Folders
from bench.runtime.sweep_table import Row, sweep_table
from bench.storage.record import Failure, MetricRow, Record, ScoreRow
from tests.conftest import ROOT

LAUNCHERS = {
    "basic": ["hydra.sweeper.max_batch_size=1"],  # a failure in one batch must not stop the next
    "joblib": ["hydra/launcher=processes", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=local"],
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


def last(found: subprocess.CompletedProcess[str], lines: int) -> list[str]:
    return found.stdout.splitlines()[-lines:]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_failed_jobs_are_named_and_the_others_run(launcher: str, cache: Path, tmp_path: Path) -> None:
    found = sweep(tmp_path, cache, *LAUNCHERS[launcher], "generator=folder,noise,parquet")
    said = found.stdout + found.stderr
    assert found.returncode == 1, said
    header, folder, noise, parquet, end = last(found, 5)
    assert re.match(r"generator +status +fd ↓ radiomics +.* reason$", header)
    for line, name in ((folder, "folder"), (parquet, "parquet")):
        assert re.match(rf"{name} +failed  .*generator.path is not set", line)
    assert re.match(r"noise +ok +[\d.e+]+ \[[\d.e+]+, [\d.e+]+\]", noise)
    assert end == "2 of 3 jobs failed"
    assert (tmp_path / "runs" / "phantom" / "noise" / "seed=0" / "run.json").exists()
    logs = [path.read_text() for path in (tmp_path / "runs").glob(".submitit/*/*_log.out")]
    ended = [len([log for log in logs if text in log]) for text in ("triggered an exception", "completed successfully")]
    assert ended == ([2, 1] if launcher == "submitit" else [0, 0])


def test_a_grid_whose_jobs_share_a_folder_ends_before_any_run_whatever_its_batches(cache: Path, tmp_path: Path) -> None:
    found = sweep(tmp_path, cache, "hydra.sweeper.max_batch_size=1", "generator=noise", "evaluation_seed=0,1")
    said = found.stdout + found.stderr
    assert found.returncode == 1 and not list(tmp_path.iterdir()), said
    assert "bench: jobs 0 (evaluation_seed=0) and 1 (evaluation_seed=1) of this sweep both write " in said


def test_a_setting_of_the_generator_makes_runs_of_their_own(cache: Path, tmp_path: Path) -> None:
    found = sweep(
        tmp_path, cache, "hydra/launcher=processes", "hydra.launcher.n_jobs=1", "generator=pca", "sweep=sizes",
        "generator.components=2,3",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    runs = sorted((tmp_path / "runs").glob("*/*/seed=*/run.json"))
    assert [path.parts[-3] for path in runs] == ["pca-components=2", "pca-components=3"]
    assert [json.loads(path.read_text())["config"]["sweep"] for path in runs] == ["sizes", "sizes"]
    header, *jobs, end = last(found, 4)
    assert header.startswith("generator.components  status  fd ↓ radiomics")
    for line, path in zip(jobs, runs, strict=True):
        scores = json.loads((path.parent / "scores" / "fidelity.json").read_text())["scores"]
        fd = next(each for each in scores if each["metric"] == "fd" and each["group"] == "all")
        assert f"{fd['value']:.4g} [{fd['low']:.4g}, {fd['high']:.4g}]" in line
    assert end == "2 jobs, none failed"


class Losing:
    """A launcher whose second batch never comes back, as when a job is killed or runs out of memory."""

    def launch(self, job_overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        if initial_job_idx:
            raise RuntimeError("job 7 was killed")
        failed = JobReturn(status=JobStatus.FAILED, _return_value=JobFailed("folder in use", 75))
        return [failed for _ in job_overrides]


class Composing:
    """A loader whose jobs write the folders that real ones do; ``seed=x`` is judged wrong."""

    def load_sweep_config(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        given = OmegaConf.from_dotlist([each.lstrip("+") for each in sweep_overrides])
        if given.get("seed") == "x":
            raise BenchError("seed is 'x', needed a whole number")
        node = OmegaConf.structured(HydraConf())
        node.sweep.dir, node.sweep.subdir = "runs", "${name}/seed=${seed}"
        defaults = {"name": "noise", "seed": 0, "evaluation_seed": 0, "hydra": node}
        return OmegaConf.merge(OmegaConf.create(defaults), given)


def collected(launcher: Any, config: Any, objective: Objective | None = None) -> Collected:
    return Collected(launcher, config, Folders(Composing(), config), objective)  # type: ignore[arg-type]


def configuration(**changes: Any) -> Any:
    sweeper = {"_target_": GRID} | changes.pop("sweeper", {})
    fields = {"dry_run": False, "allow": [], "objective": None, "sweep": None, "encoder": {"pixels": {}}}
    fields["evaluator"] = {"fidelity": {"_target_": "evaluators.fidelity.evaluator.Fidelity"}}
    return OmegaConf.create({**fields, **changes, "hydra": {"sweeper": sweeper, "overrides": {"task": ["seed=0,1"]}}})


def test_a_job_that_never_came_back_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    made = collected(Losing(), configuration())
    assert [*made.launch([["seed=0"]], 0), *made.launch([["seed=1"], ["seed=2"]], 1)] == []
    assert told(made.results, None) == 75
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [["0", "failed"], ["1", "lost"], ["2", "lost"]]
    assert "not known to have finished: RuntimeError: job 7 was killed" in lines[4]
    assert lines[-1] == "3 of 3 jobs failed"


def test_jobs_of_a_sweep_know_its_name_which_is_that_of_its_command_line() -> None:
    named = collected(Losing(), configuration())._named(["seed=0"])
    assert re.fullmatch(r"sweep=[0-9a-f]{8}", named[1]) and named[0] == "seed=0"
    assert collected(Losing(), configuration())._named(["seed=1"])[1] == named[1]
    assert collected(Losing(), configuration(sweep="mine"))._named(["seed=0"]) == ("seed=0",)


class Counting:
    """A launcher whose jobs give the number of their place among all that were started."""

    def __init__(self) -> None:
        self.started: list[tuple[str, ...]] = []

    def launch(self, job_overrides: list[tuple[str, ...]], initial_job_idx: int) -> list[JobReturn]:
        self.started += [each[:-1] for each in job_overrides]  # without the name of the sweep
        places = range(len(self.started) - len(job_overrides), len(self.started))
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=float(place)) for place in places]


def test_jobs_that_would_write_one_folder_are_refused_before_any_starts() -> None:
    made = collected(Counting(), configuration())
    with pytest.raises(BenchError, match=r"jobs 0 \(evaluation_seed=0\) and 2 \(evaluation_seed=1\)") as refused:
        made.judge([["seed=0", "evaluation_seed=0"], ["seed=1", "evaluation_seed=0"], ["seed=0", "evaluation_seed=1"]])
    assert str(Path("runs/noise/seed=0").absolute()) in str(refused.value)
    assert "add 'name=${hydra:runtime.choices.generator}_${evaluation_seed}'" in str(refused.value)
    with pytest.raises(BenchError, match="their settings have the same values; leave one of them out"):
        collected(Counting(), configuration()).judge([["evaluation_seed=2"], ["evaluation_seed=+2"]])
    with pytest.raises(BenchError, match=r"start each alone, with name=\.\.\. of its own") as refused:
        collected(Counting(), configuration()).judge([["+generator.token=a"], ["+generator.token=b"]])
    names = [["name=n_${evaluation_seed}", f"evaluation_seed={each}"] for each in (0, 1)]
    collected(Counting(), configuration()).judge(names)


def test_a_trial_that_cannot_be_is_failed_and_the_others_of_its_batch_run() -> None:
    launcher = Counting()
    made = collected(launcher, optimiser())
    batch = [["seed=1"], ["seed=x"], ["seed=1", "evaluation_seed=7"], ["seed=2"], ["seed=1"]]
    first, wrong, other, second, again = made.launch(batch, 0)
    assert launcher.started == [("seed=1",), ("seed=2",)]
    assert [each._return_value for each in (first, second, again)] == [0.0, 1.0, 0.0]
    assert [each.overrides for each in made.results] == batch
    assert wrong.status == other.status == JobStatus.FAILED
    assert type(wrong._return_value) is JobFailed and str(wrong._return_value) == "seed is 'x', needed a whole number"
    assert re.match(r"jobs 0 \(without these settings\) and \d \(evaluation_seed=7\)", str(other._return_value))
    (later,) = made.launch([["seed=2"]], 5)
    assert later.status == JobStatus.COMPLETED and launcher.started[-1] == ("seed=2",)


def test_a_finished_job_without_a_record_is_not_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = collected(Refusing(tmp_path), configuration())
    made.launch([["seed=0"]], 0)
    assert told(made.results, None) == 1
    said = capsys.readouterr().out
    assert re.search(r"^no record +\S.* holds no run\.json", said, re.MULTILINE)
    assert said.splitlines()[-1] == "1 of 1 jobs failed"


def test_exit_codes_survive_the_way_between_processes() -> None:
    failed = pickle.loads(pickle.dumps(JobFailed("in use by process 7", 75)))
    assert (str(failed), failed.code) == ("in use by process 7", 75)


TRACE = """Job (task=0) failed during processing with trace:
----------------------
Traceback (most recent call last):
  File "job.py", line 1, in <module>
{raised}

----------------------
You can use `submitted job = ...` to debug
"""


def test_what_submitit_says_of_a_failed_job_is_read() -> None:
    raised = "bench.runtime.sweep.JobFailed: two lines\nof a reason\nexit code 75"
    found = failure(TRACE.format(raised=raised), "3_0")
    assert (str(found), found.code) == ("two lines\nof a reason", 75)
    late = "submitit.core.utils.UncompletedJobError: Job not requeued because: timed-out too many times."
    assert "timed-out too many times; " in str(failure(TRACE.format(raised=late), "3_0"))
    assert "hydra.launcher.max_num_timeout" in str(failure(TRACE.format(raised=late), "3_0"))
    lost = failure("Job 3_0 (task: 0) with path x has not produced any output (state: OUT_OF_MEMORY)", "3_0")
    assert isinstance(lost, Lost) and "OUT_OF_MEMORY" in str(lost)


class TooLate(RuntimeError):
    """What submitit raises in its signal handler."""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_signal_handler_raises_passes_every_except(number: signal.Signals) -> None:
    def late(*_: object) -> None:
        raise TooLate("timed-out too many times")

    before = signal.signal(number, late)
    try:
        with pytest.raises(TooLate), signals_pass():
            try:
                os.kill(os.getpid(), number)
                time.sleep(1)
            except Exception:
                pytest.fail("a stage of the run took the signal for an error of its own")
        assert signal.getsignal(number) is late
    finally:
        signal.signal(number, before)


def optimiser(**changes: Any) -> Any:
    return configuration(objective="fidelity/fd/pixels", sweeper={"_target_": "optuna", **changes})


@pytest.mark.parametrize(("objective", "direction"), [("fidelity/fd", "minimize"), ("fidelity/coverage", "maximize")])
def test_the_direction_follows_from_the_metric(objective: str, direction: str) -> None:
    config = configuration(objective=objective, sweeper={"_target_": "optuna", "direction": None})
    assert prepared(config) is not None
    assert config.hydra.sweeper.direction == direction


def test_a_direction_that_contradicts_the_metric_is_refused() -> None:
    config = configuration(objective="fidelity/fd", sweeper={"_target_": "optuna", "direction": "maximize"})
    with pytest.raises(CompactHydraException, match="direction=maximize contradicts objective=fidelity/fd"):
        prepared(config)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"objective": None}, "needs a value of every run"),
        ({"objective": "fidelity/fd", "dry_run": True}, "a dry run gives no values"),
        ({"objective": "fidelity/fdd"}, "has no metric 'fdd'"),
    ],
)
def test_an_optimiser_without_values_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CompactHydraException, match=reason):
        prepared(configuration(**changes, sweeper={"_target_": "optuna"}))


class Refusing:
    """A launcher of one job that ended well and whose score was refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def launch(self, job_overrides: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        place = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(self.folder)}}})
        config = OmegaConf.create({"dry_run": False})
        done = {"cfg": config, "hydra_cfg": place, "status": JobStatus.COMPLETED}
        return [JobReturn(**done, _return_value=float("nan")) for _ in job_overrides]


def test_a_refused_score_is_told_to_an_optimiser_as_a_failed_trial_and_to_people_as_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.runtime.sweep_table.read_records", lambda _: {"fidelity": record("3 images")})
    metric = Metric(key="fd", title="", better="lower", reference="")
    objective = Objective("fidelity/fd/radiomics", "fidelity", metric, "radiomics", "all")
    config = configuration(objective=objective.text, sweeper={"_target_": "optuna"})
    made = collected(Refusing(tmp_path), config, objective)
    (found,) = made.launch([["seed=0"]], 0)
    assert found.status == JobStatus.FAILED
    assert str(found._return_value) == "fidelity/fd/radiomics was refused: 3 images"
    assert told(made.results, objective) == 0
    said = capsys.readouterr().out
    assert re.search(r"^refused .* fidelity/fd/radiomics was refused: 3 images$", said, re.MULTILINE)
    assert said.splitlines()[-1] == "1 jobs, none failed"


def record(distance: float | str, **changes: Any) -> Record:
    metrics = [MetricRow(key="fd", title="", better="lower", reference="", role="headline")]
    refused = {"value": None, "low": None, "high": None, "reason": distance}
    measured = {"value": distance, "low": 0.0, "high": 99.0}
    fields = refused if isinstance(distance, str) else measured
    scores = [ScoreRow(metric="fd", n=9, encoder=each, **fields) for each in ("radiomics", "pixels")]
    made = {"schema": 1, "evaluator": "fidelity", "status": "ok", "protocol": {}, "key": {}, "metrics": metrics}
    return Record(**{**made, "scores": scores, **changes})


def test_the_table_has_what_differs_and_each_headline_once() -> None:
    broken = Failure(type="ValueError", message="singular", traceback="")
    failed = record(1.0, scores=[], status="failed", error=broken)
    rows = [
        Row({"seed": "0", "generator": "pca", "generator.rate": "0.1"}, "ok", records={"fidelity": record(11.25)}),
        Row({"seed": "0", "generator": "ldm"}, "failed", "no\n  weights"),
        Row({"seed": "0", "generator": "pca", "generator.rate": "0.2"}, "ok", records={"fidelity": failed}),
    ]
    assert sweep_table(rows).splitlines() == [
        "generator  generator.rate  status  fd ↓ radiomics  reason",
        "pca        0.1             ok      11.25 [0, 99]",
        "ldm                        failed                  no weights",
        "pca        0.2             ok      failed",
    ]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="Optuna is not installed")
def test_a_study_of_six_trials_is_told_what_the_records_say(cache: Path, tmp_path: Path) -> None:
    found = sweep(
        tmp_path, cache, "generator=pca", "hydra/sweeper=study", "objective=fidelity/fd/radiomics",
        "hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.study_name=six",
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db",
        "generator.components=range(1,60)", "requests.fidelity=choice(120,3)",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    import optuna

    study = optuna.load_study(study_name="six", storage=f"sqlite:///{tmp_path}/study.db")
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    states = {optuna.trial.TrialState.COMPLETE: 0, optuna.trial.TrialState.FAIL: 0}
    for trial in study.trials:
        folder = tmp_path / "runs" / "phantom" / f"pca-components={trial.params['generator.components']}" / "seed=0"
        scores = json.loads((folder / "scores" / "fidelity.json").read_text())["scores"]
        named = [each for each in scores if (each["metric"], each["group"]) == ("fd", "all")]
        assert trial.value == named[0]["value"]
        assert (trial.value is None) == (trial.params["requests.fidelity"] == 3)
        states[trial.state] += 1
    assert sum(states.values()) == 6 and min(states.values()) > 0
    refused = [line for line in last(found, 7) if "was refused: 3 images; 50 are needed" in line]
    assert len(refused) == states[optuna.trial.TrialState.FAIL]


def test_a_study_whose_objective_is_not_configured_ends_before_any_run(cache: Path, tmp_path: Path) -> None:
    found = sweep(tmp_path, cache, "generator=pca", "hydra/sweeper=study", "objective=fidelity/fd/small_cnn")
    said = found.stdout + found.stderr
    assert found.returncode == 1
    assert "encoder 'small_cnn' is not configured; this run has ['pixels', 'radiomics']" in said
    assert "Traceback" not in said and not (tmp_path / "runs").exists()


slurm = pytest.mark.skipif(
    shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode != 0,
    reason="no Slurm answers here (sinfo)",
)


@pytest.mark.slow
@slurm
def test_a_failed_job_of_an_array_fails_for_slurm(cache: Path, tmp_path: Path) -> None:
    found = sweep(tmp_path, cache, "hydra/launcher=slurm", "generator=noise,folder")
    assert found.returncode == 1, found.stdout + found.stderr
    job = next((tmp_path / "runs" / ".submitit").glob("*_1")).name
    said = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout
    assert "JobState=FAILED" in said and "ExitCode=1:0" in said
    assert (tmp_path / "runs" / "phantom" / "noise" / "seed=0" / "run.json").exists()
