"""Which settings of a configuration read the environment, on whatever way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc


@dataclass(frozen=True)
class Leaf:
    """One setting.

    Attributes:
        path: its keys from the top.
        raw: as it is written, interpolations included.
        value: what it is.
        variables: the variables of the environment whose values went into it.
    """

    path: tuple[str, ...]
    raw: Any
    value: Any
    variables: frozenset[str]

    @property
    def read(self) -> bool:
        return bool(self.variables)


def leaves(config: Container) -> Iterator[Leaf]:
    """Every setting of a configuration, one that cannot be resolved as it is written.

    A setting that takes its value from another one, or through ``oc.decode`` or any other resolver, has read whatever
    was read on the way.
    """
    with _noted() as asked:
        yield from _leaves(config, (), asked)


def replaced(config: Container, put: Callable[[Leaf], Any], named: Callable[[str], str]) -> Any:
    """The configuration as plain containers with ``put(leaf)`` in the place of every setting and ``named(key)`` in that
    of every key."""
    found = {leaf.path: leaf for leaf in leaves(config)}

    def built(node: Any, path: tuple[str, ...]) -> Any:
        if path in found:
            return put(found[path])
        if isinstance(node, dict):
            entries: dict[str, Any] = {}
            for key, each in node.items():
                add(entries, named(str(key)), built(each, (*path, str(key))))
            return entries
        return [built(each, (*path, str(place))) for place, each in enumerate(node)]

    return built(OmegaConf.to_container(config, resolve=False), ())


def add(entries: dict[str, Any], key: str, value: Any) -> None:
    """Put another entry there; two folders may have one name."""
    while key in entries:
        key += "'"
    entries[key] = value


def _leaves(config: Container, path: tuple[str, ...], asked: set[str]) -> Iterator[Leaf]:
    raw = OmegaConf.to_container(config, resolve=False)
    keys = range(len(raw)) if isinstance(raw, list) else raw or {}
    for key in keys:
        written = raw[key]  # type: ignore[index]
        here = (*path, str(key))
        if isinstance(written, dict | list) and written:
            yield from _leaves(config[key], here, asked)
            continue
        asked.clear()
        value = _resolved(config, key, written)
        yield Leaf(here, written, value, frozenset(asked))


def _resolved(config: Any, key: Any, written: Any) -> Any:
    if not OmegaConf.is_interpolation(config, key):
        return written
    try:
        value = config[key]
        plain = isinstance(value, DictConfig | ListConfig)
        return OmegaConf.to_container(value, resolve=True) if plain else value
    except OmegaConfBaseException:
        return written


@contextmanager
def _noted() -> Iterator[set[str]]:
    """The variables whose values the resolver of the environment gives out while inside."""
    asked: set[str] = set()

    def env(key: str, *default: Any) -> Any:
        if key in os.environ:
            asked.add(key)
        return oc.env(key, *default)

    OmegaConf.register_new_resolver("oc.env", env, replace=True)
    try:
        yield asked
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
