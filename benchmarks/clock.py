"""Seconds and memory of work on one device: process CPU seconds on a CPU, seconds between two waits on a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

MB = 2**20


class Clock:
    """Measures work on ``device``.

    On a GPU every reading waits until all work is done, and memory is what PyTorch has handed out. On a CPU seconds
    are those of the process, over all threads, and memory is what the process holds (``/proc/self``; ``None`` where
    the system has none).
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.counts = "seconds" if device.type == "cuda" else "CPU seconds"

    def seconds(self, run: Callable[[], Any]) -> float:
        """How long ``run`` takes."""
        start = self._now()
        run()
        return self._now() - start

    def peak(self, run: Callable[[], Any]) -> float | None:
        """The most MB that ``run`` holds above what was held before."""
        before = self.held()
        self._forget_peak()
        run()
        most = torch.cuda.max_memory_allocated(self.device) / MB if self._cuda else status("VmHWM")
        return None if before is None or most is None else most - before

    def held(self) -> float | None:
        """MB held now, after what is not needed has been given back."""
        gc.collect()
        if self._cuda:
            torch.cuda.synchronize(self.device)
            return torch.cuda.memory_allocated(self.device) / MB
        with contextlib.suppress(OSError, AttributeError):  # not every C library keeps freed memory
            ctypes.CDLL(None).malloc_trim(0)
        return status("VmRSS")

    @property
    def _cuda(self) -> bool:
        return self.device.type == "cuda"

    def _now(self) -> float:
        if not self._cuda:
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _forget_peak(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


@contextlib.contextmanager
def swept() -> Iterator[None]:
    """Inside, the collector looks only at what was made inside, and so takes next to no time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def status(field: str) -> float | None:
    """A field of the process's status in MB (Linux only)."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return None
