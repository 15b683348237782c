"""All looks at one folder."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.api import BenchError
from bench.deidentify import burnt_in, dicom_headers, parquet_files, picture_metadata, pixels, tables, volumes
from bench.deidentify.burnt_in import Alike, Detector, Marks
from bench.deidentify.file_names import LOOK as NAMES
from bench.deidentify.file_names import Names
from bench.deidentify.finding import Place, Report, Sighting, gathered
from bench.deidentify.suspicions import hidden
from bench.runtime.progress import track
from bench.storage.image_reader import SUFFIXES, is_dicom

_DICOM = frozenset({".dcm", ".dicom", ".ima"})
_PICTURES = (SUFFIXES - _DICOM) | {".bmp", ".gif", ".webp"}
_START = 132  # bytes that tell the kind of a file
NEVER = (
    "pixels for anything but text: faces (which can be rebuilt from volumes of a head), implants, scars, jewellery",
    "text that is faint, written by hand or hidden on purpose; voxels of NIfTI files",
    "what compressed frames within DICOM files hold beside pixels",
    "single names, names in small letters, and identifiers of other forms than those listed in docs/deidentify.md",
    "what archives, documents and databases hold",
    "the name of the folder itself; owners, times and further attributes that the file system keeps of files",
    "whether somebody who has other data could tell who is shown",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the looks at pixels do: ``text`` with the detector, in at most ``limit`` pictures, keeping ``pictures``."""

    text: bool = True
    limit: int | None = None
    pictures: bool = False


@dataclass
class _Look:
    """The state of one check."""

    root: Path
    names: Names
    wish: Wish
    seen: list[Sighting] = field(default_factory=list)
    unread: list[Place] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    sources: list[tuple[str, str, int]] = field(default_factory=list)  # path, kind, row of a Parquet file or 0

    def tell(self, look: str, path: str, what: str, told: str) -> None:
        self.seen.append(Sighting(look, what, self.names.place(path, told)))

    def failed(self, path: str, error: Exception, doing: str) -> None:
        # the message of a library may hold values of the file
        self.unread.append(self.names.place(path, f"{doing} failed ({type(error).__name__})"))


