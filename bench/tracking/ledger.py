"""Which W&B run a run folder is, and what of it was sent: ``wandb.json``."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.disk_errors import DiskError
from bench.storage.files import read_json, write_json

log = logging.getLogger(__name__)
FILE = "wandb.json"


def identified(folder: Path) -> dict[str, Any]:
    """What ``wandb.json`` holds, with the ``id`` of the folder's W&B run, made now if there is none.

    Under ``wandb agent`` it is the id that the agent gave, and ``sweep`` is the sweep's. ``sent`` is what was sent
    last.
    """
    found = kept(folder)
    sweep, run = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
    if sweep and run:
        others = {name: value for name, value in found.items() if name != "sent" or found.get("id") == run}
        found = {**others, "id": run, "sweep": sweep}
    elif "id" not in found:
        found = {"id": secrets.token_hex(4)}
    if found != kept(folder):
        write_json(folder / FILE, found)
    return found


def kept(folder: Path) -> dict[str, Any]:
    """What ``wandb.json`` holds; nothing if it is not there or damaged, for no run may end over it.

    Raises:
        DiskError: the disk does not give it.
    """
    try:
        found = read_json(folder / FILE)
    except DiskError:  # it may be whole, and another would be another W&B run
        raise
    except BenchError as error:
        log.warning("%s", error)
        return {}
    return found if isinstance(found, dict) else {}


def note(folder: Path, **values: Any) -> None:
    """Set entries of ``wandb.json``."""
    write_json(folder / FILE, {**kept(folder), **values})


@contextmanager
def harmless() -> Iterator[None]:
    """Whatever goes wrong inside is a warning: W&B is never a reason for a run to fail."""
    try:
        yield
    except Exception as error:
        log.warning("W&B failed (%s: %s); the run is not affected", type(error).__name__, error)
