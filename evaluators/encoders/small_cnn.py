"""A small network trained on phantom mammograms, its weights beside this file: deep features without a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

SHIPPED = Path(__file__).with_name("small_cnn.safetensors")
SIDE, FEATURES = 64, 64
INPUT = Preprocessing(size=SIDE, mean=(0.25,), std=(0.25,), aspect="pad", resample="bilinear")
# What the network was trained to tell of a picture, in the order of its outputs.
TARGETS = ("masking", "density", "area", "mirrored", "blur", "noise", "gain")


class SmallCnn(nn.Module):
    """Five convolutions, a layer of 64 features, and one output for each of ``TARGETS``."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(1, 16, stride=1),
            *_stage(16, 32, stride=2),
            *_stage(32, 64, stride=2),
            *_stage(64, 64, stride=2),
            *_stage(64, 64, stride=1),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 16, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, len(TARGETS)))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """``(B, 1, 64, 64)`` to the outputs ``(B, 7)``."""
        return self.head(self.body(batch))


def _stage(inward: int, outward: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inward, outward, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outward), nn.ReLU()


def small_cnn(name: str, path: str | None, compute: Mapping[str, Any]) -> Deep:
    """An encoder giving the 64 features before the last layer.

    Args:
        name: the encoder's name in the configuration, for messages.
        path: a file written by ``tools.train_small_cnn``; null takes the shipped one.
        compute: see ``deep.Compute``.
    """
    network = Network("small-cnn-1", FEATURES, partial(build, name))
    weights = Weights.of(name, path or str(SHIPPED), None)
    return Deep(network, weights, INPUT, Compute.of(name, compute))


def build(name: str, files: Sequence[Path]) -> nn.Module:
    """The network up to its features: ``(B, 1, 64, 64)`` to ``(B, 64)``."""
    network = SmallCnn()
    load_state(name, network, read_state(name, files[0]))
    return network.body
