"""W&B gets a copy of what a run left: offline without a question, never twice, no more than may be passed on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.api import BenchError
from bench.storage.agreement import shared, short_digest
from bench.storage.files import write_json
from bench.tracking import sending
from bench.tracking.follower import FollowedTraining, followed
from bench.tracking.publication import publish, publish_stop, reason_for_others
from tests.conftest import ROOT
from tests.tracking.runs import CONFIG, OFFLINE, PROTOCOL, run_folder, write_curves
from tests.tracking.stand_in_server import stand_in_server
from tests.tracking.wandb_file import LoggedRun, only_run, places, records


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LoggedRun]:
    """A run of which one evaluator failed, sent offline, and what was sent."""
    folder = run_folder(tmp_path_factory.mktemp("sent") / "run", failing=True)
    fit = folder.parent / "ldm-0123"
    fit.mkdir()
    write_curves(fit)
    write_json(fit / "tracking.json", {"steps": {}, "pictures": {}})
    home = folder.parent / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.delenv("WANDB_API_KEY", raising=False)
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        publish(folder, OFFLINE, fit)
    return folder, only_run(folder)


def test_a_run_is_named_grouped_and_tagged(sent: tuple[Path, LoggedRun]) -> None:
    run = sent[1].run
    assert (run.project, run.run_group, run.job_type, run.display_name) == ("toy", "toy", "control", "toy-noise-seed0")
    assert list(run.tags) == ["toy", "noise", "trial"]
    assert run.run_id == json.loads((sent[0] / "wandb.json").read_text())["id"]


def test_the_configuration_has_the_protocol_and_the_training(sent: tuple[Path, LoggedRun]) -> None:
    config = sent[1].config
    assert config["generator"] == {"rate": 0.001} and config["digests"]["split"] == "390f86375dfec759"
    assert config["protocol"]["fidelity"] == short_digest(shared(PROTOCOL))
    assert len(config["conformance"]["fidelity"]) == 8 and config["training_run"] == "training-ldm-0123"


def test_scores_stand_under_their_protocol(sent: tuple[Path, LoggedRun]) -> None:
    summary = sent[1].summary
    key = f"fidelity@{short_digest(shared(PROTOCOL))}/kid/radiomics@{short_digest('radiomics-1')}"
    assert [summary[key], summary[f"{key}/low"], summary[f"{key}/high"], summary[f"{key}/n"]] == [0.1, 0.0, 0.2, 24]
    assert summary["objective"] == 0.1 and "fidelity/kid/radiomics" not in summary


def test_a_failed_evaluator_fails_the_run_with_its_reason(sent: tuple[Path, LoggedRun]) -> None:
    summary = sent[1].summary
    assert sent[1].code == 1 and summary["status"] == "failed" and summary["reason"] == "failed: privacy"
    assert summary["status/fidelity"] == "ok" and summary["status/privacy"] == "failed"
    assert summary["reason/privacy"] == "ValueError: planted"
    assert summary["cost/sample_seconds"] == 1 and summary["cost/seconds/fidelity"] == 1


def test_each_stage_has_its_own_steps(sent: tuple[Path, LoggedRun]) -> None:
    logged = sent[1]
    for stage, steps in (("autoencoder", [2, 4]), ("diffusion", [5, 10])):
        assert logged.metrics[f"{stage}/*"].step_metric == f"{stage}/step"
        assert [row[f"{stage}/step"] for row in logged.history if f"{stage}/total" in row] == steps
        assert logged.summary[f"{stage}/total"] == {"min": 1 / steps[1], "last": 1 / steps[1]}


def test_the_table_of_scores_has_the_protocol(sent: tuple[Path, LoggedRun]) -> None:
    table = sent[1].table("scores")
    (row,) = (dict(zip(table["columns"], row, strict=True)) for row in table["data"])
    assert row["protocol"] == short_digest(shared(PROTOCOL)) and row["value"] == 0.1 and row["encoder"] == "radiomics"


def test_the_artifact_says_what_it_is_and_no_copy_of_it_is_made(sent: tuple[Path, LoggedRun]) -> None:
    folder, logged = sent
    artifact = logged.artifacts["record-toy-noise-seed0"]
    metadata = json.loads(artifact.metadata)
    assert metadata["protocol"]["fidelity"] == short_digest(shared(PROTOCOL))
    assert (metadata["dataset"], metadata["generator"], metadata["seed"]) == ("toy", "noise", 0)
    names = ["run.json", "scores/fidelity.json", "scores/privacy.json"]
    assert places(artifact) == {name: folder / name for name in names}


def test_what_is_to_be_synced_later_is_there_and_nothing_is_in_the_home(sent: tuple[Path, LoggedRun]) -> None:
    folder, logged = sent
    for artifact in logged.artifacts.values():
        for place in places(artifact).values():
            assert place.is_file() and place.is_relative_to(folder)
    assert not [path for path in (folder.parent / "home").rglob("*") if path.is_file()]


def test_nothing_of_the_machine_and_its_user_is_sent(sent: tuple[Path, LoggedRun]) -> None:
    logged = sent[1]
    assert logged.run.host == "" and b"requirements.txt" not in logged.raw
    assert not [each for each in records(logged.path) if each.HasField("environment") and each.environment.host]
    for place in (sys.executable, str(ROOT)):
        assert place.encode() not in logged.raw, place


def test_a_record_is_sent_once(sent: tuple[Path, LoggedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda *words, **_: started.append(words) or SimpleNamespace(returncode=0))
    publish(sent[0], OFFLINE)
    assert not started
    book = (sent[0] / "wandb.json").read_text()
    publish(sent[0], {**OFFLINE, "project": "another"})
    assert len(started) == 1, "another project knows nothing of it"
    (sent[0] / "wandb.json").write_text(book)


@pytest.mark.parametrize(
    ("shows_real", "redistributable", "shown"), [(True, False, 0), (True, True, 1), (False, False, 1)]
)
def test_real_images_of_data_that_must_not_be_passed_on_are_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows_real: bool, redistributable: bool, shown: int
) -> None:
    import wandb

    monkeypatch.setattr(wandb, "Image", str)
    (tmp_path / "sheet.png").write_bytes(b"a patient")
    logged: list[Any] = []
    run = {"shows_real": shows_real, "info": {"redistributable": redistributable}}
    sending._samples(SimpleNamespace(log=logged.append), tmp_path, run)
    assert len(logged) == shown


# --- a run that stopped, in a sweep of W&B, and went well the second time


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LoggedRun, LoggedRun]:
    """The folder, what was sent when the run stopped, and what was sent when it had ended well."""
    folder = tmp_path_factory.mktemp("resumed") / "run"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_SWEEP_ID", "sweep7")
        patch.setenv("WANDB_RUN_ID", "agent7")
        publish_stop(folder, OFFLINE, lambda: CONFIG, "no such file")
        stopped = only_run(folder)
        publish_stop(folder, OFFLINE, lambda: CONFIG, "no such file")
        assert only_run(folder).path == stopped.path, "the same state is sent once"
    # by hand, without the agent
    run_folder(folder, failing=False)
    publish(folder, OFFLINE)
    return folder, stopped, only_run(folder)


def test_a_run_that_stopped_appears_with_its_reason(resumed: tuple[Path, LoggedRun, LoggedRun]) -> None:
    stopped = resumed[1]
    assert stopped.code == 1 and stopped.summary["status"] == "failed"
    assert stopped.summary["reason"] == "no such file" and stopped.config["generator"] == {"rate": 0.001}
    assert stopped.run.display_name == "toy-noise-seed0" and stopped.run.run_group == "sweep7"
    assert list(stopped.run.tags) == ["toy", "noise", "trial"] and stopped.run.job_type == "stopped"


def test_a_run_that_went_well_the_second_time_is_logged_as_finished(
    resumed: tuple[Path, LoggedRun, LoggedRun],
) -> None:
    folder, _, ended = resumed
    assert ended.code == 0 and ended.summary["status"] == "ok" and ended.summary["reason"] == ""
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1, "one state of a run is left to sync"
    for artifact in ended.artifacts.values():
        assert all(place.is_file() for place in places(artifact).values())


def test_a_run_of_an_agent_joins_its_sweep(resumed: tuple[Path, LoggedRun, LoggedRun]) -> None:
    for logged in resumed[1:]:
        assert (logged.run.run_id, logged.run.sweep_id) == ("agent7", "sweep7")
    assert resumed[2].summary["objective"] == 0.1


def test_a_record_that_is_there_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda *words, **_: started.append(words) or SimpleNamespace(returncode=0))
    run_folder(tmp_path, failing=False)
    publish_stop(tmp_path, OFFLINE, lambda: CONFIG, "other settings")
    assert not started
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    monkeypatch.setenv("WANDB_RUN_ID", "agent7")
    publish_stop(tmp_path, OFFLINE, lambda: CONFIG, "other settings")
    assert len(started) == 1, "a sweep waits for each of its runs"


def test_an_agent_hears_that_offline_tells_its_sweep_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    monkeypatch.setenv("WANDB_RUN_ID", "agent7")
    publish(run_folder(tmp_path, failing=False), OFFLINE)
    assert "W&B sweep sweep7 is told nothing of this run: it needs wandb.mode=online" in caplog.text


def test_nothing_that_goes_wrong_here_ends_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_config() -> dict[str, Any]:
        raise ValueError("an interpolation that leads nowhere")

    publish_stop(tmp_path, OFFLINE, broken_config, "the same")
    assert "leads nowhere" in caplog.text
    (tmp_path / "wandb.json").write_text("{")
    publish(tmp_path, OFFLINE)  # and there is no run.json
    assert "the run is not affected" in caplog.text

    def no_process(*_: Any, **__: Any) -> None:
        raise OSError("no process left")

    monkeypatch.setattr(subprocess, "Popen", no_process)
    (tmp_path / "fit").mkdir()
    with followed(FollowedTraining(tmp_path / "fit", tmp_path, "toy", pictures=False), OFFLINE):
        pass
    assert "no process left" in caplog.text


def test_online_without_a_key_says_so_and_asks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_folder(tmp_path, failing=False)
    publish(tmp_path, {**OFFLINE, "mode": "online"})
    assert "no W&B API key" in caplog.text and "scores are safe" in caplog.text
    assert "sent" not in json.loads((tmp_path / "wandb.json").read_text())


def test_online_sends_the_same_and_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, home = run_folder(tmp_path / "run", failing=True), tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    monkeypatch.setenv("WANDB_RUN_ID", "agent7")
    with stand_in_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.address)
        publish(folder, {**OFFLINE, "mode": "online"})
    assert not caplog.records
    first = server.asked["UpsertBucket"][0]
    assert (first["name"], first["sweep"], first["groupName"]) == ("agent7", "sweep7", "sweep7")
    assert not first["host"] and not first["commit"] and "/" not in first["program"]
    summary = json.loads(server.uploaded["wandb-summary.json"])
    key = f"fidelity@{short_digest(shared(PROTOCOL))}/kid/radiomics@{short_digest('radiomics-1')}"
    assert summary[key] == summary["objective"] == 0.1 and summary["status"] == "failed"
    assert server.streamed[-1]["exitcode"] == 1
    artifacts = [each["input"]["artifactCollectionName"] for each in server.asked["CreateArtifact"]]
    assert "record-toy-noise-seed0" in artifacts
    for place in (str(tmp_path), sys.executable, str(ROOT)):
        assert not any(place.encode() in content for content in server.raw), place
    assert not list(folder.glob("wandb/staging-*")) and not [path for path in home.rglob("*") if path.is_file()]
    assert json.loads((folder / "wandb.json").read_text())["sent"]["mode"] == "online"


def test_disabled_does_nothing(tmp_path: Path) -> None:
    run_folder(tmp_path, failing=False)
    before = sorted(tmp_path.rglob("*"))
    publish(tmp_path, {**OFFLINE, "mode": "disabled"})
    publish_stop(tmp_path, {**OFFLINE, "mode": "disabled"}, lambda: CONFIG, "stopped")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_a_record_cannot_be_sent_again(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bench.tracking", str(tmp_path), "--mode=offline"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1 and "holds no run.json" in done.stderr


def test_no_id_of_a_patient_is_sent_with_the_reason_of_a_stop() -> None:
    config = OmegaConf.create({"dataset": {"root": "/data", "table": {"name": "x"}}, "seed": 0})
    text = "cxr: patient-17.png is named twice: rows 3 and 9; correct dataset.table.name\n  patient 'P17': P18"
    said = reason_for_others(BenchError(text), config)
    assert said == "BenchError about dataset.table.name; bench.log of the run says more"
    assert reason_for_others(MemoryError(), config) == "MemoryError; bench.log of the run says more"


def test_a_child_is_this_project_whatever_lies_where_the_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("bench", "conf", "wandb"):
        (tmp_path / "home" / name).mkdir(parents=True)
        (tmp_path / "home" / name / "__init__.py").write_text("raise SystemExit('the code of somebody else ran')")
    monkeypatch.chdir(tmp_path / "home")
    folder = run_folder(tmp_path / "run", failing=False)
    publish(folder, OFFLINE)
    (tmp_path / "fit").mkdir()
    with followed(FollowedTraining(tmp_path / "fit", tmp_path / "fit", "toy", pictures=False), OFFLINE):
        pass
    for thread in threading.enumerate():  # the one that hears how the follower ended
        if "_outcome" in thread.name:
            thread.join(60)
    assert not caplog.records and only_run(folder).code == 0
