"""Toy pictures of patients, an honest generator, and two encoders that compute features from the pixels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.api import DatasetInfo, Encoder, Images, ImageSet, Material, Rows, Score, Split
from bench.storage.files import content_key
from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.evaluator import Privacy
from tests.toy import described, image_set, material

TRAIN, HOLDOUT, TEST, MADE = 600, 300, 300, 600
COARSE, SIDE = 6, 32


class Means(Encoder):
    """Mean grey level of each of 64 blocks."""

    id = "toy-means"
    dim = 64

    def __call__(self, images: Images) -> Rows:
        blocks = images.reshape(len(images), 8, 4, 8, 4).astype(np.float64)
        return blocks.mean(axis=(2, 4)).reshape(len(images), -1).astype(np.float32)


class Edges(Encoder):
    """How much grey levels change down and across, the same for a picture and its mirror image, in different units."""

    id = "toy-edges"
    dim = 64
    column_units = "different"

    def __call__(self, images: Images) -> Rows:
        values = images.astype(np.float64)
        rows = []
        for axis in (1, 2):
            changes = np.abs(np.roll(values, 1, axis) - np.roll(values, -1, axis))
            blocks = changes.reshape(len(images), 8, 4, 8, 4).mean(axis=(2, 4))
            rows.append((blocks + blocks[:, :, ::-1])[:, :, :4].reshape(len(images), -1))
        return (np.concatenate(rows, axis=1) * np.geomspace(0.01, 100, self.dim)).astype(np.float32)


ENCODERS: Mapping[str, Encoder] = {"pixels": Means(), "radiomics": Edges()}


KEPT: dict[str, Mapping[str, Any]] = {}


def keep(identity: Sequence[Any], make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Arrays of real images are made once for all tests, as runs on the same data find them again."""
    key = content_key(list(identity))
    if key not in KEPT:
        KEPT[key] = make()
    return KEPT[key]


@dataclass
class World:
    """Pictures of 450 patients, 300 of them in train, of 150 more in the test part, and of an honest generator."""

    pixels: dict[str, Images]
    patients: dict[str, list[str]]
    generator: dict[str, Any] = field(default_factory=lambda: {"trained_on": "train"})
    info: DatasetInfo = field(default_factory=described)
    ids: dict[str, list[str]] = field(default_factory=dict)

    def material(self, folder: Path) -> Material:
        sets = {name: self._set(folder, name) for name in self.pixels}
        split = Split(sets["train"], sets["holdout"], sets["test"])
        folder.mkdir(parents=True, exist_ok=True)
        given = {"encoders": ENCODERS, "rng": np.random.default_rng(7), "generator": self.generator, "keep": keep}
        return material(split, {"privacy": sets["privacy"]}, folder, **given)

    def _set(self, folder: Path, name: str) -> ImageSet:
        ids = self.ids.get(name) or [f"{name}-{i}" for i in range(len(self.pixels[name]))]
        columns = {"patient_id": self.patients[name], "image_id": ids}
        return image_set(self.pixels[name], self.info, folder / "sets" / name, **columns)

    def with_copies(self, kind: str, count: int, seed: int = 0) -> World:
        """The first ``count`` generated pictures are copies of random training pictures."""
        rng = np.random.default_rng([seed, count])
        own, others = (rng.choice(len(self.pixels["train"]), count, replace=False) for _ in range(2))
        made = self.pixels["privacy"].copy()
        made[:count] = TRANSFORMS[kind](self.pixels["train"][own], self.pixels["train"][others])
        return replace(self, pixels=self.pixels | {"privacy": made})

    def with_part(self, part: str, pixels: Images) -> World:
        return replace(self, pixels=self.pixels | {part: pixels})

    def reordered(self, part: str, order: Sequence[int]) -> World:
        """The same images of a part in another order."""
        rows = np.asarray(order)
        names = [self.patients[part][i] for i in rows]
        ids = [f"{part}-{i}" for i in rows]
        return replace(
            self,
            pixels=self.pixels | {part: self.pixels[part][rows]},
            patients=self.patients | {part: names},
            ids=self.ids | {part: ids},
        )


def draw(rng: np.random.Generator, owners: np.ndarray) -> Images:
    """A picture for each of ``owners``: what all pictures of a patient share, and what is its own."""
    shared = rng.uniform(40, 200, (int(owners.max()) + 1, COARSE, COARSE))[owners]
    coarse = np.clip(shared + 12 * rng.normal(size=shared.shape), 0, 255).astype(np.uint8)
    size, bicubic = (SIDE, SIDE), Image.Resampling.BICUBIC
    smooth = np.stack([np.asarray(Image.fromarray(each).resize(size, bicubic)) for each in coarse])
    return np.clip(smooth + 3 * rng.normal(size=smooth.shape), 0, 255).astype(np.uint8)


def honest(seed: int = 0) -> World:
    """Two pictures of every real patient; the generator draws people of the same population."""
    rng = np.random.default_rng(seed)
    real = np.arange(TRAIN + HOLDOUT + TEST) // 2
    pictures, made = draw(rng, real), draw(rng, np.arange(MADE))
    names = [f"p{owner:03d}" for owner in rng.permutation(int(real.max()) + 1)[real]]
    ends = {"train": (0, TRAIN), "holdout": (TRAIN, TRAIN + HOLDOUT), "test": (TRAIN + HOLDOUT, len(real))}
    pixels = {part: pictures[first:last] for part, (first, last) in ends.items()}
    patients = {part: names[first:last] for part, (first, last) in ends.items()}
    return World(pixels | {"privacy": made}, patients | {"privacy": [f"made-{i}" for i in range(MADE)]})


@dataclass(frozen=True)
class Run:
    """What the evaluator said of a world."""

    scores: dict[tuple[str, str | None], Score]
    report: dict[str, Any]
    folder: Path

    def __getitem__(self, metric: str) -> Score:
        """The score that stands alone, or that in pixels."""
        return self.scores.get((metric, None)) or self.scores[metric, "pixels"]

    @property
    def words(self) -> str:
        assert self["leak_found"].words == self.report["verdict"]
        return str(self["leak_found"].words)

    @property
    def reason(self) -> str:
        return str(self["leak_found"].reason)

    def limit(self, kind: str) -> Any:
        return self.report["kinds"][kind]["limit"]


def measure(world: World, folder: Path, permutations: int = 999) -> Run:
    scores = list(Privacy(permutations=permutations)(world.material(folder)))
    found = {(score.metric, score.encoder): score for score in scores}
    assert len(found) == len(scores)
    assert {score.metric for score in scores} == {metric.key for metric in Privacy.metrics}
    return Run(found, json.loads((folder / "privacy.json").read_text()), folder)
