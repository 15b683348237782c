"""Radiomic features in the definitions of the Image Biomarker Standardisation Initiative (IBSI, arXiv:1612.07003)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.api import BenchError, Encoder, HasRadiomics, Images, Rows
from bench.statistics.arrays import Floats, Levels
from evaluators.encoders.radiomics import cooccurrence, dependence, first_order, run_lengths, tone_differences
from evaluators.encoders.radiomics.compression import column_name, compressed, kept
from evaluators.encoders.radiomics.image_filters import filtered

TEXTURES: dict[str, tuple[tuple[str, ...], Callable[[Levels, int], Floats]]] = {
    "cooccurrence": (cooccurrence.NAMES, cooccurrence.cooccurrence_features),
    "run_length": (run_lengths.RUN_NAMES, run_lengths.run_features),
    "size_zone": (run_lengths.ZONE_NAMES, run_lengths.zone_features),
    "tone_difference": (tone_differences.NAMES, tone_differences.tone_features),
    "dependence": (dependence.NAMES, dependence.dependence_features),
}
FAMILIES: dict[str, tuple[str, ...]] = {"first_order": first_order.NAMES} | {k: v[0] for k, v in TEXTURES.items()}
CHUNK_PIXELS = 1 << 18


def fixed_bin_size(images: Images, count: int) -> Levels:
    """IBSI "fixed bin size" from 0: ``floor(count * grey / 256)``, so a level means the same in every image."""
    return (images.astype(np.uint16) * count // 256).astype(np.uint8)


def fixed_bin_number(values: Floats, count: int) -> Levels:
    """IBSI "fixed bin number": ``count`` equal bins between an image's extremes, for arbitrary units.

    ``floor(count * (x - min) / (max - min))``, the maximum in the last bin; 0 everywhere for a flat image.
    """
    low = values.min(axis=(1, 2), keepdims=True)
    span = values.max(axis=(1, 2), keepdims=True) - low
    place = count * (values - low) / np.where(span == 0, 1.0, span)
    return np.minimum(place, count - 1).astype(np.uint8)


class Radiomics(Encoder, HasRadiomics):
    """First-order and texture features of the whole image, of chosen filtered versions of it.

    Conventions, in IBSI's words: two-dimensional, region of interest the whole image, no resampling; discretisation
    by fixed bin size of the original (known units) and by fixed bin number of filter responses (arbitrary units);
    distance 1; co-occurrence symmetric; co-occurrence and run length features averaged over four directions; zones
    8-connected; dependences of coarseness 0. Heavy-tailed features are columns as logarithms, and features that follow
    from others are none (module ``compression``).

    Attributes:
        radiomic_features: ``<image>_<family>_<feature>`` for every column, ``<image>_<family>_logarithm_of_<feature>``
            where the column is a logarithm (module ``compression``).
    """

    column_units = "different"

    def __init__(self, images: Mapping[str, Sequence[str]], levels: int = 32) -> None:
        """What to measure on what.

        Args:
            images: families of features by image: ``original``, ``log_<sigma>`` (Laplacian of Gaussian, sigma in
                pixels), ``wavelet_<ll|lh|hl|hh>`` (undecimated coiflet 1). Families: ``first_order``,
                ``cooccurrence``, ``run_length``, ``size_zone``, ``tone_difference``, ``dependence``.
            levels: number of grey levels of the texture matrices, 2 to 256.

        Raises:
            BenchError: an unknown image or family, or a number of levels out of range.
        """
        self.images = {name: tuple(families) for name, families in images.items()}
        self.levels = int(levels)
        if not 2 <= self.levels <= 256:
            raise BenchError(f"encoder radiomics: levels={levels}, needed 2 to 256")
        for name, families in self.images.items():
            self._check(name, families)
        self.radiomic_features = tuple(
            f"{name}_{family}_{column_name(FAMILIES[family][place])}"
            for name, families in self.images.items()
            for family in families
            for place in kept(name, family, FAMILIES[family])
        )
        self.dim = len(self.radiomic_features)
        names = hashlib.sha256("\n".join(self.radiomic_features).encode()).hexdigest()[:16]
        self.id = f"radiomics-2 {'+'.join(self.images)} levels={self.levels} features={names}"

    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, H, W)`` uint8, at least 2x2 pixels, into ``(B, dim)`` float32, always finite."""
        if min(images.shape[1:]) < 2:
            raise BenchError(f"encoder radiomics: images of {images.shape[1:]} pixels, needed at least 2x2")
        step = max(1, CHUNK_PIXELS // images[0].size)
        chunks = [self._features(images[start : start + step]) for start in range(0, len(images), step)]
        return np.concatenate(chunks).astype(np.float32)

    def _features(self, images: Images) -> Floats:
        columns = []
        for name, families in self.images.items():
            if name == "original":
                values, levels = images.astype(np.float64), fixed_bin_size(images, self.levels)
            else:
                values = filtered(images, name)
                levels = fixed_bin_number(values, self.levels)
            for family in families:
                if family == "first_order":
                    features = first_order.first_order(values, levels, self.levels)
                else:
                    features = TEXTURES[family][1](levels, self.levels)
                places = kept(name, family, FAMILIES[family])
                names = [FAMILIES[family][place] for place in places]
                columns.append(compressed(features[:, places], names, self.levels))
        return np.concatenate(columns, axis=1)

    @staticmethod
    def _check(name: str, families: Sequence[str]) -> None:
        unknown = [family for family in families if family not in FAMILIES]
        if unknown:
            raise BenchError(f"encoder radiomics: no feature family {unknown} (image {name}); there are {[*FAMILIES]}")
        if name == "original":
            return
        try:
            filtered(np.zeros((1, 8, 8), np.uint8), name)
        except ValueError as error:
            raise BenchError(f"encoder radiomics: {error}") from error
