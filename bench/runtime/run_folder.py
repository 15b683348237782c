"""The log that a run keeps in its folder, written by whoever owns the folder."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.storage.disk_errors import explained, named

MET = "met"  # of a record: an error whose traceback stands in the file only
FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"


class Said(logging.Formatter):
    """Lines of the log after a function of text, and the traceback of what a message was ``MET`` with."""

    def __init__(self, said: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._said = said

    def format(self, record: logging.LogRecord) -> str:
        text, met = super().format(record), getattr(record, MET, None)
        return self._said(text if met is None else "\n".join([text, "".join(traceback.format_exception(met))]))


@contextmanager
def logged(path: Path, said: Callable[[str], str]) -> Iterator[None]:
    """Append what is logged to the file ``path`` while inside, every message with its traceback as ``said`` has it."""
    with named("writing", path):
        handler = _File(path, encoding="utf-8")
    handler.setFormatter(Said(said))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        # what the disk has not taken by now was told of already
        with suppress(OSError):
            handler.close()


class _File(logging.FileHandler):
    """A log that its disk may refuse: that is said once, on the terminal, and stops nothing."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        error = sys.exc_info()[1]
        found = explained(error, "writing", Path(self.baseFilename)) if error else None
        if found is None:
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        logging.getLogger(__name__).warning("from here on nothing is logged in a file: %s", found)
