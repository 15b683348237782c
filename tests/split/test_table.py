"""A bare table is divided by patient: every row once, nobody in two parts, labels even, order of no matter."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from bench.api import BenchError
from bench.split.table import divide


def table(folder: Path, patients: int = 60, shuffled: int | None = None, name: str = "mine.csv") -> Path:
    """Patients of one to three images, a fifth of them ill."""
    rows = [
        (f"img{who}_{each}.png", f"P{who}", "yes" if who % 5 == 0 else "no", f"a, {who}")
        for who in range(patients)
        for each in range(who % 3 + 1)
    ]
    if shuffled is not None:
        random.Random(shuffled).shuffle(rows)
    path = folder / name
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "who", "ill", "words"), *rows])
    return path


def parts_of(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["who"]: row["split"] for row in csv.DictReader(file)}


def test_every_row_is_kept_as_it_is_and_no_patient_is_in_two_parts(tmp_path: Path) -> None:
    path = table(tmp_path)
    divide(path, "who", ["ill"], 0.2, 0).write(tmp_path / "out")
    with path.open(newline="") as before, (tmp_path / "out" / "mine.csv").open(newline="") as after:
        old, new = list(csv.DictReader(before)), list(csv.DictReader(after))
    assert [{**row, "split": each["split"]} for row, each in zip(old, new, strict=True)] == new
    found: dict[str, set[str]] = {}
    for row in new:
        found.setdefault(row["who"], set()).add(row["split"])
    assert all(len(each) == 1 for each in found.values())
    assert Counter(part for each in found.values() for part in each) == {"train": 48, "test": 12}


def test_labels_are_spread_evenly(tmp_path: Path) -> None:
    for seed in range(5):
        divided = divide(table(tmp_path, 100), "who", ["ill"], 0.25, seed)
        test = {row["who"] for row, part in zip(divided.rows, divided.parts, strict=True) if part == "test"}
        assert len(test) == 25 and sum(int(who[1:]) % 5 == 0 for who in test) == 5


def test_the_order_of_rows_makes_no_other_split_and_the_seed_does(tmp_path: Path) -> None:
    first, other = table(tmp_path), table(tmp_path, shuffled=1, name="other.csv")
    split = {path.name: divide(path, "who", ["ill"], 0.2, 0) for path in (first, other)}
    for name, divided in split.items():
        divided.write(tmp_path / name.removesuffix(".csv"))
    assert parts_of(tmp_path / "mine" / "mine.csv") == parts_of(tmp_path / "other" / "other.csv")
    assert split["mine.csv"].told["membership"] == split["other.csv"].told["membership"]
    assert divide(first, "who", ["ill"], 0.2, 1).told["membership"] != split["mine.csv"].told["membership"]


def test_what_was_done_is_recorded_and_found_again(tmp_path: Path) -> None:
    path, out = table(tmp_path), tmp_path / "out"
    assert "written" in divide(path, "who", ["ill"], 0.2, 0).write(out)
    told = json.loads((out / "split.json").read_text())
    assert (told["seed"], told["test_fraction"], told["patient"], told["labels"]) == (0, 0.2, "who", ["ill"])
    assert {part: each["patients"] for part, each in told["parts"].items()} == {"train": 48, "test": 12}
    assert "found" in divide(path, "who", ["ill"], 0.2, 0).write(out)
    with pytest.raises(BenchError, match="holds something else already"):
        divide(path, "who", ["ill"], 0.2, 1).write(out)


def test_a_value_of_one_patient_is_said(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text().replace("img7_0.png,P7,no", "img7_0.png,P7,odd"))
    assert divide(path, "who", ["ill"], 0.2, 0).told["notes"] == ["ill: 'odd' is of one patient only"]


@pytest.mark.parametrize(
    ("change", "patient", "labels", "message"),
    [
        (("P3", "P3"), "whom", [], r"mine\.csv: columns \['whom'\] are missing; it has \['file', 'who'"),
        (("P3", "P3"), "who", ["sick"], r"columns \['sick'\] are missing"),
        (("words", "split"), "who", [], "has a column 'split' already"),
        (("P3,", ","), "who", [], r"mine\.csv line \d+, column 'who': got '', needed whose row it is"),
        (("P3,", "nan,"), "who", [], r"mine\.csv line \d+: patient id 'nan'"),
        (("P3,", "P3 ,"), "who", [], "has a space at an end"),
    ],
)
def test_what_cannot_be_divided_is_named(
    change: tuple[str, str], patient: str, labels: list[str], message: str, tmp_path: Path
) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(BenchError, match=message):
        divide(path, patient, labels, 0.2, 0)


@pytest.mark.parametrize(("patients", "fraction"), [(1, 0.5), (4, 0.01), (4, 0.99)])
def test_a_part_without_patient_is_refused(patients: int, fraction: float, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=f"{fraction:g} of {patients} patients leave a part empty"):
        divide(table(tmp_path, patients), "who", [], fraction, 0)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.csv: no such file"):
        divide(tmp_path / "none.csv", "who", [], 0.2, 0)
