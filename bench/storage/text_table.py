"""Tables as text: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ARROWS = {"lower": "↓", "higher": "↑", "target": "→", "neither": ""}  # where better values of a metric lie
WIDEST = 36  # characters up to which cells are brought to one width


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row, its cells under one another."""
    widths = [min(WIDEST, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; ``None`` is an empty cell, and no text ends its cell or opens a tag."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(markdown_cell(cell) for cell in line) + " |" for line in lines)


def markdown_cell(text: Any) -> str:
    """``text`` on one line, as a cell of a Markdown table."""
    shown = "" if text is None else " ".join(str(text).split())
    return shown.replace("|", "\\|").replace("<", "&lt;")
