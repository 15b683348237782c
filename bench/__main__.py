"""``python -m bench generator=ldm dataset=csaw_m``: Hydra in, exit code out."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

log = logging.getLogger("bench")
BUSY = 75  # EX_TEMPFAIL: another process owns the run folder
_codes: list[int] = []


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")
def _job(config: DictConfig) -> None:
    # one bad job must not end a sweep, so nothing is raised here; main() turns the codes into the exit code
    _codes.append(_carry_out(config, Path(HydraConfig.get().runtime.output_dir)))


def _carry_out(config: DictConfig, folder: Path) -> int:
    # numerical libraries read these when they are imported, which is below
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(config.threads)
    from bench.api import BenchError
    from bench.report import summary
    from bench.run import run
    from bench.store import Busy
    from bench.tracking import publish

    try:
        outcome = run(config, folder)
    except Busy as error:
        log.error("%s", error)
        return BUSY
    except BenchError as error:
        log.error("%s", error)
        return 1
    except Exception:
        log.exception("stopped by an error in the program")
        return 1
    publish(folder, config.wandb)
    print(summary(outcome), flush=True)
    return 1 if outcome.failed else 0


def main() -> None:
    """The console script ``bench``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _job()
    if any(_codes):
        bad = sum(code != 0 for code in _codes)
        if len(_codes) > 1:
            log.error("%d of %d jobs failed; their messages are above", bad, len(_codes))
        sys.exit(max(_codes))


if __name__ == "__main__":
    main()
