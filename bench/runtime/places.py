"""Folders by the part they play: ``<data>``, ``<runs>``, ``<home>``; what lies nowhere of these is ``<elsewhere>``."""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.storage.private_text import last_part, with_places

_HOMES = re.compile(r"/(?:home|Users)/[^/]+(?P<rest>/.*)?")
_OTHER_HOME = re.compile(r"(?<![\w/.<>-])~[A-Za-z][\w.-]*(?=/)")
_ALONE = re.compile(r"/[^/\s]+(?:/\S*)?")
_CODE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """Named folders, the first name for each counting.

    Attributes:
        named: name and folder, absolute.
        people: names of the user and of the machine, with what stands in their place.
    """

    named: tuple[tuple[str, str], ...]
    people: Mapping[str, str]

    @classmethod
    def known(cls, given: Mapping[str, str | None], environment: Mapping[str, str]) -> Places:
        """The ``given`` folders by name, and those that every process has."""
        found = [(name, folder) for name, folder in given.items() if folder]
        found += [("<packages>", sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
        found += [("<project>", str(_CODE)), ("<start>", str(Path.cwd()))]
        interpreter = Path(sys.executable)
        pythons = (sys.prefix, sys.base_prefix, str(interpreter.parent.parent))
        found += [("<python>", folder) for folder in (*pythons, str(interpreter.resolve().parent.parent))]
        found += [("<temporary>", tempfile.gettempdir())]
        found += [("<home>", folder) for folder in (str(Path.home()), environment.get("HOME", ""))]
        named: dict[str, str] = {}
        for name, folder in found:
            for each in _absolute(folder):
                named.setdefault(each, name)
        longest = sorted(named.items(), key=lambda item: -len(item[0]))
        return cls(tuple((name, folder) for folder, name in longest), _people(environment))

    def path(self, path: str) -> str:
        """A path by the longest folder that has a name; of one that lies elsewhere the last part alone."""
        path = os.path.normpath(path)
        for name, folder in self.named:
            if path == folder or path.startswith(f"{folder}{os.sep}"):
                return name + path[len(folder) :]
        if home := _HOMES.fullmatch(path):
            return f"<home>{home['rest'] or ''}"
        return last_part(path)

    def text(self, text: str) -> str:
        """The text without absolute paths, and without the name of the user or the machine where it is no word."""
        if _ALONE.fullmatch(text):
            return self._without_people(self.path(text))
        if "/" in text or "\\" in text:
            text = self._folders.sub(lambda match: self._names[match[0]], text)
            text = with_places(text, self.path)
            text = _OTHER_HOME.sub("<home>", text)
        return self._without_people(text)

    @cached_property
    def _names(self) -> dict[str, str]:
        return {folder: name for name, folder in self.named}

    @cached_property
    def _folders(self) -> re.Pattern[str]:
        """Also a folder whose name has a space."""
        any_of = "|".join(re.escape(folder) for _, folder in self.named)
        return re.compile(rf"(?:(?<=file://)|(?<![\w/.~<>}}-]))(?:{any_of})(?![\w-]|\.\w)")

    def _without_people(self, text: str) -> str:
        for name, word in self.people.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", word, text)
        return text


def _absolute(folder: str) -> Iterable[str]:
    """The folder as it is called and as it lies; none if it is the root of all."""
    if not folder or "://" in folder:
        return ()
    full = os.path.normpath(Path.cwd() / Path(folder).expanduser())
    return [each for each in dict.fromkeys((full, os.path.realpath(full))) if each != os.sep]


def _people(environment: Mapping[str, str]) -> dict[str, str]:
    """Names that are no words: ``asmith3``, ``alice_smith``, ``gpu-07.lab``; others are sought in paths only."""
    users = [environment.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")]
    with suppress(KeyError, OSError):  # a process whose number has no name
        users.append(getpass.getuser())
    host = socket.gethostname()
    found = dict.fromkeys(users, "<user>") | dict.fromkeys((host, host.partition(".")[0]), "<host>")
    return {name: word for name, word in found.items() if len(name) >= 5 and not name.isalpha() and not name.isdigit()}
