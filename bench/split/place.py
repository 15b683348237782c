"""The folder of a split: written whole or not at all, and found again where it is the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.files import read_json, write_json, writing

FILE = "split.json"
SCHEMA = 1


def put(out: Path, told: Mapping[str, Any], fill: Callable[[Path], None]) -> bool:
    """Have ``fill`` write into ``out``, and ``split.json``, unless the same split is there; whether it was written.

    Raises:
        BenchError: ``out`` is a file, or holds something else.
    """
    told = {"schema": SCHEMA, **told}
    if out.is_file():
        raise BenchError(f"{out} is a file; name a folder with out=")
    if out.is_dir() and any(out.iterdir()):
        if read_json(out / FILE) == told:
            return False
        raise BenchError(f"{out} holds something else already; name another folder with out=, or remove it")
    with writing(out) as draft:
        draft.mkdir()
        fill(draft)
        write_json(draft / FILE, told)
    return True
