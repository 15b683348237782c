"""How the fineness of synthetic images differs from that of real ones, from radial power spectra.

Generators built on upsampling leave a spectrum that real images do not have (Durall et al. 2020, arXiv 2003.01826).
"""

from __future__ import annotations

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices, Reals
from bench.statistics.clusters import Clusters
from bench.statistics.distances import mean_row
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife
from evaluators.fidelity.fold_tables import FoldTables
from evaluators.fidelity.kernel_sums import linear_tables

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


def spectrum_distance(real: Rows, fake: Rows, real_clusters: Clusters, fake_clusters: Clusters) -> FoldTables:
    """Mean over bands of the squared difference of the mean spectra, in dB^2, no bias; ``(N, B)`` in decades.

    ``|m - m'|^2 / B`` with ``m`` the means, less what the scatter of patients adds: a kernel distance whose kernel is
    the product of two spectra over ``B``, given as tables.
    """
    centre = mean_row(real)

    def levels(rows: Reals) -> Floats:
        return (rows - centre) * (DECIBEL / np.sqrt(rows.shape[1]))

    return linear_tables(real, fake, (real_clusters, fake_clusters), levels)
