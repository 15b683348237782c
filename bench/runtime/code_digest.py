"""Which source files decide a result: a class's module and all it imports from the packages that compute."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import threading
from pathlib import Path
from typing import Any

from bench.storage.files import content_key

# the parts of the core that compute values; the rest only carries them
COMPUTING = ("bench.networks", "bench.statistics", "bench.storage.image_reader", "bench.storage.parquet")

PARSING = threading.Lock()  # Python 3.11 may fail when two threads parse source at once


def part_digest(part: object, target: str | None = None) -> str:
    """16 hex digits over the sources that decide what ``part`` of a run does: those of its class and, where ``target``
    names the function that built it, those of that function.
    """
    from hydra.utils import get_object

    kinds: list[Any] = [type(part)]
    if target is not None and inspect.isroutine(built := get_object(target)):
        kinds.append(inspect.unwrap(built))
    return content_key([class_digest(kind) for kind in kinds])


def class_digest(kind: type) -> str:
    """16 hex digits over the sources of ``kind`` and of what it imports, directly or not.

    Followed are modules of its own top-level package and of ``COMPUTING``, also those imported inside functions.
    """
    found: dict[str, Path] = {}
    waiting = [(kind.__module__, Path(inspect.getfile(kind)))]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for each in _imports(name, path):
            place = _place(each, kind.__module__.split(".", 1)[0])
            if place is not None and each not in found:
                waiting.append((each, place))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\0".encode() + found[name].read_bytes())
    return digest.hexdigest()[:16]


def _imports(module: str, path: Path) -> set[str]:
    names: set[str] = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    with PARSING:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            # what is imported from a package may be a module of it
            names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return names


def _place(name: str, package: str) -> Path | None:
    if not (name == package or name.startswith((f"{package}.", *COMPUTING))):
        return None
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if found is None or found.origin is None else Path(found.origin)
