"""A small fixed material for every evaluator: the same pixels, labels and features on every machine.

All of it comes from bytes of SHA-256 by integer arithmetic. A library's random stream may change with its version, and
floating-point sums with the machine; neither decides a pixel here. Features are multiples of a power of two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bench.api import (
    Classifies,
    ComparesPairs,
    DatasetInfo,
    Encoder,
    Evaluator,
    HasFrequencies,
    Images,
    ImageSet,
    Label,
    Material,
    PublishedRadiomics,
    Purpose,
    ReadsText,
    Rows,
    Score,
    Split,
)
from bench.statistics.arrays import Integers
from bench.storage.image_reader import encode_png, pixel_hash

SIDE = 32  # pixels along an edge
BLOCK = 8  # pixels along the edge of a block whose mean is a feature
COUNTS = {"train": 120, "holdout": 128, "test": 208}  # enough for every metric of the card and of fidelity
MADE = 512  # generated images: the copying test and the inception score want 500
COPIES, NEAR_COPIES = 2, 3  # few, so that p-values and shares stay away from their ends
PROMPTS = 64
VISITS = (1, 2, 3, 4)  # images of one patient and the next
LAGS = (16, 12, 8, 6, 4, 3, 2, 1)  # pixels between which differences are taken, coarse to fine
STAND_INS = ("radiomics", "spectrum")  # for an evaluator that reads whatever is configured
GROUP = "view"
PURPOSES: tuple[Purpose, ...] = ("fidelity", "utility", "privacy")
SEED = 20240229


def hash_bytes(name: str, count: int) -> Integers:
    """``(count,)`` integers in 0-255: the bytes of SHA-256 of ``"<name> 0"``, ``"<name> 1"`` and so on."""
    blocks = (hashlib.sha256(f"{name} {number}".encode()).digest() for number in range(-(-count // 32)))
    return np.frombuffer(b"".join(blocks)[:count], np.uint8).astype(np.int64)


def texture(name: str, count: int, width: int) -> Integers:
    """``(count, SIDE, SIDE)`` periodic noise of mean 0 and SD about 74, in which ``width`` pixels look alike."""
    raw = hash_bytes(name, count * SIDE * SIDE).reshape(count, SIDE, SIDE) - 128
    for axis in (1, 2):
        around = np.concatenate([raw, raw.take(range(width - 1), axis)], axis)
        sums = np.insert(around.cumsum(axis), 0, 0, axis)
        raw = sums.take(range(width, SIDE + width), axis) - sums.take(range(SIDE), axis)
    return raw // width


def patients_of(count: int) -> Integers:
    """``(count,)`` the number of the patient of each image, in order; patients have ``VISITS`` images in turn."""
    return np.repeat(np.arange(count), np.resize(VISITS, count))[:count]


def real_images(part: str) -> Images:
    """``(N, SIDE, SIDE)``: what is common to a patient, what is an image's own, a finding, and a dark border."""
    count = COUNTS[part]
    patient = patients_of(count)
    shared = texture(f"{part} patient", int(patient[-1]) + 1, 9)[patient]
    return _drawn(110 + shared // 4 + texture(f"{part} image", count, 5) // 4, patient % 2, patient % 5)


def generated_images(train: Images, holdout: Images) -> Images:
    """``(MADE, SIDE, SIDE)``: flatter, brighter and noisier than real ones; the first are copies and near copies."""
    number = np.arange(MADE)
    values = 118 + texture("generated", MADE, 7) // 3 + texture("generated noise", MADE, 1) // 8
    made = _drawn(values, number % 2, 2 + number % 3)
    near = np.concatenate([train[11 : 11 + 9 * NEAR_COPIES : 9], holdout[11 : 11 + 9 * NEAR_COPIES : 9]])
    near = np.clip(near + texture("generated near", len(near), 1) // 16, 0, 255).astype(np.uint8)
    copied = np.concatenate([train[7 : 7 + 9 * COPIES : 9], near])
    made[: len(copied)] = copied
    return made


def _drawn(values: Integers, finding: Integers, border: Integers) -> Images:
    """Grey levels with a bright square where there is a finding and ``4 + border`` black columns on the right."""
    values = values.copy()
    values[:, 10:18, 6:14] += 16 * finding[:, None, None]
    values[np.arange(SIDE) >= SIDE - 4 - border[:, None, None] + np.zeros_like(values)] = 0
    return np.clip(values, 0, 255).astype(np.uint8)


class BlockMeans(Encoder):
    """Means of square blocks, about mid-grey and in units of 32 grey levels."""

    id = "block-means-1"
    dim = (SIDE // BLOCK) ** 2

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, SIDE, SIDE)`` uint8 into ``(B, 16)`` float32, exactly."""
        blocks = images.astype(np.int64).reshape(len(images), SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK) - 128
        return (blocks.sum(axis=(2, 4)).reshape(len(images), -1) / (32.0 * BLOCK * BLOCK)).astype(np.float32)


class LagEnergies(Encoder, Classifies, ReadsText, HasFrequencies, ComparesPairs, PublishedRadiomics):
    """Base-10 logarithm of the mean squared difference of pixels that lie some lag apart, a column a lag.

    Has every further capability that an evaluator may look for in an encoder.
    """

    id = "lag-energies-1"
    dim = len(LAGS)
    column_units = "different"
    frequencies = 0.5 / np.array(LAGS)
    pair_distance = "none"
    radiomic_features = tuple(f"energy at lag {lag}" for lag in LAGS)
    published_as = "nowhere"

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, SIDE, SIDE)`` uint8 into ``(B, 8)`` float32."""
        values = images.astype(np.int64)
        energies = [np.square(values - np.roll(values, lag, axis=2)).sum(axis=(1, 2)) for lag in LAGS]
        logs = np.log10(1.0 + np.stack(energies, axis=1) / (SIDE * SIDE)) - 3.25
        # rounded, so that the last digits of a library's logarithm decide nothing
        return (np.rint(logs * 4096) / 4096).astype(np.float32)

    def logits(self, rows: Rows) -> Rows:
        """Class scores ``(B, 8)`` of feature rows."""
        return 8 * rows

    def texts(self, prompts: Sequence[str]) -> Rows:
        """Embeddings ``(T, 8)`` of prompts of the material: along the rougher images for a higher number."""
        numbers = [int(text.split()[-1]) for text in prompts]
        known = zip(prompts, numbers, strict=True)
        rows = [hash_bytes(text, self.dim) / 256 + 4 * n / PROMPTS - 2 for text, n in known]
        return np.stack(rows).astype(np.float32)


@dataclass(frozen=True)
class StandInEncoders(Mapping[str, Encoder]):
    """An encoder under any name: all of ``names`` but the first are ``LagEnergies``, every other ``BlockMeans``."""

    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Encoder:
        return LagEnergies() if name in self.names[1:] else BlockMeans()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def description(groups: Sequence[str]) -> DatasetInfo:
    """What the material says of itself; every name in ``groups`` is a group column."""
    return DatasetInfo(
        name="fixed",
        title="Fixed material",
        modality="none",
        labels=(Label("finding", "binary", (0, 1), ("no", "yes")),),
        conditions=("finding",),
        targets=("finding",),
        groups=tuple(groups),
        attributes=tuple(groups),
        required_attributes=("finding", groups[0], "device"),
        citation="none",
    )


def roughness(images: Images) -> Integers:
    """``(N,)``: sums of the squared differences of neighbouring pixels."""
    return np.square(np.diff(images.astype(np.int64), axis=2)).sum(axis=(1, 2))


def image_set(name: str, images: Images, patients: Sequence[str], groups: Sequence[str]) -> ImageSet:
    """``images`` in memory, with a finding by patient, two groups, and a prompt that tells how rough an image is."""
    import datasets

    info = description(groups)
    number = np.arange(len(images))
    finding = (np.unique(np.asarray(patients), return_inverse=True)[1] % 2).tolist()
    ranks = roughness(images).argsort(kind="stable").argsort()
    columns: dict[str, list[Any]] = {
        "image": [{"bytes": encode_png(image), "path": None} for image in images],
        "pixel_hash": [pixel_hash(image) for image in images],
        "image_id": [f"{name}-{i:04d}" for i in number],
        "patient_id": list(patients),
        "prompt": [f"roughness {rank * PROMPTS // len(images)}" for rank in ranks],
        "finding": finding,
        **{group: ["side" if i % 2 else "front" for i in number] for group in groups},
    }
    text = datasets.Value("string")
    kinds = {"image": datasets.Image(), "finding": datasets.Value("int64")}
    features = datasets.Features({column: kinds.get(column, text) for column in columns})
    return ImageSet(datasets.Dataset.from_dict(columns, features=features), info)


@lru_cache(maxsize=4)
def sets(groups: tuple[str, ...]) -> tuple[Split, ImageSet]:
    """The real images and the generated ones, which serve every purpose."""
    pixels = {part: real_images(part) for part in COUNTS}
    owners = {part: [f"{part}-{number:03d}" for number in patients_of(count)] for part, count in COUNTS.items()}
    split = Split(**{part: image_set(part, pixels[part], owners[part], groups) for part in COUNTS})
    made = [f"generated-{number:03d}" for number in range(MADE)]
    return split, image_set("generated", generated_images(pixels["train"], pixels["holdout"]), made, groups)


def fixed_material(evaluator: Evaluator) -> Material:
    """The material under the names of encoders and groups that ``evaluator`` reads; what it leaves is dropped."""
    named = evaluator.groups
    split, made = sets(tuple(named) if named else (GROUP,))
    chosen = evaluator.encoders
    encoders = StandInEncoders(STAND_INS if chosen is None else tuple(str(name) for name in chosen))
    return Material(
        split=split,
        images=dict.fromkeys(PURPOSES, made),
        encoders=encoders,
        features=lambda encoder, images: encoders[encoder](images.pixels()),
        rng=np.random.default_rng(SEED),
        leave=lambda name, content: None,
        scores={"privacy": EARLIER_SCORES},
        generator={**GENERATOR, "told": [*split.info.conditions, *split.info.groups]},
    )


GENERATOR: Mapping[str, Any] = {
    "name": "fixed",
    "target": "none",
    "settings": {},
    "seed": 0,
    "trained_on": "train",
    "unread": [],
    "documentation": {"intended_use": "none", "random_seed": "0", "environment": "any"},
    "facts": {},
}
# what an evaluator that reads the scores of others finds: no copy, no leak, an attack a little better than chance
EARLIER_SCORES = (
    Score("mia_auc", 0.5625, 0.5, 0.625, MADE),
    Score("duplicates", 0.0, 0.0, 0.0078125, MADE),
    Score("leak_found", 0.0, None, None, MADE, reason="fixed"),
)
