"""Where weights come from, and what is refused before anything of it is imported or opened."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.files import file_digest
from generators.text_to_image.settings import Source

LIBRARIES = ("diffusers", "transformers")
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5")
WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
UNKNOWN = "unknown"  # the revision of a hub id of which this project knows no commit
_REVISION = re.compile("[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CLASS = re.compile(r"[A-Za-z]\w*")


def resolve(source: Source, setting: str, parts: Sequence[str] = ()) -> Path:
    """The folder with the files of ``source``, fetched from the model hub if it is not local.

    ``parts`` limits a download to these subfolders. ``setting`` is its name in messages, e.g. ``generator``.

    Raises:
        BenchError: no path, no such folder, a hub id without a full commit or of an unknown one, no access.
    """
    if not source.path:
        raise BenchError(f"{setting}.path is not set; give a folder, or a hub id together with {setting}.revision")
    local = Path(source.path).expanduser()
    if local.is_dir():
        root = local
    elif _HUB_ID.fullmatch(source.path):
        root = _fetch(source, setting, [source.subfolder] if source.subfolder else parts)
    else:
        raise BenchError(f"{setting}.path: {source.path} is neither a folder nor a hub id of the form owner/name")
    folder = root / (source.subfolder or ".")
    if ".." in folder.parts[len(root.parts) :] or Path(source.subfolder or "").is_absolute() or not folder.is_dir():
        raise BenchError(f"{setting}.subfolder: {source.subfolder!r} is not a folder inside {source.path}")
    return folder


def commit(source: Source) -> str | None:
    """The revision of a hub id; ``None`` for a local folder, whatever revision stands beside it."""
    return None if source.path and Path(source.path).expanduser().is_dir() else source.revision


def read_index(folder: Path, setting: str) -> dict[str, Any]:
    """The pipeline's ``model_index.json``.

    Raises:
        BenchError: no such file, or a pipeline class of its own.
    """
    path = folder / "model_index.json"
    if not path.is_file():
        raise BenchError(
            f"{setting}.path: {folder} has no model_index.json, so it is not a whole diffusers pipeline; "
            f"for a single part of one set {setting}.components.NAME.path, for an adapter {setting}.lora.path"
        )
    index = json.loads(path.read_text(encoding="utf-8"))
    name = index.get("_class_name")
    if not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise BenchError(f"{path}: the pipeline class {name!r} is custom code, which is never run; use a diffusers one")
    return index


def components(index: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Name -> (library, class) of the components an index lists."""
    pairs = {name: value for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    return {name: (pair[0], pair[1]) for name, pair in pairs.items()}


def check_files(folder: Path, *, code_allowed: bool, setting: str) -> None:
    """Refuse a component folder that has weights only as pickles, or brings code of its own unless it is allowed to.

    Raises:
        BenchError: which file, and what to do instead.
    """
    files = [path for path in sorted(folder.glob("*")) if path.is_file()]
    pickles = [path for path in files if path.suffix in PICKLES]
    if pickles and not any(path.suffix == ".safetensors" for path in files):
        raise BenchError(
            f"{pickles[0]}: such a file can run code when it is opened, so only safetensors are; convert it once with "
            f"a program you trust (model.save_pretrained(folder, safe_serialization=True)) and set {setting}.path"
        )
    code = [path for path in files if path.suffix == ".py"]
    config = folder / "config.json"
    mapped = config.is_file() and "auto_map" in json.loads(config.read_text(encoding="utf-8"))
    if (code or mapped) and not code_allowed:
        raise BenchError(
            f"{code[0] if code else config}: this part brings code of its own, which is not run; name a class of the "
            f"libraries that reads it ({setting}.class=transformers.NAME), or, if you have read the code and trust it, "
            f"add generator.remote_code=[{setting.rsplit('.', 1)[-1]}]"
        )


def weights_digest(folder: Path) -> str:
    """16 hex digits over the names and bytes of the configuration and weights in ``folder``, not below it."""
    digest = hashlib.sha256()
    for path in sorted(each for pattern in WANTED for each in folder.glob(pattern)):
        digest.update(f"{path.name}\0{file_digest(path)}\0".encode())
    return digest.hexdigest()[:16]


def _fetch(source: Source, setting: str, parts: Sequence[str]) -> Path:
    if source.revision == UNKNOWN:
        raise BenchError(
            f"{setting}.revision is {UNKNOWN}: no commit of {source.path} is known to this project; set "
            f"{setting}.revision=<40 hex digits>, chosen at https://huggingface.co/{source.path}/commits, or "
            f"{setting}.path=a folder"
        )
    if not source.revision or not _REVISION.fullmatch(source.revision):
        raise BenchError(
            f"{setting}.revision is {source.revision!r}; {source.path} is a hub id, which needs the 40 hex digits of "
            f"one commit (https://huggingface.co/{source.path}/commits), or set {setting}.path to a folder"
        )
    from huggingface_hub import snapshot_download

    assert source.path is not None
    where: dict[str, Any] = {"repo_id": source.path, "revision": source.revision}
    try:
        if not parts:
            index = Path(snapshot_download(**where, allow_patterns=["model_index.json", "*.json"]))
            known = index / "model_index.json"
            parts = list(components(json.loads(known.read_text()))) if known.is_file() else []
        patterns = [f"{part}/{each}" for part in parts for each in WANTED] if parts else list(WANTED)
        patterns.append("model_index.json")
        return Path(snapshot_download(**where, allow_patterns=patterns, ignore_patterns=["*.fp16*", "*.non_ema*"]))
    except Exception as error:  # the hub client raises its own, httpx's and OSError
        raise BenchError(
            f"{setting}.path: {source.path} at {source.revision[:8]} could not be had ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}). If it is gated, accept its licence at "
            f"https://huggingface.co/{source.path} and run `hf auth login`; without a network set a local folder"
        ) from error
