"""A network that scores whether two radiographs are of one patient (Packhäuser 2022, 10.1038/s41598-022-19045-3).

As CheXGenBench has it (arXiv 2505.10496): a ResNet-50 with 128 sigmoid features, their absolute differences, one linear
layer and a sigmoid. Images are squashed to 512 pixels, then to 224, and not normalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.api import BenchError, Images, Rows, VerifiesPatients
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

FEATURES = 128
LARGE, SMALL = 512, 224
AS_IT_IS = Preprocessing(SMALL, (0.0,) * 3, (1.0,) * 3, "squash", "bilinear")
BODY, HEAD = "model.", "fc_end."


class PatientVerification(Deep, VerifiesPatients):
    """Rows of 128 features in [0, 1], and what two of them score."""

    def __call__(self, images: Images) -> Rows:
        return super().__call__(shrunk(images))

    @cached_property
    def head(self) -> tuple[Rows, float]:
        """Weights ``(128,)`` and bias of the last layer."""
        state = _state(self.weights.name, self.weights.files()[0])
        return state[f"{HEAD}weight"].float().numpy().reshape(-1), float(state[f"{HEAD}bias"])

    def same_patient(self, first: Rows, second: Rows) -> Rows:
        """``(N,)`` scores in [0, 1] of pairs of rows ``(N, 128)``."""
        from scipy.special import expit

        weight, bias = self.head
        scores: Rows = expit(np.abs(first - second) @ weight + bias).astype(np.float32)
        return scores


def patient_verification(
    name: str, path: str | None, origin: Mapping[str, Any], compute: Mapping[str, Any]
) -> PatientVerification:
    """The network in a file of your own.

    Args:
        name: the encoder's name in the configuration, for messages.
        path: a ``.safetensors`` file with tensors ``model.*`` of a torchvision ResNet-50 and ``fc_end.*``.
        origin: see ``checkpoints.Origin``.
        compute: see ``deep.Compute``.
    """
    network = Network("patient-verification-1 sigmoid squashed-512-224", FEATURES, partial(build, name))
    return PatientVerification(network, Weights.of(name, path, origin), AS_IT_IS, Compute.of(name, compute))


def shrunk(images: Images) -> Images:
    """``(B, 224, 224)`` by way of 512 pixels, with Pillow's filters of the published code, whatever the shape was."""
    from PIL import Image

    def one(image: Any) -> Any:
        large = Image.fromarray(image).resize((LARGE, LARGE))
        return np.asarray(large.resize((SMALL, SMALL), Image.Resampling.BILINEAR))

    return np.stack([one(each) for each in images])


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """The network without its last layer: ``(B, 3, 224, 224)`` to ``(B, 128)``."""
    import torch
    from torchvision.models import resnet50

    state = _state(name, files[0])
    with torch.device("meta"):
        body = resnet50(weights=None, num_classes=FEATURES)
    own = {key.removeprefix(BODY): value for key, value in state.items() if key.startswith(BODY)}
    return torch.nn.Sequential(load_state(name, body, own), torch.nn.Sigmoid())


def _state(name: str, path: Path) -> dict[str, torch.Tensor]:
    """All tensors of the file, those of the last layer among them.

    Raises:
        BenchError: it is no file of safetensors, or lacks the last layer.
    """
    if path.suffix != ".safetensors":
        raise BenchError(
            f"encoder.{name}.path: {path} is no .safetensors file; the published checkpoint is a pickle, which can run "
            "code when it is opened: convert it once with a program you trust (safetensors.torch.save_file)"
        )
    state = read_state(name, path)
    shapes = {"weight": (1, FEATURES), "bias": (1,)}
    for part, shape in shapes.items():
        found = state.get(f"{HEAD}{part}")
        if found is None or tuple(found.shape) != shape:
            got = "none" if found is None else tuple(found.shape)
            raise BenchError(f"encoder.{name}.path: {path} has {got} as {HEAD}{part}, needed a tensor of shape {shape}")
    return state
