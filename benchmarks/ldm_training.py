"""What some minutes of training come to: images, how fast they are drawn, and how real they look."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import conf
from bench.api import Encoder, Images, Rows, Split
from bench.runtime.blocks import BlockEncoder
from bench.statistics.scaling import scale_of
from bench.storage.image_reader import contact_sheet
from benchmarks.clock import Clock
from benchmarks.ldm_loops import SEED, Monai, Ours, Sampler, Task, Variant, material_of, networks, seeds_of
from evaluators.fidelity.frechet_distance import frechet
from generators.ldm.conditions import Labels
from generators.ldm.fitting import Fitting, TrainingData
from generators.ldm.model import Model
from generators.ldm.settings import SamplingSettings
from generators.ldm.training import TrainingContext
from generators.training.checkpointer import Checkpointer

FIRST_SHARE = 0.4  # of the time, for the autoencoder
SHOWN = 8  # images in a row of the sheet


@dataclass(frozen=True)
class Course:
    """A training of about ``minutes``.

    Attributes:
        rates: images a second of our two trainings in ``variant``, by part, from which the steps follow.
    """

    task: Task
    variant: Variant
    minutes: float
    rates: Mapping[str, float]

    def steps(self) -> tuple[int, int]:
        """Optimiser steps of autoencoder and denoiser."""
        seconds = 60 * self.minutes / self.task.batch
        first = FIRST_SHARE * seconds * self.rates["autoencoder training"]
        second = (1 - FIRST_SHARE) * seconds * self.rates["denoiser training"]
        return max(1, int(first)), max(1, int(second))

    def run(self, split: Split, folder: Path) -> dict[str, Any]:
        """Train, sample under the conditions of the test images with both samplers, and draw ``samples.png``.

        Returns:
            Steps, reconstruction quality, and for each method its images a second and FD (plain, standardised
            radiomics, against as many test images); the FD of as many held out images is that of a perfect generator.
        """
        model, quality = self._trained(split)
        count = min(len(split.test), len(split.holdout)) // self.task.batch * self.task.batch
        rows = range(count)
        condition = Labels(split.info).of_images(split.test)(np.arange(count))
        # ours compiles the network it holds, so MONAI has one of its own
        other = replace(model, denoiser=copy.deepcopy(model.denoiser))
        material = material_of(split)
        sides = (Ours(model, material, self.variant), Monai(other, material, self.variant))
        made: dict[str, Images] = {}
        speeds: dict[str, float] = {}
        for side in sides:
            made[side.name], speeds[side.name] = self._sampled(side.sampler(self.task.steps), condition)
        real, unseen = split.test.pixels(rows), split.holdout.pixels(rows)
        shown = [each[:SHOWN] for each in (real, *made.values())]
        (folder / "samples.png").write_bytes(contact_sheet(np.concatenate(shown), len(shown[0])))
        distances = distances_of(real, {**made, "held out": unseen})
        first, second = self.steps()
        return {
            "variant": self.variant.name,
            "minutes": self.minutes,
            "learned_from": len(split.train),
            "steps": {"autoencoder": first, "diffusion": second, "ddim": self.task.steps},
            "images": count,
            **quality,
            "images_per_second": speeds,
            "fd_radiomics": distances,
        }

    def _trained(self, split: Split) -> tuple[Model, dict[str, Any]]:
        task = self.task
        context = TrainingContext(SEED, self.variant.precision, self.variant.compiled)
        if context.compiled:
            torch.compiler.reset()
        preset = task.preset.at(task.batch, *self.steps())
        model = networks(preset, material_of(split), self.variant, task.device)
        with TemporaryDirectory() as folder:
            checkpointer = Checkpointer(Path(folder), 1000, "")
            data, sampling = (
                TrainingData(split.train, Labels(split.info)),
                SamplingSettings(steps=task.steps, order=1, spacing=1),
            )
            return model, Fitting(model, data, sampling, checkpointer, context).run()

    def _sampled(self, sampler: Sampler, condition: torch.Tensor) -> tuple[Images, float]:
        """An image for each condition, and images a second after the first batch."""
        seeds, batch = seeds_of(len(condition)), self.task.batch
        sampler(seeds[:batch], condition[:batch])
        made: list[Images] = []

        def sample() -> None:
            for start in range(0, len(seeds), batch):
                made.append(sampler(seeds[start : start + batch], condition[start : start + batch]))

        seconds = Clock(self.task.device).seconds(sample)
        return np.concatenate(made), len(seeds) / seconds


def distances_of(real: Images, others: Mapping[str, Images]) -> dict[str, float]:
    """The plain FD of each set from ``real`` in standardised radiomics."""
    encoder = radiomics()
    rows = _encoded(encoder, real)
    scale = scale_of(rows)
    return {name: frechet(scale(rows), scale(_encoded(encoder, images))) for name, images in others.items()}


def _encoded(encoder: Encoder, images: Images) -> Rows:
    blocks = BlockEncoder(encoder, len(images))
    blocks.take(images)
    return blocks.rows


def radiomics() -> Encoder:
    """The encoder as ``conf`` describes it."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    path = Path(conf.__file__).parent / "encoder" / "radiomics.yaml"
    return instantiate(OmegaConf.load(path).radiomics)


def lines(trained: Mapping[str, Any]) -> Iterator[str]:
    """What ``Course.run`` found, for reading."""
    steps, quality = trained["steps"], trained["reconstruction_psnr_db"]
    yield (
        f"Trained {trained['variant']} for about {trained['minutes']:g} minutes on {trained['learned_from']} images: "
        f"{steps['autoencoder']} steps of the autoencoder ({quality} dB), {steps['diffusion']} of the denoiser; "
        f"{trained['images']} images each, {steps['ddim']} steps of DDIM"
    )
    yield ""
    yield "| images | images/s | FD, radiomics |"
    yield "|---|---|---|"
    for name, distance in trained["fd_radiomics"].items():
        speed = trained["images_per_second"].get(name)
        yield f"| {name} | {'' if speed is None else f'{speed:.3g}'} | {distance:.4g} |"
