"""What can be set of a latent diffusion model, checked before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from bench.api import BenchError
from bench.networks import Backbone
from bench.runtime.plugin_settings import check_taken

Precision = Literal["bf16", "float32"]
Decay = Literal["cosine", "constant"]
Norm = Literal["batch", "instance"]
Settings = TypeVar("Settings", bound="Section")


@dataclass(frozen=True, slots=True)
class Section:
    """One group of settings."""


@dataclass(frozen=True, slots=True)
class AugmentationSettings(Section):
    """Random changes of the images the autoencoder learns from; each is drawn anew whenever an image is shown.

    Attributes:
        affine: share of images that are turned, moved and scaled; what comes in at the edge is mirrored.
        degrees: largest turn either way.
        pixels: largest move along each axis.
        scale: largest change of size along each axis, 0.05 for 5 %.
        flip: share of images mirrored left to right.
        shift: largest change of all grey levels, where white less black is 1; clipped at both.
        shift_share: share of images whose grey levels are shifted.
        gamma: the exponent of the grey levels between an image's own darkest and brightest is 1 ± this at most.
        gamma_share: share of images that get an exponent.
    """

    affine: float = 0.5
    degrees: float = 10.0
    pixels: float = 10.0
    scale: float = 0.05
    flip: float = 0.25
    shift: float = 0.05
    shift_share: float = 0.1
    gamma: float = 0.05
    gamma_share: float = 0.1


@dataclass(frozen=True, slots=True)
class AutoencoderSettings(Section):
    """The first stage: images to latents and back.

    Attributes:
        patch: side of the square of pixels that becomes channels before the first convolution; 1 leaves pixels alone.
        channels: width of each level; every level after the first halves height and width.
        attention: for each level, whether it attends.
        middle_attention: whether the innermost level attends to all places.
        latent_channels: channels of the latent.
        blocks: residual blocks of a level.
        groups: groups of the normalisation.
        shortcut: whitening exponent (0-1) of the principal-component path round the network, ``None`` for no path.
        grey: values of black and white as the network sees them.
        kl: weight of the Kullback-Leibler divergence, in nats per latent value, beside the mean absolute error.
        adversarial: weight of the patch discriminator's verdict, 0 for no discriminator.
        adversarial_start: steps before the discriminator joins.
        discriminator_channels: width of its first layer.
        discriminator_rate: its learning rate.
        discriminator_norm: its normalisation, batch or instance: over all images that a process shows it at once, or
            over each for itself.
        perceptual: weight of the perceptual distance, 0 for none.
        perceptual_network: torchvision network the distance is measured in: squeeze, alex or vgg.
        perceptual_weights: file of that network's weights.
        augmentation: random changes of the training images, ``None`` for none.
        steps, batch, rate, decay, weight_decay: of AdamW.
    """

    channels: tuple[int, ...]
    latent_channels: int
    steps: int
    batch: int
    rate: float
    attention: tuple[bool, ...] = ()
    middle_attention: bool = False
    patch: int = 1
    blocks: int = 1
    groups: int = 8
    shortcut: float | None = None
    grey: tuple[float, float] = (-1.0, 1.0)
    kl: float = 1e-3
    adversarial: float = 0.0
    adversarial_start: int = 0
    discriminator_channels: int = 32
    discriminator_rate: float = 1e-4
    discriminator_norm: Norm = "instance"
    perceptual: float = 0.0
    perceptual_network: Backbone = "squeeze"
    perceptual_weights: str | None = None
    augmentation: AugmentationSettings | None = None
    decay: Decay = "cosine"
    weight_decay: float = 1e-4

    @property
    def factor(self) -> int:
        """Pixels along one side of the square that one place of the latent stands for."""
        return self.patch * 2 ** (len(self.channels) - 1)


@dataclass(frozen=True, slots=True)
class DiffusionSettings(Section):
    """The second stage: noise to latents.

    Attributes:
        channels: width of each level; every level after the first halves height and width.
        attention: for each level, whether it attends.
        head_channels: channels of one attention head, by level.
        blocks: residual blocks of a level.
        groups: groups of the normalisation.
        text_encoder: folder or hub name with ``tokenizer`` and ``text_encoder``; prompts then enter by
            cross-attention, otherwise labels enter beside the time step.
        text_width: width of the text encoder's rows.
        noise_steps: length of the noise schedule.
        noise: first and last beta of the scaled-linear schedule.
        scale_factor: what latents are multiplied by, ``None`` for one over their standard deviation.
        drop: share of training images whose condition is hidden.
        snr_gamma: signal-to-noise ratio up to which errors at less noise count more (arXiv:2303.09556), ``None`` for
            equal weights of all times.
        average: decay of the running average of the weights, 0 for the weights themselves.
        steps, batch, rate, decay, weight_decay, betas: of AdamW.
        clip_norm: longest gradient, ``None`` for any length.
        matrix_rate: learning rate of Muon, which then trains kernels and matrices; ``None`` is AdamW for all.
    """

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    head_channels: tuple[int, ...]
    steps: int
    batch: int
    rate: float
    blocks: int = 1
    groups: int = 16
    text_encoder: str | None = None
    text_width: int = 1024
    noise_steps: int = 1000
    noise: tuple[float, float] = (0.0005, 0.012)
    scale_factor: float | None = None
    drop: float = 0.1
    snr_gamma: float | None = None
    average: float = 0.99
    decay: Decay = "cosine"
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float | None = 1.0
    matrix_rate: float | None = None

    @property
    def factor(self) -> int:
        """What height and width of the latent must be multiples of."""
        return 2 ** (len(self.channels) - 1)


@dataclass(frozen=True, slots=True)
class SamplingSettings(Section):
    """How latents are drawn.

    Attributes:
        steps: of the solver, one evaluation of the denoiser each, two where it is guided.
        order: of the solver: 2 for DPM-Solver++(2M), 1 for DDIM, which needs two to three times the steps.
        spacing: of the times: even at 1, closer towards the end above, where a latent takes its final shape.
        guidance: 1 for the condition as learned, more for exaggeration, less to mute it, 0 with ``guided`` 1 to ignore
            it (arXiv:2207.12598).
        guided: share of the steps, from the noisiest on, that are guided; the others follow the condition as learned
            (arXiv:2404.07724).
    """

    steps: int = 10
    order: int = 2
    spacing: float = 1.5
    guidance: float = 1.0
    guided: float = 1.0


@dataclass(frozen=True, slots=True)
class ComputeSettings(Section):
    """How both stages are computed; these stand beside the sections.

    Attributes:
        block: images made in one step of sampling.
        checkpoint_every: steps that a kill can cost.
        precision: float32, or bf16 for what autocast covers.
        channels_last: whether weights lie in memory with their channels last, which is faster on most GPUs.
        compiled: whether ``torch.compile`` makes the kernels of training and of the denoiser's sampling; needs a C++
            compiler.
        processes: how many processes train together, each on its rows of every batch.
        device: auto, cpu, cuda, cuda:1…
    """

    block: int = 64
    checkpoint_every: int = 250
    precision: Precision = "float32"
    channels_last: bool = False
    compiled: bool = False
    processes: int = 1
    device: str = "auto"


def parse(kind: type[Settings], values: Mapping[str, Any], section: str = "") -> Settings:
    """``values`` as ``kind``, lists as tuples, the mapping ``augmentation`` as ``AugmentationSettings``.

    ``section`` is where they stand in the configuration, empty for beside the sections.

    Raises:
        BenchError: an unknown or missing name, another type, or numbers that contradict each other.
    """
    where = f"generator.{section}".rstrip(".")
    check_taken(kind, values, where)
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, (list, tuple)) else value for name, value in values.items()
    }
    if (inner := plain.get("augmentation")) is not None:
        plain["augmentation"] = parse(AugmentationSettings, inner, f"{section}.augmentation")
    result = kind(**plain)
    for complaint in _complaints(result):
        raise BenchError(f"{where}: {complaint}")
    return result


def _complaints(section: Section) -> list[str]:
    if isinstance(section, AutoencoderSettings):
        ranges = {
            "shortcut": (0, 1),
            "patch": (1, 64),
            "kl": (0, 1e9),
            "adversarial": (0, 1e9),
            "perceptual": (0, 1e9),
            "discriminator_rate": (1e-12, 1e3),
        }
        return _network(section) + _grey(section) + _within(section, **ranges)
    if isinstance(section, AugmentationSettings):
        shares = dict.fromkeys(("affine", "flip", "shift_share", "gamma_share", "shift"), (0, 1))
        return _within(section, degrees=(0, 180), pixels=(0, 1e6), scale=(0, 0.99), gamma=(0, 0.99), **shares)
    if isinstance(section, DiffusionSettings):
        wrong = _network(section) + _within(section, drop=(0, 1), average=(0, 1), noise_steps=(2, 10**6))
        if not 0 < section.noise[0] <= section.noise[1] < 1:
            wrong.append(f"noise={section.noise} must be two betas between 0 and 1, the smaller first")
        ranges = {"snr_gamma": (1e-6, 1e9), "matrix_rate": (1e-12, 1e3), "scale_factor": (1e-6, 1e6)}
        return wrong + _betas(section) + _within(section, clip_norm=(1e-12, 1e12), **ranges)
    if isinstance(section, ComputeSettings):
        return _within(section, block=(1, 10**6), checkpoint_every=(1, 10**9))
    return _within(section, steps=(1, 10**6), order=(1, 2), spacing=(1, 4), guidance=(0, 1e3), guided=(0, 1))


def _network(section: AutoencoderSettings | DiffusionSettings) -> list[str]:
    wrong = _within(section, steps=(1, 10**9), batch=(1, 10**6), rate=(1e-12, 1e3), weight_decay=(0, 1e3))
    levels = len(section.channels)
    if not levels or any(width % section.groups for width in section.channels):
        wrong.append(f"channels={section.channels} must be multiples of groups={section.groups}")
    for name in ("attention", "head_channels"):
        given = getattr(section, name, ())
        if given and len(given) != levels:
            wrong.append(f"{name}={given} names {len(given)} levels, channels names {levels}")
    return wrong


def _grey(section: AutoencoderSettings) -> list[str]:
    if section.grey[0] != section.grey[1]:
        return []
    return [f"grey={section.grey} must be two different values, of black and of white"]


def _betas(section: DiffusionSettings) -> list[str]:
    if all(0 <= each < 1 for each in section.betas):
        return []
    return [f"betas={section.betas} must be two numbers from 0 to below 1"]


def _within(section: Section, **ranges: tuple[float, float]) -> list[str]:
    wrong = []
    for name, (low, high) in ranges.items():
        value = getattr(section, name)
        if value is not None and not low <= value <= high:
            wrong.append(f"{name}={value} is outside [{low}, {high}]")
    return wrong
