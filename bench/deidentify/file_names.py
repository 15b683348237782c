"""Names of files and folders, and files that travel along unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bench.deidentify.finding import Place, Sighting
from bench.deidentify.suspicions import LONG_NUMBER, Suspicion, hidden, suspicions

LOOK = "names of files and folders"
_ALONG = {
    "dicomdir": "an index of DICOM files, which lists patients and studies",
    "thumbs.db": "small pictures that Windows kept of a folder",
    "desktop.ini": "settings that Windows kept of a folder",
    "__macosx": "what macOS kept beside the files",
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_DOCUMENTS = (".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".sqlite", ".db", ".mdb")
_DIGITS = re.compile(r"\d{6,}")


class Names:
    """The paths of a folder, numbered in order, and how each may be told."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._running = _running_numbers(paths)
        self._found = {path: self._suspicions(path) for path in paths}
        self._places = {path: Place(n, _told(path, self._found[path])) for n, path in enumerate(paths, 1)}

    def place(self, path: str, within: str = "") -> Place:
        """Where something in the file was seen."""
        place = self._places[path]
        return Place(place.number, place.path, within)

    def sightings(self, root: Path) -> Iterator[Sighting]:
        """What the names give away, and files of which nobody thinks."""
        for path, found in self._found.items():
            for kind in dict.fromkeys(each.kind for each in found):
                yield Sighting(LOOK, f"a name holds {kind}", self.place(path))
            for what in _along(path, root):
                yield Sighting("files that travel along", what, self.place(path))

    def _suspicions(self, path: str) -> list[Suspicion]:
        shape = _shape(path)
        return [
            each
            for each in suspicions(path)
            if not (each.kind == LONG_NUMBER and path[each.start : each.end] in self._running.get(shape, ()))
        ]


def _told(path: str, found: list[Suspicion]) -> str:
    return hidden(path, found).encode("utf-8", "replace").decode()


def _shape(path: str) -> str:
    return _DIGITS.sub("#", path)


def _running_numbers(paths: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Numbers of names alike in all else that count on without a gap from 0 or 1: they number the files."""
    numbers: dict[str, set[str]] = {}
    for path in paths:
        found = _DIGITS.findall(path)
        if len(found) == 1:
            numbers.setdefault(_shape(path), set()).add(found[0])
    return {
        shape: frozenset(each)
        for shape, each in numbers.items()
        if (values := sorted(map(int, each)))[0] in (0, 1) and values[-1] - values[0] + 1 == len(values)
    }


def _along(path: str, root: Path) -> Iterator[str]:
    parts = PurePosixPath(path).parts
    for part in parts:
        if what := _ALONG.get(part.lower()):
            yield what
    if any(part.startswith(".") for part in parts):
        yield "a hidden file or folder"
    name = parts[-1].lower()
    if name.endswith(_ARCHIVES) and not name.endswith(".nii.gz"):
        yield "an archive or a packed file, which was not opened"
    if name.endswith(_DOCUMENTS):
        yield "a document or a database, which was not opened"
    if (root / path).is_symlink():
        yield "a link; where it leads stands in it"
