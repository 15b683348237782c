"""A latent diffusion model, trained here: MONAI's autoencoder and denoising U-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Request
from bench.device import resolve
from bench.store import content_key
from generators.latent.settings import AutoencoderSettings, DiffusionSettings, Precision, SamplingSettings, parse

if TYPE_CHECKING:
    import torch

    from generators.latent.conditions import Condition
    from generators.latent.model import Model


class LatentDiffusion(Generator):
    """Diffusion in the latents of an autoencoder (Rombach et al., arXiv:2112.10752; for brain images, as here with
    MONAI: Pinaya et al., arXiv:2209.07162), conditioned on the data set's labels or on its prompts.

    A row of ``sample`` is decided by its request's seed and condition, its place in the block, and the block's size;
    on a CPU with one thread the place does not matter either.

    Attributes:
        facts: parameters, latent and padded image size, steps, precision, device, digests; empty before ``fit``.
    """

    incidental: ClassVar[tuple[str, ...]] = ("device", "checkpoint_every")
    sampling_only: ClassVar[tuple[str, ...]] = ("sampling", "block")

    def __init__(
        self,
        autoencoder: Mapping[str, Any],
        diffusion: Mapping[str, Any],
        sampling: Mapping[str, Any],
        block: int = 64,
        checkpoint_every: int = 250,
        precision: Precision = "bf16",
        device: str = "auto",
    ) -> None:
        """The sections are described in ``generators/latent/settings.py``; ``device`` is auto, cpu, cuda, cuda:1…"""
        self._autoencoder = parse(AutoencoderSettings, autoencoder, "autoencoder")
        self._diffusion = parse(DiffusionSettings, diffusion, "diffusion")
        self._sampling = parse(SamplingSettings, sampling, "sampling")
        if precision not in ("bf16", "float32"):
            raise BenchError(f"generator.precision={precision!r}, needed bf16 or float32")
        if block < 1 or checkpoint_every < 1:
            raise BenchError(f"generator: block={block}, checkpoint_every={checkpoint_every}; needed at least 1")
        self.block = block
        encoder = self._diffusion.text_encoder
        self.reads = () if encoder is None else (encoder,)
        self.facts: dict[str, Any] = {}
        self._every, self._precision, self._device = checkpoint_every, precision, device
        self._model: Model | None = None

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Two stages with checkpoints, ``history.csv`` and a sheet of images each; then ``model.safetensors`` and
        ``model.json``. A folder that holds ``model.json`` is loaded and nothing is trained.

        Raises:
            BenchError: the folder holds a model of other settings or images, or a damaged file; losses or images
                that are not finite; labels or prompts missing.
        """
        import torch

        from generators.latent.fitting import Fitting, clear
        from generators.latent.training import Keeper

        device = _device(self._device)
        self._condition = self._conditions(train.info, device)
        self.uses = self._condition.uses
        identity = self._identity(train, seed)
        model = self._build(train.size, self._condition.width, seed, device)
        kept = model.take(folder, identity)
        if kept is None:
            keeper = Keeper(folder, self._every, content_key(identity))
            fitting = Fitting(model, self._condition, train, seed, keeper)
            kept = model.keep(folder, identity | fitting.run(self._sampling))
        clear(folder)
        self._model = model
        self.facts = self._facts(model, kept) | {"torch": torch.__version__}

    def sample(self, requests: Sequence[Request]) -> Images:
        if self._model is None:
            raise BenchError("ldm: sample before fit")
        condition, hidden = self._condition.of_requests(requests), self._condition.nothing(len(requests))
        return self._model.draw([each.seed for each in requests], condition, hidden, self._sampling)

    def _conditions(self, info: DatasetInfo, device: torch.device) -> Condition:
        from generators.latent.conditions import Labels, Prompts

        if self._diffusion.text_encoder is None:
            return Labels(info)
        return Prompts(self._diffusion.text_encoder, self._diffusion.text_width, device)

    def _build(self, size: tuple[int, int], label_width: int, seed: int, device: torch.device) -> Model:
        import torch

        from generators.latent.model import Model, build_model

        autoencoder, denoiser, grey = build_model(self._autoencoder, self._diffusion, size, label_width, seed)
        precision = torch.bfloat16 if self._precision == "bf16" else torch.float32
        return Model(autoencoder.to(device), denoiser.to(device), grey, device, precision, self._diffusion)

    def _identity(self, train: ImageSet, seed: int) -> dict[str, Any]:
        return {
            "autoencoder": asdict(self._autoencoder),
            "diffusion": asdict(self._diffusion),
            "precision": self._precision,
            "seed": seed,
            "train": train.digest,
            "image_size": list(train.size),
            "conditions": {name: list(train.info.label(name).values) for name in train.info.conditions},
        }

    def _facts(self, model: Model, kept: Mapping[str, Any]) -> dict[str, Any]:
        drawn = self._sampling
        return {
            "parameters": {
                "autoencoder": sum(each.numel() for each in model.autoencoder.parameters()),
                "denoiser": sum(each.numel() for each in model.denoiser.parameters()),
            },
            "steps": {"autoencoder": self._autoencoder.steps, "diffusion": self._diffusion.steps},
            "sampler": f"DDIM, {drawn.steps} steps, guidance {drawn.guidance:g}",
            "latent_shape": list(model.latent_shape),
            "padded_size": list(model.grey.padded),
            "precision": self._precision,
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
