"""Training a low-rank adapter for the denoiser of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from bench.api import BenchError, Images
from bench.storage.files import write_atomic
from bench.storage.image_reader import resize
from generators.text_to_image.adapter import ADAPTER, pack
from generators.text_to_image.families import Captions
from generators.text_to_image.settings import Training
from generators.training.checkpointer import Checkpointer
from generators.training.loop import Stage, batch_indices, train, update

STAGE = "lora"  # its name in history.csv


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
    """Trains an adapter by AdamW; its checkpoints hold the adapter and not the network.

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
        self.losses = np.zeros((0, 1), np.float32)

    def train(self, lessons: Lessons, folder: Path, key: str) -> None:
        """Take the steps that are missing, from the checkpoint in ``folder`` if it was made with this ``key``."""
        checkpointer = Checkpointer(folder, self._training.checkpoint_every, key)
        checkpointer.discard_other(STAGE)
        stage = Stage(
            STAGE,
            {"adapter": AdapterWeights(self._weights)},
            {"adapter": self._optimizer},
            ("loss",),
            lambda step: (self._step(lessons, step),),
            "lower generator.training.learning_rate or set generator.dtype=float32",
        )
        with _repeatable():
            train(stage, self._training.steps, checkpointer)
        self.losses = stage.losses

    def save(self, folder: Path) -> None:
        """Write the adapter as diffusers and peft read it; the checkpoint goes."""
        write_atomic(folder / ADAPTER, pack(self._network, self._family.denoiser))
        Checkpointer(folder, 1, "").path(STAGE).unlink(missing_ok=True)

    def _step(self, lessons: Lessons, step: int) -> float:
        training = self._training
        rng = np.random.default_rng([self._seed, 1, step])
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        indices = batch_indices(step, training.batch, len(lessons.captions), lambda epoch: [self._seed, 0, epoch])
        dropped = rng.random(len(indices)) < training.caption_dropout
        captions = [None if drop else lessons.captions[i] for i, drop in zip(indices, dropped, strict=True)]
        loss = self._loss(lessons.batch(indices), captions, noise)
        rate = training.learning_rate * min(1.0, (step + 1) / max(training.warmup_steps, 1))
        update(loss, self._weights.values(), {self._optimizer: rate}, training.clip_norm)
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


class AdapterWeights(torch.nn.Module):
    """The weights of an adapter alone, as checkpoints hold them; the network they lie in keeps its mode."""

    def __init__(self, weights: Mapping[str, torch.nn.Parameter]) -> None:
        super().__init__()
        self._adapter = dict(weights)

    def state_dict(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        """The weights by name."""
        return dict(self._adapter)

    def load_state_dict(self, state: Mapping[str, torch.Tensor], *_: Any, **__: Any) -> None:
        """Put what ``state_dict`` gave back."""
        for name, weight in self._adapter.items():
            weight.data.copy_(state[name])


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
