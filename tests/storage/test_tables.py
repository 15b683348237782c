"""The table reader changes no text and names the line of every fault."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bench.storage.disk_errors import DiskError
from bench.storage.tables import CELL_LIMIT, LINE_LIMIT, TableError, read_lines, read_table

BAD: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "empty file, needed a header"),
    "header alone": (b"id,age\n", "header and no row"),
    "semicolons": (b"id;age\n1;2\n", "separated by a semicolon, needed a comma; set the delimiter"),
    "tabs": (b"id\tage\n1\t2\n", "separated by a tab, needed a comma; set the delimiter"),
    "missing column": (b"id,sex\n1,F\n", r"line 1: columns \['age'\] are missing; it has \['id', 'sex'\]"),
    "padded column": (b"id, age\n1,2\n", r"line 1: columns \['age'\] are missing; it has \['id', ' age'\]"),
    "column twice": (b"id,age,id\n1,2,3\n", r"line 1: columns \['id'\] are named more than once; rename"),
    "short row": (b"id,age\n1,2\n3\n", "line 3: got 1 cells, needed 2"),
    "long row": (b"id,age\n1,2\n3,4,5\n", "line 3: got 3 cells, needed 2.*quote"),
    "long row after quoted line": (b'id,age\n"1\n1",2\n3,4,5\n', "line 4: got 3 cells"),
    "blank line": (b"id,age\n1,2\n\n3,4\n", "line 3: got a blank line.*remove it"),
    "latin-1": ("id,age\nJos\u00e9,2\n".encode("latin-1"), "not UTF-8.*save the table as UTF-8"),
    "utf-16": ("id,age\n1,2\n".encode("utf-16"), "not UTF-8.*save the table as UTF-8"),
    "open quote": (b'id,age\n1,2\n"3,4\n', "line 3: .*close every quote"),
    "quote inside": (b'id,age\n"3"x,4\n', "line 2: .*close every quote"),
    "nul": (b"id,age\n1,2\n\x003,4\n", "line 3: control character.*remove it"),
    "bidi": ("id,age\n1,\u202e2\n".encode(), "line 2: control character.*remove it"),
    "endless line": (b"id,age\n1," + b"9" * LINE_LIMIT + b"\n", "line 2: over 1,000,000 characters"),
    "a file in a cell": (
        b"id,age\n1,2\n3," + b"9" * 200_000 + b"\n",
        "line 3, column 'age': a cell of 200,000 characters, at most 131,072; is a file's content in it",
    ),
    "a file in a cell of no column": (b"id,age\n3,4," + b"9" * 200_000 + b"\n", "line 2, column 3: a cell of 200,000"),
    "open quote over many lines": (
        b'id,age\n1,"2\n' + b"3,4\n" * 50_000 + b'"\n',
        "line 2, column 'age': a cell of 200,002 characters, at most 131,072; close every quote",
    ),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git lfs pull"),
    "web page": (b"<!DOCTYPE html>\n<html>\n", "web page.*download it again"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_table_is_named_with_line_and_remedy(fault: str, tmp_path: Path) -> None:
    content, message = BAD[fault]
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=f"(?s){path}.*{message}"):
        read_table(path, delimiter=",", required=["id", "age"])


def test_the_parser_of_others_keeps_its_limit(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "table.csv"
    path.write_text("id,age\n1,2\n")
    read_table(path, delimiter=",", required=["id"])
    assert csv.field_size_limit() == before == CELL_LIMIT


def test_a_broken_disk_is_no_bad_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(DiskError, match=rf"reading {tmp_path}/a\.csv: the disk reports an input/output error"):
        read_table(tmp_path / "a.csv", delimiter=",", required=["id"])


def test_missing_table_or_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.csv: no such file; put the table there"):
        read_table(tmp_path / "none.csv", delimiter=",", required=["id"])
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path, delimiter=",", required=["id"])


def test_text_stays_as_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes('\ufeffid,age,note\r\n007,NA,"a, ""b"""\r\n1e5,,"two\nlines"\r\n-1, 2 ,=1+1\r\n\r\n'.encode())
    rows = read_table(path, delimiter=",", required=["id", "age"], optional=["note", "sex"])
    assert [(row["id"], row["age"], row["note"], row["sex"]) for row in rows] == [
        ("007", "NA", 'a, "b"', ""),
        ("1e5", "", "two\nlines", ""),
        ("-1", " 2 ", "=1+1", ""),
    ]
    assert [row.where for row in rows] == ["table.csv line 2", "table.csv line 3", "table.csv line 5"]
    assert str(rows[0].error("age", "a number")) == "table.csv line 2, column 'age': got 'NA', needed a number"


def test_other_delimiters_and_unnamed_index_column(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(";id;age\n0;1;2,5\n")
    assert read_table(path, delimiter=";", required=["age"])[0]["age"] == "2,5"


@settings(max_examples=60, deadline=None)
@given(
    some.lists(
        some.lists(some.text(some.characters(min_codepoint=32, max_codepoint=126)), min_size=2, max_size=2), min_size=1
    )
)
def test_every_written_table_reads_back(tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *cells])
    assert [[row["a"], row["b"]] for row in read_table(path, delimiter=",", required=["a", "b"])] == cells


def test_lists_know_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("b.png\na.png\n\n")
    assert read_lines(path) == [("b.png", "list.txt line 1"), ("a.png", "list.txt line 2")]
    for content, message in {
        "a\nb\na\n": "line 3: 'a' stands on line 1 already",
        "a\n\nb\n": "line 2: got a blank line",
        "": "empty list",
    }.items():
        path.write_text(content)
        with pytest.raises(TableError, match=message):
            read_lines(path)
    with pytest.raises(TableError, match="no such file"):
        read_lines(tmp_path / "none.txt")
