"""Two processes train the latent diffusion generator as one would, and what they leave loads anywhere."""

from __future__ import annotations

import copy
import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError
from generators.ldm.generator import LatentDiffusion
from tests.conftest import ROOT
from tests.generators.ldm.test_ldm import MICRO, digest, micro

# every process: train; stop after a checkpoint and go on; fail in one process alone
TOGETHER = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from bench.runtime.processes import launched
from generators.training import loop
from generators.training.checkpointer import Checkpointer, checksum, state_of
from tests.generators.conftest import labelled
from tests.generators.ldm.test_ldm import micro
from tests.generators.ldm.test_ldm_together import judged

folder, team = Path(sys.argv[1]), launched()
train = labelled(14, size=(16, 12))
seen, trained = {}, loop.train

def watched(stage, *arguments):
    trained(stage, *arguments)
    seen[stage.name] = checksum({k: v.detach().clone() for k, v in state_of(stage.modules).items()})

from generators.ldm import fitting
fitting.train = watched
micro(processes=2).fit(train, folder / "whole", seed=3)
(folder / f"weights-{team.rank}.json").write_text(json.dumps(seen))

judged(2).fit(labelled(6, size=(32, 32)), folder / "judged", seed=0)
judged(2, discriminator_norm="batch").fit(labelled(6, size=(32, 32)), folder / "batch", seed=0)

write, calls = Checkpointer.write, [0]
def stop(self, stage, step):
    write(self, stage, step)
    calls[0] += 1
    if calls[0] == 4:
        raise KeyboardInterrupt
Checkpointer.write = stop
try:
    micro(processes=2).fit(train, folder / "stopped", seed=3)
except KeyboardInterrupt:
    pass
Checkpointer.write = write
team.meet("stopping")
micro(processes=2).fit(train, folder / "stopped", seed=3)

begin, update = time.monotonic(), loop.update
def fail(*arguments):
    calls[0] += 1
    if team.rank == 1 and calls[0] > 8:
        raise ZeroDivisionError("planted")
    update(*arguments)
import generators.ldm.autoencoder, generators.ldm.diffusion
generators.ldm.autoencoder.update = generators.ldm.diffusion.update = fail
try:
    micro(processes=2).fit(train, folder / "failed", seed=3)
except Exception as error:
    said = f"{type(error).__name__}: {error}"
(folder / f"failure-{team.rank}.json").write_text(json.dumps([said, time.monotonic() - begin]))
"""


def judged(processes: int, **changes: Any) -> LatentDiffusion:
    """With all that may be added to the autoencoder's training but pretrained weights."""
    settings = copy.deepcopy(MICRO) | {"processes": processes, "precision": "float32"}
    added = {"adversarial": 0.1, "adversarial_start": 2, "discriminator_channels": 8, "patch": 1, "shortcut": None}
    settings["autoencoder"] |= added | {"augmentation": {"affine": 0.5, "pixels": 3}} | changes
    return LatentDiffusion(**settings)


def launch(script: str, folder: Path, count: int = 2) -> None:
    """Run ``script FOLDER`` in ``count`` processes, as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)}
    environments = [
        os.environ | world | {"RANK": str(rank), "LOCAL_RANK": str(rank), "CUDA_VISIBLE_DEVICES": ""}
        for rank in range(count)
    ]
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], env=each, stderr=subprocess.PIPE, text=True)
        for each in environments
    ]
    try:
        said = [each.communicate(timeout=200)[1] for each in processes]
    finally:
        for each in processes:
            each.kill()
    assert not any(each.returncode for each in processes), said


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    launch(TOGETHER, folder)
    return folder


def read(path: Path) -> dict[tuple[str, ...], float]:
    with path.open() as file:
        return {(row["stage"], row["step"], row["term"]): float(row["value"]) for row in csv.DictReader(file)}


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(together: Path, toy: SimpleNamespace, tmp_path: Path) -> None:
    micro().fit(toy.labelled(14, size=(16, 12)), tmp_path, seed=3)
    two, one = read(together / "whole" / "history.csv"), read(tmp_path / "history.csv")
    assert two.keys() == one.keys() and len(one) == 2 * 5 + 6
    assert max(abs(two[key] - one[key]) for key in one) < 1e-4


@pytest.mark.slow
def test_discriminator_and_augmentation_are_shared_too(together: Path, toy: SimpleNamespace, tmp_path: Path) -> None:
    judged(1).fit(toy.labelled(6, size=(32, 32)), tmp_path, seed=0)
    two, one = read(together / "judged" / "history.csv"), read(tmp_path / "history.csv")
    assert two.keys() == one.keys() and one["autoencoder", "5", "discriminator"] > 0
    assert max(abs(two[key] - one[key]) for key in one) < 1e-4


@pytest.mark.slow
def test_batches_of_two_processes_are_normalised_apart(together: Path, toy: SimpleNamespace, tmp_path: Path) -> None:
    judged(1, discriminator_norm="batch").fit(toy.labelled(6, size=(32, 32)), tmp_path, seed=0)
    two, one = read(together / "batch" / "history.csv"), read(tmp_path / "history.csv")
    apart = {key[1] for key in one if key[2] == "discriminator" and abs(two[key] - one[key]) > 1e-4}
    assert two.keys() == one.keys() and apart == {"3", "4", "5"}, "from the step on at which it joins"


@pytest.mark.slow
def test_both_processes_hold_the_same_weights(together: Path) -> None:
    first, second = (json.loads((together / f"weights-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second and set(first) == {"autoencoder", "diffusion"}


@pytest.mark.slow
def test_stopped_and_started_again_two_processes_leave_the_same_bytes(together: Path) -> None:
    assert digest(together / "stopped") == digest(together / "whole")
    for name in ("history.csv", "ldm_progress.png"):
        assert (together / "stopped" / name).read_bytes() == (together / "whole" / name).read_bytes()
    assert {path.name for path in (together / "stopped").iterdir()} == {
        path.name for path in (together / "whole").iterdir()
    }


@pytest.mark.slow
def test_one_process_loads_what_two_have_trained(together: Path, toy: SimpleNamespace) -> None:
    train = toy.labelled(14, size=(16, 12))
    generator = micro(processes=2)
    generator.fit(train, together / "whole", seed=3)
    images = generator.sample(toy.requests_like(train)[:4])
    assert images.shape == (4, 16, 12) and len(np.unique(images)) > 2
    assert generator.facts["processes"] == 2


@pytest.mark.slow
def test_a_process_that_fails_alone_does_not_leave_the_other_waiting(together: Path) -> None:
    (main, waited), (failed, _) = (json.loads((together / f"failure-{rank}.json").read_text()) for rank in (0, 1))
    assert failed == "ZeroDivisionError: planted"
    assert (
        main.startswith("BenchError: training: another process of this training failed or was killed") and waited < 60
    )


def test_one_process_does_not_train_for_two(toy: SimpleNamespace, tmp_path: Path) -> None:
    assert micro(processes=2).processes == 2
    with pytest.raises(BenchError, match=r"processes=2, but 1 of this launch train; start `torchrun"):
        micro(processes=2).fit(toy.labelled(14, size=(16, 12)), tmp_path, seed=3)


@pytest.mark.parametrize(("section", "processes"), [("autoencoder", 4), ("diffusion", 4), ("autoencoder", 0)])
def test_a_batch_is_cut_evenly(section: str, processes: int) -> None:
    settings = copy.deepcopy(MICRO)
    settings[section]["batch"] = 6
    with pytest.raises(BenchError, match=rf"{section}\.batch=6 must be a multiple of processes={processes}"):
        LatentDiffusion(**settings, processes=processes)
