"""Which requests of a run got the same picture, so that an export holds each once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROUP = 1000  # rows without their images that are in memory at a time


@dataclass
class Picture:
    """One picture and the requests it was made for.

    Attributes:
        request_ids: in the order of the run; the first names the file.
        purposes: each once, in the order of the run.
        cells: what was asked for, by column; ``None`` where its requests asked for different things.
    """

    request_ids: list[str]
    purposes: list[str]
    cells: dict[str, Any]

    def add(self, request_id: str, purpose: str, cells: Mapping[str, Any]) -> None:
        """A further request that got it."""
        self.request_ids.append(request_id)
        if purpose not in self.purposes:
            self.purposes.append(purpose)
        self.cells = {name: value if value == cells[name] else None for name, value in self.cells.items()}


def pictures(
    paths: Sequence[Path], columns: Sequence[str], purpose: str | None, grades: Mapping[str, str] | None
) -> dict[str, Picture]:
    """The different pictures of the part files ``paths`` by the id of their first request, in the order of the run.

    Args:
        columns: what of a request is kept in ``cells``.
        purpose: only what was made for this; ``None`` takes all.
        grades: of those that a filter kept, by id; the others are left out. ``None`` where there was no filter.
    """
    found: dict[str, Picture] = {}
    for row in _rows(paths, columns):
        name = row["image_id"]
        if purpose not in (None, row["purpose"]) or (grades is not None and name not in grades):
            continue
        cells = {column: row[column] for column in columns} | ({"grade": grades[name]} if grades else {})
        if row["pixel_hash"] in found:
            found[row["pixel_hash"]].add(name, row["purpose"], cells)
        else:
            found[row["pixel_hash"]] = Picture([name], [row["purpose"]], cells)
    return {picture.request_ids[0]: picture for picture in found.values()}


def _rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    wanted = list(dict.fromkeys(["image_id", "purpose", "pixel_hash", *columns]))
    for path in paths:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(GROUP, columns=wanted):
            yield from batch.to_pylist()
