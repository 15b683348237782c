"""Labelled images, requests and tiny pipelines for the tests of generators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.api import ImageSet, Label
from tests.toy import described, image_set, request, requests_like

INFO = described(
    Label("level", "ordinal", (0, 1, 2, 3)),
    Label("side", "binary", (0, 1), ("left", "right")),
    targets=("side",),
)


def labelled(count: int, seed: int = 0, size: tuple[int, int] = (16, 12)) -> ImageSet:
    """Images of 40 grey levels, 30 brighter for each ``level``, and 40 brighter on their ``side``."""
    rng = np.random.default_rng(seed)
    labels = [{"level": int(rng.integers(4)), "side": int(rng.integers(2))} for _ in range(count)]
    images = rng.normal(40, 6, (count, *size))
    for image, each in zip(images, labels, strict=True):
        half = slice(size[1] // 2, None) if each["side"] else slice(0, size[1] // 2)
        image += 30 * each["level"]
        image[:, half] += 40
    patients = [f"p{i}" for i in range(count)]
    return image_set(np.clip(images, 0, 255).astype(np.uint8), INFO, name="i", patient_id=patients, labels=labels)


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """Labelled images and requests, for tests."""
    return SimpleNamespace(info=INFO, labelled=labelled, request=request, requests_like=requests_like)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline by its name; each is built once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        from tests.generators.text_to_image.tiny_pipelines import build

        if name not in made:
            made[name] = build(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder
