"""What happens to an image before the features of FRD v1 are taken, as frd-score 1.0.1 asks it of pyradiomics.

Normalisation, resampling and wavelets are those libraries' own steps, done by the libraries they are done by there
(SimpleITK, PyWavelets): in a flat stretch of an image a response is 0 but for rounding errors, 0 is an edge of the
bins, and only the same rounding errors fall on the same side of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.api import BenchError
from bench.statistics.arrays import Floats, Integers

SCALE = 100
SPACING_MM = 2
BIN_WIDTH = 5
WAVELET = "coif1"
BANDS = ("LH", "HL", "HH", "LL")  # the filter along x, then along y
LEAST_PIXELS = 4  # a side: two after resampling

Grey = npt.NDArray[np.uint8]


class Prepared(NamedTuple):
    """An image on the grid of 2 mm: ``whole`` is all of it, and its first ``inside`` rows and columns have features."""

    whole: Floats
    inside: tuple[int, int]

    @property
    def values(self) -> Floats:
        height, width = self.inside
        return self.whole[:height, :width]


def check_libraries() -> None:
    """Refuse where the libraries are missing, before anything is computed."""
    try:
        import pywt  # noqa: F401
        import SimpleITK  # noqa: F401
    except ImportError as error:
        raise BenchError(
            f"encoder frd_v1: {error.name} is not installed: pip install 'medical-image-bench[frd]'"
        ) from error


def versions() -> str:
    """Of the libraries, since they decide on which side of an edge a rounding error falls."""
    import pywt
    import SimpleITK

    return f"SimpleITK={SimpleITK.Version_VersionString()} PyWavelets={pywt.__version__}"


def prepared(image: Grey) -> Prepared:
    """Mean 0, standard deviation (of ``n - 1``) 100, then one pixel of 2 mm for four of 1 mm by cubic B-splines.

    Of an odd side the last pixel is cut in half. Such new pixels are 0, belong to the image that wavelets see, and have
    no features themselves.
    """
    import SimpleITK

    height, width = image.shape
    normalise, resample = SimpleITK.NormalizeImageFilter(), SimpleITK.ResampleImageFilter()
    for each in (normalise, resample):
        each.SetNumberOfThreads(1)  # a pool of threads takes longer to start than an image
    source = normalise.Execute(SimpleITK.GetImageFromArray(image[None].astype(np.float32))) * SCALE
    resample.SetInterpolator(SimpleITK.sitkBSpline)
    resample.SetOutputSpacing((SPACING_MM, SPACING_MM, 1))
    resample.SetOutputOrigin(((SPACING_MM - 1) / 2, (SPACING_MM - 1) / 2, 0))
    resample.SetSize((-(-width // SPACING_MM), -(-height // SPACING_MM), 1))
    resample.SetOutputPixelType(source.GetPixelID())
    whole = SimpleITK.GetArrayFromImage(resample.Execute(source))[0]
    return Prepared(np.asarray(whole, np.float64), (height // SPACING_MM, width // SPACING_MM))


def wavelet_bands(image: Prepared) -> Iterator[tuple[str, Floats]]:
    """Names and responses of the undecimated coiflet 1, in the order of ``BANDS``; the image goes on where it began."""
    import pywt

    height, width = image.whole.shape
    even = np.pad(image.whole, ((0, height % 2), (0, width % 2)), "wrap")
    (found,) = pywt.swtn(even, pywt.Wavelet(WAVELET), level=1, start_level=0, axes=(1, 0))
    rows, columns = image.inside
    for band in BANDS:
        yield band, found[band.replace("L", "a").replace("H", "d")][:rows, :columns]


def binned(values: Floats) -> Integers:
    """Grey levels from 0: bins of width 5, whose edges are multiples of 5, counted from that of the least value."""
    low = values.min() - values.min() % BIN_WIDTH
    edges = np.arange(low, values.max() + 2 * BIN_WIDTH, BIN_WIDTH)
    return (np.digitize(values, edges) - 1).astype(np.int64)
