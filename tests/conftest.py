"""Small real material for all tests: a split of half-ellipses that look a little like mammograms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.api import Split
from tests.toy import toy_split

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiny_split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """48 training, 24 holdout and 24 test images of 32 x 32."""
    return toy_split(tmp_path_factory.mktemp("tiny"), 48, 24, 24)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sample data beside the checkout, or a visible skip."""
    folder = Path(os.environ.get("BENCH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real sample data not there: {folder} (set BENCH_SHARED_DATA)")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch: many small products cost several times as much by two, and are timed on one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
