"""How a child process is started that speaks to W&B for a run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.runtime.search import ROOT


def command(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """The command of a child that sends what is in ``folder`` with these settings."""
    arguments = [sys.executable, "-m", "bench.tracking", str(folder)]
    given = {name: settings[name] for name in ("mode", "project", "entity", "group")}
    arguments += [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    return arguments + [f"--tag={tag}" for tag in settings["tags"]]


@contextmanager
def handed(about: Mapping[str, Any] | None) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Words for the command line and options for ``subprocess``, which hand ``about`` to a child if there is any.

    It goes through an open file without a name: others see the command line, and a pipe would be waited for. The child
    is of this project, also where the run was started in a folder with a ``bench`` of its own.
    """
    places = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(places)}
    if about is None:
        yield [], {"env": environment}
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        json.dump(about, file)
        file.seek(0)
        yield [f"--about={file.fileno()}"], {"env": environment, "pass_fds": (file.fileno(),)}
