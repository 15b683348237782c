"""W&B gets a copy of the record, offline without a question, and never twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.images import contact_sheet
from bench.record import SCHEMA, Cost, Entry, MetricRow, Record, RunRecord, ScoreRow
from bench.store import file_digest, write_json
from bench.tracking import publish
from tests.conftest import draw

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
    contact_sheet(np.stack([draw(rng, 1, 32) for _ in range(4)]), tmp_path / "sheet.png")
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
