"""What is on disk stays whole: content keys, atomic writes, one owner for each run folder."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import logging
import math
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from bench.api import BenchError
from bench.storage.disk_errors import named

log = logging.getLogger(__name__)
DRAFT = ".draft"
DAY = 86400.0  # seconds
PATIENCE = "BENCH_WAIT_HOURS"
WEEK = 168.0  # hours
TELL = 5.0  # seconds of waiting in silence
LOOK = 1.0  # seconds between two looks at a lock, at most
_DRAFTS = itertools.count()
_READING: ContextVar[bool] = ContextVar("only_reading", default=False)


class Busy(BenchError):
    """Another process owns the folder."""


class Waited(BenchError):
    """Another process did not finish in the time this one is willing to wait."""


class Damaged(BenchError):
    """A file is not what was written."""


class WouldWrite(BenchError):
    """Something would have been written where only reading is allowed."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; the same text for equal values.

    Raises:
        ValueError: ``value`` holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(value: Any) -> str:
    """16 hex digits of the SHA-256 of ``canonical(value)``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with named("reading", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def altered(folder: Path, digests: Mapping[str, str]) -> str | None:
    """The first of the files below ``folder`` that is missing, or not the one with the SHA-256 in ``digests``, and
    which of both; ``None`` if all are as they were."""
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if file_digest(path) != digest:
            return f"{path} is changed"
    return None


def files_digest(*paths: Path) -> str:
    """16 hex digits over name, size and time of every file at or below ``paths``; a hub id has no files."""
    rows = []
    for path in paths:
        for each in [path] if path.is_file() else sorted(path.rglob("*")):
            if each.is_file():
                known = each.stat()
                rows.append([str(each.relative_to(path)), known.st_size, known.st_mtime_ns])
    return content_key(rows)


@contextmanager
def only_reading() -> Iterator[None]:
    """Nothing is written while inside: whoever would write raises ``WouldWrite`` instead."""
    token = _READING.set(True)
    try:
        yield
    finally:
        _READING.reset(token)


def refuse_if_only_reading(path: Path) -> None:
    """To be called before work whose result is written to ``path``.

    Raises:
        WouldWrite: inside ``only_reading``.
    """
    if _READING.get():
        raise WouldWrite(f"{path} would be written")


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[Path]:
    """A draft of the file or folder ``path``: what stands there when the block ends well takes its place in one step.

    A reader or a crash sees the old one, the new one, or none, never a part. What is there of an older folder is
    removed. The draft lies beside ``path`` and names the process that writes it, so that ``remove_drafts`` knows it.

    Args:
        size: bytes it will have, where that is known, for the message that they did not fit.

    Raises:
        DiskError: the disk did not take it, or did not give what was read inside.
    """
    refuse_if_only_reading(path)
    draft = path.with_name(f".{path.name}.{_writer()}{DRAFT}")
    try:
        with named("writing", path, draft, size):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            settle(draft, path)
    except BaseException:
        _remove(draft)
        raise


def settle(draft: Path, path: Path) -> None:
    """Move a finished file or folder to ``path`` in one step, its content on the disk before its name."""
    _flush(draft)
    _replace(draft, path)
    _sync(path.parent)


def discard(*paths: Path) -> None:
    """Remove files or folders that are of no use, if they are there; does nothing inside ``only_reading``."""
    for path in () if _READING.get() else paths:
        _remove(path)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, whole or not at all; see ``writing``."""
    with writing(path, len(data)) as draft:
        draft.write_bytes(data)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts below ``folder`` that a killed process of this machine, or any a day ago, left behind."""
    # unlike rglob it takes no offence at a folder that is renamed meanwhile
    found = (Path(place) / name for place, folders, files in os.walk(folder) for name in (*folders, *files))
    for draft in [each for each in found if each.name.startswith(".") and each.name.endswith(DRAFT)]:
        host, _, process = draft.name.removesuffix(DRAFT).rpartition(".")[2].partition("+")
        number = process.partition("-")[0]
        # whoever wrote it may finish or remove it meanwhile
        with suppress(FileNotFoundError, OverflowError):
            known = host == _host() and number.isdigit()
            if not _alive(int(number)) if known else time.time() - _last_change(draft) > DAY:
                discard(draft)


def _last_change(draft: Path) -> float:
    """Seconds since the epoch; that of a folder does not move while a file within it grows."""
    return max(path.stat().st_mtime for path in (draft, *draft.rglob("*")))


def _writer() -> str:
    """``host+process-number``: no two drafts of one file have the same name."""
    return f"{_host()}+{os.getpid()}-{next(_DRAFTS)}"


@cache
def _host() -> str:
    """Where a process number means this process: the machine and, where there are such, the space of numbers."""
    name = "".join(letter for letter in socket.gethostname() if letter.isalnum() or letter == "-")
    with suppress(OSError):
        name += f"-{Path('/proc/self/ns/pid').stat().st_ino}"
    return name


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def _flush(draft: Path) -> None:
    """Bring a finished draft to the disk: a rename that outlives a power loss must not outlive its content."""
    for path in [*draft.rglob("*"), draft] if draft.is_dir() else [draft]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(draft: Path, path: Path) -> None:
    while True:
        try:
            draft.replace(path)
            return
        except OSError:
            # a folder is not replaced by a folder that holds something
            if not (draft.is_dir() and path.is_dir()):
                raise
        old = path.with_name(f".{path.name}.{_writer()}{DRAFT}")
        with suppress(FileNotFoundError):
            path.replace(old)
        _remove(old)


def as_json(value: Any) -> bytes:
    """The content of a JSON file: indented, keys in the order given; NaN and infinities are errors."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Leave ``as_json(value)`` at ``path``, atomically."""
    write_atomic(path, as_json(value))