def check(root: Path, wish: Wish) -> Report:
    """Look at all files of the folder ``root``, in the order of their paths.

    Raises:
        BenchError: it is no folder, holds no file, or the detector has no weights.
    """
    paths = _paths(root)
    look = _Look(root, Names(paths), wish)
    detector = Detector() if wish.text and Detector.installed() else None
    look.seen += look.names.sightings(root)
    with _silent():
        for path in track(paths, "headers, metadata and tables", unit="file"):
            _file(look, path)
        chosen = _chosen(look.sources, wish.limit)
        left_out = _pixels(look, chosen, detector)
    return Report(
        len(paths),
        _looked(look, chosen, detector),
        (*_not_looked(look, chosen, detector), *_not_told(left_out), *NEVER),
        gathered(look.seen),
        tuple(look.unread),
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Without the libraries' own warnings, which quote values of the files."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "nibabel", "nibabel.global", "PIL")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _paths(root: Path) -> list[str]:
    if not root.is_dir():
        raise BenchError(f"{root} is no folder; give the folder that is to be shared")
    found = sorted(_below(root), key=os.fsencode)
    if not found:
        raise BenchError(f"{root} holds no file; give the folder that is to be shared")
    return found


def _below(root: Path) -> Iterator[str]:
    """All files and links, told from ``root``; links are not followed."""
    for folder, folders, files in os.walk(root, onerror=_refuse):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from ((Path(folder) / name).relative_to(root).as_posix() for name in (*files, *links))


def _refuse(error: OSError) -> None:
    raise BenchError(
        f"a folder below the one given cannot be read ({error.strerror}: {hidden(str(error.filename))}); "
        "make all of it readable, so that all of it can be looked at"
    )


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(_START)
    if is_dicom(start) or suffix in _DICOM or path.name.lower() == "dicomdir":
        return "DICOM"
    if picture_metadata.is_picture(start) or suffix in _PICTURES:
        return "picture"
    if start.startswith(b"PAR1") or suffix == ".parquet":
        return "Parquet"
    if volumes.is_volume(path):
        return "NIfTI"
    return "table or text" if suffix in tables.SUFFIXES else "other"


def _file(look: _Look, path: str) -> None:
    file = look.root / path
    if file.is_dir():
        look.tell("files of other kinds", path, "a link to a folder, which was not followed", "")
        return
    try:
        kind = _kind(file)
        look.kinds[kind] = look.kinds.get(kind, 0) + 1
        for name, what, told in _BY_KIND[kind](look, file, path):
            look.tell(name, path, what, told)
    except Exception as error:  # of a damaged file, of any kind: the others are looked at all the same
        look.failed(path, error, "reading")


def _dicom(look: _Look, file: Path, path: str) -> Iterator[tuple[str, str, str]]:
    dataset = dicom_headers.read(file)
    for what, told in dicom_headers.sightings(dataset):
        yield dicom_headers.LOOK, what, told
    if "PixelData" in dataset:
        look.sources.append((path, "DICOM", 0))


def _picture(look: _Look, file: Path, path: str) -> Iterator[tuple[str, str, str]]:
    for what, told in picture_metadata.sightings(file.read_bytes()):
        yield picture_metadata.LOOK, what, told
    look.sources.append((path, "picture", 0))


def _parquet(look: _Look, file: Path, path: str) -> Iterator[tuple[str, str, str]]:
    yield from parquet_files.sightings(file)
    if parquet_files.image_columns(file):
        look.sources += [(path, "Parquet", row) for row in range(1, parquet_files.rows(file) + 1)]


def _volume(look: _Look, file: Path, path: str) -> Iterator[tuple[str, str, str]]:
    for what, told in volumes.sightings(file):
        yield volumes.LOOK, what, told


def _table(look: _Look, file: Path, path: str) -> Iterator[tuple[str, str, str]]:
    for what, told in tables.sightings(file):
        yield tables.LOOK, what, told


def _other(look: _Look, file: Path, path: str) -> Iterator[tuple[str, str, str]]:
    yield "files of other kinds", "a file whose content was not looked at", ""


_BY_KIND: dict[str, Callable[[_Look, Path, str], Iterator[tuple[str, str, str]]]] = {
    "DICOM": _dicom,
    "picture": _picture,
    "Parquet": _parquet,
    "NIfTI": _volume,
    "table or text": _table,
    "other": _other,
}


def _chosen(sources: list[tuple[str, str, int]], limit: int | None) -> list[tuple[str, str, int]]:
    if limit is None or limit >= len(sources):
        return sources
    return [sources[index * len(sources) // limit] for index in range(limit)]


def _pixels(look: _Look, chosen: list[tuple[str, str, int]], detector: Detector | None) -> int:
    """Look at the pixels of the chosen pictures; how many marks are left out since they fill the picture."""
    marks, alike = Marks(look.wish.pictures), Alike()
    for place, image in track(_images(look, chosen), "pixels", total=len(chosen), unit="image"):
        alike.add(place, image)
        if detector is not None:
            marks.add(place, image, detector(image))
    look.seen += [*marks.sightings(), *alike.sightings()]
    return marks.left_out


def _not_told(left_out: int) -> Iterator[str]:
    if left_out:
        yield (
            f"{left_out} shapes that the detector took for at most one letter and that are wider and higher than "
            f"{burnt_in.LARGE:.0%} of their picture, as a breast or a lung is"
        )


def _images(look: _Look, chosen: list[tuple[str, str, int]]) -> Iterator[tuple[Place, pixels.Grey]]:
    by_file: dict[str, tuple[str, set[int]]] = {}
    for path, kind, row in chosen:
        by_file.setdefault(path, (kind, set()))[1].add(row)
    for path, (kind, rows) in by_file.items():
        try:
            for within, image in _frames(look.root / path, kind, frozenset(rows)):
                yield look.names.place(path, within), image
        except Exception as error:  # of a damaged file, of any kind
            look.failed(path, error, "decoding pixels")


def _frames(file: Path, kind: str, rows: frozenset[int]) -> Iterator[tuple[str, pixels.Grey]]:
    if kind == "Parquet":
        for row, content in parquet_files.pictures(file, rows):
            yield from _numbered(pixels.of_picture(content), f"row {row}")
    elif kind == "DICOM":
        yield from _numbered(pixels.of_dicom(dicom_headers.read(file)), "")
    else:
        yield from _numbered(pixels.of_picture(file.read_bytes()), "")


def _numbered(frames: Iterator[pixels.Grey], within: str) -> Iterator[tuple[str, pixels.Grey]]:
    for number, image in enumerate(frames, 1):
        more = f"frame {number}" if number > 1 else ""
        yield ", ".join(filter(None, (within, more))), image


def _looked(look: _Look, chosen: list[tuple[str, str, int]], detector: Detector | None) -> tuple[str, ...]:
    said = [f"{NAMES}: {sum(look.kinds.values())} files"]
    said += [f"{kind} files, beside pixels: {n}" for kind, n in look.kinds.items() if kind != "other"]
    if chosen:
        share = f"{len(chosen)} of {len(look.sources)} pictures"
        said.append(f"{burnt_in.ALIKE}: {share}")
        if detector is not None:
            said.append(f"burnt-in text: {share}")
    return tuple(said)


def _not_looked(look: _Look, chosen: list[tuple[str, str, int]], detector: Detector | None) -> Iterator[str]:
    if not look.wish.text:
        yield "burnt-in text: not looked for (--no-text)"
    elif detector is None:
        yield "burnt-in text: not looked for (pip install '.[ocr]')"
    left = len(look.sources) - len(chosen)
    if left:
        yield f"pixels of {left} of {len(look.sources)} pictures (--limit {look.wish.limit}, spread evenly)"
    if look.unread:
        yield f"files that could not be read: {len({place.number for place in look.unread})}, each listed below"
    if other := look.kinds.get("other"):
        yield f"content of files of other kinds: {other}, each listed below"
