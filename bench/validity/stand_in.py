"""Real images that stand in for synthetic ones, and the three ways to spoil them: pixels, choice, what was asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bench.api import Images, ImageSet, Split
from bench.statistics.arrays import Indices

Told = Mapping[str, Any]  # ``labels``, ``attributes`` and ``prompt``, as a request has them
Change = Callable[[Images, float, np.random.Generator], Images]
STRIP = 6  # pictures that show a fault which no single picture shows


@dataclass(frozen=True)
class Pool:
    """All images that may stand in: ``held_out`` holdout images, then the training images."""

    images: ImageSet
    held_out: int

    @staticmethod
    def of(split: Split) -> Pool:
        from datasets import concatenate_datasets

        rows = concatenate_datasets([split.holdout.rows, split.train.rows])
        return Pool(ImageSet(rows, split.info), len(split.holdout))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def train(self) -> Indices:
        """The rows of training images."""
        return np.arange(self.held_out, len(self))

    @cached_property
    def groups(self) -> list[str]:
        """The conditions of every row, as one text."""
        columns = [self.images.group(name) for name in self.images.info.conditions]
        return ["/".join(row) for row in zip(*columns, strict=True)] or [""] * len(self)

    @cached_property
    def told(self) -> list[Told]:
        """What a generator would be asked for, to make an image like that of each row."""
        info = self.images.info
        labels = {label.name: self.images.column(label.name) for label in info.labels}
        attributes = {name: self.images.column(name) for name in info.attributes}
        prompts = self.images.column("prompt")
        return [
            {
                "labels": {name: values[i] for name, values in labels.items()},
                "attributes": {name: values[i] for name, values in attributes.items()},
                "prompt": prompts[i],
            }
            for i in range(len(self))
        ]


@dataclass(frozen=True)
class StandIn:
    """Images that stand in for synthetic ones.

    Attributes:
        shown: ``(N,)`` the row of the pool that each image is of.
        images: ``(N, H, W)``, damaged or not.
        told: what was asked for, one for each image.
    """

    pool: Pool
    shown: Indices
    images: Images
    told: Sequence[Told]

    @staticmethod
    def of(pool: Pool, shown: Indices, asked: Indices | None = None) -> StandIn:
        """The images of the rows ``shown`` under what is known of the rows ``asked``, the same ones by default."""
        rows = shown if asked is None else asked
        return StandIn(pool, shown, pool.images.pixels(shown.tolist()), [pool.told[row] for row in rows])


class Picture(NamedTuple):
    """An image ``(H, W)`` and the words below it."""

    image: Images
    caption: str


class Fault(ABC):
    """What spoils a set of images."""

    @abstractmethod
    def __call__(self, whole: StandIn, strength: float, rng: np.random.Generator) -> StandIn:
        """The same set, spoiled; strength 0 changes nothing."""

    @abstractmethod
    def pictures(self, whole: StandIn, strengths: Sequence[float], rng: np.random.Generator) -> list[Picture]:
        """What it looks like."""

    def applies(self, pool: Pool) -> bool:
        """Whether it changes anything on these images."""
        return True


@dataclass(frozen=True)
class OfPixels(Fault):
    """Every image is changed, more or less."""

    change: Change

    def __call__(self, whole: StandIn, strength: float, rng: np.random.Generator) -> StandIn:
        return replace(whole, images=self.change(whole.images, strength, rng))

    def pictures(self, whole: StandIn, strengths: Sequence[float], rng: np.random.Generator) -> list[Picture]:
        """One image at every grade, with the same randomness."""
        image, state = whole.images[:1], rng.bit_generator.state
        found = [Picture(image[0], "undamaged")]
        for grade, strength in enumerate(strengths, 1):
            rng.bit_generator.state = state
            found.append(Picture(self.change(image, strength, rng)[0], f"grade {grade}"))
        return found


@dataclass(frozen=True)
class OfSomeImages(Fault):
    """A share of the images, as large as the strength, is changed, all in one way; a larger share holds a smaller."""

    change: Callable[[Images, np.random.Generator], Images]

    def __call__(self, whole: StandIn, strength: float, rng: np.random.Generator) -> StandIn:
        images, some = whole.images.copy(), affected(len(whole.images), strength, rng)
        images[some] = self.change(whole.images[some], rng)
        return replace(whole, images=images)

    def pictures(self, whole: StandIn, strengths: Sequence[float], rng: np.random.Generator) -> list[Picture]:
        """One image with and without."""
        image = whole.images[:1]
        return [Picture(image[0], "undamaged"), Picture(self.change(image, rng)[0], "affected")]


@dataclass(frozen=True)
class OfChoice(Fault):
    """Each image is real; which images there are, and what they were asked for, is wrong.

    ``choose`` gets the pool, the rows chosen, the strength and randomness, and gives the rows shown and the rows whose
    description was asked for.
    """

    choose: Callable[[Pool, Indices, float, np.random.Generator], tuple[Indices, Indices]]

    def __call__(self, whole: StandIn, strength: float, rng: np.random.Generator) -> StandIn:
        return StandIn.of(whole.pool, *self.choose(whole.pool, whole.shown, strength, rng))

    def pictures(self, whole: StandIn, strengths: Sequence[float], rng: np.random.Generator) -> list[Picture]:
        return _strip(self(whole, strengths[-1], rng))


@dataclass(frozen=True)
class OfWords(Fault):
    """A share of the images, as large as the strength, was asked for otherwise than it is."""

    change: Callable[[Told], Told]

    def __call__(self, whole: StandIn, strength: float, rng: np.random.Generator) -> StandIn:
        some = set(affected(len(whole.told), strength, rng).tolist())
        told = [self.change(each) if i in some else each for i, each in enumerate(whole.told)]
        return replace(whole, told=told)

    def pictures(self, whole: StandIn, strengths: Sequence[float], rng: np.random.Generator) -> list[Picture]:
        return _strip(self(whole, strengths[-1], rng))

    def applies(self, pool: Pool) -> bool:
        return any(self.change(each) != each for each in pool.told)


def affected(count: int, share: float, rng: np.random.Generator) -> Indices:
    """A random ``share`` of ``count`` places, in order; of one state of ``rng``, a larger share holds a smaller."""
    return np.sort(rng.permutation(count)[: round(share * count)])


def _strip(found: StandIn) -> list[Picture]:
    """Images asked for otherwise first, then in the order of the pool, so that those shown twice stand together."""
    fits = [found.pool.told[row] == told for row, told in zip(found.shown, found.told, strict=True)]
    order = np.lexsort((found.shown, fits))[:STRIP]
    return [Picture(found.images[i], _caption(found, i)) for i in order]


def _caption(found: StandIn, i: int) -> str:
    """Which real image it is, and what was asked for instead, by the first two differences."""
    row, pool = int(found.shown[i]), found.pool
    name = f"holdout {row}" if row < pool.held_out else f"train {row - pool.held_out}"
    own, asked = (_flat(each) for each in (pool.told[row], found.told[i]))
    info = pool.images.info
    names = dict.fromkeys([*info.groups, *info.conditions, *info.attributes, "prompt"])
    readable = {each.name: each.text for each in info.labels}
    other = [(each, readable.get(each, str)) for each in names if own[each] != asked[each]][:2]
    words = [f"{each} {said(own[each])}, asked for {said(asked[each])}" for each, said in other]
    return "; ".join([name, *words])


def _flat(told: Told) -> dict[str, Any]:
    return {**told["labels"], **told["attributes"], "prompt": told["prompt"]}
