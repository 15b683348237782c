"""LPIPS as an encoder: the perceptual distance of two images is the squared distance of their rows.

``bench.networks.lpips`` has the formula and the network, which here is AlexNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError, ComparesPairs
from bench.networks import IMAGENET_MEAN, IMAGENET_STD
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch


class Perceptual(Deep, ComparesPairs):
    """Rows of LPIPS; the name of their distance has an evaluator measure diversity and not set distances."""

    pair_distance = "LPIPS"


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
    preprocessing = Preprocessing(int(size), IMAGENET_MEAN, IMAGENET_STD, "pad", "bicubic")
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


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """AlexNet up to its last convolution, with the fitted weights."""
    from bench.networks.lpips import Rows, load_body

    return Rows("alex", load_body("alex", files[0], f"encoder.{name}.path"))
