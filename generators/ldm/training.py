"""A training loop that gives the same bytes however often it was killed.

Every step draws from a generator seeded by (seed, stage, step), so a checkpoint holds no random state: weights,
optimiser state and losses are all there is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.api import BenchError
from bench.runtime.progress import track
from generators.ldm.partners import Partners
from generators.ldm.settings import Decay
from generators.ldm.watching import Losses, draw_losses, write_history

Tensors = dict[str, torch.Tensor]
PAUSE = 60.0  # seconds between two pictures of the losses


@dataclass
class Stage:
    """Something to train.

    Attributes:
        terms: names of the losses that ``step`` returns, in order.
        step: one update; ``step(number, generator)`` draws from ``generator`` (on the CPU) only.
        watch: told how many steps are done, after each and before its checkpoint.
    """

    name: str
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    terms: tuple[str, ...]
    step: Callable[[int, torch.Generator], tuple[float, ...]]
    watch: Callable[[int], None] = lambda done: None
    losses: Losses = field(default_factory=lambda: np.zeros((0, 0), np.float32))


@dataclass(frozen=True)
class Way:
    """How the networks are trained.

    Attributes:
        precision: of what autocast covers.
        compiled: whether ``torch.compile`` makes kernels for the one size of batch.
        partners: the processes that train together.
    """

    precision: torch.dtype = torch.float32
    compiled: bool = False
    partners: Partners = field(default_factory=Partners)

    def running(self, module: nn.Module) -> nn.Module:
        """What to call in place of ``module``, whose weights and their names stay where they are."""
        joined = self.partners.joined(module)
        return torch.compile(joined, dynamic=False) if self.compiled else joined

    def mixed(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32)


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from ``parts``; other parts give an unrelated one."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU source of randomness decided by ``parts``."""
    return torch.Generator().manual_seed(seed_of(*parts))


def positions(step: int, batch: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of batch ``step``: a walk through one permutation of ``range(count)`` after another."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = {int(epoch) for epoch in places // count}
    orders = {epoch: np.random.default_rng(seed_of(seed, "epoch", epoch)).permutation(count) for epoch in epochs}
    return np.array([orders[int(place // count)][place % count] for place in places], np.int64)


def rate_at(step: int, steps: int, rate: float, decay: Decay) -> float:
    """Learning rate: linear warm-up over the first twentieth, then down a half cosine to a twentieth of ``rate``."""
    if decay == "constant":
        return rate
    done = (step + 1) / steps
    return rate * min(1.0, 20 * done) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def update(
    loss: torch.Tensor,
    module: nn.Module,
    rates: Mapping[torch.optim.Optimizer, float],
    clip_norm: float | None = 1.0,
) -> None:
    """One step of each optimiser, at its rate, down the gradient of ``loss``, cut to ``clip_norm`` if it is longer."""
    module.zero_grad(set_to_none=True)
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    for optimizer, rate in rates.items():
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()


@dataclass
class Keeper:
    """Where checkpoints and the history go: one every ``every`` steps, for the training that ``key`` identifies.

    Attributes:
        writes: whether this process writes them; all read them.
    """

    folder: Path
    every: int
    key: str
    writes: bool = True
    curves: dict[str, tuple[tuple[str, ...], Losses]] = field(default_factory=dict)
    _drawn: float = field(default_factory=time.monotonic)

    def path(self, stage: str) -> Path:
        return self.folder / f"{stage}.checkpoint.safetensors"

    def keep(self, stage: Stage, step: int) -> None:
        """Write the state of ``stage`` after ``step`` steps, then the history so far."""
        if not self.writes:
            return
        save(self.path(stage.name), _state(stage), {"key": self.key, "step": step})
        self.chart(stage)

    def chart(self, stage: Stage, last: bool = False) -> None:
        """Write the history so far; its picture too if ``last``, or if the picture is getting old."""
        if not self.writes:
            return
        self.curves[stage.name] = (stage.terms, stage.losses)
        write_history(self.folder / "history.csv", self.curves)
        if last or time.monotonic() - self._drawn > PAUSE:
            draw_losses(self.folder / "ldm_losses.png", self.curves)
            self._drawn = time.monotonic()


def train(stage: Stage, steps: int, seed: int, keeper: Keeper, partners: Partners | None = None) -> None:
    """Run ``stage`` to ``steps``, from its checkpoint if there is one; losses are means over ``partners``.

    Raises:
        BenchError: the checkpoint is damaged or of another training, or a loss is not finite.
    """
    start = _resume(stage, keeper.path(stage.name), keeper.key)
    partners = partners or Partners()
    losses = [tuple(row) for row in stage.losses.tolist()]
    numbers = range(start, steps)
    for number in track(numbers, f"ldm {stage.name} from step {start} of {steps}", total=len(numbers), unit="step"):
        values = partners.mean(stage.step(number, generator(seed, stage.name, number)))
        if not all(math.isfinite(value) for value in values):
            shown = dict(zip(stage.terms, values, strict=True))
            raise BenchError(f"ldm {stage.name}: losses {shown} at step {number}; lower rate, or use precision=float32")
        losses.append(values)
        stage.watch(number + 1)
        if (number + 1) % keeper.every == 0 or number + 1 == steps:
            stage.losses = np.array(losses, np.float32)
            keeper.keep(stage, number + 1)
    keeper.chart(stage, last=True)
    for module in stage.modules.values():
        module.eval()


def save(path: Path, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Write tensors with ``facts`` and a checksum in one step; the same content gives the same bytes."""
    from safetensors.torch import save_file

    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry only: safetensors writes several in random order
    header = {"facts": json.dumps({**facts, "sha256": _checksum(content)}, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    save_file(content, draft, metadata=header)
    draft.chmod(0o644)  # safetensors writes for the owner alone
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)


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
    if _checksum(tensors) != facts.pop("sha256", None):
        raise BenchError(f"{path} is damaged (its checksum does not fit its content); {remedy}")
    return tensors, facts


def state_of(modules: Mapping[str, nn.Module]) -> Tensors:
    """All weights and buffers, by ``name/parameter``."""
    return {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}


def put_state(modules: Mapping[str, nn.Module], tensors: Tensors) -> None:
    """Put what ``state_of`` gave back."""
    for name, module in modules.items():
        start = f"{name}/"
        own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        module.load_state_dict(own)


def _state(stage: Stage) -> Tensors:
    tensors = state_of(stage.modules)
    for name, optimizer in stage.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer {name}/{index}/{key}": value for key, value in entries.items()}
    return tensors | {"losses": torch.from_numpy(stage.losses)}


def _resume(stage: Stage, path: Path, key: str) -> int:
    for module in stage.modules.values():
        module.train()
    if not path.exists():
        return 0
    tensors, facts = load(path)
    if facts["key"] != key:
        raise BenchError(f"{path} belongs to a training with other settings or images; delete it to train anew")
    put_state(stage.modules, tensors)
    for name, optimizer in stage.optimizers.items():
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for place, value in tensors.items():
            if place.startswith(f"optimizer {name}/"):
                _, index, term = place.rsplit("/", 2)
                entries.setdefault(int(index), {})[term] = value
        optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
        for weight, kept in optimizer.state.items():
            # in the memory layout of the weight, as if it had never been written
            same = {term: torch.empty_like(weight).copy_(value) for term, value in kept.items() if value.dim()}
            kept.update(same)
    stage.losses = tensors["losses"].numpy()
    return int(facts["step"])


def _checksum(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy() if value.numel() else b"")
    return digest.hexdigest()
