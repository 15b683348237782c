"""Which device ``device: auto`` means, and what can be a device at all."""

from __future__ import annotations

import os
from collections.abc import Iterator

ORDINARY = ("cpu", "cuda", "mps", "xpu")  # every PyTorch knows them, and need not be imported for it


def resolve(device: str) -> str:
    """``auto`` is a GPU if there is one, else ``cpu``; any other name stays as it is.

    Where a launcher started several processes on this machine, each takes the GPU of its own ``LOCAL_RANK``, and they
    share GPUs if there are fewer.
    """
    if device != "auto":
        return device
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    return "cuda" if rank is None else f"cuda:{int(rank) % torch.cuda.device_count()}"


def device_faults(device: str) -> Iterator[str]:
    """Why ``device`` is none that PyTorch, with what extends it here, has a word for; nothing if it is one."""
    if device == "auto" or device.split(":", 1)[0] in ORDINARY:
        return
    import torch

    try:
        torch.device(device)
    except RuntimeError as error:
        yield f"device is {device!r}, needed auto, or a device that PyTorch knows: {str(error).splitlines()[0]}"
