"""Multi-scale structural similarity between different images of one set: how much they look alike.

Wang et al. 2003 (doi 10.1109/ACSSC.2003.1292216); between random pairs of synthetic images as a measure of missing
diversity: Odena et al. 2017 (arXiv 1610.09585).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.api import Images, ImageSet, Metric
from bench.statistics.arrays import Floats, Indices

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
RANGE = 255.0
RADIUS, SIGMA = 5, 1.5
BATCH = 16  # pairs compared in one step

MS_SSIM = Metric(
    key="ms_ssim",
    title="Similarity among synthetic images (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="Mean structural similarity of random pairs of synthetic images; 1 means all are the same picture.",
)
MS_SSIM_REAL = Metric(
    key="ms_ssim_real",
    title="Similarity among real images (MS-SSIM)",
    better="neither",
    reference="arXiv:1610.09585",
    role="describes",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="The same of test images of different patients: what ms_ssim should be near to.",
)
MS_SSIM_GAP = Metric(
    key="ms_ssim_gap",
    title="Diversity gap (MS-SSIM)",
    better="lower",
    reference="arXiv:1610.09585",
    area="fidelity",
    bounds=(0.0, 1.0),
    minimum=20,
    summary="How far ms_ssim is from ms_ssim_real, in either direction: too uniform or too varied.",
)


def window() -> Floats:
    """The 11 weights of the Gaussian window, sum 1."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    return weights / weights.sum()


def _smooth(images: Floats) -> Floats:
    """Local means ``(B, H - 10, W - 10)`` of ``(B, H, W)``, where the window fits."""
    from scipy.ndimage import correlate1d

    weights, inner = window(), slice(RADIUS, -RADIUS)
    down = correlate1d(images, weights, axis=1)[:, inner]
    return correlate1d(down, weights, axis=2)[:, :, inner]


def similarity(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """SSIM of pairs of ``(B, H, W)`` images in 0..255, and its factor of contrast and structure alone, ``(B,)`` each.

    ``SSIM = mean of (2 m1 m2 + c1)/(m1^2 + m2^2 + c1) * (2 s12 + c2)/(s1^2 + s2^2 + c2)`` over all places of the
    window, ``c1 = (0.01 * 255)^2``, ``c2 = (0.03 * 255)^2`` (Wang et al. 2004, doi 10.1109/TIP.2003.819861).
    """
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    mean1, mean2 = _smooth(first), _smooth(second)
    spread = _smooth(first * first + second * second) - mean1 * mean1 - mean2 * mean2
    joint = _smooth(first * second) - mean1 * mean2
    structure = (2 * joint + c2) / (spread + c2)
    luminance = (2 * mean1 * mean2 + c1) / (mean1 * mean1 + mean2 * mean2 + c1)
    return (luminance * structure).mean(axis=(1, 2)), structure.mean(axis=(1, 2))


def scales(side: int) -> int:
    """How many of the five scales fit an image whose shorter side is ``side`` pixels: all five from 176 on.

    Raises:
        ValueError: the window of 11 does not fit once.
    """
    fitting = [scale for scale in range(1, len(WEIGHTS) + 1) if side >> (scale - 1) > 2 * RADIUS]
    if not fitting:
        raise ValueError(f"images of side {side} are smaller than the {2 * RADIUS + 1} pixels of the window")
    return fitting[-1]


def _halve(images: Floats) -> Floats:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    return images[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).mean(axis=(2, 4))


def ms_ssim(first: Images, second: Images) -> Floats:
    """MS-SSIM in 0..1 of pairs of ``(B, H, W)`` uint8 images.

    ``prod_s cs_s^w_s`` with SSIM at the coarsest scale in place of ``cs``; negative factors count as 0. Where fewer
    than five scales fit, the weights of those that do are made to sum to what all five do.
    """
    one, two = first.astype(np.float64), second.astype(np.float64)
    count = scales(min(one.shape[1:]))
    weights = np.array(WEIGHTS[:count]) * sum(WEIGHTS) / sum(WEIGHTS[:count])
    product = np.ones(len(one))
    for scale, weight in enumerate(weights):
        whole, structure = similarity(one, two)
        factor = whole if scale == count - 1 else structure
        product *= np.maximum(factor, 0.0) ** weight
        one, two = _halve(one), _halve(two)
    return np.minimum(product, 1.0)


def one_a_patient(patients: Sequence[str], limit: int, rng: np.random.Generator) -> Indices:
    """Indices of one random image each of at most ``limit`` random patients, in random order."""
    order = rng.permutation(len(patients))
    _, first = np.unique(np.asarray(patients, dtype=np.str_)[order], return_index=True)
    return order[np.sort(first)][:limit]


def similarities(images: ImageSet, limit: int, rng: np.random.Generator) -> Floats:
    """MS-SSIM of each of at most ``limit`` images, of as many patients, with the next in a random circle of them."""
    chosen = one_a_patient(images.patients, limit, rng)
    values = []
    for start in range(0, len(chosen), BATCH):
        around = images.pixels(np.append(chosen, chosen[0])[start : start + BATCH + 1].tolist())
        values.append(ms_ssim(around[:-1], around[1:]))
    return np.concatenate(values)


def circle_se(values: Floats) -> float:
    """Standard error of the mean of similarities around a circle, where each image is in two neighbouring pairs.

    ``sqrt((g0 + 2 g1) / n)`` with ``g0`` the variance and ``g1`` the covariance of neighbours, counted when positive,
    which for independent images it is: pairs further apart share nothing.
    """
    centred = values - values.mean()
    together = max(0.0, float(np.mean(centred * np.roll(centred, 1))))
    return float(np.sqrt((np.sum(centred**2) / (len(values) - 1) + 2 * together) / len(values)))
