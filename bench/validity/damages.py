"""All damage a report does, a row each: a further one is a function and a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.statistics.arrays import Indices
from bench.validity.corruptions import blur, contrast, copies, fewer_groups, noise, others_images, repeats, warp
from bench.validity.faults import (
    burnt_in_name,
    fewer_pixels,
    half_missing,
    jpeg,
    mirrored,
    negative,
    other_side,
    sharpening,
    upside_down,
)
from bench.validity.stand_in import Fault, OfChoice, OfPixels, OfSomeImages, OfWords, Pool

Grades = tuple[float, float, float, float, float]
SHARES: Grades = (0.1, 0.25, 0.5, 0.75, 1.0)
LOST: Grades = (0.3, 0.5, 0.7, 0.8, 0.9)
OF_IMAGES = "share of the images"


@dataclass(frozen=True, slots=True)
class Damage:
    """One way of being wrong and its five grades.

    ``chance`` is, for each grade, how much more a mean over the images varies by chance than over undamaged ones.
    """

    name: str
    title: str
    unit: str
    strengths: Grades
    fault: Fault
    chance: tuple[float, ...] = (1.0,) * 5


def _lost_groups(pool: Pool, chosen: Indices, strength: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    return fewer_groups(pool.groups, chosen, strength, rng), chosen


def _repeated(pool: Pool, chosen: Indices, strength: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    rows = repeats(chosen, strength, rng)
    return rows, rows


def _copied(pool: Pool, chosen: Indices, strength: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    rows = copies(chosen, pool.train, strength, rng)
    return rows, rows


def _deaf(pool: Pool, chosen: Indices, strength: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    return others_images(chosen, strength, rng), chosen


DAMAGES = (
    Damage("blur", "Blur", "SD, share of the side", (0.004, 0.008, 0.016, 0.032, 0.064), OfPixels(blur)),
    Damage("noise", "Noise", "SD in grey levels", (1.0, 2.0, 4.0, 8.0, 16.0), OfPixels(noise)),
    Damage("contrast", "Contrast loss", "share lost", (0.05, 0.1, 0.2, 0.4, 0.8), OfPixels(contrast)),
    Damage("warp", "Elastic warp", "RMS shift, share of the side", (0.005, 0.01, 0.02, 0.04, 0.08), OfPixels(warp)),
    Damage("sharpening", "Sharpening", "amount of the unsharp mask", (0.25, 0.5, 1.0, 2.0, 4.0), OfPixels(sharpening)),
    Damage("jpeg", "JPEG", "100 less its quality", (10.0, 30.0, 50.0, 70.0, 90.0), OfPixels(jpeg)),
    Damage(
        "pixels", "Fewer pixels", "share of each side lost", (0.25, 0.5, 0.625, 0.75, 0.875), OfPixels(fewer_pixels)
    ),
    Damage("upside_down", "Upside down", OF_IMAGES, SHARES, OfSomeImages(upside_down)),
    Damage("mirrored", "Mirrored", OF_IMAGES, SHARES, OfSomeImages(mirrored)),
    Damage("negative", "Negative", OF_IMAGES, SHARES, OfSomeImages(negative)),
    Damage("name", "Burnt-in name", OF_IMAGES, SHARES, OfSomeImages(burnt_in_name)),
    Damage("half", "Half missing", OF_IMAGES, SHARES, OfSomeImages(half_missing)),
    Damage(
        "groups", "Label groups lost", f"{OF_IMAGES}, rarest first", (0.1, 0.2, 0.4, 0.6, 0.8), OfChoice(_lost_groups)
    ),
    Damage(
        "repeats",
        "Few images repeated",
        "share of distinct images lost",
        LOST,
        OfChoice(_repeated),
        tuple((1 - lost) ** -0.5 for lost in LOST),
    ),
    Damage("copies", "Copies of training images", OF_IMAGES, SHARES, OfChoice(_copied)),
    Damage("labels", "Labels ignored", OF_IMAGES, SHARES, OfChoice(_deaf)),
    Damage("laterality", "Wrong laterality", OF_IMAGES, SHARES, OfWords(other_side)),
)
