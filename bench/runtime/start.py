"""The start of a command line: a sign of life, signals, Hydra, and its errors in a line instead of a traceback.

Only the standard library is imported before the first line is out.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import bench
from bench.runtime.search import CONFIGURATION, modules_beside_the_user, own_packages_first

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("bench")
# Hydra's options that show something and run nothing
SHOWING = ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")
KEPT = "what is finished is kept, the same command goes on from there"
LAUNCHER = "which a launcher also sends when another process of the run has ended"
SIGNALS = {
    signal.SIGTERM: f"stopped by SIGTERM, {LAUNCHER}; {KEPT}",
    signal.SIGINT: f"stopped by Ctrl-C; {KEPT}",
}


def start(
    task: Callable[[DictConfig], Any], name: str, config_name: str, check: Callable[[DictConfig], None] | None = None
) -> int:
    """Run ``task`` with the configuration of the command line, which is judged first; gives 0 if Hydra could.

    Args:
        name: of the program, for ``--version`` and messages.
        config_name: the primary configuration in ``conf/``.
        check: judges a composed configuration, that of every job of a sweep before the first one starts.
    """
    arguments = sys.argv[1:]
    if "--version" in arguments:
        sys.stdout.write(f"{name} {bench.__version__}\n")
        return 0
    answer_signals()
    own_packages_first()
    modules_beside_the_user()
    if shows_only(arguments):
        return _hydra(task, name, config_name, None)
    if not _process():
        sys.stderr.write(f"{name} {bench.__version__}: reading the configuration\n")
        sys.stderr.flush()
    return _hydra(task, name, config_name, check)


def shows_only(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for a help text, a configuration or completion, and for no run."""
    return any(each.split("=", 1)[0] in SHOWING for each in arguments)


def answer_signals() -> None:
    """Have Ctrl-C and SIGTERM end this process with a sentence and 130 or 143; a second Ctrl-C ends it at once.

    A process of a launch that is not the main one holds no lock and writes whole files only: Ctrl-C, which all of them
    get, ends it without a word, even while it waits for the others.
    """
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL if _process() else _stop)


def _stop(number: int, _: object) -> None:
    if number == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    log.error(SIGNALS[signal.Signals(number)])
    sys.exit(128 + number)


def _process() -> str:
    """Who speaks, where several processes were launched together and it is not the main one."""
    rank = os.environ.get("RANK") or "0"
    return "" if rank == "0" else f", process {rank} of {os.environ.get('WORLD_SIZE')}"


def _hydra(
    task: Callable[[DictConfig], Any], name: str, config_name: str, check: Callable[[DictConfig], None] | None
) -> int:
    import hydra
    from hydra.core.utils import env_override
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from bench.api import BenchError
    from bench.runtime.foreign import refuse_foreign
    from bench.runtime.suggestions import first_lines
    from bench.runtime.sweep import watch_sweeps
    from bench.storage.disk_errors import explained as explained_disk
    from bench.storage.private_text import without_secrets

    refuse_foreign()
    watch_sweeps()
    judge_every_configuration(check)
    wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        with env_override({"HYDRA_FULL_ERROR": "1"}):  # errors come here as they are
            hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name=config_name)(task)()
    except (BenchError, HydraException, OmegaConfBaseException, OSError) as error:
        # Hydra makes the folder of a run
        found = explained_disk(error, "making") if isinstance(error, OSError) else error
        if wanted or found is None:
            raise
        said = str(found) if isinstance(found, BenchError) else first_lines(error)
        sys.stderr.writelines(f"{name}{_process()}: {line}\n" for line in without_secrets(said).splitlines())
        return 1
    return 0


def judge_every_configuration(check: Callable[[DictConfig], None] | None) -> None:
    """Have every configuration that Hydra composes for a run judged by ``check``, and what is not there explained.

    Once in a process. Hydra makes the folder of a run, and starts what a configuration names, after this.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.errors import HydraException
    from hydra.types import RunMode

    from bench.api import BenchError
    from bench.runtime.suggestions import explained

    load = ConfigLoaderImpl.load_configuration

    def judged(
        self: ConfigLoaderImpl, config_name: str, overrides: list[str], run_mode: RunMode, **options: Any
    ) -> DictConfig:
        # a sweep is composed once as a whole, and every job with what is its own
        job = run_mode == RunMode.RUN and "hydra.mode=MULTIRUN" in overrides
        own = [each for each in overrides if not each.startswith(("hydra.", "sweep="))]
        who = f"job {' '.join(own)}: " if job else ""
        try:
            config = load(self, config_name, overrides, run_mode, **options)
            if check is not None and run_mode == RunMode.RUN:
                check(config)
        except BenchError as error:
            raise BenchError(_each(str(error), who)) from error
        # Hydra answers some values of its groups with errors of Python
        except (HydraException, ValueError, TypeError) as error:
            said = explained(self, config_name, overrides, error)
            if not said:
                raise
            raise BenchError(_each(said, who)) from error
        return config

    ConfigLoaderImpl.load_configuration = judged  # type: ignore[method-assign,assignment]


def _each(text: str, who: str) -> str:
    return "\n".join(f"{who}{line}" for line in text.splitlines())
