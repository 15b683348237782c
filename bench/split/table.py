"""A patient-wise split of a bare table: no patient in two parts, labels spread evenly, in whatever order its rows."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.datasets.patient_ids import check_patient_ids
from bench.split.place import put
from bench.storage.files import content_key, file_digest
from bench.storage.tables import Row, read_table
from bench.storage.text_table import text_table

COLUMN = "split"
PARTS = ("train", "test")


@dataclass(frozen=True)
class Divided:
    """A table whose rows are divided; ``parts`` has the part of every row, ``told`` what ``split.json`` says."""

    header: Sequence[str]
    rows: Sequence[Row]
    parts: Sequence[str]
    told: Mapping[str, Any]

    def write(self, out: Path) -> str:
        """The table with a column ``split`` as ``out/<its name>``; what was done, in a few lines.

        Raises:
            BenchError: ``out`` holds something else.
        """
        written = put(out, self.told, partial(self._fill, str(self.told["table"])))
        head = ("part", "rows", "patients", *self.told["labels"])
        lines = [
            (part, str(found["rows"]), str(found["patients"]), *map(_counts, found["labels"].values()))
            for part, found in self.told["parts"].items()
        ]
        state = "written" if written else "found as it is written now"
        notes = [f"note: {note}" for note in self.told["notes"]]
        return "\n".join([*text_table([head, *lines]), *notes, f"split {self.told['membership']}, {state}: {out}"])

    def _fill(self, name: str, folder: Path) -> None:
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*self.header, COLUMN])
            writer.writerows([*(row[each] for each in self.header), part] for row, part in self._pairs())

    def _pairs(self) -> Iterator[tuple[Row, str]]:
        return zip(self.rows, self.parts, strict=True)


def divide(path: Path, patient: str, labels: Sequence[str], fraction: float, seed: int) -> Divided:
    """Send ``fraction`` of the patients of a comma-separated table to ``test``.

    Patients with the same values of ``labels`` over all their rows are a stratum; within one they are ranked by a hash
    of ``seed`` and their id, and the strata are rounded so that the whole has the fraction asked for.

    Raises:
        BenchError: no such table or column, a column ``split`` already, ids that are none, or a part without patient.
    """
    header = _header(path)
    if missing := [name for name in (patient, *labels) if name not in header]:
        raise BenchError(f"{path}: columns {missing} are missing; it has {header}")
    if COLUMN in header:
        raise BenchError(f"{path}: has a column {COLUMN!r} already; rename or remove it")
    rows = read_table(path, delimiter=",", required=header)
    for row in rows:
        if not row[patient].strip():
            raise row.error(patient, "whose row it is")
    check_patient_ids([(row[patient], row.where) for row in rows], path.name)
    strata = _strata(rows, patient, labels)
    test = _drawn(strata, fraction, seed)
    if not test or len(test) == sum(map(len, strata.values())):
        who = sum(map(len, strata.values()))
        raise BenchError(
            f"{path}: {fraction:g} of {who} patients leave a part empty; needed one in each: test_fraction="
        )
    parts = ["test" if row[patient] in test else "train" for row in rows]
    told = {
        "membership": content_key(sorted({(row[patient], part) for row, part in zip(rows, parts, strict=True)})),
        "table": path.name,
        "sha256": file_digest(path),
        "patient": patient,
        "labels": list(labels),
        "test_fraction": fraction,
        "seed": seed,
        "parts": {part: _described(rows, parts, part, patient, labels) for part in PARTS},
        "notes": _notes(rows, patient, labels),
    }
    return Divided(header, rows, parts, told)


def _header(path: Path) -> list[str]:
    """The names of the columns; the table itself is judged by the one reader of tables."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except FileNotFoundError:
        raise BenchError(f"{path}: no such file; correct csv=") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(
            f"{path}: cannot be read as a UTF-8 table ({error}); correct csv=, or save it as CSV"
        ) from None


def _strata(rows: Sequence[Row], patient: str, labels: Sequence[str]) -> dict[tuple[Any, ...], list[str]]:
    """Patients by the values that each label has over their rows."""
    values: dict[str, list[set[str]]] = {}
    for row in rows:
        found = values.setdefault(row[patient], [set() for _ in labels])
        for each, label in zip(found, labels, strict=True):
            each.add(row[label])
    strata: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for who, found in values.items():
        strata[tuple(tuple(sorted(each)) for each in found)].append(who)
    return strata


def _drawn(strata: Mapping[tuple[Any, ...], list[str]], fraction: float, seed: int) -> set[str]:
    """Who goes to the test part: of each stratum the first by hash, as many as bring the whole to ``fraction``."""
    drawn: set[str] = set()
    seen = 0
    for _, patients in sorted(strata.items()):
        seen += len(patients)
        ranked = sorted(patients, key=lambda who: hashlib.sha256(f"{seed}:{who}".encode()).digest())
        drawn |= set(ranked[: max(0, min(round(seen * fraction) - len(drawn), len(ranked)))])
    return drawn


def _described(
    rows: Sequence[Row], parts: Sequence[str], part: str, patient: str, labels: Sequence[str]
) -> dict[str, Any]:
    own = [row for row, each in zip(rows, parts, strict=True) if each == part]
    return {
        "rows": len(own),
        "patients": len({row[patient] for row in own}),
        "labels": {label: dict(sorted(Counter(row[label] for row in own).items())) for label in labels},
    }


def _notes(rows: Sequence[Row], patient: str, labels: Sequence[str]) -> list[str]:
    """Values that so few patients have that a part may lack them."""
    found = []
    for label in labels:
        owners: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            owners[row[label]].add(row[patient])
        few = sorted(value for value, who in owners.items() if len(who) < 2)
        if few:
            found.append(f"{label}: {', '.join(map(repr, few))} {'is' if len(few) == 1 else 'are'} of one patient only")
    return found


def _counts(values: Mapping[str, int]) -> str:
    return ", ".join(f"{value or 'empty'}: {count}" for value, count in values.items())
