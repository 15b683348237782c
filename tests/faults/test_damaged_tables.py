"""Tables and lists with something wrong in them: 67 ways, and none is taken for data without a word.

A table that is not what it should be is refused with its file and line, or it holds the same data and gives the same
split. Ids of patients that may be the same person's in two spellings are refused, or named in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.api import BenchError, Split
from bench.datasets.imagefolder import ImageFolder
from bench.datasets.nih_cxr14 import TABLE, TEST_LIST, TRAIN_LIST, NihCxr14
from tests.datasets.test_nih_cxr14 import HEADER, official, record

Change = Callable[[str], str | bytes]
ROW = record(1, "Pneumonia")
PATIENT = ",0,1,58,M,PA"


def put(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def patient(spelling: str) -> Change:
    return put(PATIENT, f",0,{spelling},58,M,PA")


def every_second_patient(write: Callable[[int], str]) -> Change:
    """As a table that passed through a spreadsheet has it: some ids of the training part in another spelling."""

    def change(text: str) -> str:
        for index in range(0, 8, 2):
            text = put(f",0,{index},58,M,PA", f",0,{write(index)},58,M,PA")(text)
        return text

    return change


def columns_turned(text: str) -> str:
    """The columns in another order, which is allowed."""
    lines = [line.split(",") for line in text.splitlines()]
    return "\n".join(",".join(reversed(cells)) for cells in lines) + "\n"


TABLES: dict[str, Change] = {
    # the file as a whole
    "empty": lambda text: "",
    "header only": lambda text: HEADER + "\n",
    "no header": lambda text: text.split("\n", 1)[1],
    "web page": lambda text: "<!DOCTYPE html><html>sign in</html>",
    "pointer of a large file": lambda text: "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "latin-1": lambda text: text.replace("Pneumonia", "Pneumoniä").encode("latin-1"),
    "utf-16": lambda text: text.encode("utf-16"),
    "NUL byte": put("PA", "P\0A"),
    "line of 10 MB": lambda text: text + "x" * 10_000_000,
    "cell of 200 kB": put("No Finding", "N" * 200_000),
    "conflict markers": put(ROW, f"<<<<<<< ours\n{ROW}\n=======\n{ROW}\n>>>>>>> theirs"),
    "blank line within": put(ROW, f"\n{ROW}"),
    "open quote": put("No Finding", '"No Finding'),
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "byte order mark": lambda text: "\ufeff" + text,
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "other order of columns": columns_turned,
    "cut in the last row": lambda text: text[: text.rstrip().rindex(",0,11")],
    # columns and rows
    "no image column": put("Image Index", "Image"),
    "no patient column": put("Patient ID", "Patient"),
    "no finding column": put("Finding Labels", "Labels"),
    "no view column": put("View Position", "View"),
    "column twice": put("Follow-up #", "Patient ID"),
    "long row": put("58,M,PA", "58,M,PA,PA"),
    "short row": put(ROW, ROW.rsplit(",", 1)[0]),
    "row twice": put(ROW, f"{ROW}\n{ROW}"),
    "row lost": put(ROW + "\n", ""),
    "image named as another": put("00000002_000.png", "00000001_000.png"),
    "image outside": put("00000001_000.png", "../00000001_000.png"),
    "image in capitals": put("00000001_000.png", "00000001_000.PNG"),
    "image with a space": put("00000001_000.png", "00000001_000.png "),
    # values
    "unknown finding": put("Pneumonia", "Pneunomia"),
    "finding in small letters": put("Pneumonia", "pneumonia"),
    "finding and none": put("Pneumonia", "No Finding|Pneumonia"),
    "finding twice": put("Pneumonia", "Mass|Mass"),
    "no finding": put("Pneumonia", ""),
    "findings joined by a comma": put("Pneumonia", '"Pneumonia, Mass"'),
    "unknown view": put("M,PA", "M,LL"),
    "view in small letters": put("M,PA", "M,pa"),
    "no view": put("M,PA", "M,"),
    "unknown sex": put("58,M", "58,0"),
    "sex in a word": put("58,M", "58,male"),
    "age with a unit": put(",58,", ",058Y,"),
    "age with a decimal": put(",58,", ",58.0,"),
    "age below zero": put(",58,", ",-5,"),
    "no age": put(",58,", ",,"),
    "age in other digits": put(",58,", ",\u0665\u0668,"),
    # patients
    "no patient": patient(""),
    "patient of another": put(",0,9,58", ",0,1,58"),
    "patient as a decimal": every_second_patient(lambda index: f"{index}.0"),
    "patient as a power": every_second_patient(lambda index: f"{index}.0E+00"),
    "patient with leading zeros": every_second_patient(lambda index: f"{index:08d}"),
    "patient with a space": every_second_patient(lambda index: f"{index} "),
    "patient with an invisible space": every_second_patient(lambda index: f"{index}\u200b"),
    "patient nan": every_second_patient(lambda index: "nan"),
    "patient NA": every_second_patient(lambda index: "NA"),
    "patient 999999": every_second_patient(lambda index: "999999"),
}
LISTS: dict[str, tuple[str, Change]] = {
    "empty list": (TRAIN_LIST, lambda text: ""),
    "image in both lists": (TEST_LIST, put("00000009_000.png", "00000001_000.png")),
    "image twice in a list": (TRAIN_LIST, put("00000002_000.png", "00000001_000.png")),
    "image of no file": (TEST_LIST, put("00000009_000.png", "00000099_000.png")),
    "list with a header": (TRAIN_LIST, lambda text: "Image Index\n" + text),
}
FOLDERS = {
    "a space": ("P1", "P1 "),
    "leading zeros": ("1", "01"),
    "small letters": ("p1", "P1"),
    "an invisible space": ("P1", "P1\u200b"),
}


def test_the_cases_are_67() -> None:
    assert len(TABLES) + len(LISTS) + len(FOLDERS) == 67


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    folder = tmp_path_factory.mktemp("whole")
    root = official(folder / "nih", ((16, 16),) * 12)
    return root, NihCxr14(str(root), image_size=16).load(folder / "cache")


@pytest.mark.parametrize("case", [*TABLES, *LISTS])
def test_a_table_is_refused_by_name_or_holds_the_same_data(
    case: str, whole: tuple[Path, Split], tmp_path: Path
) -> None:
    root = official(tmp_path / "nih", ((16, 16),) * 12)
    name, change = LISTS.get(case) or (TABLE, TABLES[case])
    changed = change((root / name).read_text())
    (root / name).write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    try:
        split = NihCxr14(str(root), image_size=16).load(tmp_path / "cache")
    except BenchError as error:
        assert name in str(error) or "patient" in str(error), error
    else:
        assert split.digest == whole[1].digest


@pytest.mark.parametrize("case", FOLDERS)
def test_patients_of_two_spellings_are_named(case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, names = official(tmp_path / "nih", ((16, 16),) * 12) / "images", sorted((tmp_path / "nih/images").iterdir())
    lines = ["file_name,split,patient_id"]
    for index, path in enumerate(names):
        part, whose = ("train", FOLDERS[case][0]) if index < 8 else ("test", FOLDERS[case][1])
        lines.append(f"{path.name},{part},{whose if index in (0, 8) else f'Q{index + 20}'}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    with caplog.at_level(logging.WARNING):
        try:
            ImageFolder(str(root), image_size=16, patient_column="patient_id").load(tmp_path / "cache")
        except BenchError as error:
            assert "metadata.csv line" in str(error)
        else:
            assert "metadata.csv line 2" in caplog.text and "metadata.csv line 10" in caplog.text
