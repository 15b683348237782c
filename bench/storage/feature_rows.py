"""Rows of features on disk, found by the pixels they belong to; what is in memory is 40 bytes an image."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

import numpy as np

from bench.api import BenchError, Keys, Rows
from bench.storage.digests import Numbered, Places, from_hexadecimal, hexadecimal
from bench.storage.files import discard, file_digest, remove_drafts, write_atomic
from bench.storage.mapped import mapped

log = logging.getLogger(__name__)
STEP = 256  # rows in memory when many are gathered


class FeatureRows:
    """The rows of one encoder in one folder, in shards.

    A shard is an array of rows (see ``rows_of``) beside the list of the pixels they belong to (``.hashes``), which
    begins with the SHA-256 of the rows and the seconds they took. A shard that is not what was written is removed with
    a warning. Shards are mapped from disk; ``name`` is the encoder's, for messages.
    """

    def __init__(self, folder: Path, name: str, dim: int) -> None:
        self.folder, self.name, self.dim = folder, name, dim
        self._keys = Numbered()
        self._shards: list[Rows] = []
        self._ends = np.zeros(1, np.int64)  # number of the first row of each shard, and of the row after the last
        self._taken: set[str] = set()  # names of the shards
        remove_drafts(folder)
        self.renew()

    def renew(self) -> None:
        """Take in the shards that others wrote meanwhile."""
        for path in sorted(self.folder.glob("*.hashes")):
            if path.name not in self._taken:
                self._add(path)

    def find(self, keys: Keys) -> Places:
        """The number of the row of each image, ``(N,)``; -1 where there is none."""
        return self._keys.find(keys)

    def read(self, numbers: Places) -> Rows:
        """The rows of these numbers, in order: ``(len(numbers), dim)`` float32.

        They lie in a file without a name, beside the shards where that may be; see ``mapped``.

        Raises:
            KeyError: there is no row of a number.
        """
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self._ends[-1]:
            raise KeyError(f"rows {numbers.min()} to {numbers.max()} of {self._ends[-1]}")
        parts = (self._gathered(numbers[start : start + STEP]) for start in range(0, len(numbers), STEP))
        return mapped(parts, (len(numbers), self.dim), np.float32, self.folder)

    def write(self, keys: Keys, rows: Rows, seconds: float) -> None:
        """Keep the rows that belong to pixels of these digests as a shard, for ``add_written``."""
        path = self._path(keys)
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        write_atomic(rows_of(path, digest), content)
        # the hashes come last: a shard without them does not exist
        write_atomic(path, "\n".join([f"{digest} {seconds:.2f}", *hexadecimal(keys)]).encode())

    def add_written(self, keys: Keys) -> None:
        """Take in the shard that this or another process wrote for these digests.

        Raises:
            BenchError: it is not there.
        """
        path = self._path(keys)
        if not path.exists() or not self._add(path):
            raise BenchError(
                f"another process wrote {path}, not seen here; all processes need to see the same cache and to run on "
                "the same type of device"
            )

    def _gathered(self, numbers: Places) -> Rows:
        rows = np.empty((len(numbers), self.dim), np.float32)
        shard = np.searchsorted(self._ends, numbers, "right") - 1
        for each in np.unique(shard):
            here = np.flatnonzero(shard == each)
            rows[here] = self._shards[each][numbers[here] - self._ends[each]]
        return rows

    def _path(self, keys: Keys) -> Path:
        return self.folder / f"{_name_of(keys)}.hashes"

    def _add(self, path: Path) -> bool:
        """Take the rows of a shard in, or remove one that is not what was written."""
        try:
            first, *texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:  # another process found it damaged
            return False
        written = first.partition(" ")[0]
        rows = rows_of(path, written)
        keys = _keys(texts)
        if fault := _fault(path, rows, written, keys):
            log.warning("features of %s: %s since it was written; encoding its images again", self.name, fault)
            discard(path, rows)
            return False
        try:
            table = np.load(rows, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:  # another process found it damaged
            return False
        self._taken.add(path.name)
        self._shards.append(table)
        self._keys.add(keys)
        self._ends = np.append(self._ends, self._ends[-1] + len(keys))
        return True


def rows_of(path: Path, digest: str) -> Path:
    """The rows of a shard, in a file named by their digest, so that two processes never replace each other's."""
    return path.with_name(f"{path.stem}-{digest[:16]}.npy")


def _name_of(keys: Keys) -> str:
    return hashlib.sha256("".join(hexadecimal(keys)).encode()).hexdigest()[:16]


def _keys(texts: list[str]) -> Keys:
    """The digests of a list, none if it is damaged; then the list does not go with its name."""
    try:
        return from_hexadecimal(texts)
    except ValueError:
        return np.empty(0, "S32")


def _fault(path: Path, rows: Path, written: str, keys: Keys) -> str | None:
    if path.stem != _name_of(keys):
        return f"{path} is changed"
    if not rows.exists():
        return f"{rows} is missing"
    return None if file_digest(rows) == written else f"{rows} is changed"
