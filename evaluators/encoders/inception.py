"""The Inception network that Frechet inception distances are defined by (Heusel 2017, arXiv:1706.08500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import avg_pool2d, max_pool2d
from torchvision.models.inception import Inception3, InceptionA, InceptionC, InceptionE

from bench.api import Rows
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

CLASSES = 1008


class Inception(Deep):
    """The 2048 pooled features, and the classes read off them."""

    @cached_property
    def classes(self) -> torch.Tensor:
        """Weights of the last layer, ``(1008, 2048)``."""
        return read_state(self.weights.name, self.weights.files()[0])["fc.weight"].float()

    def logits(self, rows: Rows) -> Rows:
        """Class logits ``(N, 1008)`` of pooled features ``(N, 2048)``, without bias, as for the inception score."""
        with torch.inference_mode():
            return (torch.from_numpy(rows) @ self.classes.T).numpy()


def inception(
    name: str,
    path: str | None,
    origin: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    compute: Mapping[str, Any],
) -> Inception:
    """An encoder giving the 2048 pooled features of the network trained by its authors in TensorFlow.

    Args:
        name: the encoder's name in the configuration, for messages.
        path: the file of weights as pytorch-fid and torch-fidelity publish it.
        origin: see ``checkpoints.Origin``.
        preprocessing: see ``preprocessing.Preprocessing``.
        compute: see ``deep.Compute``.
    """
    network = Network("fid-inception-1 pool", 2048, partial(build, name))
    weights = Weights.of(name, path, origin)
    return Inception(network, weights, Preprocessing.of(name, preprocessing), Compute.of(name, compute))


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """The network without its last layer: ``(B, 3, 299, 299)`` to ``(B, 2048)``."""
    network = InceptionFid()
    load_state(name, network, read_state(name, files[0]))
    network.fc = torch.nn.Identity()
    return network


def run(block: torch.nn.Module, x: torch.Tensor, *layers: str) -> torch.Tensor:
    """Send ``x`` through the named layers of ``block``, one after the other."""
    for layer in layers:
        x = getattr(block, layer)(x)
    return x


def inner_mean(x: torch.Tensor) -> torch.Tensor:
    """3x3 means over the pixels inside the image; torchvision counts the padding in."""
    return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(InceptionA):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = (
            run(self, x, "branch1x1"),
            run(self, x, "branch5x5_1", "branch5x5_2"),
            run(self, x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            run(self, inner_mean(x), "branch_pool"),
        )
        return torch.cat(branches, 1)


class BlockC(InceptionC):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = (
            run(self, x, "branch1x1"),
            run(self, x, *(f"branch7x7_{step}" for step in (1, 2, 3))),
            run(self, x, *(f"branch7x7dbl_{step}" for step in (1, 2, 3, 4, 5))),
            run(self, inner_mean(x), "branch_pool"),
        )
        return torch.cat(branches, 1)


class BlockE(InceptionE):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.joined(x, inner_mean(x))

    def joined(self, x: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        wide = run(self, x, "branch3x3_1")
        double = run(self, x, "branch3x3dbl_1", "branch3x3dbl_2")
        branches = (
            run(self, x, "branch1x1"),
            run(self, wide, "branch3x3_2a"),
            run(self, wide, "branch3x3_2b"),
            run(self, double, "branch3x3dbl_3a"),
            run(self, double, "branch3x3dbl_3b"),
            run(self, pooled, "branch_pool"),
        )
        return torch.cat(branches, 1)


class LastBlockE(BlockE):
    """The last block of the published graph pools by maximum, by a slip that became the definition."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.joined(x, max_pool2d(x, 3, stride=1, padding=1))


class InceptionFid(Inception3):
    """torchvision's Inception v3 with the pooling and the 1008 classes of the TensorFlow graph of 2015-12-05."""

    def __init__(self) -> None:
        super().__init__(num_classes=CLASSES, aux_logits=False, transform_input=False, init_weights=False)
        self.Mixed_5b = BlockA(192, pool_features=32)
        self.Mixed_5c = BlockA(256, pool_features=64)
        self.Mixed_5d = BlockA(288, pool_features=64)
        self.Mixed_6b = BlockC(768, channels_7x7=128)
        self.Mixed_6c = BlockC(768, channels_7x7=160)
        self.Mixed_6d = BlockC(768, channels_7x7=160)
        self.Mixed_6e = BlockC(768, channels_7x7=192)
        self.Mixed_7b = BlockE(1280)
        self.Mixed_7c = LastBlockE(2048)
