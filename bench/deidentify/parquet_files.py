"""Parquet files: metadata of the file, text columns, and the picture files in image columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.deidentify import picture_metadata
from bench.deidentify.finding import masked
from bench.deidentify.tables import Columns, as_text, telling

LOOK = "Parquet files"
_GROUP = 64
_OWN_KEYS = (b"ARROW:schema", b"huggingface", b"pandas")

Seen = tuple[str, str, str]  # look, what, and how it may be told


def image_columns(path: Path) -> list[str]:
    """Columns that hold picture files: bytes, or a structure with ``bytes``."""
    import pyarrow.parquet
    import pyarrow.types

    schema = pyarrow.parquet.read_schema(path)
    return [each.name for each in schema if _holds_bytes(each.type)]


def _holds_bytes(kind: Any) -> bool:
    import pyarrow.types

    if pyarrow.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def rows(path: Path) -> int:
    """How many rows the file has."""
    import pyarrow.parquet

    return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)


def pictures(path: Path, wanted: frozenset[int] | None = None) -> Iterator[tuple[int, bytes]]:
    """Row (from 1) and bytes of the pictures in image columns, those of the ``wanted`` rows or all."""
    import pyarrow.parquet

    columns, first = image_columns(path), 1
    if not columns:
        return
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(_GROUP, columns=columns):
        for row, cells in enumerate(batch.to_pylist(), first):
            if wanted is None or row in wanted:
                for cell in cells.values():
                    content = cell["bytes"] if isinstance(cell, dict) else cell
                    if content:
                        yield row, content
        first += batch.num_rows


def sightings(path: Path) -> Iterator[Seen]:
    """What metadata, columns and picture files hold beside pixels; a picture that cannot be read is told."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    for key, value in sorted((file.schema_arrow.metadata or {}).items()):
        if key not in _OWN_KEYS:
            told = f"key {masked(key.decode('utf-8', 'replace'))}, {len(value)} bytes"
            yield LOOK, "metadata of the file under a key of its own", told
    for what, told in telling(file.schema_arrow.names):
        yield LOOK, what, told
    yield from _columns(file, set(image_columns(path)))
    for row, content in pictures(path):
        yield from _picture(row, content)


def _columns(file: Any, images: set[str]) -> Iterator[Seen]:
    columns, first = Columns(), 1
    for batch in file.iter_batches(_GROUP):
        for row, cells in enumerate(batch.to_pylist(), first):
            columns.add(row, _cells(cells, images))
        first += batch.num_rows
    for what, told in columns.sightings():
        yield LOOK, what, told


def _cells(cells: dict[str, Any], images: set[str]) -> Iterator[tuple[str, str]]:
    for number, (name, value) in enumerate(cells.items(), 1):
        if name in images:
            value = value.get("path") if isinstance(value, dict) else None
        if value is not None:
            yield f"column {number}", as_text(value)


def _picture(row: int, content: bytes) -> Iterator[Seen]:
    try:
        for what, told in picture_metadata.sightings(content):
            yield picture_metadata.LOOK, what, f"row {row}, {told}"
    except Exception as error:  # of a damaged picture, of any kind; its message may hold what it read
        yield LOOK, f"a picture that cannot be read ({type(error).__name__})", f"row {row}"
