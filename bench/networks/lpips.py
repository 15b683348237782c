"""LPIPS, the learned perceptual distance of two images (Zhang et al. 2018, arXiv:1801.03924).

``LPIPS(a, b) = sum over layers of the mean over places of w . (f_a - f_b)^2``: f are a network's activations at length
1 along channels, w weights fitted to human judgement, which come with torchmetrics. It is also the squared distance of
two rows: a row is every f times the root of its w over the number of places.

The published network wants grey levels in -1..1, then shifted and scaled; on levels in 0..1 both steps together are
the normalisation of ImageNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from bench.api import BenchError
from bench.networks import Backbone
from bench.storage.checkpoints import read_tensors

# torchvision's name of each network and the places of the activations that are read
NETWORKS: dict[Backbone, tuple[str, tuple[int, ...]]] = {
    "squeeze": ("squeezenet1_1", (1, 4, 7, 9, 10, 11, 12)),
    "alex": ("alexnet", (1, 4, 7, 9, 11)),
    "vgg": ("vgg16", (3, 8, 15, 22, 29)),
}


class Layers(nn.Module):
    """The activations that LPIPS reads, without gradients for the network's own weights."""

    def __init__(self, backbone: Backbone, body: nn.Sequential) -> None:
        super().__init__()
        _, self.stops = NETWORKS[backbone]
        self.body = body

    def activations(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """(B, C, h, w) of every layer that is read, in order; ``images`` (B, 3, H, W) are normalised."""
        for place, layer in enumerate(self.body):
            images = layer(images)
            if place in self.stops:
                yield images


class Distance(Layers):
    """The mean LPIPS of two batches (B, 3, H, W) of normalised images, in float32."""

    def __init__(self, backbone: Backbone, body: nn.Sequential) -> None:
        super().__init__(backbone, body)
        for place, weight in enumerate(fitted_weights(backbone)):
            self.register_buffer(f"weight{place}", weight[:, None, None])

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), device=second.device)
        pairs = zip(self.activations(first), self.activations(second), strict=True)
        for place, (one, other) in enumerate(pairs):
            squares = (unit(one.float()) - unit(other.float())) ** 2
            total = total + (getattr(self, f"weight{place}") * squares).sum(dim=1).mean()
        return total


class Rows(Layers):
    """Normalised images (B, 3, H, W) to rows (B, columns) whose squared distances are LPIPS."""

    def __init__(self, backbone: Backbone, body: nn.Sequential) -> None:
        super().__init__(backbone, body)
        for place, weight in enumerate(fitted_weights(backbone)):
            self.register_buffer(f"root{place}", weight.sqrt()[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = [
            (unit(each) * getattr(self, f"root{place}") / each[0, 0].numel() ** 0.5).flatten(1)
            for place, each in enumerate(self.activations(images))
        ]
        return torch.cat(rows, dim=1)


def unit(features: torch.Tensor) -> torch.Tensor:
    """``features`` (B, C, h, w) at length 1 along channels."""
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()


def fitted_weights(backbone: Backbone) -> list[torch.Tensor]:
    """The weights w (C,) of every layer that is read, at least 0, from torchmetrics."""
    import torchmetrics.functional.image

    path = Path(torchmetrics.functional.image.__file__).parent / "lpips_models" / f"{backbone}.pth"
    state = read_tensors(path, "torchmetrics")
    return [state[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(NETWORKS[backbone][1]))]


def load_body(backbone: Backbone, path: Path, setting: str) -> nn.Sequential:
    """torchvision's network up to the last activation that is read, in float32, with the weights in ``path``.

    Args:
        path: its state as torchvision publishes it (``.pth``), or as ``.safetensors`` with the same names.
        setting: the setting that names ``path``, for messages.

    Raises:
        BenchError: the file is no state of that network.
    """
    import torchvision

    name, stops = NETWORKS[backbone]
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    try:
        network.load_state_dict(read_tensors(path, setting), assign=True)
    except RuntimeError as error:
        raise BenchError(f"{setting}: {path} is no state of torchvision's {name}: {error}") from error
    body = network.features[: stops[-1] + 1].float()
    for layer in body.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # the activations are read after the next layer has run
    return body
