"""Where weights come from, and what is refused before anything of it is imported or opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.checkpoints import Location, check_safetensors
from bench.storage.foreign_code import check_no_code, read_configuration
from generators.text_to_image.settings import Source

LIBRARIES = ("diffusers", "transformers")
FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # of a part: configuration, vocabulary, weights
VARIANTS = ("*.fp16*", "*.non_ema*")  # the same weights once more, which are not fetched
_CLASS = re.compile(r"[A-Za-z]\w*")


def resolve(source: Source, setting: str, parts: Sequence[str] = ()) -> Path:
    """The folder with the files of ``source``, fetched from the model hub if it is not local.

    ``parts`` limits a download to these subfolders. ``setting`` is its name in messages, e.g. ``generator``.

    Raises:
        BenchError: whatever ``Location.folder`` refuses, or no such subfolder.
    """
    location = Location.of(setting, source.path, source.revision)
    wanted = [source.subfolder] if source.subfolder else parts
    if not wanted and not location.is_local:
        wanted = _listed(location.folder(["model_index.json", "*.json"]))
    root = location.folder(_patterns(wanted), VARIANTS)
    folder = root / (source.subfolder or ".")
    if ".." in folder.parts[len(root.parts) :] or Path(source.subfolder or "").is_absolute() or not folder.is_dir():
        raise BenchError(f"{setting}.subfolder: {source.subfolder!r} is not a folder inside {source.path}")
    return folder


def _listed(folder: Path) -> list[str]:
    """The parts that the pipeline's index lists; none where there is no index."""
    index = folder / "model_index.json"
    return list(components(read_configuration(index))) if index.is_file() else []


def _patterns(parts: Sequence[str]) -> list[str]:
    return [*([f"{part}/{each}" for part in parts for each in FILES] or FILES), "model_index.json"]


def commit(source: Source) -> str | None:
    """The revision of a hub id; ``None`` for a local folder, whatever revision stands beside it."""
    return Location.of("", source.path, source.revision).commit


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
    index = read_configuration(path)
    name = index.get("_class_name") if isinstance(index, dict) else None
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
    check_safetensors(folder, f"{setting}.path")
    if not code_allowed:
        check_no_code(
            folder,
            f"name a class of the libraries that reads it ({setting}.class=transformers.NAME), or, if you have read "
            f"the code and trust it, add generator.remote_code=[{setting.rsplit('.', 1)[-1]}] allow=[remote_code]",
        )
