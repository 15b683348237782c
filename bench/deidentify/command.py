"""The command line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.api import BenchError
from bench.deidentify.finding import Report

LOOK_AT = 3  # exit code where there is something a person should look at
log = logging.getLogger(__name__)


def main(words: Sequence[str] | None = None) -> None:
    """List what a person should look at before a folder is shared.

    Exit code 0: nothing found by these looks; 3: something to look at, or a file that could not be read;
    1: the look could not be made; 2: a word of the command line that is not known.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.deidentify",
        description=main.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="CHECK_DIR", help="the folder that is to be shared")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all places as JSON, values masked")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to print, values masked")
    parser.add_argument("--pictures", action="store_true", help="show the text found in the page: for local use only")
    parser.add_argument("--no-text", action="store_true", help="do not look for burnt-in text, which takes longest")
    parser.add_argument("--limit", type=_count, metavar="N", help="look at the pixels of N pictures, spread evenly")
    given = parser.parse_args(words)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        report = _checked(given)
    except BenchError as error:
        sys.exit(str(error))
    sys.exit(LOOK_AT if report.something else 0)


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}; needed 1 or more")
    return number


def _checked(given: argparse.Namespace) -> Report:
    if given.pictures and given.html is None:
        raise BenchError("--pictures puts pictures into a page; give --html FILE as well")
    for out in filter(None, (given.json, given.html)):
        if out.resolve().is_relative_to(given.folder.resolve()):
            raise BenchError(f"{out} would lie in the folder that is to be shared; write it elsewhere")
    log.info("looking at the files")
    from bench.deidentify.folder import Wish, check
    from bench.deidentify.page import page
    from bench.deidentify.words import as_data, lines
    from bench.storage.files import as_json, write_atomic

    report = check(given.folder, Wish(not given.no_text, given.limit, given.pictures))
    if given.json is not None:
        write_atomic(given.json, as_json(as_data(report)))
    if given.html is not None:
        write_atomic(given.html, page(report).encode())
    sys.stdout.write("\n".join(lines(report)) + "\n")
    return report
