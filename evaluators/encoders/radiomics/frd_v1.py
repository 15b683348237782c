"""The published features of the Fréchet radiomics distance, version 1 (Konz & Osuala 2026, arXiv:2412.01496)."""

from __future__ import annotations

import numpy as np

from bench.api import BenchError, Encoder, Images, PublishedRadiomics, Rows
from evaluators.encoders.radiomics.frd_features import Named, extremes, features
from evaluators.encoders.radiomics.frd_images import (
    LEAST_PIXELS,
    Grey,
    check_libraries,
    prepared,
    versions,
    wavelet_bands,
)


class FrdV1(Encoder, PublishedRadiomics):
    """The 394 columns that frd-score 1.0.1 compares of grey images of one size without masks.

    Those of its configuration for two dimensions in pyradiomics 3.0.1: 77 features of the normalised and resampled
    image and of each of its four wavelet bands, and nine means and extremes that pyradiomics calls diagnostics. A pixel
    is taken for 1 mm, as in a PNG file that says nothing of it. Its Laplacians of Gaussian need four slices and find
    one. Four more diagnostics, numbers of pixels, are the same in every image of a size; the published code drops such
    columns, as they have no standard deviation.

    Attributes:
        radiomic_features: the names of the published code.
    """

    column_units = "different"
    published_as = "frd-score 1.0.1, FRD v1"

    def __init__(self) -> None:
        """Refuse where a library is missing.

        Raises:
            BenchError: SimpleITK or PyWavelets is not installed.
        """
        check_libraries()
        self.radiomic_features = tuple(described(np.arange(LEAST_PIXELS**2, dtype=np.uint8).reshape(LEAST_PIXELS, -1)))
        self.dim = len(self.radiomic_features)
        self.id = f"frd_v1-1 {versions()}"

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, H, W)`` uint8, at least 4x4 pixels, into ``(B, 394)`` float32, always finite.

        Raises:
            BenchError: images too small, or of one grey level: the published code stops at them too.
        """
        if min(images.shape[1:]) < LEAST_PIXELS:
            raise BenchError(f"encoder frd_v1: images of {images.shape[1:]} pixels, needed at least 4x4")
        flat = int((images.max(axis=(1, 2)) == images.min(axis=(1, 2))).sum())
        if flat:
            raise BenchError(
                f"encoder frd_v1: {flat} of {len(images)} images have one grey level; the published features divide by "
                "the standard deviation of an image: leave such images out, or the encoder"
            )
        return np.array([list(described(image).values()) for image in images], np.float32).reshape(-1, self.dim)


def described(image: Grey) -> Named:
    """All columns of one image by the published names, in the published order."""
    seen = prepared(image)
    diagnosed = {
        "Image-original": extremes(image.astype(np.float64)),
        "Image-interpolated": extremes(seen.whole),
        "Mask-interpolated": extremes(seen.values),
    }
    found = {f"diagnostics_{of}_{name}": value for of, each in diagnosed.items() for name, value in each.items()}
    found |= features(seen.values)
    for band, response in wavelet_bands(seen):
        found |= {f"wavelet-{band}_{name}": value for name, value in features(response).items()}
    return found
