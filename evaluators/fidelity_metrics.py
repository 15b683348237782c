"""What the numbers of the fidelity evaluator mean."""

from __future__ import annotations

import math

from bench.api import Metric

FD = Metric(
    key="fd",
    title="Fréchet distance, bias removed",
    better="lower",
    reference="arXiv:1706.08500",
    minimum=100,
    summary=(
        "Squared distance between Gaussian fits of real and synthetic features, its bias removed by the jackknife: "
        "0 for a perfect generator at any number of images, and slightly negative by chance."
    ),
)
FD_PLAIN = Metric(
    key="fd_plain",
    title="Fréchet distance, as in papers",
    better="lower",
    reference="arXiv:1706.08500",
    minimum=100,
    summary=(
        "The usual plug-in value. It is too large, by about fd_floor, so compare it only at equal n; it has no "
        "interval because one around it would miss the truth: see fd."
    ),
)
FD_FLOOR = Metric(
    key="fd_floor",
    title="Fréchet distance of a perfect generator",
    better="lower",
    reference="arXiv:1706.08500",
    bounds=(0.0, math.inf),
    minimum=100,
    summary=(
        "The fd_plain to be expected at this n from images as good as real ones, to first order in 1/n: too low by a "
        "third when there are as many images as features, by a tenth at four times as many."
    ),
)
KID = Metric(
    key="kid",
    title="Kernel distance",
    better="lower",
    reference="arXiv:1801.01401",
    minimum=50,
    summary=(
        "Squared distance of kernel means over all pairs, free of bias: 0 for a perfect generator, and slightly "
        "negative by chance."
    ),
)
PRECISION = Metric(
    key="precision",
    title="Precision",
    better="higher",
    reference="arXiv:1904.06991",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of synthetic images that lie among the real ones.",
)
RECALL = Metric(
    key="recall",
    title="Recall",
    better="higher",
    reference="arXiv:1904.06991",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of real images that lie among the synthetic ones.",
)
DENSITY = Metric(
    key="density",
    title="Density",
    better="higher",
    reference="arXiv:2002.09797",
    bounds=(0.0, math.inf),
    minimum=50,
    summary="How thickly synthetic images lie where real ones are: about 1 for a perfect generator, or above.",
)
COVERAGE = Metric(
    key="coverage",
    title="Coverage",
    better="higher",
    reference="arXiv:2002.09797",
    bounds=(0.0, 1.0),
    minimum=50,
    summary="Share of real images with a synthetic one nearby; about 0.97 at best for 5 neighbours and equal n.",
)
MS_SSIM = Metric(
    key="ms_ssim",
    title="Similarity among synthetic images (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="Mean structural similarity of random pairs of synthetic images; 1 means all are the same picture.",
)
MS_SSIM_REAL = Metric(
    key="ms_ssim_real",
    title="Similarity among real images (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="The same of test images of different patients: what ms_ssim should be near to.",
)
MS_SSIM_GAP = Metric(
    key="ms_ssim_gap",
    title="Diversity gap (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="How far ms_ssim is from ms_ssim_real, in either direction: too uniform or too varied.",
)

# In the features of an encoder; the others compare pixels.
OF_FEATURES = (FD, FD_PLAIN, FD_FLOOR, KID, PRECISION, RECALL, DENSITY, COVERAGE)
OF_PIXELS = (MS_SSIM, MS_SSIM_REAL, MS_SSIM_GAP)
