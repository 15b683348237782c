"""Images inside parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.api import BenchError
from bench.compare.given import Given, Read, Window
from bench.compare.image_files import Glance, glance_within, window_note
from bench.storage.parquet import ImageTable, grey

PATIENT = "patient_id"


def image_table(side: str, paths: Sequence[Path], window: Window | None) -> Given:
    """Each row is an image, of the patient in the column ``patient_id`` if there is one.

    Raises:
        BenchError: a damaged file, no column ``image``, or several sets in one folder.
    """
    tables = [ImageTable(path) for path in paths]
    for other in tables[1:]:
        if other.names != tables[0].names:
            raise BenchError(f"{side}: {other.files[0]} has other columns than {tables[0].files[0].name}; name one set")
    names = [table.where(row) for table in tables for row in range(len(table))]
    if len(set(names)) < len(names):
        names = [f"{number}: {name}" for number, name in enumerate(names)]
    glances = list(_glances(tables, window))
    known = PATIENT in tables[0].names
    cells = [cell for table in tables for cell in table.column(PATIENT)] if known else [None] * len(names)
    patients = [None if cell is None or cell == "" else str(cell) for cell in cells]
    notes = [f"{side}: the column {PATIENT} names the patients"] if any(patients) else []
    notes += window_note(side, glances, window)

    def readers() -> Iterator[Read]:
        seen = iter(glances)
        for where, content in _contents(tables):
            yield partial(grey, content, where, window=window if next(seen).deep else None)

    deep = sum(each.deep for each in glances)
    return Given(side, names, patients, [each.size for each in glances], readers, deep=deep, notes=tuple(notes))


def _contents(tables: Sequence[ImageTable]) -> Iterator[tuple[str, bytes]]:
    for table in tables:
        for row, content in table.content(range(len(table))):
            yield table.where(row), content


def _glances(tables: Sequence[ImageTable], window: Window | None) -> Iterator[Glance]:
    for where, content in _contents(tables):
        yield glance_within(io.BytesIO(content), partial(grey, content, where, window=window))
