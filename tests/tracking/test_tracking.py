"""W&B gets a copy of the record, offline without a question, and never twice."""

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

from bench.storage.files import file_digest, write_json
from bench.storage.image_reader import contact_sheet
from bench.storage.record import SCHEMA, Cost, Entry, MetricRow, Record, RunRecord, ScoreRow
from bench.tracking.follower import FollowedTraining, Follower, followed
from bench.tracking.publication import publish
from tests.conftest import ROOT
from tests.toy import draw

OFFLINE = {"mode": "offline", "project": "toy", "entity": None, "tags": ["trial"], "timeout_seconds": 100}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run folder with one record, curves and a contact sheet."""
    import numpy as np

    score = ScoreRow(metric="kid", value=0.1, low=0.0, high=0.2, n=24, encoder="radiomics")
    record = Record(
        schema=SCHEMA,
        evaluator="fidelity",
        status="ok",
        protocol={},
        key={},
        metrics=[MetricRow(key="kid", title="Kernel distance", better="lower", reference="arXiv:1801.01401")],
        scores=[score],
    )
    write_json(tmp_path / "scores" / "fidelity.json", record.model_dump(by_alias=True))
    digest = file_digest(tmp_path / "scores" / "fidelity.json")
    run = RunRecord(
        schema=SCHEMA,
        status="ok",
        dataset="toy",
        generator="noise",
        control="floor",
        shows_real=False,
        seed=0,
        config={"seed": 0},
        digests={"images": "0123456789abcdef"},
        images={"asked": 24},
        info={"redistributable": True},
        facts={},
        evaluators={"fidelity": Entry(status="ok", file="scores/fidelity.json", sha256=digest, seconds=1)},
        provenance={},
        cost=Cost(fit_seconds=None, sample_seconds=1, peak_memory_mb=1),
    )
    write_json(tmp_path / "run.json", run.model_dump(mode="json", by_alias=True))
    (tmp_path / "history.csv").write_text("stage,step,term,value\nautoencoder,1,total,0.5\nautoencoder,2,total,0.25\n")
    rng = np.random.default_rng(0)
    (tmp_path / "sheet.png").write_bytes(contact_sheet(np.stack([draw(rng, 1, 32) for _ in range(4)])))
    return tmp_path


def test_offline_needs_no_account_and_is_done_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    publish(finished, OFFLINE)
    logged = list((finished / "wandb").glob("offline-run-*/*.wandb"))
    assert len(logged) == 1 and logged[0].stat().st_size > 1000
    content = logged[0].read_bytes()
    for expected in (b"fidelity/kid/radiomics", b"autoencoder/total", b"record-toy-noise-seed0", b"trial"):
        assert expected in content, expected
    publish(finished, OFFLINE)
    assert len(list((finished / "wandb").glob("offline-run-*"))) == 1


def test_online_without_a_key_says_so_and_asks_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    publish(finished, {**OFFLINE, "mode": "online"})
    assert "no W&B API key" in caplog.text and "scores are safe" in caplog.text
    assert not (finished / "wandb.json").exists()


def test_disabled_does_nothing(finished: Path) -> None:
    before = sorted(finished.rglob("*"))
    publish(finished, {**OFFLINE, "mode": "disabled"})
    assert sorted(finished.rglob("*")) == before
    assert json.loads((finished / "run.json").read_text())["generator"] == "noise"


# --- a training as it goes on


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

    follower = Follower(training, {})
    follower.__dict__["_run"] = SimpleNamespace(log=log, finish=lambda: None)
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
        again.finish()
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
    follower.finish()
    assert [*found[0]] == ["diffusion/step", "diffusion/error", "diffusion/divergence"] and len(found) == 1


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def sent(folder: Path) -> dict[str, int]:
    path = folder / "tracking.json"
    return json.loads(path.read_text())["steps"] if path.exists() else {}


def test_a_training_is_followed_offline_and_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    fit, home = tmp_path / "ldm-0123", tmp_path / "run"
    home.mkdir()
    begin = time.monotonic()
    with followed(FollowedTraining(fit, home, "toy", pictures=True), OFFLINE):
        write_history(fit, 2, 4)
        took = time.monotonic() - begin
    assert took < 1 and time.monotonic() - begin < 1, "nobody waits for the child"
    until(lambda: sent(fit) == {"diffusion": 4})
    until(
        lambda: any(b"diffusion/divergence" in path.read_bytes() for path in home.glob("wandb/offline-run-*/*.wandb"))
    )
    (logged,) = home.glob("wandb/offline-run-*/*.wandb")
    assert logged.name == "run-training-ldm-0123.wandb"
    assert all(each in logged.read_bytes() for each in (b"training", b"toy", b"trial"))


DYING = """
import os, signal, sys
from pathlib import Path
from bench.tracking.follower import FollowedTraining, followed
from tests.tracking.test_tracking import OFFLINE, write_history

fit = Path(sys.argv[1])
with followed(FollowedTraining(fit, fit.parent, "toy", pictures=False), OFFLINE):
    write_history(fit, 3)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_training_that_is_killed_takes_its_follower_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DYING, str(tmp_path / "fit")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    until(lambda: sent(tmp_path / "fit") == {"diffusion": 3})


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


def test_a_follower_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with followed(FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=True), {**OFFLINE, "mode": "online"}):
        write_history(tmp_path / "fit", 2)
    until(lambda: "W&B did not follow the training to its end (no W&B API key" in caplog.text)
    assert not (tmp_path / "fit" / "tracking.json").exists()
