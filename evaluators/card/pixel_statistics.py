"""Pixel terms of the card: unpaired structural similarity, spectrum, and rules an image of the modality keeps."""

from __future__ import annotations

import numpy as np

from bench.api import ImageSet
from bench.statistics.arrays import Floats, Levels, Mask

Table = Floats
RULES = (
    "mean grey level",
    "contrast",
    "share of background",
    "spectral slope",
    "low-frequency energy",
    "high-frequency energy",
    "largest component",
)
BLOCK = 64  # images in memory at a time
LOW, HIGH = 0.05, 0.25  # cycles per pixel: below and above lie the band energies


def properties(images: ImageSet) -> Table:
    """``(N, 7)``: what ``RULES`` names, in order, of each image.

    Grey levels are in 0-255, energies are shares of the power without the mean, the slope is that of log power over
    log frequency between ``LOW`` and ``HIGH`` (Burgess 2003; the card calls it anatomical noise), the component is
    the largest connected bright region as a share of all bright pixels.
    """
    found = [_one(image) for block in images.blocks(BLOCK) for image in block]
    return np.stack(found) if found else np.zeros((0, len(RULES)))


def _one(image: Levels) -> Table:
    from scipy import ndimage

    values = image.astype(np.float64)
    bright = image > max(2.0, 0.1 * np.quantile(values, 0.99))
    labels, count = ndimage.label(bright)
    largest = np.bincount(labels.ravel())[1:].max() / bright.sum() if count else 0.0
    slope, low, high = spectrum(values)
    return np.array([values.mean(), values.std(), 1 - bright.mean(), slope, low, high, largest])


def spectrum(values: Floats) -> tuple[float, float, float]:
    """Slope of the power spectrum and the shares of power below ``LOW`` and above ``HIGH`` cycles per pixel."""
    window = np.hanning(values.shape[0])[:, None] * np.hanning(values.shape[1])[None, :]
    power = np.abs(np.fft.rfft2((values - values.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(values.shape[0])[:, None], np.fft.rfftfreq(values.shape[1])[None, :])
    total = power[frequency > 0].sum()
    if total <= 0:
        return 0.0, 0.0, 0.0
    band = (frequency >= LOW) & (frequency <= HIGH) & (power > 0)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0] if band.sum() > 2 else 0.0
    low = power[(frequency > 0) & (frequency < LOW)].sum() / total
    return float(slope), float(low), float(power[frequency > HIGH].sum() / total)


def limits(reference: Table, outside: float = 0.02) -> Table:
    """``(2, P)`` lower and upper limits such that about ``1 - outside`` of the reference keeps every rule.

    All rules get the same two quantiles, widened together until the wanted share passes.
    """
    for tail in np.linspace(outside / 2, 0.0, 41):
        bounds = np.quantile(reference, (tail, 1 - tail), axis=0)
        if kept(reference, bounds).mean() >= 1 - outside:
            break
    return np.asarray(bounds)


def kept(table: Table, bounds: Table) -> Mask:
    """Which images keep every rule."""
    return np.asarray(((table >= bounds[0]) & (table <= bounds[1])).all(axis=1))


def unpaired_similarity(a: ImageSet, b: ImageSet, rng: np.random.Generator, pairs: int = 256) -> Table:
    """Structural similarity (Wang et al. 2004) of random pairs, one of each set, on pixels bright in either.

    Gaussian window 1.5, K1 0.01, K2 0.03, range 255. Pairs of an image with itself are avoided when both sets are
    one. Background, which agrees in any two images, would decide the mean and is left out.
    """
    from skimage.metrics import structural_similarity

    count = min(pairs, len(a), len(b))
    first, second = rng.permutation(len(a))[:count], rng.permutation(len(b))[:count]
    same = (first == second) if a is b else np.zeros(count, bool)
    second = np.where(same, (second + 1) % len(b), second)
    result = np.empty(count)
    pictures = zip(a.pixels(first), b.pixels(second), strict=True)
    for k, (x, y) in enumerate((one.astype(np.float64), other.astype(np.float64)) for one, other in pictures):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        _, local = structural_similarity(x, y, data_range=255, full=True, **options)
        seen = (x > 2) | (y > 2)
        result[k] = local[seen].mean() if seen.any() else local.mean()
    return result
