"""The Inception network itself, apart from its encoder, so that configuring one does not load torch."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, max_pool2d
from torchvision.models.inception import Inception3, InceptionA, InceptionC, InceptionE

CLASSES = 1008


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
