"""What comes with weights beside them: configurations are data, and code is found before a library runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.api import BenchError

CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")


def check_no_code(folder: Path, remedy: str) -> None:
    """Refuse a folder with code, or with a configuration that names classes of its own; here and in its subfolders.

    Raises:
        BenchError: which file; ``remedy`` ends the message.
    """
    code = sorted(path for path in folder.rglob("*") if path.suffix in CODE)
    code += [each for each in sorted(folder.rglob("*.json")) if _maps_code(each)]
    if code:
        raise BenchError(f"{code[0]}: this part brings code of its own, which is not run; {remedy}")


def read_configuration(path: Path) -> Any:
    """The content of a configuration that came with weights.

    Raises:
        BenchError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path}: not JSON ({error}); copy the model again") from error


def _maps_code(path: Path) -> bool:
    waiting = [read_configuration(path)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict) and any(each.get(key) for key in ("auto_map", "custom_pipelines")):
            return True
        if isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
    return False


@contextmanager
def unasked() -> Iterator[None]:
    """Within, a library that would ask at the terminal whether to run code that comes with weights raises instead.

    For libraries that load through transformers and hand on no ``trust_remote_code``.
    """
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before
