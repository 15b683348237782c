"""Which code decides a result: every module of a project that a class or a function reaches by imports.

What counts of a module is its syntax without docstrings, comments and layout, and of an import what is imported, not
what the module is called: moving a file or rewording it changes no digest, changing what it computes does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.storage.files import content_key

PROJECT = ("bench", "generators", "evaluators")

PARSING = threading.Lock()  # Python 3.11 may fail when two threads parse source at once
Code = type | Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its syntax less the imports, and what it imports."""

    body: str
    imports: tuple[tuple[str, str, str], ...]  # module, name taken from it or nothing, name given to it


def part_digest(part: object, target: str | None = None) -> str:
    """16 hex digits over the code that decides what ``part`` of a run does: that of its class and, where ``target``
    names the function that built it, of that function.
    """
    from hydra.utils import get_object

    kinds: list[Code] = [type(part)]
    if target is not None and inspect.isroutine(built := get_object(target)):
        kinds.append(inspect.unwrap(built))
    return code_digest(*kinds)


def code_digest(*roots: Code) -> str:
    """16 hex digits over the modules of ``roots`` and all that these import, directly or not, also inside functions.

    Followed are modules of this project's packages and of the top-level packages of ``roots``.
    """
    packages = {*PROJECT, *(root.__module__.split(".", 1)[0] for root in roots)}
    found: dict[str, Path] = {}
    waiting = [(root.__module__, Path(inspect.getfile(root))) for root in roots]
    while waiting:
        name, path = waiting.pop()
        if name not in found:
            found[name] = path
            waiting += [(each, place) for each in _named(name, path) if (place := _place(each, packages))]
    bodies = {name: _module(path, _stamp(path)).body for name, path in found.items()}
    return content_key(sorted(_signature(name, path, bodies) for name, path in found.items()))


def _signature(name: str, path: Path, bodies: dict[str, str]) -> str:
    """A module's own code and what it takes from which code, whatever the modules are called."""
    taken = []
    for source, each, given in _module(path, _stamp(path)).imports:
        source = _resolved(source, name, path)
        # what is imported from a package may be a module of it
        inner = bodies.get(f"{source}.{each}")
        taken.append([inner, "", given] if inner else [bodies.get(source, source), each, given])
    return content_key([bodies[name], sorted(taken)])


def _named(name: str, path: Path) -> Iterator[str]:
    for source, each, _ in _module(path, _stamp(path)).imports:
        source = _resolved(source, name, path)
        yield source
        yield f"{source}.{each}"


def _resolved(source: str, name: str, path: Path) -> str:
    if not source.startswith("."):
        return source
    return importlib.util.resolve_name(source, name if path.name == "__init__.py" else name.rpartition(".")[0])


def _stamp(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


@lru_cache(maxsize=1024)
def _module(path: Path, stamp: tuple[int, int]) -> Module:
    with PARSING:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    imports: list[tuple[str, str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, "", alias.asname or "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            imports += [(source, alias.name, alias.asname or alias.name) for alias in node.names]
    body = ast.dump(_Stripped().visit(tree))
    return Module(hashlib.sha256(body.encode()).hexdigest(), tuple(imports))


class _Stripped(ast.NodeTransformer):
    """Takes docstrings and imports out of a syntax tree."""

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def generic_visit(self, node: ast.AST) -> ast.AST:
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:]
        return super().generic_visit(node)


def _place(name: str, packages: set[str]) -> Path | None:
    if name.split(".", 1)[0] not in packages:
        return None
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if found is None or found.origin is None else Path(found.origin)
