"""What a comparison of two sets of images found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.api import Encoder, ImageSet, Metric, Rows, Score


@dataclass(frozen=True)
class Comparison:
    """Two sets of images, what was measured of them, and what a reader has to know first.

    Attributes:
        real, fake: the images as they were compared, at one size.
        train: the images that the generator learned from, where they were given.
        scores: over all images, refusals with their reasons included.
        metrics: what the numbers mean, by ``Score.metric``.
        encoders: by ``Score.encoder``.
        rows: ``rows("radiomics", comparison.fake)`` is ``(N, D)`` float32, the features behind the scores.
        notes: sentences that belong beside the numbers: copies, sizes brought together, what needs a split.
        protocol: all that decides a number, as JSON has it, with a ``digest`` of it; no protocol of a leaderboard.
        seconds: how long reading and measuring took.
    """

    real: ImageSet
    fake: ImageSet
    train: ImageSet | None
    scores: tuple[Score, ...]
    metrics: Mapping[str, Metric]
    encoders: Mapping[str, Encoder]
    rows: Callable[[str, ImageSet], Rows]
    notes: tuple[str, ...]
    protocol: Mapping[str, Any]
    seconds: float
