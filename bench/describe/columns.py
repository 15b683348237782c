"""What the columns of someone's table are: file names, patients, parts, labels, attributes."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.datasets.named_files import NamedFiles
from bench.storage.tables import Row, read_table

UNKNOWN = ("", "unknown", "nan", "na", "n/a", "null")  # cells that say nothing, in small letters
MOST_VALUES = 10  # of a categorical label or a group
LEAST_IMAGES = 20  # with the rarest value of a label that images are asked for and classifiers predict
_PATIENT = {"patient", "patientid", "subject", "subjectid", "participant", "person", "case", "caseid", "pid", "mrn"}
_NO_PATIENT = {"age", "sex", "gender", "position", "orientation", "weight", "height", "birth", "race", "name"}
_ATTRIBUTE = {"age", "sex", "gender", "view", "projection", "position", "orientation", "laterality", "side"}
_ATTRIBUTE |= {"manufacturer", "scanner", "device", "race", "ethnicity", "site", "hospital"}
_TEST = {"test", "testing"}
_TRAIN = {"train", "training", "val", "valid", "validation", "dev"}
_FILE = {"file", "filename", "image", "path", "img"}


@dataclass(frozen=True)
class Table:
    """What was found in a table.

    Attributes:
        rows: those that name an image file.
        lost: number of rows that name none.
        unnamed: number of image files that no row names.
        split: the column with parts, and what its words mean.
        labels: settings of each label as ``dataset.labels`` takes them.
        counts: images by cell of each label.
        unused: columns that nothing was made of, and why.
        doubts: what a person should check.
    """

    path: Path
    file_column: str
    rows: Sequence[Row]
    lost: int
    unnamed: int
    patient: str | None
    split: tuple[str, Mapping[str, str]] | None
    labels: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, Mapping[str, int]]
    attributes: Sequence[str]
    groups: Sequence[str]
    unused: Mapping[str, str]
    doubts: Sequence[str] = field(default=())

    @property
    def targets(self) -> list[str]:
        """Labels of which every value has ``LEAST_IMAGES`` images."""
        return [name for name in self.labels if min(self.counts[name].values()) >= LEAST_IMAGES]


def find_table(root: Path, files: NamedFiles) -> Path | None:
    """The CSV below ``root`` that names the most image files; ``None`` where there is no CSV."""
    tables = [path for path in sorted(root.rglob("*.csv")) if path.name[0] != "."]
    if len(tables) < 2:
        return tables[0] if tables else None
    return max(tables, key=lambda path: _file_column(_read(path), files)[1])


def understand(path: Path, files: NamedFiles) -> Table:
    """What the columns of the CSV at ``path`` are.

    Raises:
        BenchError: no table that can be read, or none of its columns names image files.
    """
    rows = _read(path)
    file_column, _ = _file_column(rows, files)
    if not file_column:
        shown = dict(list(rows[0].values.items())[:5])
        some = ", ".join(file.name for file in files.files[:3])
        raise BenchError(f"{path}: no column names image files such as {some}; its first row is {shown}")
    found = {id(row): files.find(row[file_column]) for row in rows}
    doubtful = [row for row in rows if len(found[id(row)]) > 1]
    if doubtful:
        raise doubtful[0].error(file_column, "a name that one file only has; write the path below the folder")
    kept = [row for row in rows if found[id(row)]]
    named = {found[id(row)][0] for row in kept}
    unused = {name: "holds ${" for name in rows[0].values if _interpolates(name, kept)}
    left = [name for name in rows[0].values if name and name != file_column and name not in unused]
    doubts: list[str] = []
    patient = _patient(left, kept, doubts)
    split = _split([name for name in left if name != patient], kept, patient, doubts)
    rest = [name for name in left if name not in (patient, split and split[0])]
    attributes = [name for name in rest if _words(name) & _ATTRIBUTE]
    labels, counts = {}, {}
    for name in rest:
        if name in attributes:
            continue
        counted = Counter(row[name] for row in kept)
        settings, why = _label(counted)
        if settings:
            labels[name] = settings
            unknown = settings.get("unknown", ())
            counts[name] = {cell: count for cell, count in sorted(counted.items()) if cell not in unknown}
        else:
            unused[name] = why
    groups = [name for name in attributes if 2 <= len({row[name] for row in kept} - {""}) <= MOST_VALUES]
    unnamed = len(files.files) - len(named)
    lost = len(rows) - len(kept)
    return Table(
        path, file_column, kept, lost, unnamed, patient, split, labels, counts, attributes, groups, unused, doubts
    )


def _read(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        header = []  # the strict reader says what it is
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise BenchError(f"{path}: cells are not separated by commas ({header[0][:60]!r}); save it as CSV with commas")
    return read_table(path, delimiter=",", required=header)


def _file_column(rows: Sequence[Row], files: NamedFiles) -> tuple[str, int]:
    """The column whose cells name the most different files, and how many."""
    best: tuple[int, bool, str] = (0, False, "")
    for name in rows[0].values:
        named = {found[0] for row in rows if row[name] and len(found := files.find(row[name])) == 1}
        best = max(best, (len(named), bool(_words(name) & _FILE), name))
    return (best[2], best[0]) if best[0] else ("", 0)


def _words(name: str) -> set[str]:
    """The words of a column name in small letters, and all of it: ``PatientSex`` has patient, sex and patientsex."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    return {word.lower() for word in words} | {re.sub(r"\W|_", "", name).lower()}


