"""Small sets of images and requests for the tests of generators."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from bench.api import DatasetInfo, Images, ImageSet, Label, Purpose, Request

INFO = DatasetInfo(
    name="toy",
    title="Toy",
    modality="toy",
    labels=(
        Label("level", "ordinal", (0, 1, 2, 3)),
        Label("side", "binary", (0, 1), ("left", "right")),
    ),
    conditions=("level", "side"),
    targets=("side",),
)


def image_set(images: Images, labels: Sequence[dict[str, Any]], info: DatasetInfo = INFO) -> ImageSet:
    """Images with ``labels``, in memory; image ids are ``i0``, ``i1``..."""
    rows: dict[str, list[Any]] = {"image": [], "pixel_hash": [], "image_id": [], "patient_id": [], "prompt": []}
    for position, image in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        rows["image"].append({"bytes": stream.getvalue(), "path": None})
        rows["pixel_hash"].append(hashlib.sha256(image.tobytes()).hexdigest())
        rows["image_id"].append(f"i{position}")
        rows["patient_id"].append(f"p{position}")
        rows["prompt"].append(None)
    for label in info.labels:
        rows[label.name] = [each.get(label.name) for each in labels]
    return ImageSet(datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()), info)


def labelled(count: int, seed: int = 0, size: tuple[int, int] = (16, 12)) -> ImageSet:
    """Images of 40 grey levels, 30 brighter for each ``level``, and 40 brighter on their ``side``."""
    rng = np.random.default_rng(seed)
    labels = [{"level": int(rng.integers(4)), "side": int(rng.integers(2))} for _ in range(count)]
    images = rng.normal(40, 6, (count, *size))
    for image, each in zip(images, labels, strict=True):
        half = slice(size[1] // 2, None) if each["side"] else slice(0, size[1] // 2)
        image += 30 * each["level"]
        image[:, half] += 40
    return image_set(np.clip(images, 0, 255).astype(np.uint8), labels)


def request(
    name: str, purpose: Purpose = "fidelity", prompt: str | None = None, *, run: int = 0, **labels: int | None
) -> Request:
    """A request whose seed follows from its name and ``run``."""
    seed = int.from_bytes(hashlib.sha256(f"{run} {name}".encode()).digest()[:8], "big") >> 1
    return Request(name, purpose, labels, {}, prompt, seed, source=name)


def requests_like(images: ImageSet, purpose: Purpose = "fidelity", *, run: int = 0) -> list[Request]:
    """One request for the conditions of each image."""
    columns = {name: images.column(name) for name in images.info.conditions}
    return [
        request(f"{purpose}-{position}", purpose, run=run, **{name: columns[name][position] for name in columns})
        for position in range(len(images))
    ]


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """The functions of this file, for tests."""
    return SimpleNamespace(
        info=INFO, image_set=image_set, labelled=labelled, request=request, requests_like=requests_like
    )


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
