"""Images that lie no farther from the training images than unseen real ones do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from bench.api import BenchError, ColumnUnits, Encoder, FeatureReader, Filter, ImageSet, Part, Rows, Split, Verdict
from bench.statistics.arrays import Floats
from bench.statistics.distances import nearest
from bench.statistics.scaling import column_scale


class Manifold(Filter):
    """Keeps an image if its distance to the ``neighbour``-th nearest training image is within a limit.

    The limit is the ``quantile`` of the same distance of each training image to those of all other patients, so that an
    image of a further patient passes with about that probability, a little more since it has one patient more to be
    near to. The holdout has no say: it is what privacy is compared with, and a limit that it sets would choose what is
    compared. Columns of different units are first divided by their standard deviation over the training images. Copies
    of training images pass more easily than anything else: what is left is nearer to the training images than what was
    made, and no more private.
    """

    block = 4096

    def __init__(self, encoder: str = "radiomics", neighbour: int = 5, quantile: float = 0.95) -> None:
        """``encoder``: whose features.

        Raises:
            BenchError: ``neighbour`` under 1, or ``quantile`` not between 0 and 1.
        """
        if neighbour < 1 or not 0 < quantile < 1:
            raise BenchError(f"filter: neighbour={neighbour}, quantile={quantile}; needed 1 or more, and within 0 to 1")
        self.encoders = (encoder,)
        self.neighbour, self.quantile = int(neighbour), float(quantile)
        self._units: ColumnUnits | None = None
        self._known: dict[str, tuple[Rows, Floats, float]] = {}

    reads_parts: tuple[Part, ...] = ("train",)

    def prepare(self, encoders: Mapping[str, Encoder]) -> None:
        self._units = encoders[self.encoders[0]].column_units

    @property
    def _scaled(self) -> bool:
        if self._units is None:
            raise ValueError("the filter was asked before prepare() had shown it the encoders")
        return self._units == "different"

    @cached_property
    def id(self) -> str:  # type: ignore[override]  # fixed once built
        scaled = "standardised" if self._scaled else "raw"
        return f"manifold-2 {self.encoders[0]} {scaled} neighbour={self.neighbour} quantile={self.quantile}"

    def __call__(self, images: ImageSet, split: Split, features: FeatureReader) -> list[Verdict]:
        """Verdicts with the distance as value, in units of the (standardised) features.

        Raises:
            BenchError: too few training images for ``neighbour`` or ``quantile``.
        """
        reference, spread, limit = self._measured(split, features)
        distances, _ = nearest(_scaled(features(self.encoders[0], images), spread), reference, self.neighbour)
        return [self._verdict(float(distance), limit) for distance in distances[:, -1]]

    def _verdict(self, distance: float, limit: float) -> Verdict:
        keep = distance <= limit
        reason = f"{distance:.4g} from training image no. {self.neighbour} by nearness, limit {limit:.4g}"
        return Verdict(keep, "inside" if keep else "outside", reason, distance)

    def _measured(self, split: Split, features: FeatureReader) -> tuple[Rows, Floats, float]:
        train = split.train
        if train.digest not in self._known:
            rows = features(self.encoders[0], train)
            spread = column_scale(rows, constant=0.0) if self._scaled else np.ones(rows.shape[1])
            reference = _scaled(rows, spread)
            limit = limit_of(distances_to_others(reference, train.patients, self.neighbour), self.quantile)
            self._known[train.digest] = reference, spread, limit
        return self._known[train.digest]


def distances_to_others(rows: Rows, patients: Sequence[str], neighbour: int) -> Floats:
    """``(N,)`` distance of each of ``rows (N, D)`` to the ``neighbour``-th nearest row of other patients.

    Raises:
        BenchError: the other patients of somebody have too few images.
    """
    _, owner, images = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True, return_counts=True)
    most = int(images.max(initial=0))
    if len(rows) - most < neighbour:
        raise BenchError(
            f"filter: {len(rows)} training images, {most} of them of one patient; needed of others neighbour="
            f"{neighbour}"
        )
    distances, places = nearest(rows, rows, neighbour - 1 + most, exclude_self=True)
    reached = (owner[places] != owner[:, None]).cumsum(axis=1) >= neighbour
    return distances[np.arange(len(rows)), reached.argmax(axis=1)]


def limit_of(distances: Floats, quantile: float) -> float:
    """The ``ceil(quantile * (n + 1))``-th smallest of ``n`` distances.

    A further distance from the same source is at most that with probability ``quantile`` or more, whatever their
    distribution (split conformal prediction, Lei 2018, arXiv:1604.04173).

    Raises:
        BenchError: ``n`` is too small for such a limit to exist.
    """
    place = math.ceil(quantile * (len(distances) + 1) - 1e-9)
    if place > len(distances):
        needed = math.ceil(quantile / (1 - quantile) - 1e-9)
        raise BenchError(
            f"filter: {len(distances)} training images, but quantile={quantile} needs {needed}; lower filter.quantile"
        )
    return float(np.sort(distances)[place - 1])


def _scaled(rows: Rows, spread: Floats) -> Rows:
    return (rows / spread).astype(np.float32)
