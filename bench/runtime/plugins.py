"""From configuration to objects: a name is looked at before it is started, and only parts of a run are started.

A configuration is data that may come from anybody. What it names with ``_target_`` has to be the class of a part, or a
function that says it returns one, written in a module of this project or of a package that the user allowed.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.api import BenchError, Configurable, Encoder

TRUSTED = ("bench", "generators", "evaluators")
TARGET = "_target_"
_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)  # no part begins with "_": __main__ runs when imported


def build(config: DictConfig, expected: type, allow: Sequence[str] = ()) -> Any:
    """The ``expected`` part of a run that ``config._target_`` names, made with the settings beside it.

    Settings may have a ``_target_`` of their own, at any depth; what that names has to be ``Configurable``.

    Args:
        expected: ``Dataset``, ``Generator``, ``Encoder``, ``Evaluator``, ``Filter``, or a class of ``Configurable``.
        allow: what the user allows besides this project's own: packages, e.g. ``["mylab"]``, and settings that start
            code, e.g. ``["remote_code"]``.

    Raises:
        BenchError: a target that is no such class or function of a trusted package (found before any of it is
            started), a setting that is not allowed, or one that the target does not take.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, ValueError) as error:
        raise BenchError(f"cannot build a {expected.__name__}: {str(error).splitlines()[0]}") from error
    if not isinstance(plain, dict):
        raise BenchError(f"cannot build a {expected.__name__} from {plain!r}: needed settings with a {TARGET}")
    # all of them, before the first is started
    makers = {id(part): _maker(part, kind, tuple(allow)) for part, kind in _parts(plain, expected)}
    return _made(plain, makers)


def inner_targets(config: DictConfig) -> list[str]:
    """What is built among the settings of a part, at any depth, in the order of names."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    inner = islice(_parts(plain, Configurable), 1, None)
    return sorted({str(each[TARGET]) for each, _ in inner})


def _parts(plain: dict[Any, Any], expected: type) -> Iterator[tuple[dict[Any, Any], type]]:
    """The outermost settings, and all settings below that have a target, each with the class it has to be of."""
    yield plain, expected
    waiting = list(plain.values())
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict) and TARGET in each:
            yield each, Configurable
        if isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each


def _maker(part: dict[Any, Any], expected: type, allow: tuple[str, ...]) -> Callable[..., Any]:
    """What makes the object of these settings, checked."""
    target = part.get(TARGET)
    unknown = [key for key in part if str(key).startswith("_") and key != TARGET]
    if unknown:
        raise BenchError(f"{target}: {unknown[0]} is no setting; of Hydra's own keys only {TARGET} is read here")
    maker = resolve(target, expected, allow)
    for name in getattr(_product(maker), "runs_code", ()):
        if part.get(name) and name not in allow:
            raise BenchError(
                f"{target}: {name}={part[name]} starts code that is not this project's and was not allowed; if you "
                f"have read that code and trust it, add allow=[{name}] on the command line"
            )
    return maker


def resolve(target: Any, expected: type, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """The class or function that ``target`` names, ``module.name``; nothing is imported but trusted modules.

    Raises:
        BenchError: it is not of a trusted package, not there, or makes no ``expected``.
    """
    if not (isinstance(target, str) and _NAME.fullmatch(target)):
        raise BenchError(f"{TARGET} is {target!r}, needed the dotted name of a {expected.__name__}: module.name")
    trusted = (*TRUSTED, *allow)
    if not _inside(target, trusted):
        raise BenchError(
            f"{TARGET} {target!r} is outside {', '.join(trusted)} and was not imported; if you trust the package, add "
            f"allow=[{target.split('.', 1)[0]}] on the command line"
        )
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module raises that is broken or lacks what it needs
        raise BenchError(f"{TARGET} {target!r} cannot be imported, needed module.name: {error}") from error
    product = _product(found)
    if product is None or not issubclass(product, expected):
        raise BenchError(
            f"{TARGET} {target!r} was not started: it is no {expected.__name__}, nor a function that is annotated to "
            f"return one"
        )
    home = str(inspect.unwrap(found).__module__)
    if not _inside(home, trusted):
        raise BenchError(
            f"{TARGET} {target!r} was not started: it is only a name for code of {home}, outside {', '.join(trusted)}; "
            f"if you trust that, add allow=[{home.split('.', 1)[0]}] on the command line"
        )
    return found


def _inside(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _product(maker: Any) -> type | None:
    """The class of what ``maker`` makes: itself, or what the function says it returns; ``None`` of anything else."""
    if inspect.isclass(maker):
        return maker
    function = inspect.unwrap(maker) if callable(maker) else None
    if not inspect.isfunction(function):
        return None
    annotation = inspect.get_annotations(function).get("return")
    if isinstance(annotation, str):
        annotation = vars(sys.modules[function.__module__]).get(annotation)
    return annotation if inspect.isclass(annotation) else None


def _made(value: Any, makers: Mapping[int, Callable[..., Any]]) -> Any:
    """``value`` with everything that has a maker made, from the inside out."""
    if isinstance(value, list):
        return [_made(each, makers) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _made(each, makers) for key, each in value.items() if key != TARGET}
    if id(value) not in makers:
        return inner
    try:
        return makers[id(value)](**inner)
    except BenchError:
        raise
    except Exception as error:  # whatever the constructor of a plug-in raises
        raise BenchError(f"cannot build {value[TARGET]}: {type(error).__name__}: {error}") from error


class Encoders(Mapping[str, Encoder]):
    """The configured encoders by name; each is built once, when first asked for."""

    def __init__(self, config: DictConfig, allow: Sequence[str] = ()) -> None:
        self._config = config
        self._allow = allow
        self._built: dict[str, Encoder] = {}

    def __getitem__(self, name: str) -> Encoder:
        if name not in self._config:
            raise BenchError(
                f"encoder {name!r} is not configured; this run has {sorted(self)}: add it with encoder=[...,{name}]"
            )
        if name not in self._built:
            self._built[name] = build(self._config[name], Encoder, self._allow)
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._config

    def __iter__(self) -> Iterator[str]:
        return (str(name) for name in self._config)

    def __len__(self) -> int:
        return len(self._config)
