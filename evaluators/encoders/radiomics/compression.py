"""Which features become columns, and which of them as a logarithm.

A mean of a power has a heavy tail: one image in a thousand decides its mean and its variance over a set, and with them
every distance. A fixed function of the feature cures that without looking at any data:

* A mean of squares or of higher powers of grey levels, of their differences or of sizes (emphases of what is high, long
  or large, variances, contrast, moments of clusters, standardised moments) and the ratios of such sums without a bound
  (busyness, complexity, strength): ``sign(x) log(1 + |x|)``.
* A mean of inverse squares of grey levels (emphases of what is low): ``log(1 + levels^2 x)``, since
  ``1 / levels^2`` is the least that one level can add.
* A sum of squared probabilities (uniformity, energy, normalised non-uniformity) and coarseness, all above 0:
  ``log(x)``. That of the squared probabilities is Rényi's entropy of order 2 with its sign changed.

First powers, percentiles, entropies, probabilities, correlations and weights between 0 and 1 stay as they are.

Left out, as they follow from other columns exactly or nearly, by their formulas:

* first order: root mean square (from mean and variance) and the mean absolute deviation from the median (that from the
  mean, but for the distance of the two); of a filter that removes the mean, mean and median, which are 0 but for
  the skewness.
* co-occurrence: joint average (the mean of the pixels but for the border), autocorrelation and cluster tendency (from
  it, the variance and contrast), inverse difference moment (inverse difference with another weight of the same form),
  and both normalised ones (``1 - k / levels`` nearly: difference average, and ``1 - k^2 / levels^2``: contrast).
* runs and zones: emphasis of what is long or large (from variance of size and percentage), non-uniformity of size, of
  which the normalised one is close to the emphasis of what is short or small, and non-uniformity of level, which is
  pixels times percentage times the normalised one.
* dependences: emphases and variance of the level alone. Every pixel enters once, so they say the histogram again.

Joint emphases of level and size are kept of dependences alone, which weigh pixels. Those of runs and zones weigh
stretches, so that a few dark specks of one pixel outweigh a whole background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bench.statistics.arrays import Floats
from evaluators.encoders.radiomics.image_filters import removes_mean

PREFIX = "logarithm_of_"
MEANS_OF_SQUARES = frozenset(
    {
        "variance",
        "skewness",
        "excess_kurtosis",
        "difference_variance",
        "contrast",
        "cluster_shade",
        "cluster_prominence",
        "high_grey_level_run_emphasis",
        "grey_level_variance",
        "run_length_variance",
        "high_grey_level_zone_emphasis",
        "zone_size_variance",
        "busyness",
        "complexity",
        "strength",
        "high_dependence_emphasis",
        "low_dependence_high_grey_level_emphasis",
        "high_dependence_high_grey_level_emphasis",
        "dependence_count_variance",
    }
)
MEANS_OF_INVERSE_SQUARES = frozenset(
    {
        "low_grey_level_run_emphasis",
        "low_grey_level_zone_emphasis",
        "low_dependence_low_grey_level_emphasis",
        "high_dependence_low_grey_level_emphasis",
    }
)
ABOVE_ZERO = frozenset(
    {
        "uniformity",
        "angular_second_moment",
        "normalised_grey_level_non_uniformity",
        "normalised_dependence_count_non_uniformity",
        "dependence_count_energy",
        "coarseness",
    }
)
COMPRESSED = MEANS_OF_SQUARES | MEANS_OF_INVERSE_SQUARES | ABOVE_ZERO
LEFT_OUT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "first_order": frozenset({"root_mean_square", "median_absolute_deviation"}),
        "cooccurrence": frozenset(
            {
                "joint_average",
                "autocorrelation",
                "cluster_tendency",
                "inverse_difference_moment",
                "normalised_inverse_difference",
                "normalised_inverse_difference_moment",
            }
        ),
        "run_length": frozenset(
            {
                "long_runs_emphasis",
                "short_run_low_grey_level_emphasis",
                "short_run_high_grey_level_emphasis",
                "long_run_low_grey_level_emphasis",
                "long_run_high_grey_level_emphasis",
                "grey_level_non_uniformity",
                "run_length_non_uniformity",
                "normalised_run_length_non_uniformity",
            }
        ),
        "size_zone": frozenset(
            {
                "large_zone_emphasis",
                "small_zone_low_grey_level_emphasis",
                "small_zone_high_grey_level_emphasis",
                "large_zone_low_grey_level_emphasis",
                "large_zone_high_grey_level_emphasis",
                "grey_level_non_uniformity",
                "zone_size_non_uniformity",
                "normalised_zone_size_non_uniformity",
            }
        ),
        "dependence": frozenset(
            {"low_grey_level_count_emphasis", "high_grey_level_count_emphasis", "grey_level_variance"}
        ),
    }
)


def kept(image: str, family: str, names: Sequence[str]) -> list[int]:
    """Places of those features of a family of a (filtered) image that become columns."""
    out = LEFT_OUT.get(family, frozenset())
    if family == "first_order" and removes_mean(image):
        out = out | {"mean", "median"}
    return [place for place, name in enumerate(names) if name not in out]


def column_name(feature: str) -> str:
    """The feature's name, after ``logarithm_of_`` where the column is one."""
    return PREFIX + feature if feature in COMPRESSED else feature


def compressed(features: Floats, names: Sequence[str], levels: int) -> Floats:
    """The columns made of features ``(N, len(names))`` of the named, as the module describes."""
    columns = features.copy()
    for place, name in enumerate(names):
        column = features[:, place]
        if name in MEANS_OF_SQUARES:
            columns[:, place] = np.sign(column) * np.log1p(np.abs(column))
        elif name in MEANS_OF_INVERSE_SQUARES:
            columns[:, place] = np.log1p(levels**2 * column)
        elif name in ABOVE_ZERO:
            columns[:, place] = np.log(column)
    return columns
