"""A mapped array is the array, takes no memory of the process's own and leaves no file."""

from __future__ import annotations

import errno
import os
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.storage.digests import text_keys
from bench.storage.disk_errors import DiskError
from bench.storage.feature_rows import FeatureRows
from bench.storage.mapped import mapped, nameless
from tests.storage.test_disk_errors import small_files


def test_the_rows_are_those_of_the_parts(tmp_path: Path) -> None:
    rows = np.arange(700, dtype=np.float32).reshape(100, 7)
    found = mapped((rows[start : start + 33] for start in range(0, 100, 33)), (100, 7), np.float32, tmp_path)
    assert type(found) is np.ndarray and (found == rows).all() and not list(tmp_path.iterdir())
    found[0] = 5  # as any other array
    assert (found[0] == 5).all()


def test_parts_that_do_not_make_up_the_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts of 8 bytes, needed 12"):
        mapped([np.zeros(2, np.float32)], (3,), np.float32, tmp_path)


def test_no_rows(tmp_path: Path) -> None:
    assert mapped([], (0, 4), np.float32, tmp_path).shape == (0, 4)


def test_rows_are_read_where_the_cache_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tempfile.TemporaryFile
    shard = FeatureRows(tmp_path, "means", 2)
    keys, rows = text_keys(["a", "b"]), np.arange(4, dtype=np.float32).reshape(2, 2)
    shard.write(keys, rows, 0.0)
    shard.add_written(keys)
    for number in (errno.EROFS, errno.EACCES, errno.ENOSPC):

        def refused(number: int = number, **given: Any) -> Any:
            if given["dir"] == tmp_path:
                raise OSError(number, os.strerror(number), str(tmp_path))
            return written(**given)

        monkeypatch.setattr(tempfile, "TemporaryFile", refused)
        if number == errno.ENOSPC:  # it would be full as well
            with pytest.raises(DiskError, match=f"^writing {tmp_path}: the disk is full"):
                shard.read(np.array([1, 0]))
        else:
            assert (shard.read(np.array([1, 0])) == rows[::-1]).all()


@pytest.mark.parametrize("system", ["linux", "macos"])
def test_room_is_reserved_beforehand(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if system == "macos":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    room = 3 * 2**20 + 5
    with nameless(tmp_path, room) as file:
        known = os.fstat(file.fileno())
        assert known.st_size == room and known.st_blocks * 512 >= room
    with (
        small_files(),
        pytest.raises(DiskError, match=rf"^writing {tmp_path}: .* larger than is allowed .*{room:,} bytes needed"),
        nameless(tmp_path, room),
    ):
        pass


def test_rows_are_not_held(tmp_path: Path) -> None:
    def parts(count: int) -> object:
        tracemalloc.start()
        found = mapped((np.full((64, 1024), i, np.float32) for i in range(count)), (64 * count, 1024), np.float32)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found[-1, -1] == count - 1
        return peak

    assert parts(40) < 2 * 2**20 < 40 * 64 * 1024 * 4
