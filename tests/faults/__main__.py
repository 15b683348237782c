"""``python -m tests.faults``: every fault on purpose, and what was survived of it. Exit code 1 if anything was lost.

A trial is one test of this folder, a suite one of its files, so that a new file is counted without being named here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.runtime.provenance import provenance
from tests.faults.counting import Counting, as_json, as_table
from tests.faults.points import EVERY

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
LENGTHS = {"quick": "not slow and not gpu and not network"} | dict.fromkeys(
    ["nightly", "all"], "not gpu and not network"
)


def main() -> None:
    """``python -m tests.faults [--nightly | --all] [--suite NAME ...] [--json FILE]``."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--nightly", dest="length", action="store_const", const="nightly", help="every suite whole: about an hour"
    )
    length.add_argument(
        "--all", dest="length", action="store_const", const="all", help="at every step of a run: many hours"
    )
    names = sorted(path.stem.removeprefix("test_") for path in FOLDER.glob("test_*.py"))
    parser.add_argument("--suite", action="append", choices=names, metavar="NAME", help=f"only: {', '.join(names)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave counts and every trial there too")
    parser.add_argument("-k", dest="words", default="", metavar="WORDS", help="only trials with these words, as pytest")
    given = parser.parse_args()
    sys.exit(_carry_out(given.length or "quick", given.suite or names, given.words, given.json))


def _carry_out(length: str, chosen: Sequence[str], words: str, file: Path | None) -> int:
    if length == "all":
        os.environ[EVERY] = "1"
    begin, counting = time.perf_counter(), Counting()
    files = [str(FOLDER / f"test_{name}.py") for name in chosen]
    # the plug-in says how far it is and what was lost: pytest itself says nothing
    quiet = ["-p", "no:terminal", "-s", "-o", "addopts=--strict-markers"]
    pytest.main([*files, *quiet, f"--rootdir={ROOT}", "-m", LENGTHS[length], "-k", words], plugins=[counting])
    facts: dict[str, Any] = {"length": length, "seconds": round(time.perf_counter() - begin, 1)}
    print(f"\n{as_table(counting.suites)}")
    print("\n".join(counting.to_repeat()))
    if file is not None:
        file.write_text(as_json(counting.suites, facts | {"provenance": provenance()}), encoding="utf-8")
    return 0 if counting.whole else 1


if __name__ == "__main__":
    main()
