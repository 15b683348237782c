"""The latent diffusion generator and MONAI's own loop as two contenders with the same networks and the same batches.

MONAI's side is written as in its tutorials (2D latent diffusion; the objective of generative_mammography): one
optimiser step encodes the images, adds noise, predicts the velocity through ``DiffusionInferer`` and takes the mean
squared error; sampling is ``LatentDiffusionInferer.sample`` with ``DDIMScheduler``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.api import BenchError, Images, Split
from generators.ldm.autoencoder import autoencoder_stage, divergence
from generators.ldm.conditions import Labels
from generators.ldm.diffusion import diffusion_stage
from generators.ldm.model import Model, build_model, floored
from generators.ldm.settings import AutoencoderSettings, DiffusionSettings, SamplingSettings
from generators.ldm.training import TrainingContext
from generators.training.checkpointer import Checkpointer
from generators.training.loop import Stage, batch_indices, seed_of, train

SEED = 0
Sampler = Callable[[list[int], torch.Tensor], Images]


@dataclass(frozen=True)
class Variant:
    """How the networks run; both contenders run alike."""

    name: str
    precision: torch.dtype = torch.float32
    channels_last: bool = False
    compiled: bool = False

    def mixed(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32)

    def running(self, module: nn.Module) -> Any:
        return torch.compile(module, dynamic=False) if self.compiled else module


@dataclass(frozen=True)
class Preset:
    """Sizes of the two networks and their training; no linear path and no squares of pixels, which MONAI has not."""

    name: str
    autoencoder: AutoencoderSettings
    diffusion: DiffusionSettings

    def at(self, batch: int, autoencoder_steps: int = 1, diffusion_steps: int = 1) -> Preset:
        """The same networks, trained with ``batch`` images a step for so many steps."""
        return replace(
            self,
            autoencoder=replace(self.autoencoder, batch=batch, steps=autoencoder_steps),
            diffusion=replace(self.diffusion, batch=batch, steps=diffusion_steps),
        )

    def __post_init__(self) -> None:
        if self.autoencoder.patch != 1 or self.autoencoder.shortcut is not None:
            raise BenchError(f"preset {self.name}: MONAI's loop needs patch=1 and shortcut=None")


@dataclass(frozen=True)
class Material:
    """What is learned from: images (N, H, W) and their label vectors (N, W)."""

    pixels: Images
    labels: torch.Tensor

    def rows(self, step: int, batch: int) -> np.ndarray:
        return batch_indices(step, batch, len(self.pixels), lambda epoch: seed_of(SEED, "epoch", epoch))


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes:
        size: height and width of the images, in pixels.
        steps: optimiser steps, or steps of DDIM, in a lap.
        laps: of which the median is taken.
    """

    preset: Preset
    size: int
    batch: int
    steps: int
    laps: int
    device: torch.device


def material_of(split: Split) -> Material:
    """The training images, all in memory."""
    labels = Labels(split.info).of_images(split.train)(np.arange(len(split.train)))
    return Material(split.train.pixels(), labels)


def networks(preset: Preset, material: Material, variant: Variant, device: torch.device) -> Model:
    """Both networks with the same weights at every call, as ``LatentDiffusion`` builds them."""
    size, width = material.pixels.shape[1:], material.labels.shape[1]
    autoencoder, denoiser, grey = build_model(preset.autoencoder, preset.diffusion, size, width, SEED)
    if variant.channels_last:
        autoencoder.to(memory_format=torch.channels_last)
        denoiser.to(memory_format=torch.channels_last)
    return Model(autoencoder.to(device), denoiser.to(device), grey, device, variant.precision, preset.diffusion)


