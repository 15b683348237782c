"""How close synthetic images come to real ones: the real images of both parts as one pool, in which no label counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet, Rows, Split
from bench.statistics.arrays import Floats, Integers, Mask
from bench.statistics.distances import nearest

LISTED = 16  # neighbours of a synthetic image that are looked at


@dataclass(frozen=True, slots=True)
class Pool:
    """The real images of train and holdout in one order that does not depend on who is in which part.

    Attributes:
        order: ``(R,)`` places in the training images followed by the holdout images.
        owners: ``(R,)`` the patient of each pooled image, ``0..P-1``.
        member: ``(P,)`` whether the patient is a training patient.
        names: of the patients, in ascending order.
        trained: the number of training images.
    """

    order: Integers
    owners: Integers
    member: Mask
    names: tuple[str, ...]
    trained: int

    @property
    def patients(self) -> int:
        return len(self.member)

    @property
    def share(self) -> float:
        """Training patients as a share of all."""
        return float(self.member.mean())

    def rows(self, train: Rows, holdout: Rows) -> Rows:
        """Rows of both parts in the order of the pool."""
        return np.concatenate([train, holdout])[self.order]

    def image(self, split: Split, place: int) -> tuple[ImageSet, int]:
        """The part a pooled image is in, and its place there."""
        own = int(self.order[place])
        return (split.train, own) if own < self.trained else (split.holdout, own - self.trained)


def pool_of(split: Split) -> Pool:
    """Both parts pooled, in the order of the images' ids, patients in that of their names."""
    ids = np.asarray(split.train.ids + split.holdout.ids, np.str_)
    order = np.argsort(ids, kind="stable")
    names = np.asarray(split.train.patients + split.holdout.patients, np.str_)
    known, owners = np.unique(names, return_inverse=True)
    member = np.zeros(len(known), np.bool_)
    member[owners[: len(split.train)]] = True
    return Pool(order, owners[order], member, tuple(known.tolist()), len(split.train))


@dataclass(frozen=True, slots=True)
class Closeness:
    """The real images closest to every synthetic one, in one encoder's features.

    Attributes:
        distances: ``(M, k)`` to the closest pooled images, ascending.
        owners: ``(M, k)`` whose images those are.
        margins: ``(M,)`` in [0, 1], ``1 - d / e`` with ``d`` the distance to the closest real image and ``e`` that to
            the closest image of another patient: 1 for an exact copy, near 0 where no patient stands out.
        places: ``(M,)`` the closest pooled image.
    """

    distances: Floats
    owners: Integers
    margins: Floats
    places: Integers

    @property
    def owner(self) -> Integers:
        """``(M,)`` whose image the closest one is."""
        return self.owners[:, 0]

    def __len__(self) -> int:
        return len(self.margins)

    def select(self, rows: Integers) -> Closeness:
        """Those of some of the synthetic images."""
        return Closeness(self.distances[rows], self.owners[rows], self.margins[rows], self.places[rows])


def closeness(synthetic: Rows, pooled: Rows, owners: Integers) -> Closeness:
    """The closest pooled images of every synthetic one.

    The margin is one minus the ratio of the distances to the nearest and the next object (Lowe 2004,
    10.1023/B:VISI.0000029664.99615.94), the next being the closest image of another patient. Where the ``LISTED``
    closest images are all of one patient, the last of them stands for it, which makes the margin smaller.
    """
    distances, places = nearest(synthetic, pooled, min(LISTED, len(pooled)))
    listed = owners[places]
    first, second = distances[:, 0], closest_kept(distances, listed != listed[:, :1])
    ratio = np.divide(first, second, out=np.ones_like(first), where=second > 0)
    return Closeness(distances, listed, 1 - ratio, places[:, 0])


def closest_kept(distances: Floats, kept: Mask) -> Floats:
    """``(M,)`` the first distance in each row of ``(M, k)``, ascending, that is ``kept``; the last where none is."""
    column = np.where(kept.any(axis=1), kept.argmax(axis=1), kept.shape[1] - 1)
    return distances[np.arange(len(column)), column]


def together(*sets: Closeness) -> Closeness:
    """Several sets of synthetic images as one."""
    names = ("distances", "owners", "margins", "places")
    return Closeness(*(np.concatenate([getattr(each, name) for each in sets]) for name in names))


def closest_by_patient(pooled: Rows, synthetic: Rows, owners: Integers, patients: int) -> Floats:
    """``(P,)`` distance from a patient's images to the closest synthetic one, the least of them."""
    away = nearest(pooled, synthetic)[0][:, 0]
    least = np.full(patients, np.inf)
    np.minimum.at(least, owners, away)
    return least
