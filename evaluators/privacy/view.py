"""What one encoder sees: features of synthetic and real images on one scale, and how close they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import ImageSet, Material, Rows
from bench.statistics.arrays import Floats
from bench.statistics.scaling import column_scale
from evaluators.privacy.closeness import Closeness, Pool, closeness, closest_by_patient


@dataclass(frozen=True, slots=True)
class View:
    """One encoder's features.

    Attributes:
        synthetic, train, holdout: rows of the images, divided by ``scale``.
        pooled: those of train and holdout in the order of the pool.
        scale: the standard deviation of each column over the pooled real images, so that it depends on no label;
            ``None`` where columns are of one unit.
    """

    name: str
    synthetic: Rows
    train: Rows
    holdout: Rows
    pooled: Rows
    scale: Floats | None

    def scaled(self, rows: Rows) -> Rows:
        """Further rows of the same encoder, on the same scale."""
        return rows if self.scale is None else (rows / self.scale).astype(np.float32)


def view_of(name: str, material: Material, pool: Pool) -> View:
    """The features of the encoder called ``name``."""
    split = material.split
    synthetic, train, holdout = (
        material.features(name, each) for each in (material.images["privacy"], split.train, split.holdout)
    )
    pooled = pool.rows(train, holdout)
    if material.encoders[name].column_units == "alike":
        return View(name, synthetic, train, holdout, pooled, None)
    scale = column_scale(pooled)
    synthetic, train, holdout, pooled = (
        (each / scale).astype(np.float32) for each in (synthetic, train, holdout, pooled)
    )
    return View(name, synthetic, train, holdout, pooled, scale)


@dataclass(frozen=True, slots=True)
class Near:
    """How close a set of images comes to the pool.

    Attributes:
        close: the closest pooled images of every image.
        least: ``(P,)`` distance from each patient to the closest image.
    """

    close: Closeness
    least: Floats


def near(view: View, rows: Rows, pool: Pool) -> Near:
    """Of ``rows``, which are on the view's scale."""
    return Near(
        closeness(rows, view.pooled, pool.owners),
        closest_by_patient(view.pooled, rows, pool.owners, pool.patients),
    )


def near_null(view: View, material: Material, null: ImageSet, pool: Pool) -> Near:
    """Of the images of the null."""
    return near(view, view.scaled(material.features(view.name, null)), pool)
