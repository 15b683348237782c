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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from omegaconf import DictConfig, OmegaConf

from bench.runtime.environment_use import Leaf, leaves, replaced
from bench.runtime.places import Places
from bench.storage.files import WouldWrite, alone, canonical, files_digest, write_atomic
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

    def identifying(self, part: DictConfig) -> dict[str, Any]:
        """The settings of a plug-in, without ``_target_``, for what identifies a result: a key or a protocol.

        A secret is ``<secret>`` whatever it is: it opens a door and does not change what lies behind, so another one
        makes no other result, and a digest of it could be guessed. A path that the environment gave is as written, of
        another absolute one the last part alone counts, wherever the command is given: see ``files``. Any other value
        from the environment is as written too, with a digest that only this house can make, see ``HOUSE``: another
        value is noticed, nobody outside can guess it, and no two houses' numbers pass for the same.
        """
        found = replaced(part, self._as_identity)
        return {name: value for name, value in found.items() if name != "_target_"}

    def files(self, part: DictConfig, reads: Iterable[str] = ()) -> dict[str, str]:
        """Digests of the names, sizes and times of the files at the absolute paths among the settings of a plug-in, and
        at those that it ``reads``, by what ``identifying`` has in the place of the path: with them, other files behind
        the same last part of a path are noticed."""
        values = [leaf.value for leaf in leaves(part)]
        found: dict[str, str] = {}
        for path in dict.fromkeys((*reads, *(each for each in values if _is_path(each)))):
            word = self.value(self._moved(path))
            while word in found:
                word += "'"
            found[word] = files_digest(Path(path).expanduser())
        return found

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
        return Places.known(given | self._told_folders, self.environment)

    @cached_property
    def _told_folders(self) -> dict[str, str]:
        """The variables of the environment that gave a folder, as they are written."""
        variables = sorted({name for leaf in self._leaves for name in leaf.variables})
        told = {f"${{oc.env:{name}}}": self.environment.get(name, "") for name in variables}
        return {written: value for written, value in told.items() if _is_path(value)}

    def _moved(self, path: str) -> str:
        """A path without the place where it lies."""
        for written, folder in self._told_folders.items():
            if path == folder or path.startswith(f"{folder}/"):
                return written + path[len(folder) :]
        return f"<elsewhere>/{Path(path).name}" if _is_path(path) else path

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
            if _hidden(name, value) and telling(value) and not ABSOLUTE.fullmatch(value):
                found |= dict.fromkeys(_spellings(value), SECRET)
        for leaf in self._leaves:
            if _below_secret(leaf.path) and not leaf.read and telling(str(leaf.value)):
                found |= dict.fromkeys(_spellings(str(leaf.value)), SECRET)
        for name in sorted({name for leaf in self._leaves for name in leaf.variables}):
            value = self.environment.get(name, "")
            if telling(value, _hidden(name, value)) and not ABSOLUTE.fullmatch(value):
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

    def _as_identity(self, leaf: Leaf) -> Any:
        if _below_secret(leaf.path):
            hidden = next(name for name in leaf.path if names_secret(name))
            return SECRET if is_secret(hidden, leaf.value) else leaf.value
        if not leaf.read:
            return self.value(self._moved(leaf.value) if _is_path(leaf.value) else leaf.value, leaf.path[-1])
        written = self._as_recorded(leaf)
        if _is_path(leaf.value):
            return written
        return f"{written} {self._digest(leaf.value)}"

    def _setting(self, value: Any, name: str) -> Any:
        """A setting that is a path is one to its last letter; in a message a path ends at a space."""
        if _is_path(value) and not names_secret(name):
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


def telling(value: str, secret: bool = True) -> bool:
    """Whether a value is sought in text: from 8 characters on, or 6 of two kinds (letters, digits, others), and not
    a number of fewer than 12 digits; one that need not be ``secret`` from 8 of two kinds, or 16 characters, on."""
    kinds = sum(bool(re.search(kind, value)) for kind in ("[A-Za-z]", r"\d", r"[^A-Za-z\d]"))
    if not secret:
        return len(value) >= (8 if kinds > 1 else 16)
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


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and bool(ABSOLUTE.fullmatch(value))


def _folder(value: Any) -> str | None:
    return value if isinstance(value, str) and not value.startswith(("<", "${")) else None


def _below_secret(path: tuple[str, ...]) -> bool:
    return any(map(names_secret, path))


def _hidden(name: str, value: str) -> bool:
    """Whether a variable of the environment is a secret."""
    return names_secret(name) or name.upper().endswith("_KEY") or any(form.search(value) for _, form in FORMS)


def _spellings(value: str) -> set[str]:
    """As it is, in an address, in JSON and as Python shows it."""
    return {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
