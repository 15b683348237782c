"""Tables and texts, lightly: names of columns, and the form of the values in each."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.deidentify.suspicions import suspicions
from bench.storage.tables import long_cells

LOOK = "tables and texts"
SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".yaml", ".yml", ".xml", ".html", ".log"})
ROWS = 20_000  # rows of a table, lines of a text, values of a JSON file that are looked at
BYTES = 64 * 2**20  # of a JSON file, which is read whole
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TELLING_WORDS = """
name names surname forename firstname lastname birth birthday birthdate dob born age sex gender patient patients
patientid mrn accession address street city zip postcode phone telephone fax email mail ssn insurance physician
doctor radiologist operator institution hospital ward station date time datetime timestamp uid serial
comment comments report note notes path
"""
_TELLING = frozenset(_TELLING_WORDS.split())

Seen = tuple[str, str]


class Columns:
    """What the columns of one table hold; a value is never kept."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], list[int]] = {}

    def add(self, row: int, cells: Iterable[tuple[str, str]]) -> None:
        """Look at the cells of one row, each with how its column may be told."""
        for column, value in cells:
            for kind in {each.kind for each in suspicions(value)}:
                seen = self._kinds.setdefault((column, kind), [row, 0])
                seen[1] += 1

    def sightings(self) -> Iterator[Seen]:
        """One for each column and form of value."""
        for (column, kind), (first, count) in sorted(self._kinds.items()):
            yield f"values with the form of {kind}", f"{column}, {count} times, first in row {first}"


def telling(names: Iterable[str]) -> Iterator[Seen]:
    """Columns whose name says that they hold an identifier; the word is told, never the name."""
    for number, name in enumerate(names, 1):
        if words := telling_words(name):
            yield f"a column or key whose name speaks of {', '.join(words)}", f"column {number}"


def telling_words(name: str) -> list[str]:
    """Which words of a column's name speak of an identifier."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return [word for word in dict.fromkeys([*words, name.lower()]) if word in _TELLING]


def sightings(path: Path) -> Iterator[Seen]:
    """What a table or text file holds, and in words where the look ended before the file did.

    Raises:
        OSError, ValueError, csv.Error: it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from _table(path, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".json":
        yield from _json(path)
    else:
        yield from _lines(path)


def _table(path: Path, separator: str) -> Iterator[Seen]:
    columns = Columns()
    told: list[Seen] = []
    with long_cells(BYTES), path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline()
        if separator == "," and first.count(";") > first.count(","):
            separator = ";"
        file.seek(0)
        for number, row in enumerate(csv.reader(file, delimiter=separator), 1):
            if number == 1:
                told += telling(row)
            if number > ROWS:
                told += _ended("rows")
                break
            columns.add(number, ((f"column {n}", value) for n, value in enumerate(row, 1)))
    yield from told
    yield from columns.sightings()


def _ended(what: str) -> Iterator[Seen]:
    yield f"more than {ROWS:,} {what}; those after these were not looked at", ""


def _lines(path: Path) -> Iterator[Seen]:
    columns = Columns()
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if number > ROWS:
                yield from _ended("lines")
                break
            columns.add(number, [("text", line)])
    yield from columns.sightings()


def _json(path: Path) -> Iterator[Seen]:
    if path.stat().st_size > BYTES:
        raise ValueError(f"over {BYTES:,} bytes")
    value = json.loads(path.read_text(encoding="utf-8-sig"))
    columns, keys = Columns(), dict[str, None]()
    for number, (key, text) in enumerate(_leaves(value, ""), 1):
        if number > ROWS:
            yield from _ended("values")
            break
        keys.setdefault(key)
        columns.add(number, [("values", text), ("keys", key)])
    yield from telling(keys)
    yield from columns.sightings()


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, key)
    else:
        yield key, str(value)


def as_text(value: Any) -> str:
    """A cell of a Parquet file as text."""
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
