"""``python -m bench.validity dataset=phantom encoder=[radiomics,small_cnn]``: a report on the metrics themselves."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.runtime.start import start
from bench.runtime.threads import use_threads

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("validity")
_codes: list[int] = []


def _job(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    _codes.append(_carry_out(config, Path(HydraConfig.get().runtime.output_dir)))


def _carry_out(config: DictConfig, folder: Path) -> int:
    use_threads(config.threads)
    from bench.api import BenchError
    from bench.validity.report import report

    begin = time.perf_counter()
    try:
        text = report(config, folder)
    except BenchError as error:
        log.error("%s", error)
        return 1
    sys.stdout.write(f"{text}\n{time.perf_counter() - begin:.0f} s, {folder / 'validity.html'}\n")
    return 0


def _check(config: DictConfig) -> None:
    from hydra.types import RunMode

    from bench.api import BenchError
    from bench.runtime.settings import ValiditySettings, check_settings

    if config.hydra.mode == RunMode.MULTIRUN:
        raise BenchError("bench.validity makes one report for a command line; leave -m out and start it for each value")
    check_settings(config, ValiditySettings)


def main() -> None:
    """Exit code 0 unless a report could not be made."""
    sys.exit(start(_job, "validity", "validity", _check) or max(_codes, default=0))


if __name__ == "__main__":
    main()
