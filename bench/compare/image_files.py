"""Image files of a folder or a list, and whose images they are: by ``metadata.csv``, or by DICOM headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bench.api import BenchError
from bench.compare.given import Given, Read, Size, Window
from bench.datasets.patient_ids import check_patient_ids
from bench.datasets.prepare import LISTED, listing
from bench.storage.image_reader import ImageError, decode_file
from bench.storage.tables import read_table

METADATA = "metadata.csv"
DICOM = (".dcm", ".dicom")
FORMATS = ("PNG", "JPEG", "TIFF")


class Glance(NamedTuple):
    """What a file's header tells: its size, whether it has more than 8 bits, and a DICOM file's patient."""

    size: Size
    deep: bool
    patient: str | None = None


def image_files(side: str, paths: Sequence[Path], root: Path | None, window: Window | None) -> Given:
    """Each file is an image, called by its place below ``root``, by its path as it was given where there is none.

    Raises:
        BenchError: a file is damaged, or a table is.
    """
    glances = _glances(side, paths, window)
    names = [path.relative_to(root).as_posix() if root else str(path) for path in paths]
    patients = [each.patient for each in glances]
    notes = [f"{side}: patients are those of the DICOM headers"] if any(patients) else []
    if root is not None:
        notes += _told(side, root, paths, patients)

    def readers() -> Iterator[Read]:
        for path, seen in zip(paths, glances, strict=True):
            yield partial(decode_file, path, window=window if seen.deep else None)

    notes += window_note(side, glances, window)
    deep = sum(each.deep for each in glances)
    return Given(side, names, patients, [each.size for each in glances], readers, deep=deep, notes=tuple(notes))


def _glances(side: str, paths: Sequence[Path], window: Window | None) -> list[Glance]:
    found, faults = [], []
    for path in paths:
        try:
            found.append(glance(path, window))
        except ImageError as error:
            faults.append(str(error))
        if len(faults) == LISTED:
            raise BenchError(f"{side}: {listing(faults, 'images cannot be used (stopped looking here)')}")
    if faults:
        raise BenchError(f"{side}: {listing(faults, f'of {len(paths)} images cannot be used')}")
    return found


def window_note(side: str, glances: Sequence[Glance], window: Window | None) -> list[str]:
    """Which grey levels images of more than 8 bits show."""
    deep = sum(each.deep for each in glances)
    if not deep or window is None:
        return []
    return [f"{side}: grey levels {window[0]:g} to {window[1]:g} of {deep} images of more than 8 bits are shown"]


def glance(path: Path, window: Window | None = None) -> Glance:
    """What the header of an image file tells; nothing but a file whose header is damaged is decoded.

    Raises:
        ImageError: what the strict reader says of a file without a sound header.
    """
    if path.suffix.lower() in DICOM:
        from bench.storage.dicom import header

        told = header(path)
        return Glance(told.size, told.bits > 8, told.patient_id)
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return _of_picture(picture)
    except Exception:  # decoders raise whatever the damage leads them to
        size = decode_file(path, window=window).shape
        return Glance((size[0], size[1]), False)


def _of_picture(picture: Image.Image) -> Glance:
    return Glance((picture.height, picture.width), picture.mode[0] in "IF")


def glance_within(content: Any, decode: Callable[[], Any]) -> Glance:
    """The same of an open file; ``decode`` says what is wrong where the header does not tell."""
    try:
        with Image.open(content, formats=FORMATS) as picture:
            return _of_picture(picture)
    except Exception:  # decoders raise whatever the damage leads them to
        size = decode().shape
        return Glance((size[0], size[1]), False)


def _told(side: str, root: Path, paths: Sequence[Path], patients: list[str | None]) -> list[str]:
    """Fill in the patients that tables name; what is to be said of the tables."""
    places = {path: number for number, path in enumerate(paths)}
    notes, named, elsewhere, nobody = [], 0, 0, 0
    for table in sorted(root.rglob(METADATA)):
        try:
            rows = read_table(table, delimiter=",", required=["file_name"], optional=["patient_id"])
            check_patient_ids([(row["patient_id"], row.where) for row in rows if row["patient_id"]], side)
        except BenchError as error:
            notes.append(f"{side}: a table was not used: {error}")
            continue
        for row in rows:
            number = places.get(table.parent / row["file_name"])
            elsewhere += number is None
            nobody += number is not None and not row["patient_id"]
            if number is not None and row["patient_id"]:
                patients[number] = row["patient_id"]
                named += 1
    notes += [f"{side}: {METADATA} names the patients of {named} of {len(paths)} images"] if named else []
    notes += [f"{side}: {nobody} rows of {METADATA} name no patient"] if nobody else []
    return notes + ([f"{side}: {elsewhere} rows of {METADATA} name files that are not there"] if elsewhere else [])
