"""Networks of torchvision, read at one of their layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch


def torchvision_model(
    name: str,
    network: Mapping[str, Any],
    path: str | None,
    origin: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    compute: Mapping[str, Any],
) -> Deep:
    """An encoder from a torchvision architecture and a file with its state dict.

    Args:
        name: the encoder's name in the configuration, for messages.
        network: ``architecture`` (``vgg16``), ``layer`` (``classifier.4``) and ``dim``, the features it gives.
        path: the file of weights, ``.pth`` or ``.safetensors``.
        origin: see ``checkpoints.Origin``.
        preprocessing: see ``preprocessing.Preprocessing``.
        compute: see ``deep.Compute``.
    """
    architecture, layer, dim = network["architecture"], network["layer"], int(network["dim"])
    made = Network(f"torchvision-1 {architecture}.{layer}", dim, partial(build, name, architecture, layer))
    weights = Weights.of(name, path, origin)
    return Deep(made, weights, Preprocessing.of(name, preprocessing), Compute.of(name, compute))


def build(name: str, architecture: str, layer: str, files: Sequence[Path]) -> torch.nn.Module:
    """The network up to ``layer``, whose output is averaged over places if it still has them."""
    import torch
    from torchvision.models import get_model, list_models
    from torchvision.models.feature_extraction import create_feature_extractor

    if architecture not in list_models():
        raise BenchError(f"encoder {name}: torchvision has no architecture {architecture!r}")
    with torch.device("meta"):
        empty = get_model(architecture, weights=None)
    whole = load_state(name, empty, read_state(name, files[0])).eval()
    try:
        body = create_feature_extractor(whole, {layer: "features"})
    except ValueError as error:
        raise BenchError(f"encoder {name}: {architecture} has no layer {layer!r}: {error}") from error

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            features = self.body(batch)["features"]
            return features.mean(dim=(2, 3)) if features.ndim == 4 else features

    return Layer()
