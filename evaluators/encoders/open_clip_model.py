"""The image half of networks in the format of open_clip."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing
from evaluators.encoders.weights import Weights

if TYPE_CHECKING:
    import torch

WANTED = (("open_clip_model.safetensors", "open_clip_pytorch_model.bin"), ("open_clip_config.json",))
IMAGE_HALF = "visual."


def open_clip_model(
    name: str,
    dim: int,
    path: str | None,
    origin: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    compute: Mapping[str, Any],
) -> Deep:
    """An encoder giving the image embedding, not normalised.

    Args:
        name: the encoder's name in the configuration, for messages.
        dim: size of the embedding.
        path: a folder with ``open_clip_config.json`` and the weights; null fetches ``origin.hub``.
        origin: see ``weights.Origin``.
        preprocessing: see ``preprocessing.Preprocessing``.
        compute: see ``deep.Compute``.
    """
    network = Network("open-clip-1 image", int(dim), partial(build, name))
    weights = Weights.of(name, path, origin, WANTED)
    return Deep(network, weights, Preprocessing.of(name, preprocessing), Compute.of(name, compute))


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """The image half alone: the text half may name a tokenizer that has to be fetched from elsewhere."""
    from open_clip.model import _build_vision_tower

    try:
        config = json.loads(files[1].read_text())["model_cfg"]
        half = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BenchError(f"encoder {name}: {files[1]} describes no network: {error!r}") from error
    state = read_state(name, files[0])
    image = {key.removeprefix(IMAGE_HALF): tensor for key, tensor in state.items() if key.startswith(IMAGE_HALF)}
    return load_state(name, half, image)
