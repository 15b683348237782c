"""``python -m bench.split dataset=nih_cxr14 dataset.root=DIR out=OUT``: who is for training, who is held out."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.runtime.start import start

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("split")
_codes: list[int] = []


def _job(config: DictConfig) -> None:
    from bench.api import BenchError

    try:
        sys.stdout.write(f"{_written(config)}\n")
    except BenchError as error:
        log.error("%s", error)
        _codes.append(1)


def _written(config: DictConfig) -> str:
    """Write it, and say in a few lines what is there."""
    out = Path(config.out).expanduser()
    if config.csv:
        from bench.split.table import divide

        labels = [config.label] if isinstance(config.label, str) else list(config.label or ())
        return divide(Path(config.csv).expanduser(), config.patient, labels, config.test_fraction, config.seed).write(
            out
        )
    from bench.split.parts import write_parts

    return write_parts(config, out)


def _check(config: DictConfig) -> None:
    from hydra.types import RunMode

    from bench.api import BenchError
    from bench.runtime.settings import SplitSettings, check_settings

    if config.hydra.mode == RunMode.MULTIRUN:
        raise BenchError("bench.split writes one split for a command line; leave -m out and start it for each value")
    check_settings(config, SplitSettings)
    if config.out is None:
        raise BenchError("out is not set; name the folder to be written: out=my_split")
    if config.csv and not config.patient:
        raise BenchError("patient is not set; name the column that says whose the row is: patient=COLUMN")
    if not config.csv and (config.patient or config.label):
        raise BenchError("patient and label are of a table; name it with csv=FILE, or leave them out")


def main() -> None:
    """Exit code 0 if the split is written or was there already."""
    sys.exit(start(_job, "split", "split", _check) or max(_codes, default=0))


if __name__ == "__main__":
    main()
