"""What leaves the house, decided in one place: for records, scores, marks, logs, cards, exports, W&B and the page.

- What a setting took from the environment is recorded as it is written, ``${oc.env:NAME}``, never as what it was.
- A secret is recorded as ``<secret>``: known by the name of its setting, by its form, or as the value of such a
  setting or variable that stands in a message.
- An absolute path is written from a named folder: ``<data>``, ``<runs>``, ``<cache>``, ``<project>`` (the code),
  ``<start>`` (where the run was started), ``<packages>``, ``<python>``, ``<temporary>``, ``<home>``; of any other only
  its last part is kept.

A value is sought in text only if it is long or odd enough to be no ordinary word: see ``telling``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from omegaconf import DictConfig, OmegaConf

from bench.runtime.environment_use import Leaf, leaves, replaced
from bench.runtime.places import Places
from bench.storage.files import WouldWrite, alone, canonical, write_atomic
from bench.storage.private_text import ABSOLUTE, FORMS, SECRET, is_secret, names_secret, without_secrets

HOUSE = ".house"  # in the cache: the key under which digests of hidden settings are made
_LOGIN = re.compile(r"(?!mailto:)[\w.+-]+:[^\s@/]+@[\w.-]+(?::\d+)?/?")
_PLAIN = re.compile(r"\$\{oc\.env:[A-Za-z_]\w*\}")


@dataclass(frozen=True)
class Publication:
    """What may be said of one configuration; without one, of a process.

    Attributes:
        config: the configuration of a run, unresolved.
        environment: the variables whose values are not to be told.
    """

    config: DictConfig = field(default_factory=lambda: OmegaConf.create({}))
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def recorded(self, part: DictConfig | None = None) -> dict[str, Any]:
        """The configuration, or a part of it, for a record: resolved, but for what the environment said."""
        found = replaced(self.config if part is None else part, self._as_recorded)
        return dict(found)

    def identifying(self, part: DictConfig, *, placed: bool = True) -> dict[str, Any]:
        """The settings of a plug-in, without ``_target_``, for what identifies a result: a key or a protocol.

        A secret is ``<secret>`` whatever it is: it opens a door and does not change what lies behind, so another one
        makes no other result, and a digest of it could be guessed. A path that the environment gave is as written. Any
        other value from there is as written too, with a digest that only this house can make, see ``HOUSE``: another
        value is noticed, nobody outside can guess it, and no two houses' numbers pass for the same. Unless ``placed``,
        of an absolute path the last part alone counts: for protocols, which do not depend on where files lie.
        """
        found = replaced(part, lambda leaf: self._as_identity(leaf, placed))
        return {name: value for name, value in found.items() if name != "_target_"}

    def paths(self, part: DictConfig) -> list[str]:
        """The absolute paths among the settings of a plug-in; a record holds them in a form that loses something."""
        values = [leaf.value for leaf in leaves(part)]
        return [each for each in values if isinstance(each, str) and ABSOLUTE.fullmatch(each)]

    def value(self, value: Any, name: str = "") -> Any:
        """The same JSON value, of a setting called ``name``, with nothing in it that stays in the house."""
        if isinstance(value, Mapping):
            return self._mapping(value, name)
        if isinstance(value, list | tuple):
            return [self.value(each, name) for each in value]
        if is_secret(name, value):
            return value if isinstance(value, str) and _told(value) else SECRET
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """The same text with nothing in it that stays in the house."""
        if _LOGIN.fullmatch(text):
            return SECRET
        if self._values:
            text = self._sought.sub(lambda match: self._values[match[0]], text)
        return self.places.text(without_secrets(text))

    def override(self, setting: str) -> str:
        """``key=value`` of a command line."""
        key, given, value = setting.partition("=")
        if not given:
            return self.text(setting)
        hidden = any(names_secret(each) for each in key.split(".")) and value not in ("", "null", "true", "false")
        return f"{key}={SECRET if hidden and not _told(value) else self.text(value)}"

    def known_in(self, text: str) -> bool:
        """Whether a hidden value or a named folder stands in it, whatever is around it; for files that are no text."""
        return any(each in text for each in (*self._values, *(f"{folder}/" for _, folder in self.places.named)))

    def content(self, content: bytes) -> bytes:
        """The same file if it is no text, else the text."""
        try:
            return self.text(content.decode()).encode()
        except UnicodeDecodeError:
            return content

    @cached_property
    def places(self) -> Places:
        """The named folders of the configuration and of this process."""
        given = {f"<{name}>": _folder(self._resolved(*path)) for name, path in FOLDERS.items()}
        variables = {name for leaf in self._leaves for name in leaf.variables}
        told = {name: self.environment.get(name, "") for name in sorted(variables)}
        named = {f"${{oc.env:{name}}}": value for name, value in told.items() if ABSOLUTE.fullmatch(value)}
        return Places.known(given | named, self.environment)

    @cached_property
    def _leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaves(self.config))

    def _resolved(self, *path: str) -> Any:
        return next((leaf.value for leaf in self._leaves if leaf.path == path), None)

    @cached_property
    def _values(self) -> dict[str, str]:
        """What is sought in texts, in every spelling it may have there, and what stands in its place."""
        found: dict[str, str] = {}
        for name, value in self.environment.items():
            hidden = names_secret(name) or name.upper().endswith("_KEY") or _is_form(value)
            if hidden and telling(value) and not ABSOLUTE.fullmatch(value):
                found |= dict.fromkeys(_spellings(value), SECRET)
        for leaf in self._leaves:
            if _below_secret(leaf.path) and not leaf.read and telling(str(leaf.value)):
                found |= dict.fromkeys(_spellings(str(leaf.value)), SECRET)
        for name in sorted({name for leaf in self._leaves for name in leaf.variables}):
            value = self.environment.get(name, "")
            if (telling(value) or len(value) >= 16) and not ABSOLUTE.fullmatch(value):
                found |= dict.fromkeys(_spellings(value), f"${{oc.env:{name}}}")
        return found

    @cached_property
    def _sought(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(each) for each in sorted(self._values, key=len, reverse=True)))

    def _as_recorded(self, leaf: Leaf) -> Any:
        hidden = next((name for name in leaf.path if names_secret(name)), leaf.path[-1])
        if not leaf.read:
            return self._setting(leaf.value, hidden)
        return leaf.raw if _PLAIN.fullmatch(leaf.raw) else self.value(leaf.raw, hidden)

    def _as_identity(self, leaf: Leaf, placed: bool) -> Any:
        if _below_secret(leaf.path):
            hidden = next(name for name in leaf.path if names_secret(name))
            return SECRET if is_secret(hidden, leaf.value) else leaf.value
        is_path = isinstance(leaf.value, str) and bool(ABSOLUTE.fullmatch(leaf.value))
        if not leaf.read:
            moved = is_path and not placed
            return self._setting(f"/{Path(leaf.value).name}" if moved else leaf.value, leaf.path[-1])
        written = self._as_recorded(leaf)
        if is_path:
            return written
        return f"{written} {self._digest(leaf.value)}"

    def _setting(self, value: Any, name: str) -> Any:
        """A setting that is a path is one to its last letter; in a message a path ends at a space."""
        if isinstance(value, str) and ABSOLUTE.fullmatch(value) and not names_secret(name):
            value = self.places.path(value)
        return self.value(value, name)

    def _digest(self, value: Any) -> str:
        return hmac.new(self._house, canonical(value).encode(), hashlib.sha256).hexdigest()[:16]

    @cached_property
    def _house(self) -> bytes:
        return house_key(Path(self.config.get("cache") or "cache"))

    def _mapping(self, value: Mapping[Any, Any], name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, each in value.items():
            word = self.text(str(key))
            while word in found:  # two folders may have one name
                word += "'"
            found[word] = self.value(each, name if names_secret(name) else str(key))
        return found


FOLDERS = {"data": ("dataset", "root"), "runs": ("runs",), "cache": ("cache",)}


def telling(value: str) -> bool:
    """Whether a value is sought in text: from 8 characters on, or 6 of two kinds (letters, digits, others), and not
    a number of fewer than 12 digits."""
    kinds = sum(bool(re.search(kind, value)) for kind in ("[A-Za-z]", r"\d", r"[^A-Za-z\d]"))
    return len(value) >= (6 if kinds > 1 else 12 if value.isdigit() else 8)


def house_key(cache: Path) -> bytes:
    """A random key that stays in the cache, made when it is first needed.

    Whoever loses it with the cache gets other digests of hidden settings: runs with such settings are told that they
    differ.
    """
    path = cache / HOUSE
    try:
        if not path.exists():
            with alone(path):
                if not path.exists():
                    write_atomic(path, secrets.token_hex(32).encode())
    except WouldWrite:
        return secrets.token_bytes(32)  # nothing was made with one yet
    return bytes.fromhex(path.read_text())


def _told(text: str) -> bool:
    """Whether it says nothing: the name of a variable, or what stands for a secret."""
    return text in (SECRET, "removed") or bool(_PLAIN.fullmatch(text))


def _folder(value: Any) -> str | None:
    return value if isinstance(value, str) and not value.startswith(("<", "${")) else None


def _below_secret(path: tuple[str, ...]) -> bool:
    return any(map(names_secret, path))


def _is_form(value: str) -> bool:
    return any(form.search(value) for _, form in FORMS)


def _spellings(value: str) -> set[str]:
    """As it is, in an address, in JSON and as Python shows it."""
    return {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
