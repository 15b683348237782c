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

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

from omegaconf import DictConfig, OmegaConf

from bench.runtime.environment_use import Leaf, add, leaves, replaced
from bench.runtime.places import Places
from bench.storage.private_text import FORMS, SECRET, is_path, is_secret, names_secret, without_secrets

_TAG = re.compile(r"(<[^<>]*>)")
_PLAIN = re.compile(r"\$\{oc\.env:[A-Za-z_]\w*\}")


@dataclass(frozen=True)
class Publication:
    """What may be said of one configuration; without one, of a process.

    Attributes:
        config: the configuration of a run, unresolved.
        environment: the variables whose values are not to be told.
        names: those of the run and its data set, beside what the configuration calls its parts. They were judged, stand
            in folders and on the page, and so hide nothing: what stands in one of them is not sought.
    """

    config: DictConfig = field(default_factory=lambda: OmegaConf.create({}))
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    names: tuple[str, ...] = ()

    def recorded(self, part: DictConfig | None = None) -> dict[str, Any]:
        """The configuration, or a part of it, for a record: resolved, but for what the environment said."""
        found = replaced(self.config if part is None else part, self._as_recorded, self.text)
        return dict(found)

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

    def content(self, name: str, content: bytes) -> bytes:
        """The same file called ``name`` if it is no text, else the text."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return content
        return (self.html(text) if name.endswith(".html") else self.text(text)).encode()

    def html(self, text: str) -> str:
        """``text`` of a page: what stands between two tags begins anew, and ``<home>`` is no tag."""
        pieces = (self.text(f" {piece}")[1:] for piece in _TAG.split(text))
        return "".join(STANDS.sub(r"&lt;\1&gt;", piece) for piece in pieces)

    @cached_property
    def places(self) -> Places:
        """The named folders of the configuration and of this process."""
        given = {f"<{name}>": _folder(self._resolved(*path)) for name, path in FOLDERS.items()}
        places = Places.known(given | self._told_folders, self.environment)
        return replace(places, people={who: word for who, word in places.people.items() if not self._in_a_name(who)})

    def _in_a_name(self, text: str) -> bool:
        return any(text in name for name in self._judged)

    @cached_property
    def _judged(self) -> tuple[str, ...]:
        given = [self._resolved(*path) for path in (("name",), ("sweep",), ("dataset", "name"))]
        given += [leaf.path[1] for leaf in self._leaves if len(leaf.path) > 2 and leaf.path[0] in NAMING]
        return (*self.names, *(each for each in given if isinstance(each, str)))

    @cached_property
    def _told_folders(self) -> dict[str, str]:
        """The variables of the environment that gave a folder, as they are written."""
        variables = sorted({name for leaf in self._leaves for name in leaf.variables})
        told = {f"${{oc.env:{name}}}": self.environment.get(name, "") for name in variables}
        return {written: value for written, value in told.items() if is_path(value)}

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
            if _hidden(name, value) and _odd(value) and not is_path(value):
                found |= dict.fromkeys(_spellings(value), SECRET)
        for leaf in self._leaves:
            name = next(filter(names_secret, leaf.path), "")
            if is_secret(name, leaf.value) and not leaf.read and telling(str(leaf.value)):
                found |= dict.fromkeys(_spellings(str(leaf.value)), SECRET)
        for name in sorted({name for leaf in self._leaves for name in leaf.variables}):
            value = self.environment.get(name, "")
            if telling(value, _hidden(name, value)) and not is_path(value):
                found |= dict.fromkeys(_spellings(value), f"${{oc.env:{name}}}")
        return {value: word for value, word in found.items() if not self._in_a_name(value)}

    @cached_property
    def _sought(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_whole, sorted(self._values, key=len, reverse=True))))

    def _as_recorded(self, leaf: Leaf) -> Any:
        hidden = next((name for name in leaf.path if names_secret(name)), leaf.path[-1])
        if not leaf.read:
            return self._setting(leaf.value, hidden)
        return leaf.raw if _PLAIN.fullmatch(leaf.raw) else self.value(leaf.raw, hidden)

    def _setting(self, value: Any, name: str) -> Any:
        """A setting that is a path is one to its last letter; in a message a path ends at a space."""
        if is_path(value) and not names_secret(name):
            value = self.places.path(value)
        return self.value(value, name)

    def _mapping(self, value: Mapping[Any, Any], name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, each in value.items():
            add(found, self.text(str(key)), self.value(each, name if names_secret(name) else str(key)))
        return found


NAMING = ("evaluator", "encoder")  # groups whose entries have names
STANDS = re.compile(r"<(secret|user|host|data|runs|cache|project|start|packages|python|temporary|home|elsewhere)>")
FOLDERS = {"data": ("dataset", "root"), "runs": ("runs",), "cache": ("cache",)}


def telling(value: str, secret: bool = True) -> bool:
    """Whether a value is sought in text: from 8 characters on, or 6 of two kinds (letters, digits, others), and not
    a number of fewer than 12 digits; one that need not be ``secret`` from 8 of two kinds, or 16 characters, on."""
    kinds = sum(bool(re.search(kind, value)) for kind in ("[A-Za-z]", r"\d", r"[^A-Za-z\d]"))
    if not secret:
        return len(value) >= (8 if kinds > 1 else 16)
    return len(value) >= (6 if kinds > 1 else 12 if value.isdigit() else 8)


def _odd(value: str) -> bool:
    """Whether a value is no words: a variable that no setting names may have any name and any value."""
    return telling(value) and (len(value) >= 16 or not re.fullmatch(r"[A-Za-z_.-]+", value))


def _whole(value: str) -> str:
    """A pattern of the value where it is no part of a longer word; 16 characters are found in the midst of others."""
    if len(value) >= 16:
        return re.escape(value)
    before = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))" if value[0].isalnum() else ""
    return before + re.escape(value) + (r"(?![A-Za-z0-9])" if value[-1].isalnum() else "")


def _told(text: str) -> bool:
    """Whether it says nothing: the name of a variable, or what stands for a secret."""
    return text in (SECRET, "removed") or bool(_PLAIN.fullmatch(text))


def _folder(value: Any) -> str | None:
    return value if isinstance(value, str) and not value.startswith(("<", "${")) else None


def _hidden(name: str, value: str) -> bool:
    """Whether a variable of the environment is a secret."""
    return names_secret(name) or name.upper().endswith("_KEY") or any(form.search(value) for _, form in FORMS)


def _spellings(value: str) -> set[str]:
    """As it is, in an address, in JSON and as Python shows it."""
    return {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
