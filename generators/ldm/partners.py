"""The processes that train one model together: each learns from its rows of every batch, and gradients are averaged.

Their gradients go by a group of their own (nccl where each has a GPU, else gloo), so that no other message can get
between them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.api import BenchError
from bench.runtime.processes import patience

Rows = TypeVar("Rows", torch.Tensor, npt.NDArray[np.int64])


class Partners:
    """All processes of a training, or (by default) the only one, for which nothing here costs anything.

    Attributes:
        rank: number of this process; 0 keeps the checkpoints.
        count: number of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None, device: torch.device | None = None) -> None:
        self.rank, self.count = rank, count
        self._group, self._device = group, device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, rows: Rows) -> Rows:
        """Every ``count``-th of ``rows``: what this process learns from."""
        return rows if self.count == 1 else rows[self.rank :: self.count]

    def joined(self, module: nn.Module) -> nn.Module:
        """``module`` with the weights of the main process, its gradients averaged over all processes."""
        if self.count == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, process_group=self._group)

    def mean(self, values: Sequence[float]) -> tuple[float, ...]:
        """Means of ``values`` over all processes."""
        if self.count == 1:
            return tuple(values)
        total = torch.tensor(values, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(total, group=self._group)
        return tuple((total / self.count).tolist())

    @contextmanager
    def main_first(self) -> Iterator[bool]:
        """Whether this process is the main one; the others enter when it has left."""
        if not self.is_main:
            self.mean([0.0])
        yield self.is_main
        if self.is_main and self.count > 1:
            self.mean([0.0])


@contextmanager
def partners(count: int, device: torch.device) -> Iterator[Partners]:
    """``count`` processes of one launch, which all enter here.

    Raises:
        BenchError: this process was not started as one of ``count``.
    """
    if count == 1:
        yield Partners()
        return
    import torch.distributed as distributed

    found = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    if found != count:
        raise BenchError(
            f"ldm: processes={count}, but {found} of this launch train; start `torchrun --nproc-per-node {count}` or "
            "`accelerate launch`, or set generator.processes"
        )
    group = distributed.new_group(backend=_backend(device), timeout=patience())
    try:
        yield Partners(distributed.get_rank(), count, group, device)
    except BaseException as error:
        # the others wait for this process's gradients: closed connections tell them at once
        group.abort()
        if not _lost(error):
            raise
        raise BenchError(
            "ldm: another process of this training failed or was killed; what is finished is kept, the same command "
            "goes on from there"
        ) from error
    distributed.destroy_process_group(group)


def _lost(error: BaseException) -> bool:
    """Whether ``error`` is of the connection between processes."""
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _backend(device: torch.device) -> str:
    """nccl wants a GPU for each process of this machine."""
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return "nccl" if device.type == "cuda" and torch.cuda.device_count() >= beside else "gloo"
