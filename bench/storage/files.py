"""What is on disk stays whole: content keys, atomic writes, one owner for each run folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.api import BenchError


class Busy(BenchError):
    """Another process owns the folder."""


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(*folders: Path) -> str:
    """16 hex digits over every Python source below ``folders`` (a single file counts as itself)."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*.py")):
            digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def files_digest(*paths: Path) -> str:
    """16 hex digits over name, size and time of every file at or below ``paths``; a hub id has no files."""
    rows = []
    for path in paths:
        for each in [path] if path.is_file() else sorted(path.rglob("*")):
            if each.is_file():
                known = each.stat()
                rows.append([str(each.relative_to(path)), known.st_size, known.st_mtime_ns])
    return content_key(rows)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` so that a reader or a crash sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            # a temporary file is private by default; results are meant to be shared
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _sync(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A draft beside ``path``, to be written inside; it replaces ``path`` afterwards, as ``write_atomic`` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.chmod(0o666 & ~_umask())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def as_json(value: Any) -> bytes:
    """The content of a JSON file: indented, keys in the order given; NaN and infinities are errors."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Leave ``as_json(value)`` at ``path``, atomically."""
    write_atomic(path, as_json(value))


def read_json(path: Path) -> Any:
    """The content of a JSON file, ``None`` if there is no such file.

    Raises:
        BenchError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BenchError(f"{path} is not valid JSON ({error}); delete it to have it made again") from error


def place(temporary: Path, final: Path) -> None:
    """Move a finished folder or file to its final name in one step; if another process was first, keep theirs."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.replace(final)
    except OSError:
        if not final.exists():
            raise
        import shutil

        shutil.rmtree(temporary)
    _sync(final.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own ``folder`` while inside; the kernel frees it if the process dies.

    Raises:
        Busy: another process owns it; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Busy(f"{folder} is in use by {file.read().strip() or 'another process'}; wait or stop it") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
