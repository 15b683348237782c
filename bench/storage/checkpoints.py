"""Weights that come from elsewhere: found, pinned, proven and read, with nothing in them run.

They lie in a file or folder of the user's, or in a repository of the Hugging Face hub at one commit, for a branch or
tag can change what it means. Opened are safetensors, and PyTorch files only as plain tensors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import BenchError
from bench.storage.disk_errors import DiskError, explained, named
from bench.storage.files import file_digest

if TYPE_CHECKING:
    import torch

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5")
UNKNOWN = "unknown"  # the revision of a hub id of which this project knows no commit


@dataclass(frozen=True, slots=True)
class Location:
    """A folder, or a repository of the hub, as the configuration names it.

    Attributes:
        path: a local folder, or the hub id ``owner/name``.
        revision: the commit of a hub id, 40 hex digits; a folder needs none.
        path_setting: name of the setting that holds ``path``, for messages.
        revision_setting: name of the setting that holds ``revision``, for messages.
    """

    path: str | None
    revision: str | None
    path_setting: str
    revision_setting: str

    @staticmethod
    def of(setting: str, path: str | None, revision: str | None) -> Location:
        """What ``setting.path`` and ``setting.revision`` name."""
        return Location(path, revision, f"{setting}.path", f"{setting}.revision")

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is a folder of this machine, which then is meant whatever the hub has."""
        return bool(self.path) and Path(self.path or "").expanduser().is_dir()

    @property
    def commit(self) -> str | None:
        """The revision of a hub id; ``None`` for a local folder, whatever revision stands beside it."""
        return None if self.is_local else self.revision

    def folder(self, patterns: Sequence[str], ignored: Sequence[str] = ()) -> Path:
        """The local folder as it is, or that of the hub id with the files ``fetch`` is asked for.

        Raises:
            BenchError: nothing named, no such folder, and whatever ``fetch`` refuses.
        """
        if not self.path:
            raise BenchError(
                f"{self.path_setting} is not set; give a folder, or a hub id together with {self.revision_setting}"
            )
        if self.is_local:
            return Path(self.path).expanduser()
        if not HUB_ID.fullmatch(self.path):
            raise BenchError(
                f"{self.path_setting}: {self.path} is neither a folder nor a hub id of the form owner/name"
            )
        return self.fetch(patterns, ignored)

    def fetch(self, patterns: Sequence[str], ignored: Sequence[str] = ()) -> Path:
        """The hub's files that match ``patterns`` and none of ``ignored``, in a folder of the hub's cache.

        Raises:
            BenchError: not pinned to a commit, of an unknown one, not to be had.
            DiskError: the disk does not take them.
        """
        self._check_pinned()
        from huggingface_hub import constants, snapshot_download

        chosen: dict[str, Any] = {"allow_patterns": list(patterns), "ignore_patterns": list(ignored) or None}
        try:
            return Path(snapshot_download(repo_id=str(self.path), revision=self.revision, **chosen))
        except Exception as error:  # the hub client raises its own, httpx's and OSError
            refused = explained(error, f"fetching {self.path} into", Path(constants.HF_HUB_CACHE))
            if refused is not None:
                raise DiskError(f"{refused}; HF_HOME=FOLDER in the environment moves that folder") from error
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            raise BenchError(
                f"{self.path_setting}: the hub id {self.path} at {self.revision} cannot be had ({said}). "
                f"If it is gated, accept its licence at https://huggingface.co/{self.path} and run `hf auth login`; "
                f"without a network run `hf download {self.path} --revision {self.revision} --local-dir DIR` where "
                f"there is one, and set {self.path_setting}=DIR"
            ) from error

    def cached(self) -> Path | None:
        """The folder in which the hub's cache has some files of this commit; the hub is not asked.

        Raises:
            BenchError: not pinned to a commit, or of an unknown one.
        """
        self._check_pinned()
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(repo_id=str(self.path), revision=self.revision, local_files_only=True))
        except (OSError, ValueError):
            return None

    def _check_pinned(self) -> None:
        commits = f"https://huggingface.co/{self.path}/commits"
        if self.revision == UNKNOWN:
            raise BenchError(
                f"{self.revision_setting} is {UNKNOWN}: no commit of {self.path} is known to this project; set "
                f"{self.revision_setting}=<40 hex digits>, chosen at {commits}, or {self.path_setting}=a folder"
            )
        if not COMMIT.fullmatch(self.revision or ""):
            raise BenchError(
                f"{self.path_setting}: the hub id {self.path} is pinned to {self.revision!r}, needed the 40 hex digits "
                f"of one commit in {self.revision_setting} ({commits}), because a branch or tag can change what it "
                f"means; or set {self.path_setting} to a folder"
            )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the weights of an encoder are published.

    Attributes:
        url: a single file to download by hand.
        hub: a repository of the Hugging Face hub, ``owner/name``; fetched on first use.
        revision: the commit in that repository, 40 hex digits.
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
            raise BenchError(f"encoder.{name}.origin has unknown keys {sorted(unknown)}")
        return Weights(name, path, Origin(**(origin or {})), wanted)

    @property
    def setting(self) -> str:
        """Name of the setting that holds ``path``."""
        return f"encoder.{self.name}.path"

    def files(self) -> tuple[Path, ...]:
        """The weights and the files they need beside them, fetched from the hub if they are not here yet.

        Raises:
            BenchError: not there, not fetchable, not pinned, or not the promised hash; the message says the remedy.
        """
        files = self._found()
        expected, got = self.origin.sha256, sha256(files[0])
        if expected and not (len(expected) >= 8 and got.startswith(expected.lower())):
            raise BenchError(
                f"{self.setting}: {files[0]} has SHA-256 {got}, needed {expected}: the file is damaged or another "
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
        raise BenchError(f"{self.setting}: there is no {kind} at {place}; {self._remedy()}")

    def _from_hub(self) -> tuple[Path, ...]:
        if not self.origin.hub:
            raise BenchError(f"{self.setting}: no weights are named; {self._remedy()}")
        revision_setting = f"encoder.{self.name}.origin.revision"
        hub = Location(self.origin.hub, self.origin.revision, self.setting, revision_setting)
        cached = hub.cached()
        if cached is not None and all(_first(cached, names) for names in self.wanted):
            return self._inside(cached)
        return self._inside(hub.fetch([name for names in self.wanted for name in names]))

    def _inside(self, folder: Path) -> tuple[Path, ...]:
        files = []
        for names in self.wanted:
            found = _first(folder, names)
            if found is None:
                raise BenchError(f"{self.setting}: {folder} has no {' or '.join(names)}; {self._remedy()}")
            files.append(found)
        return tuple(files)

    def _remedy(self) -> str:
        origin = self.origin
        if origin.url:
            return f"download {origin.url} and set {self.setting}=FILE"
        if origin.hub:
            pinned = f" --revision {origin.revision}" if origin.revision else ""
            command = f"hf download {origin.hub}{pinned} --local-dir DIR"
            return f"run `{command}` where there is a network, and set {self.setting}=DIR"
        return f"set {self.setting}=FILE"


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; read again only when its size or time of change differ."""
    stat = path.stat()
    return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    return file_digest(path)


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def folder_digest(folder: Path, patterns: Sequence[str]) -> str:
    """16 hex digits over the names and bytes of the files in ``folder``, not below it, that match ``patterns``."""
    digest = hashlib.sha256()
    for path in sorted(each for pattern in patterns for each in folder.glob(pattern)):
        digest.update(f"{path.name}\0{sha256(path)}\0".encode())
    return digest.hexdigest()[:16]


def check_safetensors(folder: Path, setting: str, *, needed: bool = False) -> None:
    """Refuse a folder whose weights are there only as files that can run code; with ``needed``, one without weights.

    Raises:
        BenchError: which file, and what to do instead.
    """
    files = [path for path in sorted(folder.glob("*")) if path.is_file()]
    pickles = [path for path in files if path.suffix in PICKLES]
    if any(path.suffix == ".safetensors" for path in files) or not (pickles or needed):
        return
    if not pickles:
        raise BenchError(f"{setting}: {folder} has no safetensors; name a folder that has, or copy it again")
    raise BenchError(
        f"{setting}: {folder} has no safetensors, but {pickles[0]}: such a file can run code when it is opened, "
        "so only safetensors are; convert it once with a program you trust "
        f"(model.save_pretrained(folder, safe_serialization=True)) and set {setting}"
    )


def read_tensors(path: Path, setting: str) -> dict[str, torch.Tensor]:
    """The named tensors of a ``.safetensors`` file or a PyTorch state dict, without executing what is in it.

    Raises:
        BenchError: the file is missing, damaged, or holds something else.
        DiskError: the disk does not give it.
    """
    import torch
    from safetensors.torch import load_file

    try:
        with named("reading", path):
            if path.suffix == ".safetensors":
                return load_file(path)
            return dict(torch.load(path, map_location="cpu", weights_only=True))
    except BenchError:
        raise
    except Exception as error:  # readers raise whatever the damage leads them to
        raise BenchError(
            f"{setting}: {path} is no plain file of weights: {error}; copy it again from where it is published"
        ) from error
