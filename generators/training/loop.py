"""A training loop that gives the same bytes however often it was killed.

What a step draws and which images it sees are decided by its number, so a checkpoint holds no random state: weights,
optimiser state and losses are all there is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.api import BenchError
from bench.runtime.processes import DataParallelGroup
from bench.runtime.progress import track
from generators.training.checkpointer import Checkpointer
from generators.training.history import Losses


@dataclass
class Stage:
    """Something to train.

    Attributes:
        modules: what checkpoints hold, by name.
        optimizers: their optimisers, by name.
        terms: names of the losses that ``step`` returns, in order.
        step: one update; all that ``step(number)`` draws is decided by ``number``.
        remedy: what to do when the losses are no numbers.
        watch: told how many steps are done, after each and before its checkpoint.
    """

    name: str
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    terms: tuple[str, ...]
    step: Callable[[int], tuple[float, ...]]
    remedy: str = "lower the learning rate"
    watch: Callable[[int], None] = lambda done: None
    losses: Losses = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def train(stage: Stage, steps: int, checkpointer: Checkpointer, group: DataParallelGroup | None = None) -> None:
    """Run ``stage`` to ``steps``, from its checkpoint if there is one; losses are means over ``group``.

    Raises:
        BenchError: the checkpoint is damaged or of another training, or a loss is not finite.
    """
    for module in stage.modules.values():
        module.train()
    start = checkpointer.resume(stage)
    group = group or DataParallelGroup()
    losses = [tuple(row) for row in stage.losses.tolist()]
    numbers = range(start, steps)
    for number in track(
        numbers, f"training {stage.name} from step {start} of {steps}", total=len(numbers), unit="step"
    ):
        values = group.mean(stage.step(number))
        if not all(math.isfinite(value) for value in values):
            shown = dict(zip(stage.terms, values, strict=True))
            raise BenchError(f"training {stage.name}: the losses are {shown} at step {number}; {stage.remedy}")
        losses.append(values)
        stage.watch(number + 1)
        if (number + 1) % checkpointer.every == 0 or number + 1 == steps:
            stage.losses = np.array(losses, np.float32)
            checkpointer.write(stage, number + 1)
    checkpointer.write_history(stage, last=True)
    for module in stage.modules.values():
        module.eval()


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from ``parts``; other parts give an unrelated one."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU source of randomness decided by ``parts``."""
    return torch.Generator().manual_seed(seed_of(*parts))


def batch_indices(
    step: int, batch: int, count: int, epoch_seed: Callable[[int], int | Sequence[int]]
) -> npt.NDArray[np.int64]:
    """The images of one step: every one of ``count`` once an epoch, in an order of the epoch's own.

    Steps run across epochs; ``epoch_seed(number)`` decides the order of an epoch.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = {int(epoch) for epoch in places // count}
    orders = {epoch: np.random.default_rng(epoch_seed(epoch)).permutation(count) for epoch in epochs}
    return np.array([orders[int(place // count)][place % count] for place in places], np.int64)


def update(
    loss: torch.Tensor,
    weights: Iterable[nn.Parameter],
    rates: Mapping[torch.optim.Optimizer, float],
    clip_norm: float | None = 1.0,
) -> None:
    """One step of each optimiser, at its rate, down the gradient of ``loss``, cut to ``clip_norm`` if it is longer."""
    weights = list(weights)
    for weight in weights:
        weight.grad = None
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(weights, clip_norm)
    for optimizer, rate in rates.items():
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
