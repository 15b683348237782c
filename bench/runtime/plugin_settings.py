"""Whether a class or function takes the settings meant for it: names, types and ranges of its signature.

Nothing is called. The values are those of a configuration, so a list stands for every sequence, and a whole number for
any number; nothing else is converted.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bench.api import BenchError
from bench.runtime.plugins import TARGET
from bench.runtime.suggestions import did_you_mean
from bench.storage.private_text import SECRET, forms_found, names_secret

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null"}


def setting_faults(taker: Callable[..., Any], settings: Mapping[str, Any], where: str) -> Iterator[str]:
    """What ``taker`` would not take of ``settings``, each with the name under ``where``, the value and what is needed.

    Settings with a ``_target_`` of their own become objects first and are not judged here.
    """
    parameters = inspect.signature(taker).parameters
    several = next((each for each in parameters.values() if each.kind is each.VAR_KEYWORD), None)
    named = {name: each for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    for name, value in settings.items():
        parameter = named.get(name, several)
        if parameter is None:
            yield unknown(where, name, named)
        elif not _has_target(value):
            needed = _needed(_hint(parameter, taker), value)
            if needed:
                yield f"{where}.{name} is {shown(value, name)}, needed {needed}"
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in settings:
            yield f"{where}.{name} is not set, needed {words(_hint(parameter, taker))}"


def check_taken(taker: Callable[..., Any], settings: Mapping[str, Any], where: str) -> None:
    """Raise ``BenchError`` with every fault of ``setting_faults``."""
    if faults := list(setting_faults(taker, settings, where)):
        raise BenchError("\n".join(faults))


def unknown(where: str, name: str, known: Iterable[str]) -> str:
    """That ``where`` has no setting ``name``, and what it has; the value is not repeated."""
    names = list(known)
    return f"{where} has no setting {name!r}{did_you_mean(name, names)}; it has {', '.join(names) or 'none'}"


def shown(value: Any, name: str = "") -> str:
    """The value of a setting ``name`` as a message shows it, with nothing in it that is a secret."""
    value = _told(value, names_secret(name))
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict | bool) else repr(value)
    text = "null" if value is None else text
    return text if len(text) <= 100 else f"{text[:100]}..."


def _told(value: Any, hidden: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _told(each, hidden or names_secret(str(key))) for key, each in value.items()}
    if isinstance(value, list):
        return [_told(each, hidden) for each in value]
    secret = (hidden and not isinstance(value, bool | None)) or (isinstance(value, str) and forms_found(value))
    return SECRET if secret else value


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return TARGET in value or any(map(_has_target, value.values()))
    return isinstance(value, list) and any(map(_has_target, value))


def _hint(parameter: inspect.Parameter, taker: Callable[..., Any]) -> Any:
    """The annotation as a type; ``Any`` where it names what is not imported when the module is."""
    hint = parameter.annotation
    if hint is parameter.empty:
        return Any
    if not isinstance(hint, str):
        return hint
    function = inspect.unwrap(taker)
    function = function.__init__ if inspect.isclass(function) else function
    try:
        return eval(hint, getattr(function, "__globals__", {}))
    except NameError:
        return Any


def _needed(hint: Any, value: Any) -> str:
    """What ``hint`` needs where ``value`` is not that; empty if it is, or if nobody can tell."""
    from pydantic import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeAdapter, ValidationError

    try:
        adapter = TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return ""
    try:
        adapter.validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        return words(hint)
    return ""


def words(hint: Any) -> str:
    """A type as a sentence names it: ``a whole number, or a list (each a whole number)``."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is Annotated:
        return next((each for each in inner[1:] if isinstance(each, str)), words(inner[0]))
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (Union, UnionType):
        return ", or ".join(map(words, inner))
    if is_dataclass(hint) or (inspect.isclass(origin) and issubclass(origin, Mapping)):
        return "settings by name"
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        each = inner[0] if inner else Any
        fixed = origin is tuple and Ellipsis not in inner
        return f"a list of {len(inner)} (each {words(each)})" if fixed else f"a list (each {words(each)})"
    return str(getattr(hint, "__name__", hint))
