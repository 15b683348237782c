"""How the fineness of synthetic images differs from that of real ones, from radial power spectra.

Generators built on upsampling leave a spectrum that real images do not have (Durall et al. 2020, arXiv 2003.01826).
"""

from __future__ import annotations

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife

DECIBEL = 10.0  # decibels in a factor of ten of power
COARSE = 2  # the lowest bands, which the window and the outline of the body shape, left out of the slope

SPECTRUM_DISTANCE = Metric(
    key="spectrum_distance",
    title="Spectrum distance",
    better="lower",
    reference="arXiv:2003.01826",
    area="fidelity",
    minimum=50,
    unit="dB²",
    summary=(
        "Mean squared difference of the mean power spectra, bias removed: 0 for a perfect generator, slightly negative "
        "by chance; large for blurred, noisy or patterned images."
    ),
)
SPECTRAL_SLOPE_GAP = Metric(
    key="spectral_slope_gap",
    title="Spectral slope gap",
    better="target",
    target=0.0,
    reference="arXiv:2003.01826",
    area="fidelity",
    minimum=50,
    summary="Slope of the power spectrum of synthetic less that of test images: below 0 smoother, above 0 grainier.",
)


def slopes(spectra: Rows, frequencies: Floats) -> Floats:
    """Least-squares slope ``(N,)`` of log power on log frequency, ``(N, B)`` spectra: -2 for power as ``f^-2``."""
    place = np.log10(frequencies[COARSE:])
    place = place - place.mean()
    return spectra[:, COARSE:].astype(np.float64) @ place / (place @ place)


def slope_gap(real: Floats, fake: Floats, real_folds: Indices, fake_folds: Indices) -> Estimate:
    """Mean slope of synthetic less that of real images, with the delete-fold jackknife over both sets."""
    folds = range(-1, fold_count(real_folds, fake_folds))
    return jackknife([float(fake[fake_folds != g].mean() - real[real_folds != g].mean()) for g in folds])


def spectrum_distance(real: Rows, fake: Rows, real_folds: Indices, fake_folds: Indices) -> Estimate:
    """Mean over bands of the squared difference of the mean spectra, in dB^2, free of bias; ``(N, B)`` in decades.

    ``mean_b ((m - m')^2 - v / N - v' / M)`` with ``m`` the means and ``v`` the variances of a band. The squared
    standard error is the delete-fold jackknife's plus that of two samples of one population,
    ``2 (1/N + 1/M)^2 tr C^2 / B^2`` with ``C`` the covariance of the bands.
    """
    ours, theirs = DECIBEL * real.astype(np.float64), DECIBEL * fake.astype(np.float64)
    folds = range(-1, fold_count(real_folds, fake_folds))
    values = [_unbiased(ours[real_folds != g], theirs[fake_folds != g]) for g in folds]
    covariance = np.cov(ours, rowvar=False) / real.shape[1]
    null = (1 / len(real) + 1 / len(fake)) * np.sqrt(2 * (covariance**2).sum())
    return jackknife(values, float(null))


def _unbiased(real: Floats, fake: Floats) -> float:
    gap = (fake.mean(axis=0) - real.mean(axis=0)) ** 2
    return float((gap - fake.var(axis=0, ddof=1) / len(fake) - real.var(axis=0, ddof=1) / len(real)).mean())
