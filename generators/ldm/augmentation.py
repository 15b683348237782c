"""Random changes of training images: all images of a batch at once, decided by uniform numbers drawn beforehand."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from generators.ldm.settings import AugmentationSettings

NUMBERS = 11  # uniform numbers an image


@torch.no_grad()
def augmented(
    images: torch.Tensor, numbers: torch.Tensor, settings: AugmentationSettings, grey: tuple[float, float]
) -> torch.Tensor:
    """``images`` (B, 1, H, W) turned, moved, scaled, mirrored, shifted and bent in grey level, in this order.

    Args:
        numbers: (B, ``NUMBERS``) in 0..1; the same ones make the same change.
        grey: values of black and white.
    """
    chosen, amount = numbers.to(images.device).split((4, NUMBERS - 4), dim=1)
    spread = 2 * amount - 1
    shares = torch.tensor((settings.affine, settings.flip, settings.shift_share, settings.gamma_share))
    affine, flip, shift, gamma = (chosen < shares.to(chosen)).T[:, :, None, None, None]
    images = torch.where(affine, _moved(images, spread[:, :5], settings), images)
    images = torch.where(flip, images.flip(-1), images)
    black, white = grey
    levels = (images - black) / (white - black)
    levels = torch.where(shift, levels + settings.shift * spread[:, 5, None, None, None], levels)
    levels = torch.where(gamma, _bent(levels, 1 + settings.gamma * spread[:, 6, None, None, None]), levels)
    return torch.where(shift | gamma, levels.clamp(0, 1) * (white - black) + black, images)


def _moved(images: torch.Tensor, spread: torch.Tensor, settings: AugmentationSettings) -> torch.Tensor:
    """Each image under its own affine map of places, about its centre; ``spread`` (B, 5) in -1..1."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(settings.degrees * spread[:, 0])
    across, down = (1 + settings.scale * spread[:, 1:3]).T
    sine, cosine = angle.sin(), angle.cos()
    right, below = (settings.pixels * spread[:, 3:5]).T
    # grid_sample counts half widths and half heights from the centre
    first = torch.stack([cosine * across, -sine * down * height / width, 2 * right / width], dim=1)
    second = torch.stack([sine * across * width / height, cosine * down, 2 * below / height], dim=1)
    grid = F.affine_grid(torch.stack([first, second], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _bent(levels: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """``levels`` to the power ``exponent`` between each image's own darkest and brightest."""
    low, high = levels.amin((1, 2, 3), keepdim=True), levels.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp_min(1e-7)
    return ((levels - low) / span) ** exponent * span + low
