"""What a person states that weights or images made elsewhere learned from: the bench cannot know it."""

from __future__ import annotations

from pathlib import Path

from bench.api import BenchError
from bench.storage.files import read_json


def training_statement(setting: str | None) -> str | None:
    """``generator.trained_on`` as it is, or the membership in the ``split.json`` that it names.

    Raises:
        BenchError: such a file is missing or states no split.
    """
    if setting is None or not setting.endswith(".json"):
        return setting
    path = Path(setting).expanduser()
    found = read_json(path)
    if found is None:
        raise BenchError(f"generator.trained_on: {path} does not exist; python -m bench.split writes a split.json")
    membership = found.get("membership") if isinstance(found, dict) else None
    if not isinstance(membership, str):
        raise BenchError(f"generator.trained_on: {path} states no split; name the file that bench.split wrote")
    return membership
