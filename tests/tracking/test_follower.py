"""A training at W&B as it goes on: each point once, ended as the training ends, and never waited for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.tracking.client import Destination
from bench.tracking.follower import FollowedTraining, Follower, followed, training_run
from tests.conftest import ROOT
from tests.tracking.runs import CONFIG, OFFLINE
from tests.tracking.wandb_file import only_run, read_run


def write_history(folder: Path, *steps: int, stage: str = "diffusion") -> None:
    folder.mkdir(exist_ok=True)
    rows = [f"{stage},{step},{term},{1 / step}" for step in steps for term in ("error", "divergence")]
    (folder / "history.csv").write_text("\n".join(["stage,step,term,value", *rows]) + "\n")


def sent_by(training: FollowedTraining, *, broken: bool = False) -> tuple[Follower, list[dict[str, Any]]]:
    """A follower whose W&B run is a list."""
    found: list[dict[str, Any]] = []

    def log(content: dict[str, Any]) -> None:
        if broken:
            raise ConnectionError("planted")
        found.append(content)

    follower = Follower(training, Destination("offline", "toy"))
    run = SimpleNamespace(log=log, finish=lambda exit_code: None, define_metric=lambda *_, **__: None, summary={})
    follower.__dict__["_run"] = run
    return follower, found


def test_a_follower_sends_each_point_and_picture_once(tmp_path: Path) -> None:
    training = FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=True)
    write_history(training.folder, 2, 4)
    (training.folder / "strip.png").write_bytes((ROOT / "tests").name.encode())
    follower, found = sent_by(training)
    with pytest.MonkeyPatch.context() as patch:
        import wandb

        patch.setattr(wandb, "Image", lambda path: Path(path).read_bytes())
        follower.look()
        assert found == [
            {"diffusion/step": 2, "diffusion/error": 0.5, "diffusion/divergence": 0.5},
            {"diffusion/step": 4, "diffusion/error": 0.25, "diffusion/divergence": 0.25},
            {"strip": b"tests"},
        ]
        follower.look()
        assert len(found) == 3
        # killed, and the training went back to its checkpoint and on
        write_history(training.folder, 2)
        again, later = sent_by(training)
        again.look()
        assert later == []
        write_history(training.folder, 2, 4, 8)
        (training.folder / "strip.png").write_bytes(b"changed")
        again.finish("finished")
    assert [each.get("diffusion/step") for each in later] == [8, None] and later[-1] == {"strip": b"changed"}


def test_what_could_not_be_sent_is_sent_the_next_time(tmp_path: Path) -> None:
    training = FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=False)
    write_history(training.folder, 2)
    with pytest.raises(ConnectionError):
        sent_by(training, broken=True)[0].look()
    follower, found = sent_by(training)
    follower.look()
    assert len(found) == 1


def test_pictures_that_must_not_be_shown_are_not_sent(tmp_path: Path) -> None:
    training = FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=False)
    write_history(training.folder, 2)
    (training.folder / "strip.png").write_bytes(b"a patient")
    follower, found = sent_by(training)
    follower.finish("finished")
    assert [*found[0]] == ["diffusion/step", "diffusion/error", "diffusion/divergence"] and len(found) == 1


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def sent_of(folder: Path) -> dict[str, int]:
    path = folder / "tracking.json"
    return json.loads(path.read_text())["steps"] if path.exists() else {}


def test_a_training_is_followed_offline_and_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    monkeypatch.setenv("WANDB_RUN_ID", "agent7")
    fit, home = tmp_path / "ldm-0123", tmp_path / "run"
    home.mkdir()
    begin = time.monotonic()
    training = FollowedTraining(fit, home, "toy", pictures=True, config={**CONFIG, "name": "ldm"})
    with followed(training, OFFLINE):
        assert training_run(fit) is None, "nothing is to be sent yet"
        write_history(fit, 2, 4)
        took = time.monotonic() - begin
    assert took < 1 and time.monotonic() - begin < 1, "nobody waits for the child"
    assert training_run(fit) == "training-ldm-0123"
    until(lambda: any(read_run(path).code == 0 for path in home.glob("wandb/offline-run-*/*.wandb")))
    assert sent_of(fit) == {"diffusion": 4}
    logged = only_run(home)
    assert logged.run.run_id == "training-ldm-0123" and logged.run.sweep_id == "", "it is no run of the sweep"
    assert (logged.run.run_group, logged.run.job_type) == ("sweep7", "training")
    assert list(logged.run.tags) == ["toy", "ldm", "trial"]
    assert logged.config["generator"] == {"rate": 0.001} and logged.config["scoring_run"] == "agent7"
    assert logged.metrics["diffusion/*"].step_metric == "diffusion/step"
    assert [row["diffusion/step"] for row in logged.history] == [2, 4] and logged.summary["status"] == "finished"
    until(lambda: not list(home.glob("wandb/staging-*")))


def test_a_training_that_fails_is_told_so(tmp_path: Path) -> None:
    fit, home = tmp_path / "ldm-0123", tmp_path / "run"
    home.mkdir()
    with (
        pytest.raises(ValueError, match="planted"),
        followed(FollowedTraining(fit, home, "toy", pictures=False), OFFLINE),
    ):
        write_history(fit, 2)
        raise ValueError("planted")
    until(lambda: any(read_run(path).code == 1 for path in home.glob("wandb/offline-run-*/*.wandb")))
    assert only_run(home).summary["status"] == "failed"


DYING = """
import os, signal, sys
from pathlib import Path
from bench.tracking.follower import FollowedTraining, followed
from tests.tracking.runs import OFFLINE
from tests.tracking.test_follower import write_history

fit = Path(sys.argv[1])
with followed(FollowedTraining(fit, fit.parent, "toy", pictures=False), OFFLINE):
    write_history(fit, 3)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_training_that_is_killed_takes_its_follower_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DYING, str(tmp_path / "fit")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    until(lambda: any(read_run(path).code == 1 for path in tmp_path.glob("wandb/offline-run-*/*.wandb")))
    assert sent_of(tmp_path / "fit") == {"diffusion": 3} and only_run(tmp_path).summary["status"] == "interrupted"


def test_nothing_to_send_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    start = subprocess.Popen

    def note(*arguments: Any, **options: Any) -> Any:
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", note)
    (tmp_path / "fit").mkdir()
    with followed(FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=True), OFFLINE):
        pass
    assert started[0].wait(60) == 0 and not list(tmp_path.glob("**/wandb"))
    with followed(FollowedTraining(tmp_path, tmp_path, "toy", pictures=True), {**OFFLINE, "mode": "disabled"}):
        pass
    assert len(started) == 1, "no training is followed where W&B is disabled"


def test_a_follower_that_fails_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with followed(FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=True), {**OFFLINE, "mode": "online"}):
        write_history(tmp_path / "fit", 2)
    until(lambda: "W&B did not follow the training to its end (no W&B API key" in caplog.text)
    assert sent_of(tmp_path / "fit") == {}
