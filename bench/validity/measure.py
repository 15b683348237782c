"""Damage real images, let the evaluators take them for synthetic ones, and keep what they say."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.api import BenchError, Encoder, Evaluator, FeatureReader, Images, ImageSet, Material, Metric, Split
from bench.runtime.progress import track
from bench.statistics.arrays import Indices
from bench.statistics.randomness import named_rng
from bench.storage.image_sets import write_set
from bench.validity.corruptions import blur, contrast, copies, fewer_groups, noise, repeats, warp
from bench.validity.response import Place, Response, respond

FEWEST = 50  # images under which most metrics refuse
Values = dict[tuple[str, str | None], float | None]  # by metric and encoder


@dataclass(frozen=True, slots=True)
class Damage:
    """One way of being wrong and its five grades.

    ``chance`` is, for each grade, how much more a mean over the images varies by chance than over undamaged ones.
    """

    name: str
    title: str
    unit: str
    strengths: tuple[float, ...]
    chance: tuple[float, ...] = (1.0,) * 5


PIXELS: dict[str, Callable[[Images, float, np.random.Generator], Images]] = {
    "blur": blur,
    "noise": noise,
    "contrast": contrast,
    "warp": warp,
}
DISTINCT = (0.7, 0.5, 0.3, 0.2, 0.1)
DAMAGES = (
    Damage("blur", "Blur", "SD, share of the side", (0.004, 0.008, 0.016, 0.032, 0.064)),
    Damage("noise", "Noise", "SD in grey levels", (1.0, 2.0, 4.0, 8.0, 16.0)),
    Damage("contrast", "Contrast loss", "share lost", (0.05, 0.1, 0.2, 0.4, 0.8)),
    Damage("warp", "Elastic warp", "RMS shift, share of the side", (0.005, 0.01, 0.02, 0.04, 0.08)),
    Damage("groups", "Label groups lost", "share of the images, rarest first", (0.1, 0.2, 0.4, 0.6, 0.8)),
    Damage(
        "repeats",
        "Few images repeated",
        "share of distinct images lost",
        tuple(round(1 - share, 6) for share in DISTINCT),
        tuple(share**-0.5 for share in DISTINCT),
    ),
    Damage("copies", "Copies of training images", "share of the images", (0.1, 0.25, 0.5, 0.75, 1.0)),
)


@dataclass(frozen=True)
class Bench:
    """Everything one report needs.

    Attributes:
        evaluators: those whose metrics are judged, by name, save the metrics that only describe.
        images: how many holdout images stand in for synthetic ones; ``None`` means all.
        draws: how many undamaged sets of as many images, drawn from train and holdout, tell chance from change.
        seed: decides the draws and the damage.
    """

    split: Split
    evaluators: Mapping[str, Evaluator]
    encoders: Mapping[str, Encoder]
    features: FeatureReader
    images: int | None
    draws: int
    seed: int

    def __post_init__(self) -> None:
        if self.n < FEWEST or self.draws < 3:
            raise BenchError(f"validity has {self.n} holdout images and {self.draws} draws; it needs {FEWEST} and 3")

    @property
    def n(self) -> int:
        """Images in every set that stands in for a synthetic one."""
        return len(self.split.holdout) if self.images is None else min(self.images, len(self.split.holdout))

    def responses(self) -> list[Response]:
        """How every judged metric responds to every damage, by metric, encoder and damage as they are declared."""
        total = 1 + self.draws + sum(len(damage.strengths) for damage in DAMAGES)
        with tempfile.TemporaryDirectory(prefix="validity-") as folder:
            measured = [
                (name, self._measured(name, images, Path(folder)))
                for name, images in track(self._sets(), "measuring", total=total, unit="set")
            ]
        first = measured[0][1]
        undamaged = [first, *(values for name, values in measured if name == "draw")]
        found = []
        for metric, encoder in first:
            if self.metrics[metric].better == "neither":
                continue
            for damage in DAMAGES:
                grades = [first, *(values for name, values in measured if name == damage.name)]
                values = [grade.get((metric, encoder)) for grade in grades]
                idle = [draw.get((metric, encoder)) for draw in undamaged]
                where = Place(encoder, damage.name, damage.chance)
                found.append(respond(self.metrics[metric], where, values, idle))
        return found

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        return {metric.key: metric for each in self.evaluators.values() for metric in each.metrics}

    def examples(self) -> dict[str, Images]:
        """One image at grades 0 to 5 of every damage of pixels: ``(6, H, W)``."""
        image = self._pool.pixels(self._chosen[:1].tolist())
        return {
            damage.name: np.concatenate([image, *(self._damaged(damage, each, image) for each in damage.strengths)])
            for damage in DAMAGES
            if damage.name in PIXELS
        }

    @cached_property
    def _pool(self) -> ImageSet:
        """Holdout images, then training images."""
        from datasets import concatenate_datasets

        return ImageSet(concatenate_datasets([self.split.holdout.rows, self.split.train.rows]), self.split.info)

    @cached_property
    def _chosen(self) -> Indices:
        return np.sort(self._rng("chosen").permutation(len(self.split.holdout))[: self.n])

    @cached_property
    def _groups(self) -> list[str]:
        """What is asked of a generator, as one text for every image of the pool."""
        columns = [self._pool.group(name) for name in self.split.info.conditions]
        return ["/".join(row) for row in zip(*columns, strict=True)] or [""] * len(self._pool)

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _damaged(self, damage: Damage, strength: float, images: Images) -> Images:
        # the same source of randomness at every grade, so that grades differ in strength only
        return PIXELS[damage.name](images, strength, self._rng(damage.name))

    def _sets(self) -> Iterator[tuple[str, Images]]:
        """The undamaged set, the draws, and every damage at every grade."""
        undamaged = self._images(self._chosen)
        yield "undamaged", undamaged
        rng = self._rng("draw")
        for _ in range(self.draws):
            yield "draw", self._images(rng.permutation(len(self._pool))[: self.n])
        for damage in DAMAGES:
            for strength in damage.strengths:
                if damage.name in PIXELS:
                    yield damage.name, self._damaged(damage, strength, undamaged)
                else:
                    yield damage.name, self._images(self._selected(damage.name, strength))

    def _images(self, chosen: Indices) -> Images:
        return self._pool.pixels(chosen.tolist())

    def _selected(self, name: str, strength: float) -> Indices:
        rng = self._rng(name)
        if name == "groups":
            return fewer_groups(self._groups, self._chosen, strength, rng)
        if name == "repeats":
            return repeats(self._chosen, strength, rng)
        train = np.arange(len(self.split.holdout), len(self._pool))
        return copies(self._chosen, train, strength, rng)

    def _measured(self, name: str, pixels: Images, folder: Path) -> Values:
        images = self._written(pixels, Path(tempfile.mkdtemp(prefix=name, dir=folder)) / "images")
        values: Values = {}
        for title, evaluator in self.evaluators.items():
            material = Material(
                split=self.split,
                images=dict.fromkeys(evaluator.purposes, images),
                encoders=self.encoders,
                features=self.features,
                rng=named_rng(title, self.seed),
                leave=lambda name, content: None,
            )
            values |= {(each.metric, each.encoder): each.value for each in evaluator(material) if each.group == "all"}
        return values

    def _written(self, images: Images, folder: Path) -> ImageSet:
        """Images as a generator would have left them: each of a patient of its own."""
        fixed: dict[str, object] = {"prompt": None, "labels": {}, "attributes": {}, "purpose": "fidelity"}
        rows = ({**fixed, "image": image, "image_id": f"{i}", "patient_id": f"{i}"} for i, image in enumerate(images))
        return write_set(rows, self.split.info, folder)
