"""Features of neural networks: what all of them share. A network comes from one of the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from bench.api import BenchError, Encoder, Images, Rows
from bench.runtime.device import resolve
from bench.storage.checkpoints import Weights, read_tensors
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16")
_loaded: WeakValueDictionary[tuple[str, str, str], Any] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Compute:
    """How a network is run.

    Attributes:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``. Not part of an encoder's identity:
            machines differ in the last digits only.
        dtype: ``float32``, or ``bfloat16``, which is faster and moves features by about 1%: part of the identity.
        block: images a call, part of the protocol.
    """

    device: str = "auto"
    dtype: str = "float32"
    block: int = 32

    @staticmethod
    def of(name: str, settings: Mapping[str, Any]) -> Compute:
        """From configuration; ``BenchError`` for unknown keys or dtypes."""
        try:
            made = Compute(**dict(settings))
        except TypeError as error:
            raise BenchError(f"encoder {name}: compute: {error}") from error
        if made.dtype not in DTYPES or made.block < 1:
            raise BenchError(
                f"encoder {name}: compute has dtype={made.dtype!r}, block={made.block}, needed {' or '.join(DTYPES)} "
                "and at least 1"
            )
        return made


@dataclass(frozen=True, slots=True)
class Network:
    """How a network is made.

    Attributes:
        kind: name and version of the code that makes it, and which of its layers is read; part of the identity.
        dim: features an image.
        build: from the files of ``Weights`` to a module taking ``(B, C, size, size)`` and giving ``(B, dim)``.
    """

    kind: str
    dim: int
    build: Callable[[Sequence[Path]], torch.nn.Module]


class Deep(Encoder):
    """Runs a network over images. Weights are looked for when ``id`` is first asked for, loaded at the first call.

    Objects of the same weights share one network as long as any of them lives.
    """

    def __init__(self, network: Network, weights: Weights, preprocessing: Preprocessing, compute: Compute) -> None:
        self.dim = network.dim
        self.block = compute.block
        self.network, self.weights, self.preprocessing, self.compute = network, weights, preprocessing, compute

    @cached_property
    def id(self) -> str:  # type: ignore[override]  # known only once the weights are found
        """Kind, digest of the weights, preprocessing and dtype. Raises ``BenchError`` if the weights are missing."""
        parts = (self.network.kind, f"weights={self.weights.digest()}", self.preprocessing.spec, self.compute.dtype)
        return " ".join(parts)

    @cached_property
    def device(self) -> torch.device:
        import torch

        return torch.device(resolve(self.compute.device))

    @cached_property
    def module(self) -> torch.nn.Module:
        """The network, on its device, in its dtype, in evaluation mode."""
        import torch

        key = (self.network.kind, self.weights.digest(), f"{self.device} {self.compute.dtype}")
        module = _loaded.get(key)
        if module is None:
            module = self.network.build(self.weights.files()).eval().requires_grad_(False)
            module = module.to(self.device, getattr(torch, self.compute.dtype))
            _loaded[key] = module
        return module

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, H, W)`` uint8 into ``(B, dim)`` float32.

        Raises:
            BenchError: the weights are missing, or the network gives other than ``dim`` features.
        """
        import torch

        with torch.inference_mode(), exact():
            batch = self.preprocessing(np.ascontiguousarray(images), self.device)
            rows = self.module(batch.to(getattr(torch, self.compute.dtype)))
        if rows.shape != (len(images), self.dim):
            raise BenchError(
                f"encoder {self.weights.name}: the network gives {tuple(rows.shape)} for {len(images)} images, "
                f"dim={self.dim} was configured"
            )
        return rows.float().cpu().numpy()


@contextmanager
def exact() -> Iterator[None]:
    """No TF32 and no choice of kernels by the clock: both make features depend on the machine."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def read_state(name: str, path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a ``.safetensors`` file or a PyTorch state dict, without executing what is in it."""
    return read_tensors(path, f"encoder.{name}.path")


def load_state(name: str, module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Put tensors into a module; ``BenchError`` unless all of them fit and none is missing."""
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise BenchError(f"encoder {name}: the weights do not fit the network: {error}") from error
    return module
