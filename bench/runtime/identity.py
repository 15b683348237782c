"""What of a setting identifies a result, in a key or a protocol: decided from that setting alone.

Nothing is sought here of what else the configuration or the environment holds, nor of folders, users and machines: the
same command has the same identity on another day and machine, for another user and from another folder.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.api import BenchError
from bench.runtime.environment_use import Leaf, leaves, replaced
from bench.storage.files import WouldWrite, alone, canonical, content_key, files_digest, write_atomic
from bench.storage.private_text import SECRET, is_path, is_secret, last_part, names_secret, with_places, without_secrets

HOUSE = ".house"  # in the cache: the key under which digests of hidden settings are made


@dataclass(frozen=True)
class Identity:
    """The identities of one start.

    A protocol is for others, a key stays ``at_home``: there what is hidden of a literal leaves a digest.

    Attributes:
        cache: the folder of the key that digests of hidden settings are made with.
    """

    cache: Path

    def settings(self, part: DictConfig, at_home: bool = False) -> dict[str, Any]:
        """The settings of a plug-in, without ``_target_``.

        A literal counts as it is, but for a secret (``<secret>``) and an absolute path, of which the last part counts:
        see ``files``. A path that the environment gave is as written, and so is any other value from the environment,
        with a digest that only this house can make, see ``house_key``: another value is noticed, nobody outside can
        guess it, and no two houses' numbers pass for the same. A secret from the environment leaves no digest.
        """
        found = replaced(part, lambda leaf: self._leaf(leaf, at_home), lambda key: self._literal(key, "", at_home))
        return {name: value for name, value in found.items() if name != "_target_"}

    def files(self, part: DictConfig, reads: Iterable[str] = (), aside: Iterable[str] = ()) -> dict[str, str]:
        """Digests of the names, sizes and times of the files that a plug-in ``reads`` and at the absolute paths among
        its settings, less those called ``aside``, by what ``settings`` has in the place of the path: with them, other
        files behind the same last part are noticed. A path is looked at once."""
        given = {path: identified(path) for path in reads}
        for leaf in leaves(part):
            if leaf.path[0] not in aside and not any(map(names_secret, leaf.path)):
                given |= {key: last_part(key) for key in leaf.path if is_path(key)}
                given |= {leaf.value: self._leaf(leaf, False)} if is_path(leaf.value) else {}
        found: dict[str, str] = {}
        for path, word in given.items():
            while word in found:
                word += "'"
            if path not in self._looked_at:
                self._looked_at[path] = files_digest(Path(path).expanduser())
            found[word] = self._looked_at[path]
        return found

    def name(self, text: str, part: DictConfig) -> str:
        """What a plug-in made of the settings in ``part`` calls itself; a digest follows where something is hidden."""
        told = text
        for variable, value in sorted(_variables(part).items(), key=lambda item: -len(item[1])):
            told = told.replace(value, f"${{oc.env:{variable}}}")
        clean = identified(told)
        if clean == text:
            return text
        hidden = without_secrets(told) != text  # whoever knows the form of a path may guess it, but no secret
        return f"{clean} {self._digest(text) if hidden else content_key(text)}"

    def _leaf(self, leaf: Leaf, at_home: bool) -> Any:
        name = next((each for each in leaf.path if names_secret(each)), leaf.path[-1])
        if not leaf.read:
            return self._literal(leaf.value, name, at_home)
        if is_secret(name, leaf.value):
            return SECRET
        written = identified(leaf.raw)
        return written if is_path(leaf.value) else f"{written} {self._digest(leaf.value)}"

    def _literal(self, value: Any, name: str, at_home: bool) -> Any:
        if isinstance(value, Mapping):
            return {
                self._literal(str(key), "", at_home): self._literal(each, name if names_secret(name) else key, at_home)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._literal(each, name, at_home) for each in value]
        clean = identified(value, name)
        # the files at a path have digests of their own
        return f"{clean} {self._digest(value)}" if at_home and clean != value and not is_path(value) else clean

    def _digest(self, value: Any) -> str:
        return hmac.new(self._house, canonical(value).encode(), hashlib.sha256).hexdigest()[:16]

    @cached_property
    def _house(self) -> bytes:
        return house_key(self.cache)

    @cached_property
    def _looked_at(self) -> dict[str, str]:
        return {}


def identified(value: Any, name: str = "") -> Any:
    """A literal of a setting called ``name`` without secrets and with the last parts alone of absolute paths."""
    if is_secret(name, value):
        return SECRET
    if not isinstance(value, str):
        return value
    text = without_secrets(value)
    return last_part(text) if is_path(text) else with_places(text, last_part)


def house_key(cache: Path) -> bytes:
    """A random key that stays in the cache, made when it is first needed.

    Whoever loses it with the cache gets other digests of hidden settings: runs with such settings are told that they
    differ.

    Raises:
        BenchError: it is damaged.
    """
    path = cache / HOUSE
    try:
        if not path.exists():
            with alone(path):
                if not path.exists():
                    write_atomic(path, secrets.token_hex(32).encode())
    except WouldWrite:
        return secrets.token_bytes(32)  # nothing was made with one yet
    found = path.read_bytes().strip()
    if not re.fullmatch(rb"[0-9a-f]{64}", found):
        raise BenchError(
            f"{path} is damaged, needed 64 hexadecimal digits; restore it, or remove it: results whose settings read "
            "the environment are then of other settings"
        )
    return bytes.fromhex(found.decode())


def _variables(part: DictConfig) -> dict[str, str]:
    """The variables of the environment that ``part`` reads and that are long enough to be known again in a name."""
    found = {name: os.environ.get(name, "") for leaf in leaves(part) for name in leaf.variables}
    return {name: value for name, value in found.items() if len(value) >= 4}
