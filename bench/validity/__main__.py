"""``python -m bench.validity dataset=phantom encoder=[radiomics,small_cnn]``: a report on the metrics themselves."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bench.runtime.foreign import refuse_foreign

log = logging.getLogger("validity")
_codes: list[int] = []


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="validity")
def _job(config: DictConfig) -> None:
    _codes.append(_carry_out(config, Path(HydraConfig.get().runtime.output_dir)))


def _carry_out(config: DictConfig, folder: Path) -> int:
    # numerical libraries read these when they are imported, which is below
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(config.threads)
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


def main() -> None:
    """Exit code 0 unless a report could not be made."""
    refuse_foreign()
    _job()
    if any(_codes):
        sys.exit(1)


if __name__ == "__main__":
    main()
