"""Vision transformers in the format of the transformers library, read at their class token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

WANTED = (("model.safetensors",), ("config.json",))


def transformers_model(
    name: str,
    dim: int,
    path: str | None,
    origin: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    compute: Mapping[str, Any],
) -> Deep:
    """An encoder giving the last hidden state of the class token.

    Args:
        name: the encoder's name in the configuration, for messages.
        dim: features it gives: the hidden size of the network.
        path: a folder with ``model.safetensors`` and ``config.json``; null fetches ``origin.hub``.
        origin: see ``checkpoints.Origin``.
        preprocessing: see ``preprocessing.Preprocessing``; replaces the image processor that comes with the weights.
        compute: see ``deep.Compute``.
    """
    network = Network("transformers-1 class-token", int(dim), partial(build, name))
    weights = Weights.of(name, path, origin, WANTED)
    return Deep(network, weights, Preprocessing.of(name, preprocessing), Compute.of(name, compute))


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """The network with only its class token as output; code that comes with weights is never executed."""
    import torch
    from transformers import AutoModel

    try:
        body, report = AutoModel.from_pretrained(
            files[0].parent,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # whatever the libraries raise for files that are damaged or do not fit
        raise BenchError(f"encoder {name}: {files[0].parent} is no loadable network: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise BenchError(f"encoder {name}: {files[0]} lacks {len(missing)} tensors, the first is {missing[0]}")

    class ClassToken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.body(pixel_values=batch).last_hidden_state[:, 0]

    return ClassToken()
