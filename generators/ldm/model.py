"""The two networks as one model: built from settings, kept on disk, asked for images."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import BenchError, Images
from bench.storage.files import canonical, file_digest, read_json, write_json
from generators.ldm.autoencoder import Autoencoder, Grey
from generators.ldm.diffusion import Denoiser
from generators.ldm.sampler import sample_times, solved, solver
from generators.ldm.settings import AutoencoderSettings, DiffusionSettings, SamplingSettings
from generators.training.checkpointer import load, load_state, save, state_of
from generators.training.loop import seed_of

HOLE = 3


@dataclass
class Model:
    """Autoencoder and denoiser on one device.

    ``scale`` is what latents are multiplied by before diffusion, ``darkest`` the least grey level that is not black.
    """

    autoencoder: Autoencoder
    denoiser: Denoiser
    grey: Grey
    device: torch.device
    precision: torch.dtype
    diffusion: DiffusionSettings
    scale: float = 1.0
    darkest: int = 1

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        height, width = (side // self.autoencoder.settings.factor for side in self.grey.padded)
        return self.autoencoder.settings.latent_channels, height, width

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the latents of padded ``images``, unscaled."""
        with self.working():
            return self.autoencoder.encode(images)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> Images:
        """Images (B, H, W) of unscaled latents.

        Raises:
            BenchError: some are not finite.
        """
        with self.working():
            values = self.autoencoder.decode(latents)
        broken = int((~torch.isfinite(values).flatten(1).all(1)).sum())
        if broken:
            raise BenchError(f"ldm: {broken} of {len(values)} images are not finite; train longer or use float32")
        images = self.grey.images(values)
        return floored(images, self.darkest)

    @torch.no_grad()
    def draw(
        self, seeds: list[int], condition: torch.Tensor, hidden: torch.Tensor, sampling: SamplingSettings
    ) -> Images:
        """One image for each seed: from its noise to its latent under ``condition``, with classifier-free guidance."""
        starts = [torch.randn(self.latent_shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        condition, hidden = condition.to(self.device), hidden.to(self.device)

        def speed(state: torch.Tensor, time: int) -> torch.Tensor:
            times = torch.full((len(state),), time, device=self.device)
            if time not in guided:
                return self.denoiser(state, times, condition)
            free = self.denoiser(state, times, hidden)
            return free + sampling.guidance * (self.denoiser(state, times, condition) - free)

        times = sample_times(self.diffusion.noise_steps, sampling.steps, sampling.spacing)
        guided = times[: self.guided_steps(sampling)]
        with self.working():
            scheduler = solver(self.diffusion, times, sampling.order)
            latents = solved(speed, torch.stack(starts).to(self.device), scheduler)
        return self.decode(latents / self.scale)

    def guided_steps(self, sampling: SamplingSettings) -> int:
        """How many steps are guided, from the noisiest on: none where there is no condition to be guided by."""
        heeds = self.denoiser.by_text or self.denoiser.by_label
        return round(sampling.guided * sampling.steps) if heeds and sampling.guidance != 1 else 0

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The configured precision, and algorithms that repeat themselves."""
        repeatable = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        mixed = torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)
        with repeatable, mixed:
            yield

    def keep(self, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
        """Write ``model.safetensors`` and then ``model.json``, which says that the model is finished."""
        path = folder / "model.safetensors"
        learned = {"scale": self.scale, "darkest": self.darkest}
        save(path, state_of({"autoencoder": self.autoencoder, "denoiser": self.denoiser}), learned)
        described = {**facts, "scale_factor": self.scale, "darkest_grey": self.darkest, "sha256": file_digest(path)}
        write_json(folder / "model.json", described)
        return described

    def take(self, folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Load a finished model; what ``model.json`` says, or ``None`` where there is none.

        Raises:
            BenchError: the model is of other settings or images, or damaged.
        """
        facts = read_json(folder / "model.json")
        if facts is None:
            return None
        asked = json.loads(canonical(identity))
        if different := sorted(name for name in asked if facts.get(name) != asked[name]):
            name = different[0]
            raise BenchError(
                f"{folder} holds a model trained with {name}={facts.get(name)}, asked for {asked[name]}; "
                "use another folder, or delete this one to train anew"
            )
        path = folder / "model.safetensors"
        if not path.exists() or file_digest(path) != facts["sha256"]:
            state = "changed since it was written" if path.exists() else "missing"
            raise BenchError(f"{path} is {state}; put it back, or delete {folder} to train anew")
        tensors, kept = load(path)
        load_state({"autoencoder": self.autoencoder, "denoiser": self.denoiser}, tensors)
        self.scale, self.darkest = kept["scale"], kept["darkest"]
        self.autoencoder.eval()
        self.denoiser.eval()
        return facts


def build_model(
    autoencoder: AutoencoderSettings,
    diffusion: DiffusionSettings,
    size: tuple[int, int],
    label_width: int,
    seed: int,
) -> tuple[Autoencoder, Denoiser, Grey]:
    """Networks with fresh weights decided by ``seed``, for images of ``size`` padded to what they can halve."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "autoencoder"))
        first = Autoencoder(autoencoder)
        torch.manual_seed(seed_of(seed, "denoiser"))
        second = Denoiser(diffusion, autoencoder.latent_channels, label_width)
    return first, second, Grey(size, autoencoder.factor * diffusion.factor, autoencoder.grey)


def floored(images: Images, darkest: int) -> Images:
    """``images`` (N, H, W) without grey levels between black and ``darkest``, which training images hardly have.

    They become black, else the background, exactly black in training images, would be speckled; but ``darkest``
    where at most ``HOLE`` of the 3 x 3 pixels around are so dark, for that is no background but a hole in the picture.
    """
    height, width = images.shape[1:]
    dark = images < darkest
    padded = np.pad(dark, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    around = sum(padded[:, top : top + height, left : left + width] for top in range(3) for left in range(3))
    return np.where(dark, np.where(around > HOLE, 0, darkest), images).astype(np.uint8)
