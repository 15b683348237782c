"""Where a filter's model lies, and what is refused before anything of it is opened."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from bench.api import BenchError
from bench.storage.files import file_digest

WANTED = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
_REVISION = re.compile("[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find(path: str | None, revision: str | None) -> Path:
    """The folder of a model: local, or fetched from the hub at one commit.

    Raises:
        BenchError: nothing named, no such folder, a hub id without commit, no access, no safetensors, own code.
    """
    if not path:
        raise BenchError("filter.path is not set; give a folder, or a hub id together with filter.revision")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        folder = _fetched(path, revision)
    if not list(folder.glob("*.safetensors")):
        raise BenchError(f"filter.path: {folder} has no safetensors; other weights can run code and are not opened")
    code = [*folder.glob("*.py"), *(each for each in folder.glob("*.json") if _maps_code(each))]
    if code:
        raise BenchError(f"{code[0]}: this model brings code of its own, which is never run; choose another model")
    return folder


def digest(folder: Path) -> str:
    """16 hex digits over the names and bytes of weights, configuration and processor."""
    whole = hashlib.sha256()
    for path in sorted(each for pattern in WANTED for each in folder.glob(pattern)):
        whole.update(f"{path.name}\0{file_digest(path)}\0".encode())
    return whole.hexdigest()[:16]


def _maps_code(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BenchError(f"{path}: not JSON ({error}); copy the model again") from error
    return isinstance(content, dict) and bool(content.get("auto_map"))


def _fetched(path: str, revision: str | None) -> Path:
    if not _HUB_ID.fullmatch(path):
        raise BenchError(f"filter.path: {path} is neither a folder nor a hub id of the form owner/name")
    if not revision or not _REVISION.fullmatch(revision):
        raise BenchError(
            f"filter.revision is {revision!r}; {path} is a hub id, which needs the 40 hex digits of one commit "
            f"(https://huggingface.co/{path}/commits), or set filter.path to a folder"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=list(WANTED)))
    except Exception as error:  # the hub client raises its own, httpx's and OSError
        raise BenchError(
            f"filter.path: {path} at {revision[:8]} could not be had ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}); without a network set filter.path to a local folder"
        ) from error
