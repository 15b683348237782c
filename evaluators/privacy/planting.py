"""Copies planted in the user's own data: how often a copy of each kind is next to its source, and how it stands out.

Sources are images of the pool, whoever is in which part, so that nothing here depends on the labels that are tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.api import Encoder, Images, Material, Rows
from bench.runtime.blocks import BlockEncoder
from bench.statistics.arrays import Floats, Indices, Mask
from bench.statistics.randomness import named_rng
from bench.storage.picture_changes import TRANSFORMS, Transform
from evaluators.privacy.closeness import Pool, closeness
from evaluators.privacy.view import View

PLANTED = 200  # copies of each kind


@dataclass(frozen=True, slots=True)
class Planted:
    """Copies of one kind in one encoder's features.

    Attributes:
        margins: ``(n,)`` see ``Closeness.margins``.
        hits: ``(n,)`` whether the closest real image is the source's patient's.
    """

    margins: Floats
    hits: Mask


@dataclass(frozen=True, slots=True)
class Sources:
    """What is copied: pooled places ``(n,)``, no two of one patient, and for blends a place of another patient each."""

    own: Indices
    others: Indices


def sources_of(pool: Pool, count: int, rng: np.random.Generator) -> Sources:
    """One image each of ``count`` patients, or of all if there are fewer, and another patient's image each.

    Patients come in the order in which random images name them, so those with more images are likelier among them.

    Raises:
        ValueError: fewer than two patients.
    """
    if pool.patients < 2:
        raise ValueError("a pool of one patient: there is nobody else to blend with")
    shuffled = rng.permutation(len(pool.owners))
    first = np.sort(np.unique(pool.owners[shuffled], return_index=True)[1])
    places = shuffled[first]
    return Sources(places[:count], np.roll(places, 1)[:count])


def pictures(material: Material, pool: Pool, places: Indices) -> Images:
    """Pooled images ``(n, H, W)``; those of each part are read at once, for a call reads in blocks of many rows."""
    split, own = material.split, pool.order[places]
    ours = own < pool.trained
    parts = (split.train, own[ours]), (split.holdout, own[~ours] - pool.trained)
    read = np.concatenate([part.pixels(rows) for part, rows in parts if len(rows)])
    found: Images = read[np.argsort(np.argsort(~ours, kind="stable"))]
    return found


def encoded(encoder: Encoder, images: Images) -> Rows:
    """Rows ``(n, dim)`` of images that are in no set."""
    work = BlockEncoder(encoder, len(images))
    work.take(images)
    return work.rows


def planted(material: Material, pool: Pool, view: View) -> Mapping[str, Planted]:
    """Copies of every kind in the features of one encoder, found again by later runs on the same data."""
    split, encoder = material.split, material.encoders[view.name]
    identity = ["planted copies", split.train.digest, split.holdout.digest, encoder.id, PLANTED, sorted(TRANSFORMS)]

    def make() -> Mapping[str, npt.NDArray[np.generic]]:
        sources = sources_of(pool, PLANTED, named_rng("planted copies", 0))
        own, others = (pictures(material, pool, places) for places in (sources.own, sources.others))
        found: dict[str, npt.NDArray[np.generic]] = {}
        for each in TRANSFORMS.values():
            rows = view.scaled(encoded(encoder, each(own, others)))
            close = closeness(rows, view.pooled, pool.owners)
            found[f"{each.name} margins"] = close.margins
            found[f"{each.name} hits"] = close.owner == pool.owners[sources.own]
        return found

    kept = material.keep(identity, make)
    return {each: Planted(kept[f"{each} margins"], kept[f"{each} hits"].astype(np.bool_)) for each in TRANSFORMS}


def families() -> dict[str, list[Transform]]:
    """The kinds of copies by family, in the order in which they are named."""
    found: dict[str, list[Transform]] = {}
    for each in TRANSFORMS.values():
        found.setdefault(each.family, []).append(each)
    return found
