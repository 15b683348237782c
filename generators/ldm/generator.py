"""A latent diffusion model, trained here: MONAI's autoencoder and denoising U-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Request
from bench.runtime.device import resolve
from bench.runtime.processes import data_parallel
from bench.storage.files import content_key
from generators.ldm.settings import AutoencoderSettings, ComputeSettings, DiffusionSettings, SamplingSettings, parse
from generators.training_statement import training_statement

if TYPE_CHECKING:
    import torch

    from generators.ldm.conditions import Condition
    from generators.ldm.model import Model


class LatentDiffusion(Generator):
    """Diffusion in the latents of an autoencoder (Rombach et al., arXiv:2112.10752; for brain images, as here with
    MONAI: Pinaya et al., arXiv:2209.07162), conditioned on the data set's labels or on its prompts.

    A row of ``sample`` is decided by its request's seed and condition, its place in the block, and the block's size;
    on a CPU with one thread the place does not matter either.

    Attributes:
        facts: parameters, latent and padded image size, steps, precision, device, digests; empty before ``fit``.
    """

    incidental: ClassVar[tuple[str, ...]] = ("device", "checkpoint_every", "trained_on")
    sampling_only: ClassVar[tuple[str, ...]] = ("sampling", "block")

    def __init__(
        self,
        autoencoder: Mapping[str, Any],
        diffusion: Mapping[str, Any],
        sampling: Mapping[str, Any],
        trained_on: str | None = None,
        **compute: Any,
    ) -> None:
        """Sections and further settings are described in ``generators/ldm/settings.py``: those of ``compute`` are
        ``ComputeSettings``. ``trained_on``: what you state that the text encoder and the network of the perceptual
        distance learned from, see ``training_statement``; without either there is nothing to state.

        Raises:
            BenchError: an unknown or missing setting, or settings that contradict each other.
        """
        self._autoencoder = parse(AutoencoderSettings, autoencoder, "autoencoder")
        self._diffusion = parse(DiffusionSettings, diffusion, "diffusion")
        self._sampling = parse(SamplingSettings, sampling, "sampling")
        self._compute = parse(ComputeSettings, compute)
        self._check()
        self.block, self.processes = self._compute.block, self._compute.processes
        weights = self._autoencoder.perceptual_weights if self._autoencoder.perceptual else None
        read = (self._diffusion.text_encoder, weights)
        self.reads = tuple(each for each in read if each is not None)
        self.trained_on = training_statement(trained_on)
        self.facts: dict[str, Any] = {}
        self._model: Model | None = None

    def _check(self) -> None:
        processes = self._compute.processes
        for name, section in (("autoencoder", self._autoencoder), ("diffusion", self._diffusion)):
            if processes < 1 or section.batch % processes:
                raise BenchError(f"generator: {name}.batch={section.batch} must be a multiple of processes={processes}")
        if self._sampling.guidance != 1 and not self._diffusion.drop:
            raise BenchError(
                f"generator.sampling.guidance={self._sampling.guidance:g} compares with hidden labels, which a model "
                "trained with diffusion.drop=0 never saw; set guidance to 1, or drop to 0.1"
            )

        if self._sampling.steps > self._diffusion.noise_steps:
            raise BenchError(
                f"generator.sampling.steps={self._sampling.steps} is more than the times of the noise schedule; set at "
                f"most diffusion.noise_steps={self._diffusion.noise_steps}"
            )

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Two stages with checkpoints, ``history.csv`` and ``ldm_losses.png``, a sheet of images each and
        ``ldm_progress.png``, samples of the same seeds at a few steps; then ``model.safetensors`` and ``model.json``.
        A folder that holds ``model.json`` is loaded and nothing is trained.

        Raises:
            BenchError: the folder holds a model of other settings or images, or a damaged file; losses or images
                that are not finite; labels, prompts or weights missing; other than ``processes`` processes.
        """
        import torch

        from generators.ldm.fitting import clear

        if self._compute.compiled:
            # kernels kept from another model of this process would decide which are made
            torch.compiler.reset()
        device = _device(self._compute.device)
        self._condition = self._conditions(train.info, device)
        self.uses = self._condition.uses
        identity = self._identity(train, seed)
        model = self._build(train.size, self._condition.width, seed, device)
        kept = model.take(folder, identity) or self._trained(model, train, seed, folder)
        clear(folder)
        if self._compute.compiled:
            model.denoiser.compile(dynamic=False)
        self._model = model
        self.facts = self._facts(model, kept) | {"torch": torch.__version__}

    def sample(self, requests: Sequence[Request]) -> Images:
        if self._model is None:
            raise BenchError("ldm: sample before fit")
        condition, hidden = self._condition.of_requests(requests), self._condition.nothing(len(requests))
        return self._model.draw([each.seed for each in requests], condition, hidden, self._sampling)

    def _trained(self, model: Model, train: ImageSet, seed: int, folder: Path) -> dict[str, Any]:
        """Train and keep ``model``, alone or as one of several processes; what is to be said of it."""
        from generators.ldm.fitting import Fitting, TrainingData
        from generators.ldm.training import TrainingContext
        from generators.training.checkpointer import Checkpointer

        identity, chosen = self._identity(train, seed), self._compute
        with data_parallel(chosen.processes, model.device) as group:
            key = content_key(identity)
            checkpointer = Checkpointer(folder, chosen.checkpoint_every, key, group.is_main, "ldm_losses.png")
            context = TrainingContext(seed, model.precision, chosen.compiled, group)
            data = TrainingData(train, self._condition)
            found = Fitting(model, data, self._sampling, checkpointer, context).run()
            with group.main_first("writing the model") as is_main:
                if is_main:
                    model.keep(folder, identity | found)
        # what is on disk is what every process goes on with
        kept = model.take(folder, identity)
        assert kept is not None
        return kept

    def _conditions(self, info: DatasetInfo, device: torch.device) -> Condition:
        from generators.ldm.conditions import Labels, Prompts

        if self._diffusion.text_encoder is None:
            return Labels(info)
        return Prompts(self._diffusion.text_encoder, self._diffusion.text_width, device)

    def _build(self, size: tuple[int, int], label_width: int, seed: int, device: torch.device) -> Model:
        import torch

        from generators.ldm.model import Model, build_model

        autoencoder, denoiser, grey = build_model(self._autoencoder, self._diffusion, size, label_width, seed)
        if self._compute.channels_last:
            autoencoder.to(memory_format=torch.channels_last)
            denoiser.to(memory_format=torch.channels_last)
        precision = torch.bfloat16 if self._compute.precision == "bf16" else torch.float32
        return Model(autoencoder.to(device), denoiser.to(device), grey, device, precision, self._diffusion)

    def _identity(self, train: ImageSet, seed: int) -> dict[str, Any]:
        from generators.ldm.perceptual import weights_digest

        return {
            # the weights of the perceptual distance count, and not where they lie
            "autoencoder": asdict(self._autoencoder) | {"perceptual_weights": weights_digest(self._autoencoder)},
            "diffusion": asdict(self._diffusion),
            "precision": self._compute.precision,
            "channels_last": self._compute.channels_last,
            "compiled": self._compute.compiled,
            "processes": self.processes,
            "seed": seed,
            "train": train.digest,
            "image_size": list(train.size),
            "conditions": {name: list(train.info.label(name).values) for name in train.info.conditions},
        }

    def _facts(self, model: Model, kept: Mapping[str, Any]) -> dict[str, Any]:
        from generators.ldm.sampler import NAMES

        drawn, guided = self._sampling, model.guided_steps(self._sampling)
        return {
            "parameters": {
                "autoencoder": sum(each.numel() for each in model.autoencoder.parameters()),
                "denoiser": sum(each.numel() for each in model.denoiser.parameters()),
            },
            "steps": {"autoencoder": self._autoencoder.steps, "diffusion": self._diffusion.steps},
            "sampler": f"{NAMES[drawn.order]}, {drawn.steps} steps, {guided or 'none'} of them with guidance "
            f"{drawn.guidance:g}",
            "own_size": (model.grey.size, model.grey.size),
            "latent_shape": list(model.latent_shape),
            "padded_size": list(model.grey.padded),
            "precision": self._compute.precision,
            "processes": self.processes,
            "device": model.device.type,
            "checkpoint_sha256": kept["sha256"],
            **{name: kept[name] for name in ("scale_factor", "darkest_grey", "reconstruction_psnr_db")},
        }


def _device(name: str) -> torch.device:
    import torch

    device = torch.device(resolve(name))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BenchError(f"device={name}, but this machine has no usable CUDA device; set device=cpu")
    return device
