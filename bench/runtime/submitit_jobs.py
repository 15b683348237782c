"""Jobs of submitit: one that failed fails for submitit and Slurm too, one that was lost does not hide the others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher, LocalLauncher, SlurmLauncher

from bench.api import BenchError
from bench.runtime.foreign import CONTROL
from bench.runtime.sweep import JobFailed, Lost

# the end of a traceback as submitit hands it on: the exception, its message, and the note that says the exit code
_RAISED = re.compile(r"^[\w.]*JobFailed: (?P<reason>.*?)\nexit code (?P<code>\d+)$", re.DOTALL | re.MULTILINE)
_LAST = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)): (?P<reason>.*)$", re.MULTILINE)


class Raising(BaseSubmititLauncher):
    """Raises what Hydra catches in a job, for submitit and Slurm take a job that returns for one that succeeded."""

    def __call__(self, *args: Any, **keywords: Any) -> JobReturn:
        returned: JobReturn = super().__call__(*args, **keywords)
        error = returned._return_value
        if isinstance(error, JobFailed):
            error.add_note(f"exit code {error.code}")
        # raises what a failed job raised
        _ = returned.return_value
        return returned

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with every_job_answers():
            results: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        return results


class RaisingLocal(Raising, LocalLauncher):
    """On this machine."""


class RaisingSlurm(Raising, SlurmLauncher):
    """On a cluster."""


def raising(launcher: BaseSubmititLauncher) -> Launcher:
    """A launcher like this one of submitit's, whose failed jobs fail.

    Raises:
        BenchError: one of its parameters, wherever it comes from, would have a line of its own in a batch script.
    """
    _check_lines("hydra.launcher", launcher.params)
    kind = RaisingSlurm if isinstance(launcher, SlurmLauncher) else RaisingLocal
    return kind(**launcher.params)


def _check_lines(key: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, each in value.items():
            _check_lines(key, name)
            _check_lines(f"{key}.{name}", each)
    elif isinstance(value, str):
        if CONTROL.search(value):
            raise BenchError(
                f"{key} is {value!r}: a line break or another control character there could begin a command in the "
                "script that starts the jobs; take it out, also of runs, below which the jobs' logs lie"
            )
    elif isinstance(value, Sequence):
        for each in value:
            _check_lines(key, each)


@contextmanager
def every_job_answers() -> Iterator[None]:
    """Have the launcher, which asks its jobs in turn and stops at the first that raises, hear of every one."""
    from submitit import Job

    results = Job.results

    def answer(self: Job[Any]) -> list[Any]:
        try:
            return results(self)
        except Exception as error:
            return [JobReturn(status=JobStatus.FAILED, _return_value=failure(f"{error}", str(self.job_id)))]

    Job.results = answer  # type: ignore[method-assign]
    try:
        yield
    finally:
        Job.results = results  # type: ignore[method-assign]


def failure(text: str, job: str) -> JobFailed:
    """Why a job failed, from what submitit says of it."""
    if found := _RAISED.search(text):
        return JobFailed(found["reason"], int(found["code"]))
    raised = [*_LAST.finditer(text)]
    if not raised:
        return Lost(f"job {job} is not known to have finished: {text.splitlines()[0] if text else 'no message'}", 1)
    kind, reason = raised[-1]["kind"].rsplit(".", 1)[-1], raised[-1]["reason"].rstrip(".")
    remedy = "" if "timed-out" not in reason else "; allow more requeues with hydra.launcher.max_num_timeout"
    return JobFailed(f"job {job}: {kind}: {reason}{remedy}", 1)
