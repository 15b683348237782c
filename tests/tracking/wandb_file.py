"""Reads what the W&B client wrote: the ``.wandb`` file of an offline run, which is all that ``wandb sync`` sends of it.

The file is a log of records in blocks of 32 KiB (the format of LevelDB's log) after a header of 7 bytes; each record is
a protocol buffer whose definition comes with the client.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER, BLOCK, PREFIX = 7, 32768, 7  # bytes
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass(frozen=True)
class LoggedRun:
    """A W&B run read back.

    Attributes:
        run: id, project, group, job type, name, tags, host, sweep.
        summary: the last value of each key.
        metrics: what ``define_metric`` said, by name or pattern.
        history: one row a step, as logged.
        artifacts: by name; see ``places``.
        code: exit code; ``None`` if the run was not finished.
        raw: the whole file.
    """

    path: Path
    run: Any
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    artifacts: dict[str, Any]
    code: int | None
    raw: bytes

    def table(self, key: str) -> dict[str, Any]:
        """A table that was logged: ``columns`` and ``data``."""
        found: dict[str, Any] = json.loads((self.path.parent / "files" / self.summary[key]["path"]).read_text())
        return found


def only_run(folder: Path, pattern: str = "*") -> LoggedRun:
    """The one offline run below ``folder/wandb`` whose id is like ``pattern``."""
    (path,) = folder.glob(f"wandb/offline-run-*/run-{pattern}.wandb")
    return read_run(path)


def read_run(path: Path) -> LoggedRun:
    """The run in a ``.wandb`` file."""
    found = LoggedRun(path, None, {}, {}, {}, [], {}, None, path.read_bytes())
    values: dict[str, Any] = {}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        part = getattr(record, kind)
        if kind == "run":
            values["run"] = part
        if kind in ("run", "config"):
            update(found.config, part.config if kind == "run" else part)
        if kind == "summary":
            update(found.summary, part)
        if kind == "metric":
            found.metrics[part.glob_name or part.name] = part
        if kind == "history":
            found.history.append({name(item): json.loads(item.value_json) for item in part.item})
        if kind == "artifact":
            found.artifacts[part.name] = part
        if kind == "exit":
            values["code"] = part.exit_code
    return LoggedRun(**{**vars(found), **values})


def places(artifact: Any) -> dict[str, Path]:
    """The files of an artifact: the path within it -> that of the file on the disk."""
    return {each.path: Path(each.local_path) for each in artifact.manifest.contents}


def records(path: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file in order."""
    from wandb.proto import wandb_internal_pb2

    for content in bodies(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        yield record


def bodies(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B", "no file of the W&B client"
    place, parts = HEADER, b""
    while place + PREFIX <= len(data):
        if BLOCK - place % BLOCK < PREFIX:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + PREFIX])
        assert kind in (WHOLE, FIRST, MIDDLE, LAST), f"a record of kind {kind} at byte {place}"
        content = data[place + PREFIX : place + PREFIX + length]
        place += PREFIX + length
        parts = content if kind in (WHOLE, FIRST) else parts + content
        if kind in (WHOLE, LAST):
            yield parts


def update(into: dict[str, Any], part: Any) -> None:
    for item in part.update:
        keys = list(item.nested_key) or [item.key]
        inner = into
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = json.loads(item.value_json)


def name(item: Any) -> str:
    return ".".join(item.nested_key) or str(item.key)
