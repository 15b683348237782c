"""The last look at a run before it is sent: every file, what was replaced in it, and what should not be in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.api import BenchError
from bench.runtime.identity import identified
from bench.runtime.publication import STANDS, Publication
from bench.storage.files import read_json
from bench.storage.private_text import forms_found, is_secret, names_secret

SHEET = "sheet.png"
# of a score record: what was decided from the settings alone, and names of files
IDENTIFYING = ("/protocol", "/key", "/artifacts")
SHARED = ("run.json", "scores/[!.]*.json", "card.json", "card.md", "card.html", "history.csv", SHEET)
_PUT = re.compile(rf"{STANDS.pattern}|\$\{{oc\.env:[^}}]*\}}")
AGAIN = (
    "it was written by an older version, or by hand: start the same command again, which writes run.json anew; for a "
    "file in scores/ or a card, remove it and its mark in stages/ first"
)


@dataclass(frozen=True)
class Finding:
    """Something that should not leave the house; the text itself is not repeated.

    Attributes:
        place: a JSON pointer, a line, or ``bytes``.
    """

    file: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.what}"


class NotForOthers(BenchError):
    """A file of a run holds something that should not leave the house."""


def shared_files(folder: Path) -> list[Path]:
    """The files of a run that are for others; its contact sheet only where the images may be shown."""
    found = [path for pattern in SHARED for path in sorted(folder.glob(pattern)) if path.is_file()]
    return [path for path in found if path.name != SHEET or _may_show(folder)]


def _may_show(folder: Path) -> bool:
    record = read_json(folder / "run.json") or {}
    return not record.get("shows_real", True) or record.get("info", {}).get("redistributable") is True


def refuse_private(folder: Path) -> None:
    """To be called before anything of a run is sent.

    Raises:
        NotForOthers: a file holds a secret, an absolute path, or a name of a person or a machine; the message names
            the first such file and place, and the remedy.
    """
    found = findings(folder)
    if found:
        more = f" and {len(found) - 1} more, all shown by python -m bench.publish {folder} --dry-run"
        raise NotForOthers(f"not for others: {found[0]}{more if len(found) > 1 else ''}; {AGAIN}")


def findings(folder: Path) -> list[Finding]:
    """Whatever in the shared files would not be written today; also the values of the variables the run names."""
    publication = _publication(folder)
    return [
        each for path in shared_files(folder) for each in _of_file(path, str(path.relative_to(folder)), publication)
    ]


def replacements(folder: Path) -> list[tuple[str, str, str]]:
    """File, place and text of everything that was replaced when the records were written."""
    found = []
    for path in shared_files(folder):
        name = str(path.relative_to(folder))
        found += [(name, place, text) for place, _, text in _texts(path) if _PUT.search(text)]
    return found


def _publication(folder: Path) -> Publication:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        record = json.loads((folder / "run.json").read_bytes())
        names = tuple(record[each] for each in ("dataset", "generator") if isinstance(record.get(each), str))
        return Publication(OmegaConf.create(_readable(record["config"])), names=names)
    return Publication()


def _readable(value: Any) -> Any:
    """A recorded configuration without the texts that are no interpolation, though they look like the beginning of one.

    They may quote a program, and name no variable.
    """
    if isinstance(value, dict):
        return {key: _readable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_readable(each) for each in value]
    try:
        OmegaConf.create([value])
    except OmegaConfBaseException:
        return ""
    return value


def _of_file(path: Path, name: str, publication: Publication) -> Iterator[Finding]:
    texts = list(_texts(path))
    if not texts:
        content = path.read_bytes().decode("latin-1")
        if publication.known_in(content):
            yield Finding(name, "bytes", "the value of a variable or a secret, or a folder of this machine")
    html = path.suffix == ".html"
    for place, key, text in texts:
        if place.startswith(IDENTIFYING):
            clean = identified(text, key)
        else:
            clean = publication.html(text) if html else publication.value(text, key)
        if clean != text:
            yield Finding(name, place, _kind(text, clean))


def _kind(text: str, clean: str) -> str:
    kinds = forms_found(text)
    put = sorted({match[0] for match in _PUT.finditer(clean)} - {match[0] for match in _PUT.finditer(text)})
    return ", ".join([*kinds, *(f"what is to be {each}" for each in put)]) or "to be written otherwise"


def _texts(path: Path) -> Iterator[tuple[str, str, str]]:
    """Place, name of the setting, and text of all that a file says; nothing of a file that is no text."""
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    if path.suffix == ".json":
        with suppress(ValueError):
            yield from _within(json.loads(content), "", "")
            return
    for number, line in enumerate(content.splitlines(), 1):
        yield f"line {number}", "", line


def _within(value: Any, place: str, key: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            inner = f"{place}/{name.replace('~', '~0').replace('/', '~1')}"
            yield f"{inner} (key)", "", name
            yield from _within(each, inner, key if names_secret(key) else name)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _within(each, f"{place}/{number}", key)
    elif isinstance(value, str) or is_secret(key, value):
        yield place, key, str(value)
