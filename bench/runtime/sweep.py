"""Sweeps: every job runs whatever becomes of the others, and none that failed goes unnamed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher

log = logging.getLogger(__name__)


class JobFailed(CompactHydraException):
    """One job of a sweep failed, with the exit code it would have had alone.

    Raised, not returned: to a launcher in another process or on another machine, a job that returns has succeeded.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason, code)
        self.reason, self.code = reason, code

    def __str__(self) -> str:
        return self.reason


def run_every_job() -> None:
    """Have Hydra's own sweeper, which stops at the first failure, run every job and end by naming those that failed.

    Once in a process. It then ends with ``SystemExit`` and the highest code of those jobs.
    """
    # a yaml cannot name a sweeper outside hydra_plugins, and the search for plug-ins loads this class anew
    Plugins.instance()
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    sweep = BasicSweeper.sweep

    def complete(self: BasicSweeper, arguments: list[str]) -> Sequence[JobReturn]:
        assert self.launcher is not None
        collected = Collected(self.launcher)
        self.launcher = collected
        try:
            sweep(self, arguments)
        finally:
            # before whatever else went wrong, such as a batch that cannot be composed
            code = name_failed(collected.results)
        if code:
            raise SystemExit(code)
        return collected.results

    BasicSweeper.sweep = complete  # type: ignore[method-assign]


def name_failed(results: Sequence[JobReturn]) -> int:
    """The highest exit code of the jobs that failed, 0 if none did."""
    failed = [each for each in results if each.status != JobStatus.COMPLETED]
    if failed:
        lines = [f"  {' '.join(each.overrides or ())}: {each._return_value}" for each in failed]
        log.error("%d of %d jobs failed:\n%s", len(failed), len(results), "\n".join(lines))
    return max((getattr(each._return_value, "code", 1) for each in failed), default=0)


class Collected(Launcher):
    """Keeps what another launcher gives back; the sweeper sees nothing of it, so nothing stops it."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.results: list[JobReturn] = []

    def setup(self, **context: Any) -> None:
        self._launcher.setup(**context)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        try:
            self.results += self._launcher.launch(job_overrides, initial_job_idx)
        except Exception as error:
            # a launcher that lost a job (killed, out of memory, out of time) tells nothing of the others of its batch
            lost = JobFailed(f"not known to have finished: {type(error).__name__}: {error}", 1)
            self.results += [
                JobReturn(list(each), status=JobStatus.FAILED, _return_value=lost) for each in job_overrides
            ]
        return []
