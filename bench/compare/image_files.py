"""Image files of a folder or a list, and whose images they are: by ``metadata.csv``, or by DICOM headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bench.compare.given import Given, Read, Size, Window
from bench.storage.image_reader import decode_file
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
    glances = [glance(path, window) for path in paths]
    names = [path.relative_to(root).as_posix() if root else str(path) for path in paths]
    patients = [each.patient for each in glances]
    notes = [f"{side}: patients are those of the DICOM headers"] if any(patients) else []
    if root is not None:
        notes += _told(side, root, paths, patients)

    def readers() -> Iterator[Read]:
        for path, seen in zip(paths, glances, strict=True):
            yield partial(decode_file, path, window=window if seen.deep else None)

    return Given(side, names, patients, [each.size for each in glances], readers, notes=tuple(notes))


def glance(path: Path, window: Window | None = None) -> Glance:
    """What the header of an image file tells; nothing but a file whose header is damaged is decoded.

    Raises:
        ImageError: what the strict reader says of a file without a sound header.
    """
    if path.suffix.lower() in DICOM:
        from bench.storage.dicom import header

        told = header(path)
        return Glance(told.size, False, told.patient_id or None)
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
    tables = sorted(root.rglob(METADATA))
    places = {path: number for number, path in enumerate(paths)}
    named, elsewhere, nobody = 0, 0, 0
    for table in tables:
        for row in read_table(table, delimiter=",", required=["file_name"], optional=["patient_id"]):
            number = places.get(table.parent / row["file_name"])
            if number is None:
                elsewhere += 1
            elif row["patient_id"]:
                patients[number] = row["patient_id"]
                named += 1
            else:
                nobody += 1
    if not tables:
        return []
    read = f"{len(tables)} tables {METADATA}" if len(tables) > 1 else METADATA
    notes = [f"{side}: {read} names the patients of {named} of {len(paths)} images"]
    notes += [f"{side}: {nobody} rows of {METADATA} name no patient"] if nobody and named else []
    return notes + ([f"{side}: {elsewhere} rows of {METADATA} name files that are not there"] if elsewhere else [])
