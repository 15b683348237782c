"""A perceptual distance of images, as a term of the autoencoder's loss (LPIPS: Zhang et al. 2018, arXiv:1801.03924).

The distance of two images is the sum over layers of the mean over places of w . (f_a - f_b)²: f are a network's
activations at length 1 along channels, w weights fitted to human judgement, which come with torchmetrics.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bench.api import BenchError
from bench.storage.files import file_digest
from generators.ldm.settings import AutoencoderSettings, Perceptual

# torchvision's name of each network and the places of the activations that are read
NETWORKS: dict[Perceptual, tuple[str, tuple[int, ...]]] = {
    "squeeze": ("squeezenet1_1", (1, 4, 7, 9, 10, 11, 12)),
    "alex": ("alexnet", (1, 4, 7, 9, 11)),
    "vgg": ("vgg16", (3, 8, 15, 22, 29)),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualDistance(nn.Module):
    """Takes two batches (B, 1, H, W) of grey values between ``grey`` and gives their mean distance."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self._black, self._white = settings.grey
        _, self._stops = NETWORKS[settings.perceptual_network]
        self.body = _body(settings)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(STD)[:, None, None])
        for place, weight in enumerate(_fitted(settings.perceptual_network, len(self._stops))):
            self.register_buffer(f"weight{place}", weight[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, made: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), device=images.device)
        first, second = self._entering(made), self._entering(images)
        for place, layer in enumerate(self.body):
            first, second = layer(first), layer(second)
            if place in self._stops:
                weight = getattr(self, f"weight{self._stops.index(place)}")
                squares = (_unit(first.float()) - _unit(second.float())) ** 2
                total = total + (weight * squares).sum(dim=1).mean()
        return total

    def _entering(self, images: torch.Tensor) -> torch.Tensor:
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


def _body(settings: AutoencoderSettings) -> nn.Sequential:
    import torchvision

    name, stops = NETWORKS[settings.perceptual_network]
    path = _file(settings)
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    try:
        network.load_state_dict(_state(path), assign=True)
    except Exception as error:  # a wrong file fails in many ways
        raise BenchError(
            f"generator.autoencoder.perceptual_weights={path} is no state of torchvision's {name}: {error}; "
            "choose the network with perceptual_network"
        ) from error
    body = network.features[: stops[-1] + 1].float()
    for layer in body.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return body


def _state(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def _fitted(network: Perceptual, layers: int) -> list[torch.Tensor]:
    import torchmetrics.functional.image

    path = Path(torchmetrics.functional.image.__file__).parent / "lpips_models" / f"{network}.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{layer}.model.1.weight"].flatten() for layer in range(layers)]


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