def write_checked(path: Path, value: Mapping[str, Any]) -> None:
    """Leave ``value`` as JSON with a digest of itself under ``check``, for ``read_checked``."""
    write_json(path, {**value, "check": content_key(value)})


def read_checked(path: Path) -> dict[str, Any] | None:
    """What ``write_checked`` left; ``None`` if there is no such file.

    Raises:
        Damaged: it is not what was written; the message names the file.
    """
    try:
        with named("reading", path):
            found = json.loads(path.read_bytes())
        if found.pop("check") != content_key(found):
            raise ValueError("it is not what was written")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged ({error})") from None
    return dict(found)


def read_json(path: Path) -> Any:
    """The content of a JSON file, ``None`` if there is no such file.

    Raises:
        BenchError: the file is not JSON.
    """
    try:
        with named("reading", path):
            return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BenchError(f"{path} is not valid JSON ({error}); delete it to have it made again") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def patience() -> float:
    """Hours to wait for another process before giving up: ``BENCH_WAIT_HOURS``, a week by default.

    Raises:
        BenchError: the environment variable is not a number above 0.
    """
    text = os.environ.get(PATIENCE) or str(WEEK)
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise BenchError(f"the environment variable {PATIENCE} is {text!r}, needed a number of hours above 0")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is inside for this ``path``; the kernel lets go if a process dies.

    Whoever waits for more than a few seconds says for whom.

    Raises:
        Waited: the other process was inside for longer than ``patience``.
    """
    refuse_if_only_reading(path)
    limit = patience()
    with _opened(path.with_name(f".{path.name}.lock")) as file:
        begin, said = time.monotonic(), False
        while not _locked(file):
            waited = time.monotonic() - begin
            if waited > limit * 3600:
                raise Waited(
                    f"{path} has been in use by {_holder(file)} for {limit:g} hours ({PATIENCE}); if that process does "
                    "nothing, stop it and run the same command again"
                )
            if waited > TELL and not said:
                log.info("waiting for %s, which makes %s (at most %g hours: %s)", _holder(file), path, limit, PATIENCE)
                said = True
            time.sleep(min(LOOK, 0.01 + waited / 10))
        yield


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own ``folder`` while inside; the kernel frees it if the process dies.

    Raises:
        Busy: another process owns it; the message says which.
    """
    refuse_if_only_reading(folder)
    with _opened(folder / ".lock") as file:
        if not _locked(file):
            raise Busy(f"{folder} is in use by {_holder(file)}; wait or stop it")
        yield


def _opened(lock: Path) -> TextIO:
    """The file of a lock, made if it is not there."""
    with named("writing", lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        return lock.open("a+", encoding="utf-8")


def _locked(file: TextIO) -> bool:
    """Whether the lock is ours now; then the file says who we are."""
    holder = f"process {os.getpid()} on {socket.gethostname()}".encode()
    with named("writing", Path(file.name), size=len(holder)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(file.fileno(), 0)
        # past the buffer, which would try once more, and fail, when the file is closed
        os.write(file.fileno(), holder)
    return True


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
