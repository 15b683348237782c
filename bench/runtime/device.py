"""Which device ``device: auto`` means."""

from __future__ import annotations

import os

from bench.api import BenchError


def resolve(device: str) -> str:
    """``auto`` is a GPU if there is one, else ``cpu``; any other name stays as it is.

    Where a launcher started several processes on this machine, each takes the GPU of its own ``LOCAL_RANK``, and they
    share GPUs if there are fewer.

    Raises:
        BenchError: PyTorch, as it is installed here, knows no such kind of device.
    """
    import torch

    if device != "auto":
        try:
            torch.device(device)
        except RuntimeError as error:
            raise BenchError(f"device is {device!r}: {str(error).splitlines()[0]}; choose another") from error
        return device
    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    return "cuda" if rank is None else f"cuda:{int(rank) % torch.cuda.device_count()}"
