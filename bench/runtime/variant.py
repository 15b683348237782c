"""The default name of a run: the generator's, and what of its settings was overridden."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from bench.storage.private_text import names_secret

LONGEST = 100  # characters; the board takes names of up to 120
LONGEST_SETTING = 48
_GROUP = "generator."
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")


def variant_name(choice: str, overrides: Sequence[str], generator: DictConfig, allow: Sequence[str] = ()) -> str:
    """``ldm`` as it comes, ``ldm-diffusion.rate=0.002`` with a setting of the command line.

    Settings under ``generator.`` enter in alphabetical order with the value they have, whatever way it was written;
    those that the generator's class calls ``incidental`` do not, nor do secrets. Of a path only the last component is
    shown. A digest tells apart what is not shown whole.

    Args:
        choice: the name of the generator's configuration.
        overrides: those of the command line, or of one job of a sweep.
        generator: its settings.
        allow: top-level packages the user trusts besides this project's own; of other code nothing is imported.
    """
    keys = {each.key_or_group for each in _parsed(tuple(overrides)) if each.key_or_group.startswith(_GROUP)}
    keys = {key.removeprefix(_GROUP) for key in keys if not any(map(names_secret, key.split(".")))}
    aside = _incidental(generator, allow) if keys else ()
    items = [_setting(key, generator) for key in sorted(keys) if key.split(".")[0] not in aside]
    name = "-".join([choice, *items])
    if len(name) <= LONGEST:
        return name
    # whole settings only: the beginning of a value would be read as a value
    while len("-".join([choice, *items])) > LONGEST - 9 and items:
        items.pop()
    return f"{'-'.join([choice, *items])[: LONGEST - 9]}-{_digest(name)}"


def family(name: str) -> str:
    """What the variants of one generator share of their default names."""
    return name.partition("-")[0]


@lru_cache(maxsize=16)
def _parsed(overrides: tuple[str, ...]) -> tuple[Override, ...]:
    return tuple(OverridesParser.create().parse_overrides(list(overrides)))


def _incidental(generator: DictConfig, allow: Sequence[str]) -> tuple[str, ...]:
    """What the class says of its settings; nothing where it may not or cannot be imported, which the run then tells."""
    from bench.api import BenchError, Generator
    from bench.runtime.plugins import resolve

    try:
        return tuple(getattr(resolve(generator.get("_target_"), Generator, allow), "incidental", ()))
    except BenchError:
        return ()


def _setting(key: str, generator: DictConfig) -> str:
    node = OmegaConf.to_container(generator, resolve=False)
    if _from_environment(_at(node, key)):
        # it would stand in every record and link
        return _UNSAFE.sub("_", f"{key}=environment")
    value = _words(OmegaConf.select(generator, key))
    exact = f"{key}={value}"
    last = re.split(r"[/\\]+", value.rstrip("/\\"))[-1]
    shown = _UNSAFE.sub("_", f"{key}={last}")[:LONGEST_SETTING]
    return exact if shown == exact else f"{shown}-{_digest(exact)}"


def _at(node: Any, key: str) -> Any:
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _from_environment(value: Any) -> bool:
    return isinstance(value, str) and "oc.env" in value


def _words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, ListConfig):
        return "+".join(_words(each) for each in value)
    if isinstance(value, DictConfig):
        return _digest(OmegaConf.to_container(value, resolve=True))
    return str(value)


def _digest(value: Any) -> str:
    from bench.storage.files import content_key

    return content_key(value)[:8]


def _resolved(choice: str, overrides: Sequence[str] | None, *, _root_: DictConfig) -> str:
    return variant_name(choice, overrides or (), _root_.generator, _root_.get("allow") or ())


# at import: whoever reads a configuration, in a sweep's other processes too, finds it
OmegaConf.register_new_resolver("variant", _resolved, replace=True)
