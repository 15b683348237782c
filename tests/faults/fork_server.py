"""A process that has imported everything once, and a copy of it for every command line: 2 seconds a run, not 10.

``Server`` starts ``python -m tests.faults.fork_server`` and tells it, a line of JSON at a time, what to run. Each copy
has a working folder, arguments, an environment and a file for its output of its own, and ends as an interpreter ends:
with the code of ``sys.exit``, 1 after an error nobody caught, or the signal that killed it. Forking is safe while
there is one thread, so that the server only imports; it refuses to start if an import left a thread behind.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.boundaries import watch
from tests.faults.kernel import refuse_writes

ROOT = Path(__file__).resolve().parents[2]
OURS = ("bench", "generators", "evaluators", "conf")
LIBRARIES = (
    "datasets",
    "hydra.main",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "monai.networks.nets",
    "pandas",
    "PIL.PngImagePlugin",
    "pyarrow.parquet",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.special",
    "scipy.stats",
    "skimage.measure",
    "skimage.metrics",
    "sklearn.decomposition",
    "sklearn.linear_model",
    "sklearn.manifold",
    "sklearn.metrics",
    "torch",
)
# slow to import, and no run here needs them
SKIPPED = ("evaluators.encoders.inception", "evaluators.encoders.lpips")
# the last one keeps pyarrow's allocator from starting a thread
FIXED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
FIXED |= {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
LIMIT = 300.0  # seconds


@dataclass(frozen=True)
class Done:
    """How a run ended: exit code, or minus the signal; what it printed; the steps it took in the watched folders."""

    code: int
    output: str
    steps: tuple[str, ...] = ()


class Server:
    """Starts copies of a process that has imported everything. Use it as a context."""

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "tests.faults.fork_server"]
        environment = {**os.environ, **FIXED, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        self._ask()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def run(self, arguments: Sequence[str], cwd: Path, **options: Any) -> Done:
        """``python -m bench ARGUMENTS`` in ``cwd``, to its end. Options: see ``start``."""
        return self.start(arguments, cwd, **options).wait()

    def start(
        self,
        arguments: Sequence[str],
        cwd: Path,
        *,
        watched: Sequence[Path] = (),
        at: int = 0,
        number: int = signal.SIGKILL,
        error: int = 0,
        lasting: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Job:
        """The same without waiting. Steps that change ``watched`` are counted; before step ``at`` comes a signal.

        With ``error``, the number of one of the system's, the step fails with it instead; if ``lasting``, the step
        itself is taken, but from there on the kernel answers everything written with it.
        """
        left = [cwd.with_name(f"{cwd.name}-{time.monotonic_ns()}.{kind}") for kind in ("output", "steps")]
        order = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "output": str(left[0]),
            "steps": str(left[1]),
            "watched": [str(folder) for folder in watched],
            "at": at,
            "number": int(number),
            "error": error,
            "lasting": lasting,
            "environment": dict(environment or {}),
        }
        return Job(self, self._ask(order)["process"], left[0], left[1])

    def _ask(self, order: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        if order is not None:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the fork server ended with {self._process.wait(20)}; its reason stands above")
        found: dict[str, Any] = json.loads(answer)
        return found


@dataclass(frozen=True)
class Job:
    """A run that was started."""

    server: Server
    process: int
    output: Path
    steps: Path

    def wait(self, seconds: float = LIMIT) -> Done:
        """Until it ends; a run that takes longer is killed and an error."""
        found = self.server._ask({"wait": self.process, "seconds": seconds})
        said = self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""
        if "code" not in found:
            os.kill(self.process, signal.SIGKILL)
            raise TimeoutError(f"the run {'stands still' if 'stopped' in found else f'took over {seconds} s'}:\n{said}")
        steps = self.steps.read_text().splitlines() if self.steps.exists() else []
        for path in (self.output, self.steps):
            path.unlink(missing_ok=True)
        return Done(found["code"], said, tuple(steps))

    def stands_still(self, seconds: float = LIMIT) -> bool:
        """Wait until SIGSTOP has stopped it; ``False`` if it ended or ran on."""
        return "stopped" in self.server._ask({"wait": self.process, "seconds": seconds})


def _import_everything() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for package in OURS:
        folders = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(folders, f"{package}."):
            if not module.name.endswith(("__main__", *SKIPPED)):
                importlib.import_module(module.name)
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("[0-9]*/comm")]
    if len(threads) > 1:
        raise SystemExit(f"an import started threads, and forking would not be safe: {threads}")
    # what the server holds is not collected in every copy anew
    gc.freeze()


def _serve() -> dict[str, Any]:
    """Answer until the tests are through; in a copy, give back what it is to run."""
    running: set[int] = set()
    _say({"ready": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            found = _wait(order["wait"], order["seconds"])
            running -= {order["wait"]} if "code" in found else set()
            _say(found)
        elif process := os.fork():
            running.add(process)
            _say({"process": process})
        else:
            return dict(order)
    for process in running:
        os.kill(process, signal.SIGKILL)
    os._exit(0)


def _wait(process: int, seconds: float) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG | os.WUNTRACED)
        if found and os.WIFSTOPPED(status):
            return {"stopped": True}
        if found:
            return {"code": os.waitstatus_to_exitcode(status)}
        time.sleep(0.01)
    return {}


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _become(order: Mapping[str, Any]) -> None:
    """The process of its own that a command line would have."""
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    os.close(nothing)
    os.close(output)
    os.chdir(order["cwd"])
    os.environ |= order["environment"]
    # an interpreter reads this one when it starts
    sys.path[1:1] = [place for place in order["environment"].get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.argv = ["bench", *order["arguments"]]
    if order["watched"]:
        watched = [Path(each) for each in order["watched"]]
        watch(watched, Path(order["steps"]), order["at"], lambda path: _strike(order, path))


def _strike(order: Mapping[str, Any], path: str) -> None:
    """What an order wants to happen at its step."""
    error = order["error"]
    if not error:
        os.kill(os.getpid(), order["number"])
    elif order["lasting"]:
        refuse_writes(error)
    else:
        raise OSError(error, os.strerror(error), path)


def _command_line() -> Any:
    """``python -m bench``; gives back what ``sys.exit`` was told."""
    try:
        runpy.run_module("bench", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    return None


def _leave(said: Any) -> None:
    """The end of an interpreter, without the second it takes to tear down every library."""
    if not isinstance(said, int | None):
        sys.stderr.write(f"{said}\n")
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(said or 0 if isinstance(said, int | None) else 1)


if __name__ == "__main__":
    _import_everything()
    _become(_serve())
    # an error that nobody catches ends this process as it ends a command line
    _leave(_command_line())