class Ours:
    """The loop of ``generators/latent``: latents encoded once, and a running average of the weights."""

    name: ClassVar[str] = "ours"

    def __init__(self, model: Model, material: Material, variant: Variant) -> None:
        self._model, self.material, self._variant = model, material, variant
        self._context = TrainingContext(SEED, variant.precision, variant.compiled)

    def autoencoder(self) -> Callable[[int], Any]:
        return self._loop(self.autoencoder_stage())

    def autoencoder_stage(self) -> Stage:
        """The first stage."""
        settings = self._model.autoencoder.settings

        def batch(step: int) -> torch.Tensor:
            return images(self._model, self.material, step, settings.batch)

        return autoencoder_stage(self._model.autoencoder, batch, self._context)

    def denoiser(self) -> Callable[[int], Any]:
        return self._loop(self.denoiser_stage())

    def denoiser_stage(self) -> Stage:
        """The second stage on latents that are encoded here."""
        settings, device, labels = self._model.diffusion, self._model.device, self.material.labels
        latents = self._latents()

        def batch(step: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            rows = self.material.rows(step, settings.batch)
            noise = torch.randn((settings.batch, *self._model.latent_shape), generator=draw)
            mean, deviation = torch.from_numpy(latents[rows]).chunk(2, dim=1)
            latent = (mean + deviation * noise) * self._model.scale
            return latent.to(device), labels[torch.from_numpy(rows)].to(device)

        def hidden(count: int) -> torch.Tensor:
            return torch.zeros(count, labels.shape[1])

        return diffusion_stage(self._model.denoiser, settings, batch, hidden, self._context)

    def encoder(self) -> Callable[[int], Any]:
        """What the second stage needs of every image, once."""

        def encode(steps: int) -> None:
            for step in range(steps):
                self._model.encode(images(self._model, self.material, step, self._model.diffusion.batch))

        return encode

    def sampler(self, steps: int) -> Sampler:
        model, settings = self._model, SamplingSettings(steps=steps, order=1, spacing=1)
        model.autoencoder.eval()
        model.denoiser.eval()
        if self._variant.compiled:
            model.denoiser.compile(dynamic=False)
        return lambda seeds, condition: model.draw(seeds, condition, torch.zeros_like(condition), settings)

    def _loop(self, stage: Stage) -> Callable[[int], Any]:
        """The training loop of the project, without checkpoints."""
        checkpointer = Checkpointer(Path("never written"), 2**62, "", writes=False)

        def loop(steps: int) -> None:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                train(stage, steps, checkpointer)

        return loop

    def _latents(self) -> np.ndarray:
        """Means and standard deviations (N, 2C, h, w) of all latents."""
        model, batch = self._model, self._model.diffusion.batch
        found = []
        for start in range(0, len(self.material.pixels), batch):
            shown = model.grey.tensor(self.material.pixels[start : start + batch], model.device)
            found.append(torch.cat(model.encode(shown), dim=1).cpu().numpy())
        return np.concatenate(found)


class Monai:
    """The loop of MONAI's tutorials around the same two networks."""

    name: ClassVar[str] = "MONAI"

    def __init__(self, model: Model, material: Material, variant: Variant) -> None:
        self._model, self.material, self._variant = model, material, variant

    def autoencoder(self) -> Callable[[int], Any]:
        net, settings = self._model.autoencoder.net, self._model.autoencoder.settings
        optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
        run = self._variant.running(net)

        def loss(step: int) -> torch.Tensor:
            shown = images(self._model, self.material, step, settings.batch)
            with self._variant.mixed(self._model.device):
                made, mean, deviation = run(shown)
            spread = divergence(mean.float(), deviation.float())
            return F.l1_loss(made.float(), shown) + settings.kl * spread

        return _updates(net, optimizer, loss)

    def denoiser(self) -> Callable[[int], Any]:
        model, settings = self._model, self._model.diffusion
        optimizer = torch.optim.AdamW(model.denoiser.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
        error = self.denoiser_error()
        draw = torch.Generator(model.device).manual_seed(SEED)

        def loss(step: int) -> torch.Tensor:
            rows = self.material.rows(step, settings.batch)
            shown = images(model, self.material, step, settings.batch)
            with torch.no_grad(), self._variant.mixed(model.device):
                latent = model.autoencoder.net.encode_stage_2_inputs(shown).float() * model.scale
            noise = torch.randn(latent.shape, generator=draw, device=model.device)
            times = torch.randint(0, settings.noise_steps, (len(latent),), generator=draw, device=model.device)
            condition = self.material.labels[torch.from_numpy(rows)].to(model.device)
            return error(latent, noise, times, condition)

        return _updates(model.denoiser, optimizer, loss)

    def denoiser_error(self) -> Callable[..., torch.Tensor]:
        """Mean squared error of the velocity of (latent, noise, times, condition), by MONAI's inferer."""
        from monai.inferers import DiffusionInferer
        from monai.networks.schedulers import DDPMScheduler

        scheduler = DDPMScheduler(**schedule(self._model.diffusion))
        inferer, run = DiffusionInferer(scheduler), self._by_context()

        def error(
            latent: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, condition: torch.Tensor
        ) -> torch.Tensor:
            with self._variant.mixed(latent.device):
                speed = inferer(latent, run, noise, times, condition=condition)
            return F.mse_loss(speed, scheduler.get_velocity(latent, noise, times))

        return error

    def sampler(self, steps: int) -> Sampler:
        from monai.inferers import LatentDiffusionInferer

        model = self._model
        model.autoencoder.eval()
        model.denoiser.eval()
        scheduler = ddim_scheduler(model.diffusion, steps)
        inferer, run = LatentDiffusionInferer(scheduler, model.scale), self._by_context()

        def sample(seeds: list[int], condition: torch.Tensor) -> Images:
            start = starts(model, seeds)
            with fastest(), self._variant.mixed(model.device):
                values = inferer.sample(
                    start, model.autoencoder.net, run, scheduler, conditioning=condition.to(model.device), verbose=False
                )
            return floored(model.grey.images(values), model.darkest)

        return sample

    def _by_context(self) -> Callable[..., torch.Tensor]:
        return by_context(self._variant.running(self._model.denoiser))


def fastest() -> Any:
    """The algorithms of cuDNN that MONAI's tutorials ask for: whichever are fastest here, TF32 among them."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True)


def by_context(denoiser: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """``denoiser`` under the names by which MONAI's inferers call a network, with its label vector as context."""

    def run(x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return denoiser(x, timesteps, context)

    return run


def images(model: Model, material: Material, step: int, batch: int) -> torch.Tensor:
    """The batch (B, 1, H, W) of a step, the same for both contenders."""
    return model.grey.tensor(material.pixels[material.rows(step, batch)], model.device)


def starts(model: Model, seeds: list[int]) -> torch.Tensor:
    """The noise (B, C, h, w) from which ``Model.draw`` starts for these seeds."""
    drawn = [torch.randn(model.latent_shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(drawn).to(model.device)


def schedule(settings: DiffusionSettings) -> dict[str, Any]:
    """Our noise schedule and target as arguments of MONAI's schedulers."""
    first, last = settings.noise
    return {
        "num_train_timesteps": settings.noise_steps,
        "schedule": "scaled_linear_beta",
        "beta_start": first,
        "beta_end": last,
        "prediction_type": "v_prediction",
        "clip_sample": False,
    }


def ddim_scheduler(settings: DiffusionSettings, steps: int) -> Any:
    from monai.networks.schedulers import DDIMScheduler

    scheduler = DDIMScheduler(**schedule(settings))
    scheduler.set_timesteps(steps)
    return scheduler


def seeds_of(count: int) -> list[int]:
    return [seed_of(SEED, "sample", number) for number in range(count)]


def _updates(
    net: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[int], torch.Tensor]
) -> Callable[[int], Any]:
    """One optimiser step after another; the loss is read at each, as tutorials show it."""

    def loop(steps: int) -> float:
        net.train()
        value = 0.0
        for step in range(steps):
            with fastest():
                optimizer.zero_grad(set_to_none=True)
                found = loss(step)
                found.backward()
                optimizer.step()
            value = found.item()
        return value

    return loop
