"""Splits drawn anew with copies planted among honest images: distances are computed once, a trial only draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet, Material, Rows
from bench.statistics.arrays import Floats, Indices, Integers, Mask, Singles
from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.bounds import Limit, limit, relabelled
from evaluators.privacy.closeness import Closeness, Pool, closeness, together
from evaluators.privacy.planting import Planted, encoded, pictures, planted, sources_of
from evaluators.privacy.shuffled_labels import Evidence, evidence, joined, shuffled_values, view_weights
from evaluators.privacy.view import View, view_of

SPARE = 1.25  # copies made for each that the largest share needs, for not every source is a training patient


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of images in one encoder's features.

    Attributes:
        close: the closest pooled images of each.
        away: ``(P, n)`` distance from each patient to each image.
    """

    close: Closeness
    away: Singles


@dataclass(frozen=True, slots=True)
class Plan:
    """What all trials share.

    Attributes:
        honest: the honest images by encoder.
        copies: by kind and encoder, one copy of an image of each of ``owners (n,)``.
        planted: by encoder and kind, the other copies, from which limits are read.
        exact: kinds that leave every pixel as it is, which are found without any test.
    """

    pool: Pool
    honest: Mapping[str, Seen]
    copies: Mapping[str, Mapping[str, Seen]]
    planted: Mapping[str, Mapping[str, Planted]]
    owners: Integers
    exact: frozenset[str]

    @property
    def images(self) -> int:
        return len(next(iter(self.honest.values())).close)


@dataclass(frozen=True, slots=True)
class Trial:
    """One split: whether copies are the very pixels of training images, what the tests say, the limit of the kind."""

    exact: bool
    evidence: Evidence
    limit: Limit | None

    @property
    def found(self) -> bool:
        return self.exact or bool(self.evidence.found)


def plan_of(
    material: Material, encoders: Sequence[str], images: ImageSet, kinds: Sequence[str], most: float, pool: Pool
) -> Plan:
    """Everything that is computed once; ``most`` is the largest share to be planted."""
    rng = np.random.default_rng(np.random.SeedSequence(material.rng.integers(2**63)))
    views = {name: view_of(name, material, pool) for name in encoders}
    honest = {name: seen(view, view.scaled(material.features(name, images)), pool) for name, view in views.items()}
    sources = sources_of(pool, int(np.ceil(SPARE * most * len(images) / pool.share)), rng)
    own, others = (pictures(material, pool, places) for places in (sources.own, sources.others))
    copies, exact = {}, set()
    for kind in kinds:
        changed = TRANSFORMS[kind](own, others)
        if np.array_equal(changed, own):
            exact.add(kind)
        copies[kind] = {
            name: seen(view, view.scaled(encoded(material.encoders[name], changed)), pool)
            for name, view in views.items()
        }
    known = {name: planted(material, pool, view) for name, view in views.items()}
    return Plan(pool, honest, copies, known, pool.owners[sources.own], frozenset(exact))


def seen(view: View, rows: Rows, pool: Pool) -> Seen:
    """Of ``rows``, which are on the view's scale."""
    return Seen(closeness(rows, view.pooled, pool.owners), distances_by_patient(view.pooled, rows, pool.owners))


def distances_by_patient(pooled: Rows, rows: Rows, owners: Integers) -> Singles:
    """``(P, n)`` least distance from a patient's images to each of ``rows (n, D)``, in float32."""
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    squares = (pooled[order] ** 2).sum(axis=1)[:, None] + (rows**2).sum(axis=1)[None] - 2 * pooled[order] @ rows.T
    least: Singles = np.sqrt(np.maximum(np.minimum.reduceat(squares, starts, axis=0), 0)).astype(np.float32)
    return least


def trial(plan: Plan, kind: str | None, share: float, permutations: int, rng: np.random.Generator) -> Trial:
    """A split drawn anew, and as many copies of its training patients in the place of honest images."""
    pool, images = plan.pool, plan.images
    member = rng.permutation(pool.member)
    chosen = _copied(plan, member, round(share * images), rng) if kind else np.empty(0, np.int64)
    kept = np.sort(rng.permutation(images)[: images - len(chosen)])
    sets = {name: _mixed(plan, name, kind, kept, chosen) for name in plan.honest}
    parts = [
        view_weights(name, each.close, each.away.min(axis=1).astype(np.float64), pool.share, rng)
        for name, each in sets.items()
    ]
    close = {name: each.close for name, each in sets.items()}
    found = evidence(*shuffled_values(joined(parts), close, member, rng, permutations))
    if kind is None:
        return Trial(False, found, None)
    copies = {name: own[kind] for name, own in plan.planted.items()}
    exact = kind in plan.exact and len(chosen) > 0
    return Trial(exact, found, limit(close, copies, member, relabelled(member, rng), rng))


def _copied(plan: Plan, member: Mask, count: int, rng: np.random.Generator) -> Indices:
    """Copies of training patients, each once as long as there are enough."""
    ours = np.flatnonzero(member[plan.owners])
    return rng.choice(ours, count, replace=count > len(ours))


def _mixed(plan: Plan, name: str, kind: str | None, kept: Indices, chosen: Indices) -> Seen:
    honest = plan.honest[name]
    own = Seen(honest.close.select(kept), honest.away[:, kept])
    if kind is None:
        return own
    copies = plan.copies[kind][name]
    away = np.concatenate([own.away, copies.away[:, chosen]], axis=1)
    return Seen(together(own.close, copies.close.select(chosen)), away)


def medians(values: Sequence[float | None]) -> float | None:
    """The median where most are known, ``None`` counting as more than any number."""
    ordered: Floats = np.sort([np.inf if value is None else value for value in values])
    middle = float(ordered[len(ordered) // 2])
    return middle if np.isfinite(middle) else None
