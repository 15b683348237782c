"""The one strict reader of tables: text in, text out, and every value knows the line it came from."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.api import BenchError
from bench.storage.disk_errors import explained

LINE_LIMIT = 1_000_000  # characters
CELL_LIMIT = 131_072  # characters
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


class TableError(BenchError):
    """A table that is missing or not as promised."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record: ``row["id"]`` is the text exactly as written; ``007`` and ``NA`` stay what they are."""

    file: str
    line: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    @property
    def where(self) -> str:
        """``file.csv line 12``, counting the header as line 1; the file alone where it is no table (line 0)."""
        return f"{self.file} line {self.line}" if self.line else self.file

    def error(self, column: str, needed: str) -> TableError:
        """The complaint that this row's ``column`` is not what is ``needed``."""
        return TableError(f"{self.where}, column {column!r}: got {self.values[column]!r}, needed {needed}")


def read_table(path: Path, *, delimiter: str, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Read the ``required`` and ``optional`` columns of a UTF-8 table with a header; other columns are left aside.

    An optional column that is absent reads as empty text. Nothing is stripped, converted or taken for missing.

    Raises:
        TableError: no file, not UTF-8, another delimiter, a column missing or named twice, a row that is too short
            or too long, a blank line between rows, control characters, a cell over ``CELL_LIMIT``, or no row at all.
        DiskError: the disk does not give it.
    """
    with long_cells():
        return _rows(path, delimiter, required, optional)


def _rows(path: Path, delimiter: str, required: Sequence[str], optional: Sequence[str]) -> list[Row]:
    reader = csv.reader(_Lines(path), delimiter=delimiter, strict=True)
    records = _records(reader, path)
    header_line, header = next(records, (1, []))
    _check_header(header, path, delimiter, required)
    places = {name: header.index(name) for name in (*required, *optional) if name in header}
    absent = dict.fromkeys((name for name in optional if name not in places), "")
    rows = []
    for line, cells in records:
        _check_cells(cells, header, f"{path} line {line}")
        if len(cells) != len(header):
            raise TableError(
                f"{path} line {line}: got {len(cells)} cells, needed {len(header)} as in the header (line "
                f"{header_line}); quote a cell that holds {_DELIMITERS.get(delimiter, repr(delimiter))}"
            )
        rows.append(Row(path.name, line, {name: cells[place] for name, place in places.items()} | absent))
    if not rows:
        raise TableError(f"{path}: got a header and no row, needed at least one row")
    return rows


@contextmanager
def long_cells(limit: int = LINE_LIMIT) -> Iterator[None]:
    """Let the parser give cells that are too long, so that something can be said of them."""
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_cells(cells: Sequence[str], header: Sequence[str], where: str) -> None:
    for place, cell in enumerate(cells):
        if len(cell) > CELL_LIMIT:
            column = repr(header[place]) if place < len(header) else place + 1
            kind = ["is a file's content in it? Leave it out", "close every quote"]["\n" in cell]
            raise TableError(
                f"{where}, column {column}: a cell of {len(cell):,} characters, at most {CELL_LIMIT:,}; {kind}"
            )


def read_lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a UTF-8 list without header, each with where it is: ``("00000061_012.png", "list.txt line 1")``.

    Raises:
        TableError: no file, not UTF-8, a blank line between others, a line given twice, or nothing at all.
    """
    found: dict[str, int] = {}
    blank = None
    for number, raw in enumerate(_Lines(path), start=1):
        text = raw.rstrip("\r\n")
        if not text.strip():
            blank = blank or number
            continue
        if blank is not None:
            raise TableError(f"{path} line {blank}: got a blank line, needed one name a line; remove it")
        if text in found:
            raise TableError(f"{path} line {number}: {text!r} stands on line {found[text]} already; remove one")
        found[text] = number
    if not found:
        raise TableError(f"{path}: got an empty list, needed one name a line")
    return [(text, f"{path.name} line {number}") for text, number in found.items()]


class _Lines:
    """Lines of a text file, checked one by one so that no damage reaches the parser."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for number, line in enumerate(iter(lambda: file.readline(LINE_LIMIT), ""), start=1):
                    yield self._checked(number, line)
        except FileNotFoundError:
            raise TableError(f"{self.path}: no such file; put the table there or correct the setting") from None
        except UnicodeDecodeError as error:
            raise TableError(f"{self.path}: not UTF-8 text ({error.reason}); save the table as UTF-8") from None
        except PermissionError as error:
            raise TableError(f"{self.path}: cannot be read ({error.strerror}); make it a readable file") from None
        except OSError as error:
            refused = explained(error, "reading", self.path)
            words = f"{self.path}: cannot be read ({error.strerror}); make it a readable file"
            raise refused or TableError(words) from None

    def _checked(self, number: int, line: str) -> str:
        if number == 1 and line.startswith("version https://git-lfs"):
            raise TableError(f"{self.path}: is a Git LFS pointer and not the table itself; run `git lfs pull`")
        if number == 1 and line.lstrip().lower().startswith(("<!doctype", "<html")):
            raise TableError(f"{self.path}: is a web page and not a table; download it again while signed in")
        if len(line) >= LINE_LIMIT:
            raise TableError(f"{self.path} line {number}: over {LINE_LIMIT:,} characters; is this a table?")
        if found := _UNPRINTABLE.search(line):
            raise TableError(f"{self.path} line {number}: control character {found.group()!r}; remove it")
        return line


def _records(reader: Iterator[list[str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each starts on."""
    blank, line = None, 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(f"{path} line {line}: {error}; close every quote and double those inside") from None
        if not cells:
            blank = blank or line
        elif blank is not None:
            raise TableError(f"{path} line {blank}: got a blank line, needed a row; remove it")
        else:
            yield line, cells
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _check_header(header: list[str], path: Path, delimiter: str, required: Sequence[str]) -> None:
    if not header:
        raise TableError(f"{path}: got an empty file, needed a header with {list(required)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path} line 1: columns {twice} are named more than once; rename or remove them")
    missing = [name for name in required if name not in header]
    if not missing:
        return
    for other, name in _DELIMITERS.items():
        if other != delimiter and set(required) <= set(delimiter.join(header).split(other)):
            wanted = _DELIMITERS.get(delimiter, repr(delimiter))
            raise TableError(f"{path} line 1: cells are separated by {name}, needed {wanted}; set the delimiter")
    raise TableError(f"{path} line 1: columns {missing} are missing; it has {header}")
