"""The first stage: images to latents and back (MONAI's ``AutoencoderKL``), and how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import nn

from bench.api import Images
from generators.ldm.augmentation import NUMBERS, augmented
from generators.ldm.perceptual import PerceptualDistance
from generators.ldm.settings import AutoencoderSettings
from generators.ldm.training import REMEDY, TrainingContext, learning_rate
from generators.training.loop import Stage, generator, seed_of, update

FIRST_SPREAD = -6.0  # log variance of a latent before training, where a shortcut carries the image already


class Autoencoder(nn.Module):
    """``AutoencoderKL`` on squares of pixels, with an optional linear path round it.

    The path is the principal-component analysis of squares of ``factor`` x ``factor`` pixels; the network learns
    what it misses. Such space-to-channel shortcuts are what lets strongly compressing autoencoders train quickly
    (Chen et al., Deep Compression Autoencoder, arXiv:2410.10733). Its latents have variance^(1 - exponent) of the
    components: whitened at exponent 1.
    """

    centre: torch.Tensor
    analysis: torch.Tensor
    synthesis: torch.Tensor

    def __init__(self, settings: AutoencoderSettings) -> None:
        from monai.networks.nets import AutoencoderKL

        super().__init__()
        self.settings = settings
        colours = settings.patch**2
        self.net = AutoencoderKL(
            spatial_dims=2,
            in_channels=colours,
            out_channels=colours,
            channels=settings.channels,
            num_res_blocks=settings.blocks,
            attention_levels=settings.attention or (False,) * len(settings.channels),
            latent_channels=settings.latent_channels,
            norm_num_groups=settings.groups,
            with_encoder_nonlocal_attn=settings.middle_attention,
            with_decoder_nonlocal_attn=settings.middle_attention,
        )
        if settings.shortcut is not None:
            pixels = settings.factor**2
            self.register_buffer("centre", torch.zeros(pixels))
            self.register_buffer("analysis", torch.zeros(settings.latent_channels, pixels))
            self.register_buffer("synthesis", torch.zeros(pixels, settings.latent_channels))

    def take_shortcut(self, centre: torch.Tensor, analysis: torch.Tensor, synthesis: torch.Tensor) -> None:
        """Set the linear path, and start the network from adding nothing to it."""
        self.centre.copy_(centre)
        self.analysis.copy_(analysis)
        self.synthesis.copy_(synthesis)
        last = self.net.decoder.blocks[-1].conv
        for layer in (self.net.quant_conv_mu.conv, self.net.quant_conv_log_sigma.conv, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.net.quant_conv_log_sigma.conv.bias, FIRST_SPREAD)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (B, C, h, w) float32 of the latents of ``images`` (B, 1, H, W)."""
        mean, deviation = self.net.encode(F.pixel_unshuffle(images, self.settings.patch))
        mean = mean.float()
        if self.settings.shortcut is not None:
            with torch.autocast(images.device.type, enabled=False):
                squares = F.pixel_unshuffle(images, self.settings.factor) - self.centre[:, None, None]
                mean = mean + torch.einsum("lp,bphw->blhw", self.analysis, squares)
        return mean, deviation.float()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (B, 1, H, W) float32 of ``latents`` (B, C, h, w)."""
        images = F.pixel_shuffle(self.net.decode(latents).float(), self.settings.patch)
        if self.settings.shortcut is not None:
            with torch.autocast(latents.device.type, enabled=False):
                squares = torch.einsum("pl,blhw->bphw", self.synthesis, latents) + self.centre[:, None, None]
                images = images + F.pixel_shuffle(squares, self.settings.factor)
        return images

    def forward(self, images: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images made again from mean + deviation · ``noise``, and the mean and deviation of their latents."""
        mean, deviation = self.encode(images)
        return self.decode(mean + deviation * noise), mean, deviation


