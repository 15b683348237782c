"""The small network itself, apart from its encoder, so that configuring one does not load torch."""

from __future__ import annotations

import torch
from torch import nn


class SmallCnn(nn.Module):
    """Five convolutions, a layer of ``features``, and the ``outputs`` it was trained by."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(1, 16, stride=1),
            *_stage(16, 32, stride=2),
            *_stage(32, 64, stride=2),
            *_stage(64, 64, stride=2),
            *_stage(64, 64, stride=1),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 16, features, bias=False),
            nn.BatchNorm1d(features),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(features, outputs))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """``(B, 1, 64, 64)`` to ``(B, outputs)``."""
        return self.head(self.body(batch))


def _stage(inward: int, outward: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inward, outward, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outward), nn.ReLU()
