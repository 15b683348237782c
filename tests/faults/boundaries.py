"""Where a process writes: every step that changes a watched folder is counted, and the n-th can kill it or fail."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# audit events that change a folder: which of their arguments are paths, and where the folder of a relative one is
CHANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.remove": ((0, 1),),
    "os.truncate": ((0, -1),),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(folders: Sequence[Path], trace: Path, at: int, strike: Callable[[str], None]) -> None:
    """Write a line to ``trace`` before each step that changes one of ``folders``; at step ``at`` call ``strike``.

    Steps are counted from 1: a signal at step n leaves the disk as n - 1 steps have left it. ``strike`` is given the
    path; what it raises is what the step raises. For the life of the process, without its children, and no longer
    than until ``strike`` is called.
    """
    roots = tuple(f"{folder.resolve()}{os.sep}" for folder in folders)
    out = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    counted, process = itertools.count(1), os.getpid()
    struck: list[int] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if (event == "open" or event in CHANGES) and not struck and os.getpid() == process:
            changed = [path for path in _changed(event, arguments) if f"{path}{os.sep}".startswith(roots)]
            changed = [path for path in changed if _real(event, path)]
            if changed:
                step = next(counted)
                os.write(out, f"{event} {changed[-1]}\n".encode())
                if step == at:
                    struck.append(step)
                    strike(changed[-1])

    sys.addaudithook(hook)


def _changed(event: str, arguments: tuple[Any, ...]) -> list[str]:
    if event == "open":
        path, _, flags = arguments
        return [_absolute(path)] if flags & WRITING and not isinstance(path, int) else []
    return [_absolute(arguments[path], arguments[where] if where >= 0 else -1) for path, where in CHANGES[event]]


def _real(event: str, path: str) -> bool:
    """Whether the step can change anything: many make a folder that is there, or try to open one as a file."""
    there = os.path.lexists(path)
    if event in ("os.mkdir", "os.remove", "os.rmdir"):
        return there == (event != "os.mkdir")
    return event != "open" or not os.path.isdir(path)  # noqa: PTH112


def _absolute(path: Any, folder: int = -1) -> str:
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    root = Path(f"/proc/self/fd/{folder}").readlink() if folder >= 0 else Path.cwd()
    return os.path.normpath(root / os.fsdecode(path))
