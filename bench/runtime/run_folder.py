"""The log that a run keeps in its folder, written by whoever owns the folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"


class Said(logging.Formatter):
    """Lines of the log after a function of text."""

    def __init__(self, said: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._said = said

    def format(self, record: logging.LogRecord) -> str:
        return self._said(super().format(record))


@contextmanager
def logged(path: Path, said: Callable[[str], str]) -> Iterator[None]:
    """Append what is logged to the file ``path`` while inside, every message with its traceback as ``said`` has it."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(Said(said))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
