"""Damage real images, let the evaluators take them for synthetic ones, and keep what they say."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.api import BenchError, Encoder, Evaluator, FeatureReader, ImageSet, Material, Metric, Split
from bench.runtime.progress import track
from bench.statistics.randomness import named_rng
from bench.storage.files import content_key
from bench.storage.image_sets import write_set
from bench.storage.kept_arrays import Arrays
from bench.validity.damages import DAMAGES, Damage
from bench.validity.response import Over, Place, Response, respond
from bench.validity.stand_in import Picture, Pool, StandIn

FEWEST = 50  # images under which most metrics refuse
Values = dict[tuple[str, str | None, str], float | None]  # by metric, encoder and group


class Row(NamedTuple):
    """What is judged: a metric in an encoder, over all images or as the mean over ``groups``."""

    metric: str
    encoder: str | None
    over: Over
    groups: tuple[str, ...]

    def value(self, values: Values) -> float | None:
        """``None`` where any group was refused."""
        found = [values.get((self.metric, self.encoder, group)) for group in self.groups]
        known = [each for each in found if each is not None]
        return float(np.mean(known)) if len(known) == len(found) else None


@dataclass(frozen=True)
class Kept:
    """A ``bench.api.Keep`` of one evaluator for as long as the report takes."""

    arrays: dict[str, Arrays] = field(default_factory=dict)

    def __call__(self, identity: Sequence[Any], make: Callable[[], Arrays]) -> Arrays:
        key = content_key(list(identity))
        if key not in self.arrays:
            self.arrays[key] = make()
        # whoever writes into what he got changes nothing for others
        return {name: array.copy() for name, array in self.arrays[key].items()}


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

    @cached_property
    def damages(self) -> list[Damage]:
        """The damage that changes anything on these images."""
        return [each for each in DAMAGES if each.fault.applies(self._pool)]

    def responses(self) -> list[Response]:
        """How every judged metric responds to every damage, by metric, encoder and damage as they are declared."""
        total = 1 + self.draws + sum(len(damage.strengths) for damage in self.damages)
        with tempfile.TemporaryDirectory(prefix="validity-") as folder:
            measured = [
                (name, self._measured(name, images, Path(folder)))
                for name, images in track(self._sets(), "measuring", total=total, unit="set")
            ]
        first = measured[0][1]
        # without the first: draws hold training images, to what looks for copies a difference that is no chance
        undamaged = [values for name, values in measured if name == "draw"]
        found = []
        for row in rows(first):
            if self.metrics[row.metric].better == "neither":
                continue
            idle = [row.value(draw) for draw in undamaged]
            for damage in self.damages:
                grades = [first, *(values for name, values in measured if name == damage.name)]
                where = Place(row.encoder, row.over, damage.name, tuple(self._shared * each for each in damage.chance))
                found.append(respond(self.metrics[row.metric], where, [row.value(each) for each in grades], idle))
        return found

    @cached_property
    def _kept(self) -> dict[str, Kept]:
        return {title: Kept() for title in self.evaluators}

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        return {metric.key: metric for each in self.evaluators.values() for metric in each.metrics}

    def examples(self) -> dict[str, list[Picture]]:
        """Pictures of every damage."""
        return {
            each.name: each.fault.pictures(self._undamaged, each.strengths, self._rng(each.name))
            for each in self.damages
        }

    @property
    def _shared(self) -> float:
        """How much more independent sets would vary than the draws do, which share images: that of a mean."""
        return float((1 - self.n / len(self._pool)) ** -0.5)

    @cached_property
    def _pool(self) -> Pool:
        return Pool.of(self.split)

    @cached_property
    def _undamaged(self) -> StandIn:
        return StandIn.of(self._pool, np.sort(self._rng("chosen").permutation(self._pool.held_out)[: self.n]))

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _sets(self) -> Iterator[tuple[str, StandIn]]:
        """The undamaged set, the draws, and every damage at every grade."""
        yield "undamaged", self._undamaged
        rng = self._rng("draw")
        for _ in range(self.draws):
            yield "draw", StandIn.of(self._pool, rng.permutation(len(self._pool))[: self.n])
        for damage in self.damages:
            for strength in damage.strengths:
                # the same source of randomness at every grade, so that grades differ in strength only
                yield damage.name, damage.fault(self._undamaged, strength, self._rng(damage.name))

    def _measured(self, name: str, found: StandIn, folder: Path) -> Values:
        images = self._written(found, Path(tempfile.mkdtemp(prefix=name, dir=folder)) / "images")
        values: Values = {}
        for title, evaluator in self.evaluators.items():
            material = Material(
                split=self.split,
                images=dict.fromkeys(evaluator.purposes, images),
                encoders=self.encoders,
                features=self.features,
                rng=named_rng(title, self.seed),
                leave=lambda name, content: None,
                keep=self._kept[title],
            )
            values |= {(each.metric, each.encoder, each.group): each.value for each in evaluator(material)}
        return values

    def _written(self, found: StandIn, folder: Path) -> ImageSet:
        """Images as a generator would have left them: each of a patient of its own."""
        rows = (
            {**told, "purpose": "fidelity", "image": image, "image_id": f"{i}", "patient_id": f"{i}"}
            for i, (image, told) in enumerate(zip(found.images, found.told, strict=True))
        )
        return write_set(rows, self.split.info, folder)


def rows(values: Values) -> list[Row]:
    """What can be judged by the values of the undamaged set: all images, and groups where any was measured."""
    measured: dict[tuple[str, str | None], list[str]] = {}
    found: dict[tuple[str, str | None], list[Row]] = {}
    for (metric, encoder, group), value in values.items():
        if group == "all":
            found.setdefault((metric, encoder), []).append(Row(metric, encoder, "all", ("all",)))
        elif value is not None:
            measured.setdefault((metric, encoder), []).append(group)
    for (metric, encoder), groups in measured.items():
        found.setdefault((metric, encoder), []).append(Row(metric, encoder, "groups", tuple(groups)))
    return [row for each in found.values() for row in each]
