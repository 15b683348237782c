"""Small real material for all tests: a split of half-ellipses that look a little like mammograms."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.api import DatasetInfo, ImageSet, Label, Leave, Split
from bench.storage.image_sets import write_set

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

INFO = DatasetInfo(
    name="toy",
    title="Half-ellipses",
    modality="mammography",
    labels=(
        Label("level", "ordinal", (1, 2, 3, 4)),
        Label("dense", "binary", (0, 1), ("no", "yes")),
    ),
    conditions=("level",),
    targets=("dense",),
    groups=("dense",),
    attributes=("laterality",),
    required_attributes=("level", "laterality", "device"),
    redistributable=True,
)


def draw(rng: np.random.Generator, level: int, size: int) -> np.ndarray:
    """A half-ellipse at the left border whose brightness and texture grow with ``level``."""
    y, x = np.mgrid[:size, :size] / size
    inside = (x / rng.uniform(0.5, 0.8)) ** 2 + ((y - 0.5) / rng.uniform(0.3, 0.45)) ** 2 < 1
    texture = rng.normal(0, 4 + 4 * level, (size // 4, size // 4)).repeat(4, 0).repeat(4, 1)
    noise = rng.normal(0, 3, (size, size))
    return np.where(inside, np.clip(60 + 30 * level + texture + noise, 1, 255), 0).astype(np.uint8)


def toy_set(folder: Path, name: str, count: int, size: int = 32) -> ImageSet:
    """``count`` images, one a patient, reproducible by ``name``."""
    rng = np.random.default_rng([count, size, *name.encode()])
    rows = []
    for i in range(count):
        level = i % 4 + 1
        labels = {"level": level, "dense": int(level > 2)}
        image = draw(rng, level, size)
        side = {"laterality": "L" if i % 2 else "R"}
        who = f"{name}_{i:04d}"
        rows.append(
            {"image": image, "image_id": who, "patient_id": who, "prompt": f"level {level}", "labels": labels}
            | {"attributes": side}
        )
    return write_set(rows, INFO, folder / f"{name}-{count}-{size}")


def leaving(folder: Path) -> Leave:
    """Where an evaluator of a test leaves its files."""

    def leave(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)

    return leave


@pytest.fixture(scope="session")
def tiny_split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """48 training, 24 holdout and 24 test images of 32 x 32."""
    folder = tmp_path_factory.mktemp("tiny")
    return Split(toy_set(folder, "train", 48), toy_set(folder, "holdout", 24), toy_set(folder, "test", 24))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sample data beside the checkout, or a visible skip."""
    folder = Path(os.environ.get("BENCH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real sample data not there: {folder} (set BENCH_SHARED_DATA)")
    return folder
