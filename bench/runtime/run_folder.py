"""What a run keeps of how it was started, its configuration and its log, written by whoever owns the folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bench.storage.files import write_atomic

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"


def keep_configuration(config: DictConfig, overrides: Sequence[str], folder: Path) -> None:
    """Leave ``.hydra/config.yaml`` and ``.hydra/overrides.yaml``."""
    write_atomic(folder / ".hydra" / "config.yaml", OmegaConf.to_yaml(config).encode())
    write_atomic(folder / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(list(overrides)).encode())


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what is logged to the file ``path`` while inside."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
