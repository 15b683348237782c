"""DICOM headers: the attributes that the standard's Basic profile acts on, private ones, and signs of burnt-in text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from bench.deidentify.finding import masked

LOOK = "DICOM headers"
# kinds of value that say who and when, also where the profile does not name the attribute
_KINDS = {"PN": "a person's name", "DA": "a date", "DT": "a date and time", "TM": "a time"}
_CAPTURES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.104", "1.2.840.10008.5.1.4.1.1.88")

_EXPECTED = ("SOPClassUID", "PatientID", "StudyInstanceUID", "PixelData")


@cache
def basic_profile() -> dict[tuple[str, str], tuple[str, str]]:
    """Action and name of each attribute in table E.1-1 by group and element, four hex digits each, ``x`` for any."""
    text = resources.files("bench.deidentify").joinpath("basic_profile.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {(row["group"], row["element"]): (row["action"], row["name"]) for row in rows}


def read(path: Path) -> Any:
    """The data set of a DICOM file; a file without the preamble that its suffix calls DICOM is read as well.

    Raises:
        Exception: whatever the library raises on a damaged file; its message may hold values of the file.
    """
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    # forced, the library reads elements into any bytes
    if dataset.preamble is None and not any(name in dataset for name in _EXPECTED):
        raise ValueError("no DICOM")
    return dataset


def sightings(dataset: Any) -> Iterator[tuple[str, str]]:
    """Pairs of what was found and how its value may be told."""
    if any(getattr(dataset, "preamble", None) or b""):
        yield "bytes in the preamble", f"{sum(map(bool, dataset.preamble))} of 128 bytes are not zero"
    for element in getattr(dataset, "file_meta", ()):
        yield from _element(element)
    for element in dataset.iterall():
        yield from _element(element)
    yield from _signs_of_text(dataset)


def _element(element: Any) -> Iterator[tuple[str, str]]:
    if element.VR == "SQ" or element.is_empty:
        return
    tag = f"({element.tag.group:04X},{element.tag.element:04X})"
    if element.tag.is_private:
        yield "private attributes, which may hold anything", f"{tag} {_told(element)}"
    elif what := _what(element, tag):
        yield what, _told(element)


def _what(element: Any, tag: str) -> str | None:
    row = _in_profile(element.tag)
    if row:
        name = row[1] or str(element.name)
        return f"{tag} {name}, which the Basic profile acts on ({row[0]})"
    if element.VR in _KINDS:
        return f"{tag} {element.name}: {_KINDS[element.VR]}"
    return None


def _in_profile(tag: Any) -> tuple[str, str] | None:
    group, element = f"{tag.group:04X}", f"{tag.element:04X}"
    table = basic_profile()
    repeated = group[:2] + "xx"
    return table.get((group, element)) or table.get((repeated, element)) or table.get((repeated, "xxxx"))


def _told(element: Any) -> str:
    if isinstance(element.value, bytes):
        return f"{len(element.value)} bytes"
    return masked(str(element.value))


def _signs_of_text(dataset: Any) -> Iterator[tuple[str, str]]:
    annotated = str(dataset.get("BurnedInAnnotation", "") or "")
    if annotated.upper() == "YES":
        yield "BurnedInAnnotation says YES: text is in the pixels", ""
    elif annotated.upper() != "NO":
        yield "BurnedInAnnotation is not there: the file does not say whether text is in the pixels", ""
    kind = str(dataset.get("SOPClassUID", "") or "")
    if kind.startswith(_CAPTURES) or "ConversionType" in dataset:
        yield "a secondary capture, document or report: such files often hold text", ""
    overlays = sorted({each.tag.group for each in dataset if each.tag.group & 0xFF01 == 0x6000})
    for group in overlays:
        place = dataset.get((group, 0x0102))
        if place is not None and place.value:
            yield f"an overlay in unused bits of the pixel data (group {group:04X})", f"bit {place.value}"
