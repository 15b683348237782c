"""Training a low-rank adapter for the denoiser of a pipeline, step by step the same after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from bench.api import BenchError, Images
from bench.runtime.progress import track
from bench.storage.files import write_atomic
from bench.storage.image_reader import resize
from generators.text_to_image.adapter import ADAPTER, pack
from generators.text_to_image.families import Captions
from generators.text_to_image.settings import Training

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Lessons:
    """What is learned from: ``pixels(indices)`` gives ``(B, H, W)`` uint8, ``captions`` one text an image."""

    pixels: Callable[[Sequence[int]], Images]
    captions: Sequence[str]
    size: tuple[int, int]
    aspect: Literal["pad", "crop"]

    def batch(self, indices: npt.NDArray[np.int64]) -> torch.Tensor:
        """(B, 3, H, W) in -1 to 1, resized to ``size``; never flipped, for sides matter in medical images."""
        images = np.stack([resize(image, self.size, self.aspect) for image in self.pixels(indices.tolist())])
        grey = torch.from_numpy(images.astype(np.float32) / 127.5 - 1)
        return grey[:, None].expand(-1, 3, -1, -1).contiguous()


class Trainer:
    """The state of one training: adapter weights, AdamW moments, losses so far; on disk after every few steps.

    The pipeline keeps its number formats and its weights; the adapter is in float32. What differs from one kind of
    pipeline to the next is ``training.family``'s.
    """

    def __init__(
        self, pipeline: Any, training: Training, call: Mapping[str, Any], seed: int, device: torch.device
    ) -> None:
        self._pipeline, self._training, self._seed, self._device = pipeline, training, seed, device
        self._family = training.family
        self._network = self._family.network(pipeline)
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)
        adapt(self._network, training, seed)
        pipeline.to(device)
        if training.gradient_checkpointing:
            self._network.enable_gradient_checkpointing()
        self._weights = {name: each for name, each in self._network.named_parameters() if each.requires_grad}
        for weight in self._weights.values():
            weight.data = weight.data.float()
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self._captions = Captions(pipeline, self._family, call, int(training.caption_memory * 2**30))
        self.losses: list[float] = []

    def train(self, lessons: Lessons, folder: Path, key: str) -> None:
        """Take the steps that are missing, from the checkpoint in ``folder`` if it was made with this ``key``."""
        self._resume(folder / CHECKPOINT, key)
        begin, steps = len(self.losses), self._training.steps
        with _repeatable():
            for step in track(range(begin, steps), "adapter", unit="step"):
                self.losses.append(self._step(lessons, step))
                if (step + 1) % self._training.checkpoint_every == 0 and step + 1 < steps:
                    self._history(folder)
                    self._checkpoint(folder / CHECKPOINT, key)

    def save(self, folder: Path) -> None:
        """Write the losses as a table, and the adapter as diffusers and peft read it; the checkpoint goes."""
        self._history(folder)
        write_atomic(folder / ADAPTER, pack(self._network, self._family.denoiser))
        (folder / CHECKPOINT).unlink(missing_ok=True)

    def _history(self, folder: Path) -> None:
        lines = [f"lora,{step + 1},loss,{loss:.6g}" for step, loss in enumerate(self.losses)]
        write_atomic(folder / "history.csv", "\n".join(["stage,step,term,value", *lines, ""]).encode())

    def _step(self, lessons: Lessons, step: int) -> float:
        rng = np.random.default_rng([self._seed, 1, step])
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        indices = batch_indices(len(lessons.captions), self._training.batch, step, self._seed)
        dropped = rng.random(len(indices)) < self._training.caption_dropout
        captions = [None if drop else lessons.captions[i] for i, drop in zip(indices, dropped, strict=True)]
        for group in self._optimizer.param_groups:
            group["lr"] = self._training.learning_rate * min(1.0, (step + 1) / max(self._training.warmup_steps, 1))
        loss = self._loss(lessons.batch(indices), captions, noise)
        if not math.isfinite(loss.item()):
            raise BenchError(
                f"the loss is {loss.item()} at step {step + 1}; lower generator.training.learning_rate "
                "or set generator.dtype=float32"
            )
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self._training.clip_norm)
        self._optimizer.step()
        return loss.item()

    def _loss(self, pixels: torch.Tensor, captions: Sequence[str | None], source: torch.Generator) -> torch.Tensor:
        """Mean squared error of the denoiser's prediction at random times; ``None`` is no caption."""
        pipeline, family = self._pipeline, self._family
        heard = self._captions(captions)
        with torch.no_grad():
            latents = family.latents(pipeline, pixels, source)
            noise = torch.randn(latents.shape, generator=source).to(self._device)
            times = family.times(pipeline, latents, source)
            noisy = family.noised(pipeline, latents, noise, times).to(self._network.dtype)
            target = family.target(pipeline, latents, noise, times)
        predicted = family.predict(pipeline, noisy, times, heard)
        return torch.nn.functional.mse_loss(predicted.float(), target)

    def _checkpoint(self, path: Path, key: str) -> None:
        tensors = {"losses": torch.tensor(self.losses, dtype=torch.float64)}
        for name, weight in self._weights.items():
            state = self._optimizer.state[weight]
            tensors[f"weight.{name}"] = weight.detach().cpu()
            tensors |= {f"{part}.{name}": value.cpu() for part, value in state.items()}
        write_atomic(path, save(tensors, {"key": key}))

    def _resume(self, path: Path, key: str) -> None:
        if not path.is_file():
            return
        with safe_open(path, "pt") as kept:
            if kept.metadata().get("key") != key:
                return
        tensors = load_file(path)
        self.losses = tensors["losses"].tolist()
        for name, weight in self._weights.items():
            weight.data = tensors[f"weight.{name}"].to(self._device)
            moments = {part: tensors[f"{part}.{name}"].to(self._device) for part in ("exp_avg", "exp_avg_sq")}
            self._optimizer.state[weight] = {"step": tensors[f"step.{name}"], **moments}


def batch_indices(count: int, batch: int, step: int, seed: int) -> npt.NDArray[np.int64]:
    """The images of one step: every image once an epoch, in an order of the epoch's own; steps run across epochs."""
    places = range(step * batch, (step + 1) * batch)
    epochs = {place // count for place in places}
    orders = {epoch: np.random.default_rng([seed, 0, epoch]).permutation(count) for epoch in epochs}
    return np.array([orders[place // count][place % count] for place in places])


def adapt(network: torch.nn.Module, training: Training, seed: int) -> None:
    """Give the chosen layers of ``network`` an adapter that as yet changes nothing.

    Raises:
        BenchError: no layer has such a name, or a layer cannot be adapted.
    """
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha or training.rank,
        init_lora_weights="gaussian",
        target_modules=list(training.layers),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, network)
        except ValueError as error:
            raise BenchError(f"generator.training.layers: {error}") from error


@contextmanager
def _repeatable() -> Iterator[None]:
    """Without it the backward pass of attention adds up in another order each time on a GPU."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
