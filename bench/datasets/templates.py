"""Prompts from a template with labels and attributes in braces."""

from __future__ import annotations

import string
from collections.abc import Mapping

from bench.api import BenchError


def names_in(template: str) -> tuple[str, ...]:
    """The names in braces, each once.

    Raises:
        BenchError: a brace that is not closed.
    """
    return tuple(dict.fromkeys(name for _, name, _, _ in _pieces(template) if name is not None))


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with every ``{name}`` replaced by ``values[name]``; nothing but plain names in the braces.

    Raises:
        BenchError: another name, or more than a name in the braces.
    """
    text = ""
    for literal, name, form, conversion in _pieces(template):
        text += literal
        if name is None:
            continue
        if name not in values or form or conversion:
            raise BenchError(f"dataset.prompt = {template!r}: {name!r} in braces, needed one of {sorted(values)}")
        text += values[name]
    return text


def _pieces(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(template))
    except ValueError as error:
        raise BenchError(f"dataset.prompt = {template!r}: {error}; write {{name}}, and {{{{ for a brace") from None
