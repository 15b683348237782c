"""Encoders that first see every image squashed to 299 pixels, as CheXGenBench has it (arXiv 2505.10496)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from bench.api import Images, Rows
from bench.storage.checkpoints import Weights
from evaluators.encoders import inception as inception_model
from evaluators.encoders import transformers_model
from evaluators.encoders.deep import Compute, Deep, Network
from evaluators.encoders.preprocessing import Preprocessing

SIDE = 299
HALF = 128 / 255
INCEPTION = Preprocessing(SIDE, (HALF,) * 3, (HALF,) * 3, "squash", "bilinear")
RAD_DINO = Preprocessing(518, (0.5307,) * 3, (0.2583,) * 3, "crop", "bicubic")


def squash(images: Images) -> Images:
    """Every image at 299 x 299, whatever its shape was, by Pillow's bilinear filter: ``(B, 299, 299)`` uint8."""
    from PIL import Image

    size = (SIDE, SIDE)
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BILINEAR)) for each in images])


class Squashed(Deep):
    """A network behind ``squash``; an encoder trained on larger input gets the squashed image blown up again.

    Whatever the network can do beside its features is not handed on: the published protocol reads features alone.
    """

    def __call__(self, images: Images) -> Rows:
        return super().__call__(squash(images))


def inception(name: str, path: str | None, origin: Mapping[str, Any], compute: Mapping[str, Any]) -> Squashed:
    """The 2048 pooled features; settings as for ``evaluators.encoders.inception``."""
    network = Network("fid-inception-1 pool squashed-299", 2048, partial(inception_model.build, name))
    return Squashed(network, Weights.of(name, path, origin), INCEPTION, Compute.of(name, compute))


def rad_dino(name: str, dim: int, path: str | None, origin: Mapping[str, Any], compute: Mapping[str, Any]) -> Squashed:
    """The class token of RAD-DINO; settings as for ``evaluators.encoders.transformers_model``."""
    network = Network("transformers-1 class-token squashed-299", int(dim), partial(transformers_model.build, name))
    weights = Weights.of(name, path, origin, transformers_model.WANTED)
    return Squashed(network, weights, RAD_DINO, Compute.of(name, compute))
