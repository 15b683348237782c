"""What the numbers of the CheXGenBench profile mean: the published protocol, its slips included."""

from __future__ import annotations

import math
from typing import Literal

from bench.api import Metric

PAPER = "arXiv:2505.10496"


Range = tuple[float, float]
SHARE: Range = (0.0, 1.0)
ANY: Range = (-math.inf, math.inf)


def _metric(key: str, title: str, better: Literal["lower", "higher"], bounds: Range, summary: str) -> Metric:
    return Metric(
        key=f"chexgenbench_{key}",
        title=f"{title}, as CheXGenBench",
        better=better,
        reference=PAPER,
        area="fidelity",
        bounds=bounds,
        minimum=20,
        summary=summary,
    )


FID = _metric("fid", "FID", "lower", ANY, "Plain Fréchet distance on Inception, images squashed to 299 pixels.")
FID_RAD_DINO = _metric(
    "fid_rad_dino",
    "FID (RAD-DINO)",
    "lower",
    ANY,
    "Plain Fréchet distance on RAD-DINO, images squashed to 299 pixels: biased by about 1/n, compare at equal n.",
)
KID = _metric("kid", "KID", "lower", ANY, "Kernel distance on Inception over all images, to three decimals.")
KID_RAD_DINO = _metric("kid_rad_dino", "KID (RAD-DINO)", "lower", ANY, "Kernel distance on RAD-DINO over all images.")
INCEPTION_SCORE = _metric(
    "inception_score",
    "Inception score",
    "higher",
    (1.0, math.inf),
    "The formula of the inception score on pooled features instead of class logits: not the inception score.",
)
PRECISION = _metric("precision", "Precision", "higher", SHARE, "Share of synthetic images in real balls, RAD-DINO.")
RECALL = _metric("recall", "Recall", "higher", SHARE, "Share of real images in synthetic balls, RAD-DINO.")
DENSITY = _metric("density", "Density", "higher", (0.0, math.inf), "Real balls around a synthetic image, over 5.")
COVERAGE = _metric("coverage", "Coverage", "higher", SHARE, "Share of real balls with a synthetic image in, RAD-DINO.")
ALIGNMENT = _metric(
    "alignment",
    "Alignment score",
    "higher",
    (-1.0, 1.0),
    "Mean cosine of image and own prompt in BioViL-T, three decimals an image: what any prompt would get is in it.",
)

OF_SETS = (FID, FID_RAD_DINO, KID, KID_RAD_DINO, INCEPTION_SCORE, PRECISION, RECALL, DENSITY, COVERAGE)
ALL = (*OF_SETS, ALIGNMENT)
