"""A run from its command line, with W&B offline."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.storage.agreement import shared, short_digest
from bench.storage.files import read_json
from tests.faults.fork_server import Server
from tests.tracking.wandb_file import only_run, read_run

SMALL = ("experiment=smoke", "dataset.n_train=80", "dataset.n_test=48", "requests.privacy=80", "evaluator=[fidelity]")
SMALL += ("runs=runs", "cache=cache", "wandb.mode=offline", "+hub.token=planted-secret-word")
LDM = ("generator=ldm", "generator.autoencoder.steps=4", "generator.diffusion.steps=4", "generator.checkpoint_every=2")
LDM += ("generator.sampling.steps=3", "generator.block=32")


@pytest.mark.slow
def test_training_and_scores_know_each_other_and_a_run_that_stopped_says_why(tmp_path: Path) -> None:
    with Server() as server:
        done = server.run((*SMALL, *LDM), tmp_path)
        assert done.code == 0, done.output
        again = server.run((*SMALL, *LDM), tmp_path)
        assert again.code == 0, again.output
        stopped = server.run((*SMALL, "generator=folder"), tmp_path)
        assert stopped.code == 1, stopped.output
    folder = tmp_path / "runs" / "phantom" / "ldm" / "seed=0"
    scoring = only_run(folder, "[!t]*")
    (fit,) = tmp_path.glob("cache/fits/ldm-*")
    (path,) = folder.glob("wandb/offline-run-*/run-training-*.wandb")
    end = time.monotonic() + 60
    while read_run(path).code is None and time.monotonic() < end:
        time.sleep(0.2)
    training = read_run(path)
    assert scoring.config["training_run"] == training.run.run_id == f"training-{fit.name}"
    assert training.config["scoring_run"] == scoring.run.run_id
    assert training.config["generator"]["diffusion"]["steps"] == scoring.config["generator"]["diffusion"]["steps"] == 4
    assert training.config["digests"]["split"] == scoring.config["digests"]["split"]
    assert {"autoencoder/*", "diffusion/*"} <= {*training.metrics} & {*scoring.metrics}
    record = read_json(folder / "scores" / "fidelity.json")
    protocol = short_digest(shared(record["protocol"]))
    assert scoring.config["protocol"] == {"fidelity": protocol}
    value = next(each["value"] for each in record["scores"] if each["metric"] == "ms_ssim")
    assert scoring.summary[f"fidelity@{protocol}/ms_ssim"] == value
    refused = only_run(tmp_path / "runs" / "phantom" / "folder" / "seed=0")
    assert refused.code == 1 and "generator.path is not set" in refused.summary["reason"]
    sent = [each for each in (tmp_path / "runs").rglob("wandb/**/*") if each.is_file() and not each.is_symlink()]
    assert not [each for each in sent if b"planted-secret-word" in each.read_bytes()]
