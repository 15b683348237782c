"""From training images to a model on disk, in two stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.api import Images, ImageSet
from bench.images import contact_sheet
from bench.progress import track
from generators.latent.autoencoder import autoencoder_stage, principal_path
from generators.latent.conditions import Condition
from generators.latent.diffusion import diffusion_stage
from generators.latent.model import Model
from generators.latent.settings import SamplingSettings
from generators.latent.training import Keeper, Stage, positions, seed_of, train

MEMORY = 2**31  # bytes of decoded images held in memory; larger sets are decoded batch by batch
BLOCK = 64  # images encoded in one step
SHOWN = 8  # images in a row of the sheets


@dataclass
class Fitting:
    """The training of ``model`` on ``images``, kept in ``keeper.folder``."""

    model: Model
    condition: Condition
    images: ImageSet
    seed: int
    keeper: Keeper

    def run(self, sampling: SamplingSettings) -> dict[str, Any]:
        """Both stages; returns what there is to say of the result."""
        self.model.darkest = darkest_grey(self.images)
        error = self._autoencoder()
        self._diffusion()
        self._show_samples(sampling)
        return {"reconstruction_psnr_db": round(error, 2)}

    def _autoencoder(self) -> float:
        model = self.model.autoencoder
        settings = model.settings
        if settings.shortcut is not None and not self.keeper.path("autoencoder").exists():
            path = principal_path(self._batches(), settings.factor, settings.latent_channels, settings.shortcut)
            model.take_shortcut(*path)

        def batch(step: int) -> torch.Tensor:
            return self._tensor(positions(step, settings.batch, len(self.images), self._order("autoencoder")))

        stage = autoencoder_stage(model, batch, self.model.precision, self.seed)
        self._train(stage, settings.steps)
        return self._show_reconstructions()

    def _diffusion(self) -> None:
        settings = self.model.diffusion
        latents, scale = self._latents()
        self.model.scale = scale if settings.scale_factor is None else settings.scale_factor
        conditions = self.condition.of_images(self.images)

        def batch(step: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            rows = positions(step, settings.batch, len(self.images), self._order("diffusion"))
            mean, deviation = torch.from_numpy(latents[rows]).chunk(2, dim=1)
            latent = mean + deviation * torch.randn(mean.shape, generator=draw)
            device = self.model.device
            return (latent * self.model.scale).to(device), conditions(rows).to(device)

        stage = diffusion_stage(self.model.denoiser, settings, batch, self.condition.nothing, self.model.precision)
        self._train(stage, settings.steps)
        if settings.average:
            self.model.denoiser.load_state_dict(stage.modules["average"].state_dict())

    def _train(self, stage: Stage, steps: int) -> None:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            train(stage, steps, self.seed, self.keeper)

    def _order(self, stage: str) -> int:
        return seed_of(self.seed, stage, "order")

    def _latents(self) -> tuple[npt.NDArray[np.float32], float]:
        """Means and standard deviations (N, 2C, h, w) of all latents, in a file; one over the spread of the means."""
        path = self.keeper.folder / "latents.npy"
        if not path.exists():
            draft = path.with_name("latents.draft")
            channels, height, width = self.model.latent_shape
            shape = (len(self.images), 2 * channels, height, width)
            table = np.lib.format.open_memmap(draft, "w+", np.float32, shape)
            for start, images in zip(range(0, len(self.images), BLOCK), self._batches(), strict=True):
                table[start : start + len(images)] = torch.cat(self.model.encode(images), dim=1).cpu().numpy()
            table.flush()
            draft.replace(path)
        table = np.lib.format.open_memmap(path, "r")
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(table), BLOCK):
            means = table[start : start + BLOCK, : table.shape[1] // 2].astype(np.float64)
            count, total, squares = count + means.size, total + means.sum(), squares + (means**2).sum()
        return table, float(1 / max(np.sqrt(squares / count - (total / count) ** 2), 1e-6))

    @cached_property
    def _held(self) -> Images | None:
        height, width = self.images.size
        if len(self.images) * height * width > MEMORY:
            return None
        return np.concatenate(list(self.images.blocks(BLOCK)))

    def _tensor(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        pixels = self.images.pixels(rows.tolist()) if self._held is None else self._held[rows]
        return self.model.grey.tensor(pixels, self.model.device)

    def _batches(self) -> Iterator[torch.Tensor]:
        starts = range(0, len(self.images), BLOCK)
        for start in track(starts, "ldm: reading", unit="block"):
            yield self._tensor(np.arange(start, min(start + BLOCK, len(self.images))))

    def _show_reconstructions(self) -> float:
        """A sheet of images over their reconstructions; returns the mean peak signal-to-noise ratio in dB."""
        rows = np.linspace(0, len(self.images) - 1, min(BLOCK, len(self.images))).astype(np.int64)
        images = self.images.pixels(rows.tolist())
        made = self.model.decode(self.model.encode(self._tensor(rows))[0])
        pairs = np.concatenate([images[:SHOWN], made[:SHOWN], images[SHOWN : 2 * SHOWN], made[SHOWN : 2 * SHOWN]])
        contact_sheet(pairs, self.keeper.folder / "ldm_reconstructions.png", min(SHOWN, len(rows)))
        errors = ((images.astype(np.float64) - made) ** 2).mean(axis=(1, 2))
        return float((10 * np.log10(255**2 / np.maximum(errors, 1e-3))).mean())

    def _show_samples(self, sampling: SamplingSettings) -> None:
        count = min(2 * SHOWN, len(self.images))
        condition = self.condition.of_images(self.images)(np.arange(count))
        seeds = [seed_of(self.seed, "sheet", number) for number in range(count)]
        made = self.model.draw(seeds, condition, self.condition.nothing(count), sampling)
        contact_sheet(made, self.keeper.folder / "ldm_samples.png", SHOWN)


def darkest_grey(images: ImageSet, share: float = 0.001) -> int:
    """The grey level under which lies ``share`` of the pixels that are not black, in up to 1,024 images."""
    rows = np.linspace(0, len(images) - 1, min(1024, len(images))).astype(np.int64)
    counts = np.zeros(256, np.int64)
    for start in range(0, len(rows), BLOCK):
        counts += np.bincount(images.pixels(rows[start : start + BLOCK].tolist()).ravel(), minlength=256)
    below = np.cumsum(counts[1:])
    return 1 + int(np.searchsorted(below, share * below[-1])) if below[-1] else 1


def clear(folder: Path) -> None:
    """Remove what only an unfinished training needs."""
    for pattern in ("*.checkpoint.safetensors", "latents.npy", "*.draft"):
        for path in folder.glob(pattern):
            path.unlink()
