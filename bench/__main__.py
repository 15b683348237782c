"""``python -m bench generator=ldm dataset=csaw_m``: Hydra in, exit code out."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.runtime.start import start
from bench.runtime.threads import use_threads

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from bench.runtime.processes import Team

log = logging.getLogger("bench")
BUSY = 75  # EX_TEMPFAIL: another process owns the run folder
_codes: list[int] = []


def _job(config: DictConfig) -> float | None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from bench.runtime.sweep import JobFailed, signals_pass

    with signals_pass():
        code, reason, value = _carry_out(config, Path(HydraConfig.get().runtime.output_dir))
    if code and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise JobFailed(reason, code)
    # main() makes it the exit code: Hydra would end with 1 whatever is raised here
    _codes.append(code)
    return value


def _carry_out(config: DictConfig, folder: Path) -> tuple[int, str, float | None]:
    """The exit code, above 0 the reason, and the value of the objective if there is one."""
    use_threads(config.threads)
    if config.dry_run:
        return *_outlook(config, folder), None
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from bench.pipeline.plan import Plan
    from bench.pipeline.run import carry_out
    from bench.pipeline.summary import summary
    from bench.runtime.processes import ALONE, Told, launched
    from bench.runtime.publication import Publication
    from bench.runtime.run_folder import logged
    from bench.storage.files import owned
    from bench.tracking.publication import publish, publish_stop, reason_for_others

    team, publication = ALONE, Publication(config)
    with ExitStack() as held:
        try:
            team = launched()
            if team.is_main:
                # whoever is refused the folder has written nothing into it
                held.enter_context(owned(folder))
                held.enter_context(logged(folder / "bench.log", publication.text))
                log.info("bench %s", " ".join(map(publication.override, HydraConfig.get().overrides.task)))
            plan = Plan.of(config)
            outcome = carry_out(plan, folder, team)
            value = plan.objective.value(outcome.records) if plan.objective else None
        except Exception as error:
            code, reason = _reported(error, team)
            told = isinstance(error, Told) or team.fail(error)
            # the main process answers for it; a launcher ends the main process when another exits with an error
            quiet = told and not team.is_main
            if team.is_main and code != BUSY:
                publish_stop(folder, config.wandb, publication.recorded, reason_for_others(error, config))
            return (0, "", None) if quiet else (code, reason, None)
        if not team.is_main:
            return 0, "", None
        publish(folder, config.wandb, outcome.training)
        # a sweep ends with one table of all its jobs
        alone = HydraConfig.get().mode != RunMode.MULTIRUN
        print(summary(outcome, config.show) if alone else folder, flush=True)
    return (1, f"failed: {', '.join(outcome.failed)}", value) if outcome.failed else (0, "", value)


def _outlook(config: DictConfig, folder: Path) -> tuple[int, str]:
    from bench.pipeline.outlook import outlook
    from bench.pipeline.plan import Plan
    from bench.runtime.processes import ALONE

    try:
        print(outlook(Plan.of(config), folder), flush=True)
        return 0, ""
    except Exception as error:
        return _reported(error, ALONE)
    finally:
        # made by Hydra; what holds something stays
        runs = Path(config.runs).resolve()
        for each in (folder, *folder.parents):
            if each == folder or runs in (each.resolve(), *each.resolve().parents):
                with suppress(OSError):
                    each.rmdir()


def _reported(error: Exception, team: Team) -> tuple[int, str]:
    """The exit code and the reason, after saying it."""
    from bench.api import BenchError
    from bench.runtime.processes import Told
    from bench.runtime.run_folder import MET
    from bench.storage.disk_errors import DiskError, explained
    from bench.storage.files import Busy

    met, error = error, explained(error) or error
    who = "" if team.is_main else f"process {team.rank} of {team.count}: "
    if not isinstance(error, BenchError):
        log.error("%sstopped by an error in the program", who, exc_info=error)
    elif team.is_main or not isinstance(error, Told):
        # what looks like the disk's may be the program's
        log.error("%s%s", who, error, extra={MET: met} if isinstance(error, DiskError) else None)
    return BUSY if isinstance(error, Busy) else 1, str(error) or type(error).__name__


def _check(config: DictConfig) -> None:
    from bench.runtime.settings import check_settings

    check_settings(config)


def main() -> None:
    """The console script ``bench``."""
    sys.exit(start(_job, "bench", "config", _check) or max(_codes, default=0))


if __name__ == "__main__":
    main()
