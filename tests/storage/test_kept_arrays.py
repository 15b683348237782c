"""Arrays are made once; a file that is not what was written is made again, whatever happened to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.storage.kept_arrays import Arrays, kept_arrays

ARRAYS = {"values": np.arange(6.0), "table": np.eye(3, dtype=np.float32)}


def made(counted: list[int]) -> Arrays:
    counted.append(1)
    return ARRAYS


def test_what_was_made_is_found(tmp_path: Path) -> None:
    counted: list[int] = []
    for _ in range(3):
        found = kept_arrays(tmp_path / "a.npz", lambda: made(counted))
        assert sorted(found) == sorted(ARRAYS)
        assert all(
            np.array_equal(found[name], each) and found[name].dtype == each.dtype for name, each in ARRAYS.items()
        )
    assert len(counted) == 1


def test_no_changed_bit_is_taken_for_what_was_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.npz"
    kept_arrays(path, lambda: ARRAYS)
    whole, remade = path.read_bytes(), 0
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        counted: list[int] = []
        found = kept_arrays(path, lambda counted=counted: made(counted))  # type: ignore[misc]
        assert sorted(found) == sorted(ARRAYS) and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
        remade += len(counted)
    assert remade > len(whole) / 20 and "made again" in caplog.text


def test_a_file_cut_short_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    kept_arrays(path, lambda: ARRAYS)
    path.write_bytes(path.read_bytes()[:100])
    assert sorted(kept_arrays(path, lambda: ARRAYS)) == sorted(ARRAYS)
