"""The Inception network that Frechet inception distances are defined by (Heusel 2017, arXiv:1706.08500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import Classifies, Rows
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch


class Inception(Deep, Classifies):
    """The 2048 pooled features, and the classes read off them."""

    @cached_property
    def classes(self) -> torch.Tensor:
        """Weights of the last layer, ``(1008, 2048)``."""
        return read_state(self.weights.name, self.weights.files()[0])["fc.weight"].float()

    def logits(self, rows: Rows) -> Rows:
        """Class logits ``(N, 1008)`` of pooled features ``(N, 2048)``, without bias, as for the inception score."""
        import torch

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
    import torch

    from evaluators.encoders.inception_network import InceptionFid

    network = InceptionFid()
    load_state(name, network, read_state(name, files[0]))
    network.fc = torch.nn.Identity()
    return network