def _interpolates(name: str, rows: Sequence[Row]) -> bool:
    """Whether a configuration would look up what stands there."""
    return "${" in name or any("${" in row[name] for row in rows)


def _patient(names: Sequence[str], rows: Sequence[Row], doubts: list[str]) -> str | None:
    hinted = [name for name in names if _words(name) & _PATIENT and not _words(name) & _NO_PATIENT]
    whole = [name for name in hinted if all(row[name].strip() for row in rows)]
    for name in hinted:
        if name not in whole:
            doubts.append(f"column {name!r} is empty in some rows, so it was not taken for the patient")
    if not whole:
        doubts += [
            f"column {name!r} has {count} values for {len(rows)} images: if it names people, set patient_column to it"
            for name in names
            if len(rows) / 5 < (count := len({row[name] for row in rows})) < len(rows)
            and "" not in {row[name] for row in rows}
        ]
    return min(whole, key=lambda name: len({row[name] for row in rows})) if whole else None


def _split(
    names: Sequence[str], rows: Sequence[Row], patient: str | None, doubts: list[str]
) -> tuple[str, Mapping[str, str]] | None:
    for name in names:
        cells = {row[name] for row in rows}
        meant = {cell: "test" if cell.lower() in _TEST else "train" for cell in sorted(cells)}
        if not all(cell.lower() in _TEST | _TRAIN for cell in cells) or set(meant.values()) != {"train", "test"}:
            continue
        parts: dict[str, set[str]] = {"train": set(), "test": set()}
        for row in rows:
            parts[meant[row[name]]].add(row[patient] if patient else row.where)
        if shared := parts["train"] & parts["test"]:
            doubts.append(f"column {name!r} has {len(shared)} patients in train and test alike, so it was not used")
            continue
        return name, meant
    return None


def _label(counted: Mapping[str, int]) -> tuple[dict[str, Any], str]:
    """The settings of a label with these cells, or why it is none."""
    unknown = [cell for cell in sorted(counted) if cell.strip().lower() in UNKNOWN]
    known = [cell for cell in counted if cell not in unknown]
    if sorted(known) == ["-1", "0", "1"]:
        unknown, known = [*unknown, "-1"], ["0", "1"]
    if len(known) < 2:
        return {}, "one value only"
    if len(known) > MOST_VALUES or sum(counted.values()) < 5 * len(known):
        several = any(mark in cell for cell in known for mark in "|;")
        return {}, f"{len(known)} different values" + (
            "; several in a cell: write a column for each" if several else ""
        )
    whole = all(re.fullmatch(r"-?(0|[1-9]\d*)", cell) for cell in known)
    ordered = sorted(known, key=int) if whole else sorted(known)
    settings: dict[str, Any] = {"kind": "binary" if len(known) == 2 else "categorical"}
    settings["values"] = [int(cell) for cell in ordered] if whole else list(range(len(ordered)))
    if not whole:
        settings["names"] = ordered
    return settings | ({"unknown": unknown} if unknown else {}), ""
