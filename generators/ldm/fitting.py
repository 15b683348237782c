"""From training images to a model on disk, in two stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.api import Images, ImageSet
from bench.runtime.progress import track
from bench.storage.files import write_atomic, writing
from bench.storage.image_reader import contact_sheet
from generators.ldm.autoencoder import autoencoder_stage, principal_path
from generators.ldm.conditions import Condition
from generators.ldm.diffusion import diffusion_stage
from generators.ldm.model import Model
from generators.ldm.settings import SamplingSettings
from generators.ldm.training import TrainingContext
from generators.ldm.watching import Strip
from generators.training.checkpointer import Checkpointer
from generators.training.loop import Stage, batch_indices, seed_of, train

MEMORY = 2**31  # bytes of decoded images held in memory; larger sets are decoded batch by batch
BLOCK = 64  # images encoded in one step
SHOWN = 8  # images in a row of the sheets
WATCHED = 6  # images in a row of the strip


@dataclass(frozen=True)
class TrainingData:
    """Images, and how their conditions become tensors."""

    images: ImageSet
    condition: Condition


@dataclass
class Fitting:
    """The training of ``model`` on ``data``, kept in ``checkpointer.folder``."""

    model: Model
    data: TrainingData
    sampling: SamplingSettings
    checkpointer: Checkpointer
    context: TrainingContext

    def run(self) -> dict[str, Any]:
        """Both stages; returns what there is to say of the result."""
        self.model.darkest = darkest_grey(self.data.images)
        error = self._autoencoder()
        self._diffusion()
        self._show_samples()
        return {"reconstruction_psnr_db": round(error, 2)}

    def _autoencoder(self) -> float:
        model = self.model.autoencoder
        settings = model.settings
        begun = self.checkpointer.path("autoencoder").exists()
        if not begun and self.checkpointer.writes:
            (self.checkpointer.folder / "latents.npy").unlink(missing_ok=True)  # of an autoencoder that is gone
        if settings.shortcut is not None and not begun:
            path = principal_path(self._batches(), settings.factor, settings.latent_channels, settings.shortcut)
            model.take_shortcut(*path)

        def batch(step: int) -> torch.Tensor:
            return self._tensor(self._rows(step, settings.batch, "autoencoder"))

        stage = autoencoder_stage(model, batch, self.context)
        self._train(stage, settings.steps)
        return self._show_reconstructions()

    def _diffusion(self) -> None:
        settings = self.model.diffusion
        latents, scale = self._latents()
        self.model.scale = scale if settings.scale_factor is None else settings.scale_factor
        conditions = self.data.condition.of_images(self.data.images)

        def batch(step: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            rows = self._rows(step, settings.batch, "diffusion")
            noise = torch.randn((settings.batch, *self.model.latent_shape), generator=draw)
            mean, deviation = torch.from_numpy(latents[rows]).chunk(2, dim=1)
            latent = mean + deviation * self.context.group.share(noise)
            device = self.model.device
            return (latent * self.model.scale).to(device), conditions(rows).to(device)

        stage = diffusion_stage(self.model.denoiser, settings, batch, self.data.condition.nothing, self.context)
        if self.checkpointer.writes:
            average = replace(self.model, denoiser=stage.modules["average"])
            stage.watch = Strip(self.checkpointer.folder, settings.steps, lambda: self._samples(average, WATCHED))
        self._train(stage, settings.steps)
        if settings.average:
            self.model.denoiser.load_state_dict(stage.modules["average"].state_dict())

    def _train(self, stage: Stage, steps: int) -> None:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            train(stage, steps, self.checkpointer, self.context.group)

    def _rows(self, step: int, batch: int, stage: str) -> npt.NDArray[np.int64]:
        """What this process learns from in a step."""
        order = seed_of(self.context.seed, stage, "order")
        whole = batch_indices(step, batch, len(self.data.images), lambda epoch: seed_of(order, "epoch", epoch))
        return self.context.group.share(whole)

    def _latents(self) -> tuple[npt.NDArray[np.float32], float]:
        """Means and standard deviations (N, 2C, h, w) of all latents, in a file; one over the spread of the means."""
        path = self.checkpointer.folder / "latents.npy"
        with self.context.group.main_first("encoding latents") as is_main:
            if is_main and not path.exists():
                self._write_latents(path)
        table = np.lib.format.open_memmap(path, "r")
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(table), BLOCK):
            means = table[start : start + BLOCK, : table.shape[1] // 2].astype(np.float64)
            count, total, squares = count + means.size, total + means.sum(), squares + (means**2).sum()
        return table, float(1 / max(np.sqrt(squares / count - (total / count) ** 2), 1e-6))

    def _write_latents(self, path: Path) -> None:
        channels, height, width = self.model.latent_shape
        shape = (len(self.data.images), 2 * channels, height, width)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        # written, not mapped: a full disk would kill a process that maps the file
        with writing(path) as draft, draft.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for images in self._batches():
                file.write(torch.cat(self.model.encode(images), dim=1).float().cpu().numpy().tobytes())

    @cached_property
    def _held(self) -> Images | None:
        height, width = self.data.images.size
        if len(self.data.images) * height * width > MEMORY:
            return None
        return np.concatenate(list(self.data.images.blocks(BLOCK)))

    def _tensor(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        pixels = self.data.images.pixels(rows.tolist()) if self._held is None else self._held[rows]
        return self.model.grey.tensor(pixels, self.model.device)

    def _batches(self) -> Iterator[torch.Tensor]:
        starts = range(0, len(self.data.images), BLOCK)
        for start in track(starts, "ldm: reading", unit="block"):
            yield self._tensor(np.arange(start, min(start + BLOCK, len(self.data.images))))

    def _show_reconstructions(self) -> float:
        """A sheet of images over their reconstructions; returns the mean peak signal-to-noise ratio in dB."""
        rows = np.linspace(0, len(self.data.images) - 1, min(BLOCK, len(self.data.images))).astype(np.int64)
        images = self.data.images.pixels(rows.tolist())
        made = self.model.decode(self.model.encode(self._tensor(rows))[0])
        pairs = np.concatenate([images[:SHOWN], made[:SHOWN], images[SHOWN : 2 * SHOWN], made[SHOWN : 2 * SHOWN]])
        if self.checkpointer.writes:
            sheet = contact_sheet(pairs, min(SHOWN, len(rows)))
            write_atomic(self.checkpointer.folder / "ldm_reconstructions.png", sheet)
        errors = ((images.astype(np.float64) - made) ** 2).mean(axis=(1, 2))
        return float((10 * np.log10(255**2 / np.maximum(errors, 1e-3))).mean())

    def _show_samples(self) -> None:
        if self.checkpointer.writes:
            sheet = contact_sheet(self._samples(self.model, 2 * SHOWN), SHOWN)
            write_atomic(self.checkpointer.folder / "ldm_samples.png", sheet)

    def _samples(self, model: Model, most: int) -> Images:
        """Images of always the same seeds, under the conditions of the first training images."""
        count = min(most, len(self.data.images))
        condition = self.data.condition.of_images(self.data.images)(np.arange(count))
        seeds = [seed_of(self.context.seed, "sheet", number) for number in range(count)]
        return model.draw(seeds, condition, self.data.condition.nothing(count), self.sampling)


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
    drafts = (".*.safetensors.*", ".latents.npy.*")  # of a process that was killed while it wrote
    for pattern in ("*.checkpoint.safetensors", "latents.npy", "progress.npy", *drafts):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
