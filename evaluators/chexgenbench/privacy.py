"""The privacy numbers of CheXGenBench as its code has them, so that a published row can be read; none is ranked.

Dutt et al. 2025, arXiv 2505.10496, ``metrics/privacy_metrics.py``. What is kept though it is wrong: grey levels are
subtracted as bytes, so that differences wrap around at 256; the pixel distance sees the last image of a prompt only,
whatever their number; an image is compared with one training image, the first of its prompt, and with no other; no
holdout says what unseen patients would score. What differs: all prompts count and not 2,000 of them, and a prompt has
as many images as the run made for it, where the published runs made ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.api import (
    BenchError,
    Evaluator,
    Images,
    ImageSet,
    Material,
    Metric,
    Part,
    Purpose,
    Refused,
    Rows,
    Score,
    Split,
    VerifiesPatients,
)
from bench.runtime.setting_types import Share
from bench.statistics.arrays import Floats, Indices
from bench.storage.disk_errors import DiskError

SIDE = 512  # pixels at which the published code compares
BLOCK = 64  # pairs decoded together
LEGACY = "legacy number without interval or holdout: unseen patients may score the same, so it says nothing of privacy"


def _legacy(key: str, title: str, most: float, summary: str) -> Metric:
    return Metric(
        key=f"chexgenbench_{key}",
        title=f"{title}, legacy CheXGenBench",
        better="neither",
        role="describes",
        reference="arXiv:2505.10496",
        area="privacy",
        bounds=(0.0, most),
        minimum=1,
        summary=summary,
    )


PIXEL = _legacy(
    "pixel_distance",
    "Pixel distance as coded",
    255.0,
    "Root mean square of grey levels of a training image less those of the last image of its prompt, modulo 256: an "
    "exact copy one level brighter gets 255 and so the highest there is.",
)
PIXEL_PLAIN = _legacy(
    "pixel_distance_unwrapped",
    "Pixel distance without the slip",
    255.0,
    "The same root mean square without wrapping around, which the published numbers are not.",
)
LATENT = _legacy(
    "latent_distance",
    "Latent distance",
    math.inf,
    "Distance in RAD-DINO between a training image and the images of its prompt, over the root of the columns.",
)
REID = _legacy(
    "reid", "Re-identification score", 1.0, "Mean over prompts of what a network scores for one patient, 0 to 1."
)
REID_MAX = _legacy("reid_max", "Highest re-identification score", 1.0, "The highest score of any image of any prompt.")
REID_COUNT = _legacy(
    "reid_count",
    "Prompts above delta",
    math.inf,
    "How many prompts have an image that scores above delta, which was never published.",
)


@dataclass(frozen=True)
class Pairs:
    """Training images and the synthetic ones that were asked for with their prompts.

    Attributes:
        real: ``(P,)`` rows of the training part, the first of each prompt.
        made: for each the rows of its synthetic images, in the order they were made.
    """

    real: Indices
    made: tuple[Indices, ...]

    @property
    def last(self) -> Indices:
        """``(P,)`` the last synthetic image of each prompt."""
        return np.array([rows[-1] for rows in self.made], np.int64)


def pairs_by_prompt(real: Sequence[str | None], made: Sequence[str | None]) -> Pairs:
    """Every prompt that a training image has and a synthetic one was asked for with; no prompt is none."""
    first: dict[str, int] = {}
    for row, prompt in enumerate(real):
        if prompt is not None:
            first.setdefault(prompt, row)
    found: dict[str, list[int]] = {prompt: [] for prompt in first}
    for row, prompt in enumerate(made):
        if prompt in first:
            found[str(prompt)].append(row)
    kept = [prompt for prompt in first if found[prompt]]
    real_rows = np.array([first[prompt] for prompt in kept], np.int64)
    return Pairs(real_rows, tuple(np.array(found[prompt], np.int64) for prompt in kept))


class CheXGenBenchPrivacy(Evaluator):
    """Three published privacy numbers, shown and never ranked, beside what one of them is without its slip.

    The synthetic images of a training image are those asked for with its prompt, as in the published code; images
    asked for with prompts that only holdout patients have take no part.
    """

    smallest: ClassVar[int] = SIDE
    metrics: ClassVar[tuple[Metric, ...]] = (PIXEL, PIXEL_PLAIN, LATENT, REID, REID_MAX, REID_COUNT)
    purposes: ClassVar[tuple[Purpose, ...]] = ("privacy",)
    id: ClassVar[str] = "chexgenbench_privacy"
    reads_parts: ClassVar[tuple[Part, ...]] = ("train",)
    encoders: tuple[str, ...]

    def __init__(self, rad_dino: str, reid: str | None = None, delta: Share | None = None) -> None:
        """``rad_dino`` and ``reid`` name configured encoders; without ``reid`` there are no re-identification scores,
        and without ``delta`` none is counted."""
        self.rad_dino, self.reid, self.delta = rad_dino, reid, delta
        self.encoders = (rad_dino,) if reid is None else (rad_dino, reid)

    def check(self, split: Split) -> None:
        """See before anything is sampled whether the working images are large enough and training images have prompts.

        Raises:
            BenchError: a side is under ``smallest`` pixels, or nothing pairs synthetic with training images.
        """
        height, width = split.train.size
        if min(height, width) < self.smallest:
            raise BenchError(
                f"chexgenbench_privacy_asis: the working images of {split.info.name} are {height} x {width} (height x "
                f"width), needed {self.smallest} or more on the smaller side, at which the published code compares; "
                f"set dataset.image_size={self.smallest}"
            )
        if all(prompt is None for prompt in split.train.column("prompt")):
            raise BenchError(
                f"chexgenbench_privacy_asis: no training image of {split.info.name} has a prompt, by which synthetic "
                "images are paired with training images; choose a data set with prompts, or leave this evaluator out"
            )

    def __call__(self, material: Material) -> Iterator[Score]:
        try:
            self.check(material.split)
        except BenchError as complaint:
            raise Refused(str(complaint)) from complaint
        yield from self.conformance(material)

    def conformance(self, material: Material) -> Iterator[Score]:
        """The formulas on images of whatever size."""
        train, images = material.split.train, material.images["privacy"]
        pairs = pairs_by_prompt(train.column("prompt"), images.column("prompt"))
        count = len(pairs.real)
        if not count:
            raise Refused(f"none of {len(images)} images was asked for with the prompt of a training image")
        chosen = train.select(pairs.real)
        both = [pixel_distances(*block) for block in _blocks(chosen, images.select(pairs.last))]
        for metric, found in zip((PIXEL, PIXEL_PLAIN), np.concatenate(both, axis=1), strict=True):
            yield metric(float(found.round(4).mean()), n=count, reason=LEGACY)
        real, made = material.features(self.rad_dino, chosen), material.features(self.rad_dino, images)
        found = by_prompt(latent_distances, real, made, pairs)
        mean = float(np.mean([each.mean() for each in found]))
        yield LATENT(mean, n=count, encoder=self.rad_dino, reason=LEGACY)
        yield from self._reidentified(material, chosen, pairs)

    def _reidentified(self, material: Material, chosen: ImageSet, pairs: Pairs) -> Iterator[Score]:
        where: dict[str, Any] = {"n": len(pairs.real), "encoder": self.reid}
        if self.reid is None:
            reason = (
                "set evaluator.chexgenbench_privacy_asis.reid=patient_verification and add "
                "encoder=[...,patient_verification], whose weights are yours to bring"
            )
            yield from (metric.refused(reason, **where) for metric in (REID, REID_MAX, REID_COUNT))
            return
        encoder = material.encoders[self.reid]
        if not isinstance(encoder, VerifiesPatients):
            raise BenchError(
                f"chexgenbench_privacy_asis.reid={self.reid}: this encoder verifies no patients; needed "
                "patient_verification"
            )
        try:
            real, made = (material.features(self.reid, each) for each in (chosen, material.images["privacy"]))
        except DiskError:
            raise
        except BenchError as missing:
            yield from (metric.refused(str(missing), **where) for metric in (REID, REID_MAX, REID_COUNT))
            return
        found = by_prompt(encoder.same_patient, real, made, pairs)
        highest = np.array([each.max() for each in found])
        yield REID(float(np.mean([each.mean() for each in found])), reason=LEGACY, **where)
        yield REID_MAX(float(highest.max()), reason=LEGACY, **where)
        if self.delta is None:
            reason = "delta was never published; set evaluator.chexgenbench_privacy_asis.delta"
            yield REID_COUNT.refused(reason, **where)
            return
        yield REID_COUNT(float((highest > self.delta).sum()), reason=LEGACY, **where)


def pixel_distances(real: Images, made: Images) -> Floats:
    """``(2, N)`` root mean squares of real less synthetic grey levels: as bytes, which wrap around, and as numbers.

    Three equal channels have the root mean square of one.
    """
    as_coded = (real - made).astype(np.float64)
    plain = real.astype(np.float64) - made
    return np.sqrt(np.square(np.stack([as_coded, plain])).mean(axis=(2, 3)))


def latent_distances(real: Rows, made: Rows) -> Floats:
    """``(N,)`` Euclidean distances of rows ``(N, D)`` of the same place, over the root of ``D``."""
    return np.sqrt(np.square(real.astype(np.float64) - made).mean(axis=1))


def by_prompt(compare: Any, real: Rows, made: Rows, pairs: Pairs) -> list[Floats]:
    """For every prompt what ``compare`` gives for its training image and each synthetic one, to four decimals."""
    lengths = [len(rows) for rows in pairs.made]
    rows = made[np.concatenate(pairs.made)]
    found = np.round(np.asarray(compare(np.repeat(real, lengths, axis=0), rows), np.float64), 4)
    return np.split(found, np.cumsum(lengths)[:-1])


def _blocks(real: ImageSet, made: ImageSet) -> Iterator[tuple[Images, Images]]:
    for one, other in zip(real.blocks(BLOCK), made.blocks(BLOCK), strict=True):
        yield resized(one), resized(other)


def resized(images: Images) -> Images:
    """``(B, SIDE, SIDE)`` by Pillow's default filter, whatever the shape was."""
    from PIL import Image

    if images.shape[1:] == (SIDE, SIDE):
        return images
    return np.stack([np.asarray(Image.fromarray(each).resize((SIDE, SIDE))) for each in images])
