"""A perceptual distance of images (LPIPS) as a term of the autoencoder's loss."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bench.api import BenchError
from bench.networks import IMAGENET_MEAN, IMAGENET_STD
from bench.networks.lpips import NETWORKS, Distance, load_body
from bench.storage.files import file_digest
from generators.ldm.settings import AutoencoderSettings

SETTING = "generator.autoencoder.perceptual_weights"


class PerceptualDistance(nn.Module):
    """Takes two batches (B, 1, H, W) of grey values between ``grey`` and gives their mean LPIPS."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self._black, self._white = settings.grey
        backbone = settings.perceptual_network
        try:
            body = load_body(backbone, _file(settings), SETTING)
        except BenchError as error:
            raise BenchError(f"{error}; choose the network with perceptual_network") from error
        self.distance = Distance(backbone, body)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(IMAGENET_STD)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, made: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return self.distance(self._normalised(made), self._normalised(images))

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        levels = (images - self._black) / (self._white - self._black)
        return (levels - self.mean) / self.deviation


def weights_digest(settings: AutoencoderSettings) -> str | None:
    """SHA-256 of the file of weights, ``None`` where no perceptual distance is asked for.

    Raises:
        BenchError: it is asked for and there is no such file.
    """
    return file_digest(_file(settings)) if settings.perceptual else None


def _file(settings: AutoencoderSettings) -> Path:
    path = Path(settings.perceptual_weights or "").expanduser()
    if settings.perceptual_weights and path.is_file():
        return path
    name, _ = NETWORKS[settings.perceptual_network]
    got = "null" if settings.perceptual_weights is None else f"{settings.perceptual_weights}, which is no file"
    raise BenchError(
        f"generator.autoencoder.perceptual={settings.perceptual:g}, but perceptual_weights={got}. Needed: the state of "
        f"torchvision's {name}, as it is published (.pth) or as .safetensors with the same names; or set "
        "generator.autoencoder.perceptual=0"
    )
