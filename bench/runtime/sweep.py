"""Sweeps: every job runs whatever becomes of the others, none that failed goes unnamed, and one table ends them.

A run belongs to the sweep that ``config.sweep`` names; ``None`` is no sweep.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException, HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, flag_override
from omegaconf.errors import OmegaConfBaseException

from bench.api import BenchError
from bench.runtime.sweep_folders import Folders, Overrides

if TYPE_CHECKING:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    from bench.runtime.objective import Objective
    from bench.runtime.sweep_table import Row

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # every combination; asks for no values
NO_RECORD = "no record"


class JobFailed(CompactHydraException):
    """One job of a sweep failed, with the exit code it would have had alone.

    Raised, not returned: to a launcher in another process or on another machine, a job that returns has succeeded.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason, code)
        self.reason, self.code = reason, code

    def __str__(self) -> str:
        return self.reason


class Lost(JobFailed):
    """Nobody knows what became of a job."""


class _Passing(BaseException):
    """On its way past every ``except Exception`` between a signal and the end of a job."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def signals_pass() -> Iterator[None]:
    """Let what a launcher's signal handler raises inside pass untouched to whoever started the job.

    submitit answers the signal before a time limit by raising where the job happens to be, and takes the job for
    finished if something in it catches that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {each: signal.getsignal(each) for each in (signal.SIGUSR1, signal.SIGUSR2)}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}

    def answer(number: int, frame: FrameType | None) -> None:
        try:
            handlers[signal.Signals(number)](number, frame)
        except Exception as error:
            raise _Passing(error) from error

    for number in handlers:
        signal.signal(number, answer)
    try:
        yield
    except _Passing as passing:
        raise passing.error from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def watch_sweeps() -> None:
    """Have Hydra's sweepers run every job, take failures as failures, and end with one table of all jobs.

    Once in a process. A sweep with a failed job ends with ``SystemExit`` and the highest code of those jobs.
    """
    make_sweeper, make_launcher = Plugins.instantiate_sweeper, Plugins.instantiate_launcher
    launchers: list[Collected] = []

    def launcher(
        self: Plugins, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> Launcher:
        context: dict[str, Any] = {"hydra_context": hydra_context, "task_function": task_function, "config": config}
        folders = Folders(hydra_context.config_loader, config)
        launchers.append(Collected(_raising(make_launcher(self, **context), context), config, folders))
        return launchers[-1]

    def sweeper(
        self: Plugins, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> Sweeper:
        objective = prepared(config)
        made = make_sweeper(self, hydra_context=hydra_context, task_function=task_function, config=config)
        return Whole(made, launchers[-1], objective)

    # a yaml cannot name a sweeper or launcher outside hydra_plugins
    Plugins.instantiate_launcher = launcher  # type: ignore[method-assign]
    Plugins.instantiate_sweeper = sweeper  # type: ignore[method-assign]


def prepared(config: DictConfig) -> Objective | None:
    """The sweep's objective; the sweeper's direction follows from it, and a direction that is given must agree.

    Raises:
        CompactHydraException: the objective is not among what is configured, is missing, or is to go the wrong way.
    """
    from bench.runtime.objective import objective_of

    try:
        objective = objective_of(config)
    except BenchError as error:
        raise CompactHydraException(str(error)) from error
    sweeper = config.hydra.sweeper
    if sweeper._target_ == GRID:
        return objective
    if objective is None:
        raise CompactHydraException(
            "this sweeper needs a value of every run: give objective=EVALUATOR/METRIC/ENCODER, for instance "
            "objective=fidelity/fd/small_cnn"
        )
    if config.dry_run:
        raise CompactHydraException("a dry run gives no values to optimise; leave dry_run or the sweeper out")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise CompactHydraException(
            "an optimiser chooses in one process: start it without torchrun, and its jobs with hydra/launcher=slurm"
        )
    _direct(sweeper, objective)
    return objective


def _direct(sweeper: DictConfig, objective: Objective) -> None:
    if "direction" not in sweeper:
        return
    given, wanted = sweeper.direction, objective.direction
    if given is None:
        with flag_override(sweeper, ["readonly", "struct"], False):
            sweeper.direction = wanted
    elif str(getattr(given, "name", given)) != wanted:
        target = objective.metric.target
        sense = f"the distance to {target:g} is minimised" if target is not None else objective.metric.better
        raise CompactHydraException(
            f"hydra.sweeper.direction={getattr(given, 'name', given)} contradicts objective={objective.text}, of which "
            f"better is: {sense}; take hydra/sweeper=study, where it follows from the metric, or {wanted}"
        )


def _raising(launcher: Launcher, context: dict[str, Any]) -> Launcher:
    """The same launcher, or one whose jobs fail where its own would be taken for finished."""
    if not type(launcher).__module__.startswith("hydra_plugins.hydra_submitit_launcher"):
        return launcher
    from bench.runtime.submitit_jobs import raising

    made = raising(launcher)
    made.setup(**context)
    return made


@dataclass
class Collected(Launcher):
    """Keeps what another launcher gives back. A sweeper that only wants every combination sees nothing of it, so that
    nothing stops it; one that wants values is told a refused score as a failed job, which is all that it knows."""

    launcher: Launcher
    config: DictConfig
    folders: Folders
    objective: Objective | None = None
    results: list[JobReturn] = field(default_factory=list)

    def setup(self, **context: Any) -> None:
        self.launcher.setup(**context)

    def judge(self, jobs: Iterable[Sequence[str]]) -> None:
        """Judge jobs before any of them starts.

        Raises:
            Exception: see ``Folders.claim``.
        """
        for number, job in enumerate(jobs):
            self.folders.claim(self._named(job), number)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = [self._named(each) for each in job_overrides]
        answers: dict[Overrides, JobReturn] = {}
        # the same job twice in a batch is one run, which cannot be two at a time
        for number, job in enumerate(dict.fromkeys(jobs), initial_job_idx):
            try:
                self.folders.claim(job, number)
            except (BenchError, HydraException, OmegaConfBaseException) as error:
                answers[job] = _failed(JobFailed(str(error), 1))
        good = [job for job in dict.fromkeys(jobs) if job not in answers]
        answers |= zip(good, self._launched(good, initial_job_idx), strict=True)
        results = [replace(answers[job], overrides=own) for job, own in zip(jobs, job_overrides, strict=True)]
        self.results += results
        return [] if self.config.hydra.sweeper._target_ == GRID else [self._told(each) for each in results]

    def _launched(self, jobs: Sequence[Overrides], initial_job_idx: int) -> Sequence[JobReturn]:
        if not jobs:
            return []
        try:
            return self.launcher.launch(jobs, initial_job_idx)
        except Exception as error:
            # a launcher that lost a job (killed, out of memory, out of time) tells nothing of the others of its batch
            return [_failed(Lost(f"not known to have finished: {type(error).__name__}: {error}", 1)) for _ in jobs]

    def _named(self, overrides: Sequence[str]) -> Overrides:
        """A job's overrides with the sweep it belongs to."""
        from bench.storage.files import content_key

        if self.config.get("sweep") is not None:
            return tuple(overrides)
        return (*overrides, f"sweep={content_key(list(self.config.hydra.overrides.task))[:8]}")

    def _told(self, result: JobReturn) -> JobReturn:
        if result.status != JobStatus.COMPLETED or not _missing(result._return_value):
            return result
        refused = JobFailed(row_of(result, self.objective).reason, 1)
        return replace(result, status=JobStatus.FAILED, _return_value=refused)


def _failed(error: JobFailed) -> JobReturn:
    return JobReturn(status=JobStatus.FAILED, _return_value=error)


class Whole(Sweeper):
    """A sweeper that ends with the table of all its jobs."""

    def __init__(self, sweeper: Sweeper, launcher: Collected, objective: Objective | None) -> None:
        self._sweeper, self._launcher, self._objective = sweeper, launcher, objective
        launcher.objective = objective

    def setup(self, **context: Any) -> None:
        self._sweeper.setup(**context)

    def sweep(self, arguments: list[str]) -> Any:
        self._judge(arguments)
        code = 0
        try:
            found = self._sweeper.sweep(arguments)
        except Exception as error:
            if self._objective is None or self._values:
                raise
            raise CompactHydraException(f"no run gave a value of {self._objective.text}") from error
        finally:
            # before whatever else went wrong, such as a batch that cannot be composed
            code = told(self._launcher.results, self._objective)
        if code:
            raise SystemExit(code)
        return found

    def _judge(self, arguments: list[str]) -> None:
        """Refuse a grid as a whole, whatever its batches, where one of its jobs is not as it has to be."""
        if self._launcher.config.hydra.sweeper._target_ != GRID:
            return
        # Hydra imports its plug-ins a second time, so that it is no instance of this class
        grid = cast("BasicSweeper", self._sweeper)
        parser = OverridesParser.create()
        batches = grid.split_arguments(parser.parse_overrides([*grid._parse_config(), *arguments]), None)
        self._launcher.judge(job for batch in batches for job in batch)
        # every job has been composed
        grid.validate_batch_is_legal = lambda batch: None  # type: ignore[method-assign]

    @property
    def _values(self) -> list[float]:
        values = [each._return_value for each in self._launcher.results if each.status == JobStatus.COMPLETED]
        return [value for value in values if not _missing(value)]


def told(results: Sequence[JobReturn], objective: Objective | None) -> int:
    """Print the table; the highest exit code of the jobs that failed, 0 if none did."""
    if not results or os.environ.get("RANK", "0") != "0":
        return _code(results)
    from bench.runtime.sweep_table import sweep_table

    rows = [row_of(each, objective) for each in results]
    failed = sum(each.status in ("failed", "lost", NO_RECORD) for each in rows)
    ends = f"{failed} of {len(rows)} jobs failed" if failed else f"{len(rows)} jobs, none failed"
    sys.stdout.write(f"\n{sweep_table(rows, objective.text if objective else None)}\n{ends}\n")
    sys.stdout.flush()
    return max(_code(results), min(failed, 1))


def _code(results: Sequence[JobReturn]) -> int:
    failed = [each._return_value for each in results if each.status != JobStatus.COMPLETED]
    return max((getattr(each, "code", 1) for each in failed), default=0)


def row_of(result: JobReturn, objective: Objective | None = None) -> Row:
    """What the table says of a job: of one that failed, no scores, for those in its folder may be of an earlier run."""
    from bench.runtime.sweep_table import Row, read_records

    settings = dict(each.lstrip("+").split("=", 1) for each in result.overrides or () if "=" in each)
    error = result._return_value
    if result.status != JobStatus.COMPLETED:
        reason = str(error) if isinstance(error, JobFailed) else f"{type(error).__name__}: {error}"
        return Row(settings, "lost" if isinstance(error, Lost) else "failed", reason)
    assert result.hydra_cfg is not None and result.cfg is not None
    if result.cfg.dry_run:
        return Row(settings, "not run")
    try:
        records = read_records(Path(result.hydra_cfg.hydra.runtime.output_dir))
    except BenchError as damaged:
        return Row(settings, NO_RECORD, str(damaged))
    value = result._return_value
    missing = _missing(value)
    reason = objective.refusal(records) if objective and missing else ""
    return Row(settings, "refused" if reason else "ok", reason, None if missing else value, records)


def _missing(value: Any) -> bool:
    return value is None or math.isnan(value)
