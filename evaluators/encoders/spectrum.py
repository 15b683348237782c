"""The radially averaged power spectrum of an image: how much there is at each fineness."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.api import BenchError, Encoder, HasFrequencies, Images, Rows
from bench.statistics.arrays import Floats, Indices

FAINTEST = 1e-6  # power taken for that of an empty band, in squared grey levels


@lru_cache(maxsize=16)
def bands(height: int, width: int, count: int) -> tuple[Indices, Floats]:
    """The band of every frequency of the half transform, ``(H * (W // 2 + 1),)``, and its weight.

    Bands are equal stretches of 0 to 0.5 cycles a pixel; the mean and what lies beyond 0.5 (the corners) get band
    ``count``. A frequency whose mirror image the half transform leaves out counts twice.
    """
    across = np.arange(width // 2 + 1)
    down = np.fft.fftfreq(height)[:, None]
    radius = np.hypot(down, across / width)
    band = np.minimum((radius * 2 * count - 1e-9).astype(np.int64), count)
    band[(radius > 0.5) | (radius == 0)] = count
    twice = np.where((across == 0) | (2 * across == width), 1.0, 2.0)
    return band.ravel(), np.broadcast_to(twice, radius.shape).ravel()


def radial_power(images: Images, count: int) -> Floats:
    """Mean power of ``(N, H, W)`` images in each of ``count`` bands of frequency: ``(N, count)``, squared grey levels.

    The mean is taken off and a Hann window put on, so that opposite borders which differ do not look like an edge.
    Power is scaled so that white noise of variance ``v`` has ``v`` in every band.
    """
    _, height, width = images.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    window /= np.sqrt((window**2).sum())
    values = images.astype(np.float64)
    mean = (values * window**2).sum(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2((values - mean) * window)) ** 2
    band, weight = bands(height, width, count)
    totals = np.bincount(band, weight, count + 1)[:count]
    flat = power.reshape(len(images), -1) * weight
    return np.stack([np.bincount(band, row, count + 1)[:count] for row in flat]) / totals


class Spectrum(Encoder, HasFrequencies):
    """Base-10 logarithm of the power in equal bands of spatial frequency.

    Attributes:
        frequencies: centre of each band, in cycles a pixel; has an evaluator measure spectra and not distances.
    """

    def __init__(self, count: int = 16) -> None:
        """``count``: bands between 0 and 0.5 cycles a pixel; an image needs twice as many pixels along each edge."""
        self.dim = int(count)
        if self.dim < 4:
            raise BenchError(f"encoder spectrum: count={self.dim}, needed at least 4 bands")
        self.frequencies = (np.arange(self.dim) + 0.5) / (2 * self.dim)
        self.id = f"spectrum-1 hann bands={self.dim}"

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, H, W)`` uint8 into ``(B, count)`` float32."""
        if min(images.shape[1:]) < 2 * self.dim:
            raise BenchError(
                f"encoder spectrum: images of {images.shape[1:]} pixels, needed {2 * self.dim} for {self.dim} bands; "
                "set encoder.spectrum.count lower"
            )
        return np.log10(np.maximum(radial_power(images, self.dim), FAINTEST)).astype(np.float32)
