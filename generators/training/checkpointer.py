"""Checkpoints of a training and the history of its losses, on disk."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bench.api import BenchError
from bench.storage.files import writing
from generators.training.history import Losses, draw_losses, write_history

if TYPE_CHECKING:
    from generators.training.loop import Stage

Tensors = dict[str, torch.Tensor]
PAUSE = 60.0  # seconds between two pictures of the losses


@dataclass
class Checkpointer:
    """Where checkpoints and the history go: one every ``every`` steps, for the training that ``key`` identifies.

    Attributes:
        writes: whether this process writes them; all read them.
        picture: name of the picture of the losses, ``None`` for none.
    """

    folder: Path
    every: int
    key: str
    writes: bool = True
    picture: str | None = None
    _curves: dict[str, tuple[tuple[str, ...], Losses]] = field(default_factory=dict, init=False)
    _drawn: float = field(default_factory=time.monotonic, init=False)

    def path(self, stage: str) -> Path:
        """The checkpoint of a stage."""
        return self.folder / f"{stage}.checkpoint.safetensors"

    def write(self, stage: Stage, step: int) -> None:
        """Write the state of ``stage`` after ``step`` steps, then the history so far."""
        if not self.writes:
            return
        save(self.path(stage.name), _state(stage), {"key": self.key, "step": step})
        self.write_history(stage)

    def write_history(self, stage: Stage, last: bool = False) -> None:
        """Write the history so far; its picture too if ``last``, or if the picture is getting old."""
        if not self.writes:
            return
        self._curves[stage.name] = (stage.terms, stage.losses)
        write_history(self.folder / "history.csv", self._curves)
        if self.picture is not None and (last or time.monotonic() - self._drawn > PAUSE):
            draw_losses(self.folder / self.picture, self._curves)
            self._drawn = time.monotonic()

    def resume(self, stage: Stage) -> int:
        """Put the state of the checkpoint into ``stage``; how many steps it had taken, 0 without a checkpoint.

        Nobody else writes in the folder: what a killed process had only begun to write there is removed.

        Raises:
            BenchError: the checkpoint is damaged, or of another training.
        """
        if self.writes:
            # safetensors has drafts of its own, which a kill leaves behind
            for torn in self.folder.glob(".tmp??????"):
                torn.unlink()
        path = self.path(stage.name)
        if not path.exists():
            return 0
        tensors, facts = load(path)
        if facts["key"] != self.key:
            raise BenchError(f"{path} belongs to a training with other settings or images; delete it to train anew")
        load_state(stage.modules, tensors)
        for name, optimizer in stage.optimizers.items():
            _load_optimizer(optimizer, tensors, f"optimizer {name}/")
        stage.losses = tensors["losses"].numpy()
        return int(facts["step"])

    def discard_other(self, stage: str) -> None:
        """Delete the checkpoint of ``stage`` if it is of another training."""
        path = self.path(stage)
        if self.writes and path.exists() and load(path)[1]["key"] != self.key:
            path.unlink()


def save(path: Path, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Write tensors with ``facts`` and a checksum in one step; the same content gives the same bytes."""
    from safetensors.torch import save_file

    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry only: safetensors writes several in random order
    header = {"facts": json.dumps({**facts, "sha256": checksum(content)}, sort_keys=True)}
    with writing(path) as draft:
        save_file(content, draft, metadata=header)


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """What ``save`` wrote.

    Raises:
        BenchError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "delete it and run again: training goes on from what is left in the folder"
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise BenchError(f"{path} is damaged ({error}); {remedy}") from error
    if checksum(tensors) != facts.pop("sha256", None):
        raise BenchError(f"{path} is damaged (its checksum does not fit its content); {remedy}")
    return tensors, facts


def state_of(modules: Mapping[str, nn.Module]) -> Tensors:
    """All weights and buffers, by ``name/parameter``."""
    return {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}


def load_state(modules: Mapping[str, nn.Module], tensors: Tensors) -> None:
    """Put what ``state_of`` gave back."""
    for name, module in modules.items():
        start = f"{name}/"
        own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        module.load_state_dict(own)


def checksum(tensors: Tensors) -> str:
    """SHA-256 over names, types, shapes and bytes, 64 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy() if value.numel() else b"")
    return digest.hexdigest()


def _state(stage: Stage) -> Tensors:
    tensors = state_of(stage.modules)
    for name, optimizer in stage.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer {name}/{index}/{key}": value for key, value in entries.items()}
    return tensors | {"losses": torch.from_numpy(stage.losses)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, start: str) -> None:
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for place, value in tensors.items():
        if place.startswith(start):
            _, index, term = place.rsplit("/", 2)
            entries.setdefault(int(index), {})[term] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, kept in optimizer.state.items():
        # in the memory layout of the weight, as if it had never been written
        same = {term: torch.empty_like(weight).copy_(value) for term, value in kept.items() if value.dim()}
        kept.update(same)
