"""Toy data for tests: a data set described, images of given arrays, requests, and what an evaluator is given.

The pictures are a test's own, but for the half-ellipses that many share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np

from bench.api import DatasetInfo, Encoder, Images, ImageSet, Label, Leave, Material, Purpose, Request, Rows, Split
from bench.storage.image_sets import write_set


def described(*labels: Label, **given: Any) -> DatasetInfo:
    """A data set with ``labels``, all of them conditions and none a target, unless further fields are given."""
    usual = {"name": "toy", "title": "Toy", "modality": "toy", "targets": ()}
    return DatasetInfo(**usual | {"labels": labels, "conditions": tuple(label.name for label in labels)} | given)


def rows(images: Sequence[np.ndarray], name: str = "", **columns: Any) -> list[dict[str, Any]]:
    """A row for each image, as ``write_set`` takes them.

    ``columns`` are a list of one value an image, or one value for all. Unless they say otherwise, ids are ``name`` and
    a number, each image is a patient of its own, and nothing else is known.
    """
    ids = [f"{name}{i}" for i in range(len(images))]
    columns = {"prompt": None, "labels": {}, "attributes": {}, "image_id": ids} | columns
    columns = {"image": list(images), "patient_id": columns["image_id"]} | columns
    return [
        {key: column[i] if isinstance(column, list) else column for key, column in columns.items()}
        for i in range(len(images))
    ]


def image_set(
    images: Sequence[np.ndarray], info: DatasetInfo, folder: Path | None = None, name: str = "", **columns: Any
) -> ImageSet:
    """Images written to ``folder``, or held in memory where there is none; see ``rows``."""
    if folder is not None:
        return write_set(rows(images, name, **columns), info, folder)
    with TemporaryDirectory() as passing:
        write_set(rows(images, name, **columns), info, Path(passing, "set"))
        return ImageSet(datasets.Dataset.from_file(str(Path(passing, "set", "images.arrow")), in_memory=True), info)


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


def leaving(folder: Path) -> Leave:
    """Puts what an evaluator leaves into ``folder``."""

    def leave(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)

    return leave


def material(split: Split, images: Mapping[Purpose, ImageSet], folder: Path, **given: Any) -> Material:
    """What an evaluator is given that leaves its files in ``folder``.

    Further fields of ``Material`` are ``given``; without, there are no encoders, those there are encode the pixels,
    and randomness starts from 0.
    """
    encoders: Mapping[str, Encoder] = given.pop("encoders", {})

    def encoded(name: str, images: ImageSet) -> Rows:
        return encoders[name](images.pixels())

    usual = {"features": encoded, "rng": np.random.default_rng(0), "leave": leaving(folder)}
    return Material(split, images, encoders, **usual | given)


class Given(Encoder):
    """Its rows are given, not encoded."""

    def __call__(self, images: Images) -> Rows:
        raise AssertionError("the rows are given")


class GivenUnits(Given):
    """The same, said to be of different units."""

    column_units = "different"


INFO = described(
    Label("level", "ordinal", (1, 2, 3, 4)),
    Label("dense", "binary", (0, 1), ("no", "yes")),
    title="Half-ellipses",
    modality="mammography",
    conditions=("level",),
    targets=("dense",),
    groups=("dense",),
    attributes=("laterality",),
    prompted=("level",),
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


def toy_labels(count: int) -> list[dict[str, int]]:
    """The four levels in turn, the upper two of them dense."""
    return [{"level": i % 4 + 1, "dense": int(i % 4 > 1)} for i in range(count)]


def toy_set(folder: Path, name: str, count: int, size: int = 32) -> ImageSet:
    """``count`` half-ellipses, one a patient, reproducible by ``name``."""
    rng = np.random.default_rng([count, size, *name.encode()])
    labels = toy_labels(count)
    return image_set(
        [draw(rng, each["level"], size) for each in labels],
        INFO,
        folder / f"{name}-{count}-{size}",
        image_id=[f"{name}_{i:04d}" for i in range(count)],
        prompt=[f"level {each['level']}" for each in labels],
        labels=labels,
        attributes=[{"laterality": "L" if i % 2 else "R"} for i in range(count)],
    )


def toy_split(folder: Path, train: int, holdout: int, test: int) -> Split:
    """That many images in each part."""
    parts = {"train": train, "holdout": holdout, "test": test}
    return Split(*(toy_set(folder, name, count) for name, count in parts.items()))
