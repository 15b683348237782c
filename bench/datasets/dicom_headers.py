"""What a table leaves out and the headers of its DICOM files state."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.api import DatasetInfo
from bench.datasets.prepare import Shape, Source
from bench.storage.dicom import header
from bench.storage.image_reader import ImageError, enlargement, is_dicom
from bench.storage.tables import Row, TableError

PATIENT = "PatientID"
COLUMNS = ("view", "laterality", PATIENT)


def left_to_headers(table: Path, columns: Sequence[str]) -> list[str]:
    """Those of ``columns`` that headers can state and the table lacks; none where the table cannot be read."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            present = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []  # reading it whole names the fault
    return [name for name in columns if name in COLUMNS and name not in present]


def with_header(row: Row, path: Path, columns: Sequence[str]) -> Row:
    """``row`` with those of ``columns`` that it has no cell for, from the header of its file; not stated is empty.

    Raises:
        TableError: the file is missing, or has no DICOM header.
    """
    absent = [name for name in columns if name not in row.values]
    if not absent:
        return row
    try:
        found = header(path)
    except ImageError as error:
        raise TableError(f"{row.where}: the table has no column {absent[0]!r}, and {error}; add the column") from None
    stated = {"view": found.view, "laterality": found.laterality, PATIENT: found.patient_id}
    return replace(row, values=row.values | {name: stated[name] or "" for name in absent})


def patient_hint(path: Path) -> str:
    """How to take patients from headers, if ``path`` is a DICOM file."""
    if not _is_dicom(path):
        return ""
    return f"; headers of DICOM files hold {PATIENT}: dataset.patient_column={PATIENT} reads it from there"


def with_spacing(info: DatasetInfo, sources: Iterable[Source], shape: Shape) -> DatasetInfo:
    """``info`` with the size of a pixel at the working size, if it states none and the headers of all files agree.

    Square pixels only. A file without header or spacing, or any two that disagree after resizing, leave it unknown.

    Raises:
        ImageError: a DICOM header that is damaged.
    """
    if info.pixel_spacing_mm is not None:
        return info
    working: set[float] = set()
    for source in sources:
        found = header(source.path) if _is_dicom(source.path) else None
        if found is None or found.spacing_mm is None or found.spacing_mm[0] != found.spacing_mm[1]:
            return info
        working.add(found.spacing_mm[0] / enlargement(found.size, shape.size, shape.aspect))
        if len(working) > 1:
            return info
    return replace(info, pixel_spacing_mm=working.pop()) if working else info


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False
