"""A mapped array is the array, takes no memory of the process's own and leaves no file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bench.storage.mapped import mapped


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


def test_rows_are_not_held(tmp_path: Path) -> None:
    def parts(count: int) -> object:
        tracemalloc.start()
        found = mapped((np.full((64, 1024), i, np.float32) for i in range(count)), (64 * count, 1024), np.float32)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found[-1, -1] == count - 1
        return peak

    assert parts(40) < 2 * 2**20 < 40 * 64 * 1024 * 4
