"""LPIPS as an encoder: the perceptual distance of two images is the squared distance of their rows.

``LPIPS(a, b) = sum over layers of the mean over places of w . (f_a - f_b)^2`` with ``f`` the activations of AlexNet at
length 1 along channels and ``w`` fitted to human judgement (Zhang et al. 2018, arXiv 1801.03924). So a row is every
``f`` times the root of its ``w`` over the number of places. The network wants grey levels in -1..1, then shifted and
scaled; on levels in 0..1 both steps together are the normalisation of ImageNet, which is what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision.models import alexnet

from bench.api import BenchError
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

STOPS = (1, 4, 7, 9, 11)  # AlexNet's five ReLUs
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Perceptual(Deep):
    """Rows of LPIPS.

    Attributes:
        perceptual: squared distances of rows are LPIPS; has an evaluator measure diversity and not set distances.
    """

    perceptual = True


def lpips(name: str, size: int, path: str | None, origin: Mapping[str, Any], compute: Mapping[str, Any]) -> Perceptual:
    """An encoder whose squared distances are LPIPS between images brought to ``size`` pixels.

    Args:
        name: the encoder's name in the configuration, for messages.
        size: edge of the square input; the columns grow with its square, 31,872 for 64.
        path: torchvision's file of AlexNet weights; those fitted to human judgement come with torchmetrics.
        origin: see ``checkpoints.Origin``.
        compute: see ``deep.Compute``.
    """
    network = Network("lpips-1 alexnet", columns(int(size)), partial(build, name))
    preprocessing = Preprocessing(int(size), MEAN, STD, "pad", "bicubic")
    return Perceptual(network, Weights.of(name, path, origin), preprocessing, Compute.of(name, compute))


def columns(size: int) -> int:
    """Length of a row for an input of ``size`` pixels.

    Raises:
        BenchError: the network's poolings leave nothing of so small an input.
    """
    first = (size + 4 - 11) // 4 + 1
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    if third < 1:
        raise BenchError(f"encoder lpips: size={size} is too small for the network, needed at least 31")
    return first**2 * 64 + second**2 * 192 + third**2 * (384 + 256 + 256)


def fitted() -> list[torch.Tensor]:
    """The weights ``w`` of the five layers, from torchmetrics."""
    import torchmetrics.functional.image

    path = Path(torchmetrics.functional.image.__file__).parent / "lpips_models" / "alex.pth"
    state = read_state("lpips", path)
    return [state[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(STOPS))]


class Layers(torch.nn.Module):
    """``(B, 3, size, size)`` to rows of LPIPS."""

    def __init__(self, body: torch.nn.Sequential, weights: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.body = body
        self.weights = torch.nn.ParameterList([torch.nn.Parameter(each.sqrt()) for each in weights])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        made = []
        for place, layer in enumerate(self.body):
            batch = layer(batch)
            if place in STOPS:
                weight = self.weights[STOPS.index(place)][:, None, None]
                unit = batch / (batch.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
                made.append((unit * weight / batch[0, 0].numel() ** 0.5).flatten(1))
        return torch.cat(made, dim=1)


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """AlexNet up to its last convolution, with the fitted weights."""
    with torch.device("meta"):
        empty = alexnet(weights=None)
    body = load_state(name, empty, read_state(name, files[0])).features[: STOPS[-1] + 1]
    for layer in body:
        if isinstance(layer, torch.nn.ReLU):
            layer.inplace = False
    return Layers(body, fitted())
