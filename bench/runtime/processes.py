"""Several processes, one run: who does which share, waiting for one another, hearing of failures.

Images and features travel through files and only short notes between processes, so the notes go by gloo on every
machine, whatever the devices. A generator that several processes train has a group of its own for its gradients (nccl
where each has a GPU, else gloo), so that no other message can get between them.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bench.api import BenchError
from bench.storage.files import PATIENCE, patience

if TYPE_CHECKING:
    import torch
    from torch import nn

Sliced = TypeVar("Sliced", bound=Any)  # a sequence, an array or a tensor


class Told(BenchError):
    """Another process of this run failed and said so, here and where it failed."""


class Lost(BenchError):
    """Another process of this run is gone without a word."""


class ProcessGroup:
    """Processes that work together. This class is the group of one, which waits for nobody.

    Attributes:
        rank: number of this process; 0 is the main process, which owns the folder that they write.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, items: Sliced) -> Sliced:
        """Every ``count``-th of ``items``: the shares of all processes make the whole."""
        return items[self.rank :: self.count]

    def wait(self, work: str) -> None:
        """Wait until every process is here; ``work`` is what they did, for messages."""

    @contextmanager
    def main_first(self, work: str) -> Iterator[bool]:
        """Let the main process do it, then the others, who find what it left on disk; gives whether it is this one."""
        if not self.is_main:
            self.wait(work)
        yield self.is_main
        if self.is_main:
            self.wait(work)


class Team(ProcessGroup):
    """The processes of one run, who tell each other of failures. This class is the team of one.

    Attributes:
        together: whether there are others, and they still take part.
    """

    together: bool = False

    def wait(self, work: str) -> None:
        self.meet(work)

    def meet(self, work: str, note: Any = None) -> list[Any]:
        """Wait until every process is here; gives the notes of all, by rank.

        Raises:
            Told: a process failed; the message says which and why.
            Lost: a process is gone.
        """
        return [note]

    def fail(self, error: Exception) -> bool:
        """Say at the next meeting of the others that this process failed; it meets nobody after that.

        Returns:
            Whether the others were told.
        """
        return False

    def part(self) -> None:
        """Meet nobody from here on; to be called by every process after the same meeting."""


ALONE = Team()


class Launched(Team):
    """The processes of ``torchrun`` or ``accelerate launch``; ``gather`` exchanges lists among all of them."""

    def __init__(self, rank: int, count: int, gather: Callable[[list[Any]], list[Any]]) -> None:
        self.rank, self.count, self.together = rank, count, True
        self._gather = gather

    def meet(self, work: str, note: Any = None) -> list[Any]:
        return self._exchange(work, None, note)

    def fail(self, error: Exception) -> bool:
        if not self.together:
            return False
        try:
            with suppress(Told):  # others failed too, and were told all the same
                self._exchange("failing", f"{type(error).__name__}: {error}", None)
        except Lost:
            return False
        self.together = False
        return True

    def part(self) -> None:
        self.together = False

    def _exchange(self, work: str, failure: str | None, note: Any) -> list[Any]:
        again = "what is finished is kept, the same command goes on from there"
        try:
            heard = self._gather([(failure, note)])
        except RuntimeError as error:
            self.together = False
            raise Lost(
                f"while {work}: another process of this run was killed, ran out of memory, or did not answer for "
                f"{patience():g} hours ({PATIENCE}); {again}"
            ) from error
        failures = [(rank, told) for rank, (told, _) in enumerate(heard) if told is not None and rank != self.rank]
        if failures:
            self.together = False
            rank, told = failures[0]
            raise Told(f"while {work}: process {rank} of {self.count} failed with {told}; {again}")
        return [each for _, each in heard]


class DataParallelGroup(ProcessGroup):
    """The processes that train one model: each learns from its rows of every batch, and gradients are averaged.

    By default the group of one, for which nothing here costs anything.
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None, device: torch.device | None = None) -> None:
        """``group``: of ``torch.distributed``. ``device``: where its messages lie."""
        self.rank, self.count = rank, count
        self._group, self._device = group, device

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
        import torch

        total = torch.tensor(values, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(total, group=self._group)
        return tuple((total / self.count).tolist())

    def wait(self, work: str) -> None:
        self.mean([0.0])


@contextmanager
def data_parallel(count: int, device: torch.device) -> Iterator[DataParallelGroup]:
    """``count`` processes of one launch, which all enter here, as a group that trains on ``device``.

    Raises:
        BenchError: this process was not started as one of ``count``, or another of them failed.
    """
    if count == 1:
        yield DataParallelGroup()
        return
    import torch.distributed as distributed

    found = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    if found != count:
        raise BenchError(
            f"processes={count}, but {found} of this launch train; start `torchrun --nproc-per-node {count}` or "
            "`accelerate launch`, or set generator.processes"
        )
    group = distributed.new_group(backend=_backend(device), timeout=timedelta(hours=patience()))
    try:
        yield DataParallelGroup(distributed.get_rank(), count, group, device)
    except BaseException as error:
        # the others wait for this process's gradients: closed connections tell them at once
        group.abort()
        if not _is_connection_error(error):
            raise
        raise BenchError(
            "training: another process of this training failed or was killed; what is finished is kept, the same "
            "command goes on from there"
        ) from error
    distributed.destroy_process_group(group)


def _is_connection_error(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _backend(device: torch.device) -> str:
    """nccl wants a GPU for each process of this machine."""
    import torch

    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return "nccl" if device.type == "cuda" and torch.cuda.device_count() >= beside else "gloo"


def launched() -> Team:
    """The team this process was started in: several if a launcher set ``WORLD_SIZE``, else ``ALONE``.

    A process other than the main one is made quiet: no progress bars, no messages below a warning.

    Raises:
        BenchError: ``WORLD_SIZE`` or ``BENCH_WAIT_HOURS`` is no number, or the launcher's other variables are missing.
    """
    count = int(_number("WORLD_SIZE", 1))
    if count < 2:
        return ALONE
    if missing := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise BenchError(
            f"WORLD_SIZE={count}, but {', '.join(missing)} not set; start with torchrun or accelerate launch, "
            "or unset WORLD_SIZE"
        )
    if _number("RANK", 0):
        # read when tqdm is imported
        os.environ["TQDM_DISABLE"] = os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
        logging.disable(logging.INFO)
        # it holds no lock and writes whole files only, so it need not tidy up; waiting, it could not
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from accelerate import PartialState
    from accelerate.utils import gather_object

    state = PartialState(cpu=True, backend="gloo", timeout=timedelta(hours=patience()))
    return Launched(state.process_index, state.num_processes, gather_object)


def _number(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        return float(text)
    except ValueError as error:
        raise BenchError(f"the environment variable {name} is {text!r}, needed a number") from error
