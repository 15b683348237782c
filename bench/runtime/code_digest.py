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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.storage.files import content_key, file_digest

PROJECT = ("bench", "generators", "evaluators")
DEPTH = 8  # imports of imports ... that tell modules of equal text apart

PARSING = threading.Lock()  # Python 3.11 may fail when two threads parse source at once
Code = type | Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Import:
    """One name that an import binds: the module, what is taken from it or nothing, and the name given to it."""

    source: str
    taken: str
    given: str


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its syntax without docstrings and with numbers in the place of imports, and these imports.

    Imports that follow one another are one block, sorted by the names they bind: order within it is layout.
    """

    body: str
    blocks: tuple[tuple[Import, ...], ...]


def part_digest(part: object, target: str | None = None, inner: Sequence[str] = ()) -> str:
    """16 hex digits over the code that decides what ``part`` of a run does: that of its class, where ``target`` names
    the function that built it, of that function, and of what ``inner`` targets among its settings name.
    """
    from hydra.utils import get_object

    kinds: list[Code] = [type(part)]
    if target is not None and inspect.isroutine(built := get_object(target)):
        kinds.append(inspect.unwrap(built))
    kinds += [inspect.unwrap(get_object(each)) for each in inner]
    return code_digest(*kinds)


def code_digest(*roots: Code) -> str:
    """16 hex digits over the modules of ``roots`` and all that these import, directly or not, also inside functions.

    Followed are modules of this project's packages and of the top-level packages of ``roots``; templates (``.html``)
    beside a module count with it. Another minor version of Python may give other digits.
    """
    packages = {*PROJECT, *(root.__module__.split(".", 1)[0] for root in roots)}
    found: dict[str, Path] = {}
    waiting = [(root.__module__, Path(inspect.getfile(root))) for root in roots]
    while waiting:
        name, path = waiting.pop()
        if name not in found:
            found[name] = path
            waiting += [(each, place) for each in _named(name, path) if (place := _place(each, packages))]
    identities = {name: _own(path) for name, path in found.items()}
    # what a module takes from another is told by what that one is made of, and what that takes, and so on
    for _ in range(DEPTH):
        identities = {name: _identity(name, path, identities) for name, path in found.items()}
    return content_key(
        [[root.__qualname__, identities[root.__module__]] for root in roots] + sorted(identities.values())
    )


def _identity(name: str, path: Path, identities: Mapping[str, str]) -> str:
    """A module by its own code and by the identities of what it imports, whatever the modules are called."""
    blocks = []
    for block in _module(path, _stamp(path)).blocks:
        sources = [(each, _resolved(each.source, name, path)) for each in block]
        # what is imported from a package may be a module of it
        blocks.append(
            [
                [inner, "", each.given]
                if (inner := identities.get(f"{source}.{each.taken}"))
                else [identities.get(source, source), each.taken, each.given]
                for each, source in sources
            ]
        )
    return content_key([_own(path), blocks])


def _own(path: Path) -> str:
    """A module by its own code alone."""
    templates = sorted(path.parent.glob("*.html"))
    return content_key([_module(path, _stamp(path)).body, [file_digest(each) for each in templates]])


def _named(name: str, path: Path) -> Iterator[str]:
    for block in _module(path, _stamp(path)).blocks:
        for each in block:
            source = _resolved(each.source, name, path)
            yield source
            yield f"{source}.{each.taken}"


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
    stripped = _Stripped()
    body = ast.dump(stripped.visit(tree))
    return Module(hashlib.sha256(body.encode()).hexdigest(), tuple(stripped.blocks))


class _Stripped(ast.NodeTransformer):
    """Takes docstrings out of a syntax tree, and blocks of imports, leaving their numbers."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Import, ...]] = []

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, list(self._without_imports(_without_docstring(node, name, statements))))
        return super().generic_visit(node)

    def _without_imports(self, statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
        for imports, group in groupby(statements, lambda each: isinstance(each, ast.Import | ast.ImportFrom)):
            if not imports:
                yield from group
                continue
            # of two that bind one name the last counts
            bound = {_key(each): each for statement in group for each in _bound(statement)}
            yield ast.Expr(ast.Constant(f"imports {len(self.blocks)}"))
            self.blocks.append(tuple(bound[key] for key in sorted(bound)))


def _key(each: Import) -> tuple[str, ...]:
    """By what an import is replaced: another of the same name, but a star binds no name of its own."""
    return (each.given, each.source) if each.taken == "*" or each.given == "_" else (each.given,)


def _without_docstring(node: ast.AST, name: str, statements: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if name == "body" and isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
        return statements[1:]
    return statements


def _bound(statement: ast.stmt) -> Iterator[Import]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield Import(alias.name, "", alias.asname or alias.name)
    elif isinstance(statement, ast.ImportFrom):
        source = "." * statement.level + (statement.module or "")
        for alias in statement.names:
            yield Import(source, alias.name, alias.asname or alias.name)


def _place(name: str, packages: set[str]) -> Path | None:
    if name.split(".", 1)[0] not in packages:
        return None
    found = _spec(name)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    return Path(found.origin)


def _spec(name: str) -> ModuleSpec | None:
    """Where a module lies; only packages are imported for that, never a module that a name is taken from."""
    parent = name.rpartition(".")[0]
    if parent:
        package = _spec(parent)
        if package is None or package.submodule_search_locations is None:
            return None
    try:
        return importlib.util.find_spec(name)
    except Exception:  # a package may refuse to be imported for whatever reason; then nothing of it is reached
        return None
