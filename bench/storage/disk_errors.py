"""What a disk refuses, in words: which file, what was being done to it, how much room there is, and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.api import BenchError

_GO_ON = "then run the same command again: it goes on from what is finished"
_FREE = f"free space there or write elsewhere (runs=FOLDER, cache=FOLDER), {_GO_ON}"
_HARDWARE = f"look at the disk or the network share it lies on (dmesg, df), {_GO_ON}"
_RIGHTS = f"get the right to it (ls -l shows who has), or use other folders (runs=FOLDER, cache=FOLDER), {_GO_ON}"
_DESCRIPTORS = f"raise the limit (`ulimit -n 4096`) or start fewer processes at a time, {_GO_ON}"
_FAULTS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("your quota on the disk is used up", _FREE),
    errno.EFBIG: ("the file would be larger than is allowed", f"raise the limit (`ulimit -f unlimited`), {_GO_ON}"),
    errno.EIO: ("the disk reports an input/output error", _HARDWARE),
    errno.ESTALE: ("the file server has lost the file", _HARDWARE),
    errno.EROFS: ("the disk is read-only", _RIGHTS),
    errno.EACCES: ("permission denied", _RIGHTS),
    errno.EPERM: ("not permitted", _RIGHTS),
    errno.ENAMETOOLONG: ("the name is too long", f"choose a shorter one (name=, runs=, cache=), {_GO_ON}"),
    errno.EMFILE: ("this process has too many open files", _DESCRIPTORS),
    errno.ENFILE: ("this machine has too many open files", _DESCRIPTORS),
}
# where a person asks how much is free
_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# the disk's alone, whatever a program asks of it: elsewhere a program may have asked for the wrong file
_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS}
# answers to a process and a socket too, so that without a file they are no disk's
_OF_A_FILE = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
# libraries in other languages leave only words: safetensors "(os error 28)", PyTorch "strerror: No space left ..."
_NUMBERED = re.compile(r"\bos error (\d+)\)")
# and some of them not even the reason: all that PyTorch's writer says, calls of its own aside, and numpy's
_SHORT = re.compile(
    r"(\[enforce fail at inline_container\.cc:\d+\] \. (PytorchStreamWriter failed .+|unexpected pos \d+ vs \d+)"
    r"|basic_ios::clear: iostream error)(\n(?s:.*))?|\d+ requested and \d+ written"
)


class DiskError(BenchError, OSError):
    """A file that the disk would not take or give; nothing is wrong with the settings or the program."""


def explained(error: BaseException, doing: str = "", path: Path | None = None, needed: str = "") -> DiskError | None:
    """An error in words if the disk is to blame, else ``None``.

    What is not permitted or too long is the disk's only where a file is known: ``os.kill`` may not either.

    Args:
        doing: ``writing`` or ``reading``, what was being done to ``path``.
        path: the file that was worked on; where the error names another one, that one is meant.
        needed: how many bytes there were to be written, in words.
    """
    if isinstance(error, DiskError):
        return error
    number = _number(error)
    place = _meant(error, path)
    if number not in _FAULTS and not (number is None and _SHORT.fullmatch(str(error))):
        return None
    if number in _OF_A_FILE and place is None:
        return None
    fault, remedy = _FAULTS.get(number or 0, ("the disk did not take all of it", _FREE))
    code = f" ({errno.errorcode[number]})" if number else ""
    room = f"; {needed}{_free(place or Path.cwd())}" if number in _ROOM or number is None else ""
    what = f"{doing or 'working on'} {place or 'a file that the system does not name'}"
    return DiskError(f"{what}: {fault}{code}{room}; {remedy}")


def of_disk(error: BaseException) -> DiskError | None:
    """``explained``, for an error of foreign code, where nothing but the disk can be to blame.

    That is a ``DiskError``, a disk that is full, broken, lost or read-only, or what was raised from one of these. A
    file that may not be read or has too long a name is not among them: foreign code may have chosen it.
    """
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, DiskError) or _number(each) in {None, *_DISKS}:
            found = explained(each)
            if found is not None:
                return found
        each = each.__cause__
    return None


@contextmanager
def named(doing: str, path: Path, draft: Path | None = None, size: int | None = None) -> Iterator[None]:
    """Errors of the disk inside leave as ``DiskError`` that says what was being done to ``path``.

    Args:
        draft: where ``path`` is written before it has its name.
        size: bytes to be written, where that is known; else those that are in the draft already are counted.

    Raises:
        DiskError: the disk is full, broken, read-only or not ours.
    """
    try:
        yield
    except Exception as error:
        needed = f"{size:,} bytes needed, " if size is not None else _written(draft)
        found = explained(error, doing, path, needed)
        if found is None or found is error:
            raise
        raise found from error


def _number(error: BaseException) -> int | None:
    """The number that the system gave the error, or that a library left in its words."""
    if isinstance(error, OSError):
        return error.errno
    if isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError":
        said = str(error)
        if found := _NUMBERED.search(said):
            return int(found[1])
        return next((number for number in _FAULTS if os.strerror(number) in said), None)
    return 0


def _meant(error: BaseException, path: Path | None) -> Path | None:
    """The file to name: a draft is called by the name it is to have."""
    known = getattr(error, "filename", None)
    told = Path(os.fsdecode(known)).absolute() if isinstance(known, str | bytes) else None
    meant = path.absolute() if path else None
    return meant if told is None or (meant and told.is_relative_to(meant.parent)) else told


def _written(draft: Path | None) -> str:
    """How large the draft had become."""
    if draft is None or not draft.exists():
        return ""
    written = sum(each.stat().st_size for each in (draft, *draft.rglob("*")) if each.is_file())
    return f"at least {written:,} bytes needed, " if written else ""


def _free(path: Path) -> str:
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), None)
    try:
        return f"{shutil.disk_usage(there or '/').free:,} bytes are free on that disk"
    except OSError:
        return "how many are free is not to be had"
