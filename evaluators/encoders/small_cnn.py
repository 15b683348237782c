"""A small network trained on phantom mammograms, its weights beside this file: deep features without a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

SHIPPED = Path(__file__).with_name("small_cnn.safetensors")
SIDE, FEATURES = 64, 64
INPUT = Preprocessing(size=SIDE, mean=(0.25,), std=(0.25,), aspect="pad", resample="bilinear")
# What the network was trained to tell of a picture, in the order of its outputs.
TARGETS = ("masking", "density", "area", "mirrored", "blur", "noise", "gain")


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


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """The network up to its features: ``(B, 1, 64, 64)`` to ``(B, 64)``."""
    from evaluators.encoders.small_cnn_network import SmallCnn

    network = SmallCnn(FEATURES, len(TARGETS))
    load_state(name, network, read_state(name, files[0]))
    return network.body
