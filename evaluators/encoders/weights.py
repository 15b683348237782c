"""Where the weights of a network lie, and proof that they are the ones meant."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.files import file_digest

COMMIT = re.compile(r"[0-9a-f]{40}")


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; read again only when its size or time of change differ."""
    stat = path.stat()
    return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    return file_digest(path)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights are published.

    Attributes:
        url: a single file to download by hand.
        hub: a repository of the Hugging Face hub, ``owner/name``; fetched on first use.
        revision: the commit in that repository, 40 hex digits: names and tags can change what they mean.
        sha256: what the file of weights must hash to; the first 8 or more of its hex digits suffice.
    """

    url: str | None = None
    hub: str | None = None
    revision: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Weights:
    """The weights of the encoder called ``name`` in the configuration.

    Attributes:
        path: a local file, or a local folder if ``wanted`` is given; asked before ``origin``.
        wanted: files the folder must have, the weights first, each with its accepted names in order of preference.
    """

    name: str
    path: str | None
    origin: Origin
    wanted: tuple[tuple[str, ...], ...] = ()

    @staticmethod
    def of(
        name: str, path: str | None, origin: Mapping[str, Any] | None, wanted: tuple[tuple[str, ...], ...] = ()
    ) -> Weights:
        """From configuration; ``BenchError`` for unknown keys in ``origin``."""
        unknown = set(origin or {}) - set(Origin.__dataclass_fields__)
        if unknown:
            raise BenchError(f"encoder {name}: origin has unknown keys {sorted(unknown)}")
        return Weights(name, path, Origin(**(origin or {})), wanted)

    def files(self) -> tuple[Path, ...]:
        """The weights and the files they need beside them, fetched from the hub if they are not here yet.

        Raises:
            BenchError: not there, not fetchable, not pinned, or not the promised hash; the message says the remedy.
        """
        files = self._found()
        expected, got = self.origin.sha256, sha256(files[0])
        if expected and not (len(expected) >= 8 and got.startswith(expected.lower())):
            raise BenchError(
                f"encoder {self.name}: {files[0]} has SHA-256 {got}, needed {expected}: the file is damaged or another "
                f"one; {self._remedy()}; to use it all the same set encoder.{self.name}.origin.sha256=null"
            )
        return files

    def digest(self) -> str:
        """16 hex digits over the content of all files."""
        return hashlib.sha256("".join(map(sha256, self.files())).encode()).hexdigest()[:16]

    def _found(self) -> tuple[Path, ...]:
        if self.path is None:
            return self._from_hub()
        place = Path(self.path).expanduser()
        if not self.wanted and place.is_file():
            return (place,)
        if self.wanted and place.is_dir():
            return self._inside(place)
        kind = "folder of weights" if self.wanted else "file of weights"
        raise BenchError(f"encoder {self.name}: there is no {kind} at {place}; {self._remedy()}")

    def _inside(self, folder: Path) -> tuple[Path, ...]:
        files = []
        for names in self.wanted:
            there = [folder / name for name in names if (folder / name).is_file()]
            if not there:
                raise BenchError(f"encoder {self.name}: {folder} has no {' or '.join(names)}; {self._remedy()}")
            files.append(there[0])
        return tuple(files)

    def _from_hub(self) -> tuple[Path, ...]:
        from huggingface_hub import snapshot_download

        hub, revision = self.origin.hub, self.origin.revision
        if not hub:
            raise BenchError(f"encoder {self.name}: no weights are named; {self._remedy()}")
        if not COMMIT.fullmatch(revision or ""):
            raise BenchError(
                f"encoder {self.name}: {hub} is pinned to {revision!r}, needed the 40 hex digits of a commit in "
                f"encoder.{self.name}.origin.revision, because a branch or tag can change what it means"
            )
        patterns = [name for names in self.wanted for name in names]
        try:
            return self._inside(Path(snapshot_download(hub, revision=revision, local_files_only=True)))
        except (OSError, ValueError, BenchError):
            pass
        try:
            return self._inside(Path(snapshot_download(hub, revision=revision, allow_patterns=patterns)))
        except BenchError:
            raise
        except Exception as error:  # the client's transport errors share no base class
            raise BenchError(
                f"encoder {self.name}: cannot fetch {hub}@{revision}: {error}; {self._remedy()}"
            ) from error

    def _remedy(self) -> str:
        origin, setting = self.origin, f"encoder.{self.name}.path"
        if origin.url:
            return f"download {origin.url} and set {setting}=FILE"
        if origin.hub:
            pinned = f" --revision {origin.revision}" if origin.revision else ""
            return f"run `hf download {origin.hub}{pinned} --local-dir DIR` on a networked machine, set {setting}=DIR"
        return f"set {setting}=FILE"
