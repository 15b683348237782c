"""The second stage: a denoiser of latents (MONAI's ``DiffusionModelUNet``) and its training.

Notation: x latent, e noise, a(t) the share of the latent's variance left at time t. A noisy latent is
z = √a x + √(1-a) e, and the network predicts the velocity v = √a e - √(1-a) x (arXiv:2202.00512).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from generators.ldm.muon import Muon, matrices
from generators.ldm.settings import DiffusionSettings
from generators.ldm.training import REMEDY, TrainingContext, learning_rate
from generators.training.loop import Stage, generator, update


class Denoiser(nn.Module):
    """A U-Net that is told the time and the condition."""

    def __init__(self, settings: DiffusionSettings, latent_channels: int, label_width: int) -> None:
        from monai.networks.nets import DiffusionModelUNet

        super().__init__()
        self.by_text = settings.text_encoder is not None
        self.by_label = not self.by_text and label_width > 0
        conditioning: dict[str, Any] = {"num_class_embeds": 1} if self.by_label else {}
        if self.by_text:
            conditioning = {"with_conditioning": True, "cross_attention_dim": settings.text_width}
        self.net = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=latent_channels,
            out_channels=latent_channels,
            num_res_blocks=settings.blocks,
            channels=settings.channels,
            attention_levels=settings.attention,
            norm_num_groups=settings.groups,
            num_head_channels=settings.head_channels,
            **conditioning,
        )
        if self.by_label:
            # a sum over label values in place of a table of classes; no bias, so that zero says nothing
            self.net.class_embedding = nn.Linear(label_width, 4 * settings.channels[0], bias=False)

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Velocity (B, C, h, w) float32 of ``noisy`` at ``times`` (B,) under ``condition`` (B, ...)."""
        if self.by_text:
            return self.net(noisy, times, context=condition).float()
        return self.net(noisy, times, class_labels=condition if self.by_label else None).float()


def signal_shares(noise: tuple[float, float], steps: int) -> torch.Tensor:
    """a(t) for t = 0 … steps-1: running product of 1 - beta, √beta evenly spaced between the roots of ``noise``."""
    betas = torch.linspace(noise[0] ** 0.5, noise[1] ** 0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def noisy(latent: torch.Tensor, noise: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """√a x + √(1-a) e."""
    return share.sqrt() * latent + (1 - share).sqrt() * noise


def velocity(latent: torch.Tensor, noise: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """√a e - √(1-a) x."""
    return share.sqrt() * noise - (1 - share).sqrt() * latent


def diffusion_stage(
    model: Denoiser,
    settings: DiffusionSettings,
    batch: Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]],
    hidden: Callable[[int], torch.Tensor],
    context: TrainingContext,
) -> Stage:
    """Squared error of the velocity at random times, weighted; conditions are hidden for a share of the images.

    Args:
        batch: this process's scaled latents (B, C, h, w) and conditions (B, ...) of a step.
        hidden: the hidden condition for so many images.
    """
    device = next(model.parameters()).device
    shares = signal_shares(settings.noise, settings.noise_steps).to(device)
    run = context.running(model)  # all processes hold the weights of the main one from here on
    average = copy.deepcopy(model).requires_grad_(False)
    weights = loss_weights(shares, settings.snr_gamma)
    optimizers = _optimizers(model, settings)
    rates = {"others": settings.rate, "matrices": settings.matrix_rate or 0.0}

    def step(number: int) -> tuple[float, ...]:
        draw = generator(context.seed, "diffusion", number)
        latent, condition = batch(number, draw)
        drawn = (
            torch.randint(0, settings.noise_steps, (settings.batch,), generator=draw),
            torch.randn((settings.batch, *latent.shape[1:]), generator=draw),
            torch.rand(settings.batch, generator=draw) < settings.drop,
        )
        times, noise, drop = (context.group.share(each).to(device) for each in drawn)
        drop = drop.reshape(-1, *[1] * (condition.dim() - 1))
        condition = torch.where(drop, hidden(len(latent)).to(device), condition)
        share = shares[times][:, None, None, None]
        with context.mixed(device):
            speed = run(noisy(latent, noise, share), times, condition)
        errors = ((speed - velocity(latent, noise, share)) ** 2).mean(dim=(1, 2, 3))
        now = {
            each: learning_rate(number, settings.steps, rates[name], settings.decay)
            for name, each in optimizers.items()
        }
        update((weights[times] * errors).mean(), model.parameters(), now, settings.clip_norm)
        follow(average, model, min(settings.average, (2 + number) / (11 + number)))
        return (errors.mean().item(),)

    modules = {"denoiser": model, "average": average}
    return Stage("diffusion", modules, optimizers, ("squared_error",), step, REMEDY)


def loss_weights(shares: torch.Tensor, gamma: float | None) -> torch.Tensor:
    """(T,) weights, of mean 1, of the squared errors of the velocity at each time with signal share a.

    With r = a / (1-a) they go with min(r, gamma) / (r + 1): errors of the latent count as much as the signal-to-noise
    ratio says, up to ``gamma`` (Hang et al., arXiv:2303.09556). ``None`` is no weighting.
    """
    if gamma is None:
        return torch.ones_like(shares)
    # min(r, gamma) / (r + 1), without the r that is infinite where there is no noise
    weights = torch.minimum(shares, gamma * (1 - shares))
    return weights / weights.mean()


def _optimizers(model: nn.Module, settings: DiffusionSettings) -> dict[str, torch.optim.Optimizer]:
    """AdamW for all weights, or Muon for the ``matrices`` among them and AdamW for the ``others``."""
    rate, decay = settings.matrix_rate, settings.weight_decay
    large, others = matrices(model)
    if rate is None or not large:
        large, others = [], list(model.parameters())
    adamw = torch.optim.AdamW(others, lr=settings.rate, weight_decay=decay, betas=settings.betas)
    return {"others": adamw} | ({"matrices": Muon(large, rate, decay)} if rate is not None and large else {})


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average = decay · average + (1 - decay) · model, for every weight."""
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)
