"""A file that the disk does not give just now may be whole: it is not taken for a damaged one and made again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.datasets.prepare import prepare
from bench.pipeline import conformance, run_record
from bench.storage.disk_errors import DiskError
from bench.storage.files import write_checked, write_json
from bench.tracking.ledger import identified
from tests.datasets.test_prepare import INFO, SHAPE, prepared, sources


def _of_a_run(folder: Path) -> Callable[[], Any]:
    write_json(folder / "run.json", {})
    return lambda: run_record._read(folder)


def _of_an_evaluator(folder: Path) -> Callable[[], Any]:
    path = folder / "kept.json"
    write_checked(path, {"key": {}, "values": {"a": 1.0}})
    return lambda: conformance._read(path, {})


def _of_tracking(folder: Path) -> Callable[[], Any]:
    write_json(folder / "wandb.json", {"id": "1234abcd"})
    return lambda: identified(folder)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE], ids=errno.errorcode.get)
@pytest.mark.parametrize("written", [_of_a_run, _of_an_evaluator, _of_tracking])
def test_a_record_stays_and_the_disk_is_named(
    written: Callable[[Path], Callable[[], Any]], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    read = written(tmp_path)
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        for name in ("read_text", "read_bytes"):
            patch.setattr(Path, name, refused)
        with pytest.raises(DiskError, match=f"^reading {path}: .*{errno.errorcode[number]}"):
            read()
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE], ids=errno.errorcode.get)
def test_a_prepared_set_stays_and_the_disk_is_named(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever meets the error: the reader of digests, which names the file, or the library, which does not."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    given = sources(tmp_path / "a", 3)
    prepare(given, INFO, SHAPE, tmp_path)
    folder = tmp_path / "prepared" / prepared(tmp_path)[0]
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    for reader in ("hashlib.file_digest", "datasets.Dataset.from_file"):
        with monkeypatch.context() as patch:
            patch.setattr(reader, refused)
            with pytest.raises(DiskError, match=f"^reading {folder}.*{errno.errorcode[number]}"):
                prepare(given, INFO, SHAPE, tmp_path)
        assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before
