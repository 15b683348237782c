"""Which images lie next to which, in the features of one encoder: the pictures a person should look at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ColumnUnits, ImageSet, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.distances import nearest
from bench.statistics.scaling import scale_of

RARE = 0.05  # share of real images whose nearest of another patient counts as unusually near
FAR = 12  # neighbours looked at for one of another patient


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Of every image of a set the nearest of another: its distance and place there, ``(N,)`` each."""

    distance: Floats
    place: Indices

    def smallest(self, most: int) -> Indices:
        """The places of at most ``most`` images with the smallest distances, ascending."""
        return np.argsort(self.distance, kind="stable")[:most]

    def largest(self, most: int) -> Indices:
        """The same with the largest, descending."""
        return np.argsort(-self.distance, kind="stable")[:most]


@dataclass(frozen=True, eq=False)
class Likeness:
    """Rows of two sets on one scale, and who lies next to whom.

    Attributes:
        real, fake: ``(N, D)`` and ``(M, D)``, on the scale of the real images where columns measure different things.
        to_real, to_fake: of every synthetic image the nearest real one, of every real one the nearest synthetic one.
        among_real: of every real image the nearest of another patient.
    """

    real: Rows
    fake: Rows
    to_real: Neighbours
    to_fake: Neighbours
    among_real: Neighbours

    @property
    def known(self) -> Floats:
        """The distances of real images to the nearest one of another patient, of those that have one."""
        return self.among_real.distance[np.isfinite(self.among_real.distance)]

    @property
    def usual(self) -> float:
        """The median of ``known``."""
        return float(np.median(self.known)) if len(self.known) else float("nan")

    @property
    def crowded(self) -> float:
        """The share of synthetic images nearer to a real one than all but ``RARE`` of the real ones are to one of
        another patient: about ``RARE`` of further real images would be."""
        if not len(self.known):
            return float("nan")
        return float((self.to_real.distance < np.quantile(self.known, RARE)).mean())

    def plane(self) -> tuple[Floats, Floats, float]:
        """Both sets on the first two principal axes of the real one, ``(N, 2)`` and ``(M, 2)``, and the share of the
        real images' variance that these hold."""
        centre = self.real.mean(axis=0, dtype=np.float64)
        _, sizes, axes = np.linalg.svd(self.real.astype(np.float64) - centre, full_matrices=False)
        along = axes[:2].T
        share = float((sizes[:2] ** 2).sum() / max(float((sizes**2).sum()), np.finfo(float).tiny))
        return (self.real - centre) @ along, (self.fake - centre) @ along, share


def likeness(real: Rows, fake: Rows, units: ColumnUnits, patients: list[str]) -> Likeness:
    """Who lies next to whom among ``(N, D)`` real rows of ``patients`` and ``(M, D)`` synthetic rows, N at least 2.

    Raises:
        Refused: the columns measure different things and none varies over the real images.
    """
    real, fake = on_one_scale(real, fake, units)
    return Likeness(real, fake, neighbours(fake, real), neighbours(real, fake), _of_others(real, patients))


def on_one_scale(reference: Rows, other: Rows, units: ColumnUnits) -> tuple[Rows, Rows]:
    """Both sets on the scale of the first where columns measure different things; else as they are.

    Raises:
        Refused: the columns measure different things and none varies over the first.
    """
    if units == "alike":
        return reference, other
    scale = scale_of(reference)
    return scale(reference), scale(other)


def neighbours(rows: Rows, others: Rows) -> Neighbours:
    """Of each of ``rows`` the nearest of ``others``."""
    distances, places = nearest(rows, others)
    return Neighbours(distances[:, 0], places[:, 0])


def _of_others(rows: Rows, patients: list[str]) -> Neighbours:
    """Of every row the nearest that is of another patient; infinitely far where ``FAR`` neighbours have none."""
    distances, places = nearest(rows, rows, min(FAR, len(rows) - 1), exclude_self=True)
    whose = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)[1].reshape(-1)
    other = whose[places] != whose[:, None]
    at = other.argmax(axis=1)[:, None]
    distance = np.where(other.any(axis=1), np.take_along_axis(distances, at, 1)[:, 0], np.inf)
    return Neighbours(distance, np.take_along_axis(places, at, 1)[:, 0])


def brightness(images: ImageSet) -> tuple[Floats, Floats]:
    """The mean and the standard deviation of the grey levels of every image, ``(N,)`` each."""
    means, spreads = [], []
    for block in images.blocks(64):
        flat = block.reshape(len(block), -1).astype(np.float64)
        means.append(flat.mean(axis=1))
        spreads.append(flat.std(axis=1))
    return np.concatenate(means), np.concatenate(spreads)
