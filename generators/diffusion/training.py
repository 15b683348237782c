"""Training a low-rank adapter for the denoiser of a Stable Diffusion pipeline, step by step the same after a kill."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from bench.api import BenchError, Images
from bench.images import resize
from bench.progress import track
from bench.store import write_atomic
from generators.diffusion.settings import Training

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
    """The state of one training: adapter weights, AdamW moments, losses so far; on disk after every few steps."""

    def __init__(self, pipeline: Any, training: Training, seed: int, device: torch.device) -> None:
        from diffusers import DDPMScheduler
        from peft import LoraConfig

        self._pipeline, self._training, self._seed, self._device = pipeline.to(device), training, seed, device
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            part.requires_grad_(False)
        config = LoraConfig(
            r=training.rank,
            lora_alpha=training.alpha or training.rank,
            init_lora_weights="gaussian",
            target_modules=list(training.layers),
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            try:
                pipeline.unet.add_adapter(config)
            except ValueError as error:
                raise BenchError(f"generator.training.layers: {error}") from error
        self._weights = {name: each for name, each in pipeline.unet.named_parameters() if each.requires_grad}
        for weight in self._weights.values():
            weight.data = weight.data.float()
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self._noising = DDPMScheduler.from_config(pipeline.scheduler.config)
        self.losses: list[float] = []

    def train(self, lessons: Lessons, folder: Path, key: str) -> None:
        """Take the steps that are missing, from the checkpoint in ``folder`` if it was made with this ``key``."""
        self._resume(folder / CHECKPOINT, key)
        begin, steps = len(self.losses), self._training.steps
        for step in track(range(begin, steps), "adapter", unit="step"):
            self.losses.append(self._step(lessons, step))
            if (step + 1) % self._training.checkpoint_every == 0 and step + 1 < steps:
                self._checkpoint(folder / CHECKPOINT, key)

    def save(self, folder: Path) -> None:
        """Write the adapter as diffusers and peft read it, and the losses as a table; the checkpoint goes."""
        from peft.utils import get_peft_model_state_dict

        tensors = {f"unet.{name}": value for name, value in get_peft_model_state_dict(self._pipeline.unet).items()}
        config = {
            "r": self._training.rank,
            "lora_alpha": self._training.alpha or self._training.rank,
            "target_modules": list(self._training.layers),
        }
        metadata = {"lora_adapter_metadata": json.dumps({f"unet.{name}": value for name, value in config.items()})}
        lines = [f"lora,{step + 1},loss,{loss:.6g}" for step, loss in enumerate(self.losses)]
        write_atomic(folder / "history.csv", "\n".join(["stage,step,term,value", *lines, ""]).encode())
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_atomic(folder / "pytorch_lora_weights.safetensors", save(contiguous, metadata))
        (folder / CHECKPOINT).unlink(missing_ok=True)

    def _step(self, lessons: Lessons, step: int) -> float:
        rng = np.random.default_rng([self._seed, 1, step])
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        indices = batch_indices(len(lessons.captions), self._training.batch, step, self._seed)
        dropped = rng.random(len(indices)) < self._training.caption_dropout
        captions = ["" if drop else lessons.captions[i] for i, drop in zip(indices, dropped, strict=True)]
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

    def _loss(self, pixels: torch.Tensor, captions: Sequence[str], source: torch.Generator) -> torch.Tensor:
        """Mean squared error of the denoiser's prediction of noise, or of velocity if the scheduler says so."""
        pipeline, kind = self._pipeline, self._pipeline.unet.dtype
        with torch.no_grad():
            spread = pipeline.vae.encode(pixels.to(self._device, pipeline.vae.dtype)).latent_dist
            chance = torch.randn(spread.mean.shape, generator=source).to(self._device)
            latents = (spread.mean + spread.std * chance).float() * pipeline.vae.config.scaling_factor
            words, _ = pipeline.encode_prompt(list(captions), self._device, 1, do_classifier_free_guidance=False)
        noise = torch.randn(latents.shape, generator=source).to(self._device)
        last = self._noising.config.num_train_timesteps
        times = torch.randint(last, (len(latents),), generator=source).to(self._device)
        noisy = self._noising.add_noise(latents, noise, times).to(kind)
        with torch.autocast(self._device.type, kind, enabled=kind != torch.float32):
            predicted = pipeline.unet(noisy, times, words.to(kind)).sample
        target = noise
        if self._noising.config.prediction_type == "v_prediction":
            target = self._noising.get_velocity(latents, noise, times)
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