class Grey:
    """Between uint8 images (N, H, W) and tensors (N, 1, H', W') padded to multiples of ``factor``.

    Black is added in equal parts on opposite sides (one more row or column below and right if odd).
    """

    def __init__(self, size: tuple[int, int], factor: int, grey: tuple[float, float]) -> None:
        self.size = size
        self.black, self.white = grey
        height, width = (-(-side // factor) * factor for side in size)
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        self.padded = (height, width)
        self._pad = (left, width - size[1] - left, top, height - size[0] - top)

    def tensor(self, images: Images, device: torch.device) -> torch.Tensor:
        values = torch.from_numpy(images).to(device)[:, None].float() / 255 * (self.white - self.black) + self.black
        return F.pad(values, self._pad, value=self.black)

    def images(self, values: torch.Tensor) -> Images:
        """Cut the padding off, clip and round."""
        left, _, top, _ = self._pad
        cut = values[:, 0, top : top + self.size[0], left : left + self.size[1]].float()
        grey = (cut - self.black) / (self.white - self.black) * 255
        return grey.clamp(0, 255).round().to(torch.uint8).cpu().numpy()


def principal_path(
    batches: Iterable[torch.Tensor], factor: int, latents: int, exponent: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre (P,), analysis (L, P) and synthesis (P, L) of the squares of ``factor`` x ``factor`` = P pixels.

    With eigenvectors V (P, L) of the covariance and their eigenvalues s²: analysis = s^-exponent V', synthesis =
    V s^exponent. Rows beyond P are zero. The largest entry of each eigenvector is positive.
    """
    pixels = factor**2
    count, total, products = 0, torch.zeros(pixels).double(), torch.zeros(pixels, pixels).double()
    for batch in batches:
        squares = F.pixel_unshuffle(batch, factor).permute(0, 2, 3, 1).reshape(-1, pixels).cpu().double()
        count, total, products = count + len(squares), total + squares.sum(0), products + squares.T @ squares
    centre = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(centre, centre))
    kept = min(latents, pixels)
    scales, vectors = values.flip(0)[:kept].clamp_min(1e-12).sqrt() ** exponent, vectors.flip(1)[:, :kept]
    peaks = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(peaks < 0, -1.0, 1.0)
    analysis = torch.zeros(latents, pixels)
    analysis[:kept] = (vectors / scales).T.float()
    synthesis = torch.zeros(pixels, latents)
    synthesis[:, :kept] = (vectors * scales).float()
    return centre.float(), analysis, synthesis


def divergence(mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, deviation²) || N(0, 1)) in nats, averaged over latent values: (m² + s² - ln s² - 1) / 2."""
    variance = deviation**2
    return 0.5 * (mean**2 + variance - torch.log(variance + 1e-12) - 1).mean()


def autoencoder_stage(model: Autoencoder, batch: Callable[[int], torch.Tensor], context: TrainingContext) -> Stage:
    """Mean absolute error + KL (+ a perceptual distance, + a least-squares patch discriminator, arXiv:1611.04076,
    once it has joined).

    Args:
        batch: this process's images (B, 1, H, W) of a step.
    """
    settings, device = model.settings, next(model.parameters()).device
    judge = Judge(settings, context, device) if settings.adversarial else None
    distance = PerceptualDistance(settings).to(device) if settings.perceptual else None
    optimizer = _adamw(model, settings.rate, settings.weight_decay)
    run = context.running(model)

    def step(number: int) -> tuple[float, ...]:
        draw = generator(context.seed, "autoencoder", number)
        images = _shown(batch(number), settings, context, draw)
        height, width = (side // settings.factor for side in images.shape[-2:])
        noise = torch.randn((settings.batch, settings.latent_channels, height, width), generator=draw)
        with context.mixed(device):
            made, mean, deviation = run(images, context.group.share(noise).to(device))
            perceived = distance(made, images) if distance is not None else torch.zeros((), device=device)
        error, spread = F.l1_loss(made, images), divergence(mean, deviation)
        loss = error + settings.kl * spread
        if distance is not None:
            loss = loss + settings.perceptual * perceived
        critic = judge if number >= settings.adversarial_start else None
        if critic is not None:
            loss = loss + settings.adversarial * critic.doubt(made)
        rate = learning_rate(number, settings.steps, settings.rate, settings.decay)
        update(loss, model.parameters(), {optimizer: rate})
        values = {"absolute_error": error.item(), "divergence": spread.item(), "perceptual": perceived.item()}
        values["discriminator"] = 0.0 if critic is None else critic.teach(images, made)
        return tuple(values[term] for term in terms)

    modules: dict[str, nn.Module] = {"autoencoder": model}
    optimizers = {"autoencoder": optimizer}
    terms = ["absolute_error", "divergence"]
    if distance is not None:
        terms.append("perceptual")
    if judge is not None:
        terms.append("discriminator")
        modules["discriminator"], optimizers["discriminator"] = judge.net, judge.optimizer
    return Stage("autoencoder", modules, optimizers, tuple(terms), step, REMEDY)


def _shown(
    images: torch.Tensor, settings: AutoencoderSettings, context: TrainingContext, draw: torch.Generator
) -> torch.Tensor:
    if settings.augmentation is None:
        return images
    numbers = torch.rand((settings.batch, NUMBERS), generator=draw)
    return augmented(images, context.group.share(numbers), settings.augmentation, settings.grey)


class Judge:
    """A patch discriminator, its optimiser, and what it says of made images."""

    def __init__(self, settings: AutoencoderSettings, context: TrainingContext, device: torch.device) -> None:
        self._settings, self._context = settings, context
        self.net = _discriminator(settings, context.seed).to(device)
        self.optimizer = _adamw(self.net, settings.discriminator_rate, settings.weight_decay)
        self._run = context.running(self.net)

    def doubt(self, made: torch.Tensor) -> torch.Tensor:
        """How far it is from taking ``made`` for real; nothing is learned."""
        self.net.requires_grad_(False)
        found = self._distance(self.net, made, 1.0)
        self.net.requires_grad_(True)
        return found

    def teach(self, images: torch.Tensor, made: torch.Tensor) -> float:
        """One step towards telling ``made`` from ``images``; the loss before it."""
        real, fake = self._distance(self._run, images, 1.0), self._distance(self._run, made.detach(), 0.0)
        loss = (real + fake) / 2
        update(loss, self.net.parameters(), {self.optimizer: self._settings.discriminator_rate})
        return loss.item()

    def _distance(self, judge: nn.Module, images: torch.Tensor, truth: float) -> torch.Tensor:
        """Mean squared distance of the answers from ``truth``."""
        with self._context.mixed(images.device):
            answers = judge(images)[-1]
        return ((answers.float() - truth) ** 2).mean()


def _discriminator(settings: AutoencoderSettings, seed: int) -> nn.Module:
    from monai.networks.nets import PatchDiscriminator

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "discriminator"))
        return PatchDiscriminator(
            spatial_dims=2,
            channels=settings.discriminator_channels,
            in_channels=1,
            num_layers_d=3,
            norm=settings.discriminator_norm.upper(),
        )


def _adamw(module: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=weight_decay)
