"""The features of FRD v1 of one image on its grid, under the names that pyradiomics has for them."""

from __future__ import annotations

import numpy as np

from bench.statistics.arrays import Floats, Integers
from evaluators.encoders.radiomics import cooccurrence, first_order, run_lengths, tone_differences
from evaluators.encoders.radiomics.frd_images import SPACING_MM, binned

SHIFT = 300  # added to the values before they are squared
COARSENESS_OF_FLAT = 1e6
COOCCURRENCE = {
    "Autocorrelation": "autocorrelation",
    "JointAverage": "joint_average",
    "ClusterProminence": "cluster_prominence",
    "ClusterShade": "cluster_shade",
    "ClusterTendency": "cluster_tendency",
    "Contrast": "contrast",
    "Correlation": "correlation",
    "DifferenceAverage": "difference_average",
    "DifferenceEntropy": "difference_entropy",
    "DifferenceVariance": "difference_variance",
    "JointEnergy": "angular_second_moment",
    "JointEntropy": "joint_entropy",
    "Imc1": "information_correlation_1",
    "Imc2": "information_correlation_2",
    "Idm": "inverse_difference_moment",
    "Idmn": "normalised_inverse_difference_moment",
    "Id": "inverse_difference",
    "Idn": "normalised_inverse_difference",
    "InverseVariance": "inverse_variance",
    "MaximumProbability": "joint_maximum",
    "SumEntropy": "sum_entropy",
}
RUN_LENGTH = {
    "GrayLevelNonUniformity": "grey_level_non_uniformity",
    "GrayLevelNonUniformityNormalized": "normalised_grey_level_non_uniformity",
    "GrayLevelVariance": "grey_level_variance",
    "HighGrayLevelRunEmphasis": "high_grey_level_run_emphasis",
    "LongRunEmphasis": "long_runs_emphasis",
    "LongRunHighGrayLevelEmphasis": "long_run_high_grey_level_emphasis",
    "LongRunLowGrayLevelEmphasis": "long_run_low_grey_level_emphasis",
    "LowGrayLevelRunEmphasis": "low_grey_level_run_emphasis",
    "RunEntropy": "run_entropy",
    "RunLengthNonUniformity": "run_length_non_uniformity",
    "RunLengthNonUniformityNormalized": "normalised_run_length_non_uniformity",
    "RunPercentage": "run_percentage",
    "RunVariance": "run_length_variance",
    "ShortRunEmphasis": "short_runs_emphasis",
    "ShortRunHighGrayLevelEmphasis": "short_run_high_grey_level_emphasis",
    "ShortRunLowGrayLevelEmphasis": "short_run_low_grey_level_emphasis",
}
SIZE_ZONE = {
    "GrayLevelNonUniformity": "grey_level_non_uniformity",
    "GrayLevelNonUniformityNormalized": "normalised_grey_level_non_uniformity",
    "GrayLevelVariance": "grey_level_variance",
    "HighGrayLevelZoneEmphasis": "high_grey_level_zone_emphasis",
    "LargeAreaEmphasis": "large_zone_emphasis",
    "LargeAreaHighGrayLevelEmphasis": "large_zone_high_grey_level_emphasis",
    "LargeAreaLowGrayLevelEmphasis": "large_zone_low_grey_level_emphasis",
    "LowGrayLevelZoneEmphasis": "low_grey_level_zone_emphasis",
    "SizeZoneNonUniformity": "zone_size_non_uniformity",
    "SizeZoneNonUniformityNormalized": "normalised_zone_size_non_uniformity",
    "SmallAreaEmphasis": "small_zone_emphasis",
    "SmallAreaHighGrayLevelEmphasis": "small_zone_high_grey_level_emphasis",
    "SmallAreaLowGrayLevelEmphasis": "small_zone_low_grey_level_emphasis",
    "ZoneEntropy": "zone_size_entropy",
    "ZonePercentage": "zone_percentage",
    "ZoneVariance": "zone_size_variance",
}
TONE_DIFFERENCE = {
    "Busyness": "busyness",
    "Coarseness": "coarseness",
    "Complexity": "complexity",
    "Contrast": "contrast",
    "Strength": "strength",
}

Named = dict[str, float]


def extremes(values: Floats) -> Named:
    """``Mean``, ``Minimum`` and ``Maximum``, which the published code takes along as diagnostics."""
    return {"Mean": float(values.mean()), "Minimum": float(values.min()), "Maximum": float(values.max())}


def features(values: Floats) -> Named:
    """All 77 features of ``(H, W)`` values, by ``<class>_<name>``, in the published order."""
    levels = binned(values)[None]
    count = int(levels.max()) + 1
    pairs = _renamed(cooccurrence.NAMES, cooccurrence.cooccurrence_features(levels, count), COOCCURRENCE)
    pairs["SumSquares"] = (pairs["ClusterTendency"] + pairs["Contrast"]) / 4
    runs = _renamed(run_lengths.RUN_NAMES, run_lengths.run_features(levels, count), RUN_LENGTH)
    zones = _renamed(run_lengths.ZONE_NAMES, run_lengths.zone_features(levels, count), SIZE_ZONE)
    tones = _renamed(tone_differences.NAMES, tone_differences.tone_features(levels, count), TONE_DIFFERENCE)
    if count == 1:
        tones["Coarseness"] = COARSENESS_OF_FLAT
    classes = {
        "firstorder": _of_values(values, levels, count),
        "glcm": pairs,
        "glrlm": runs,
        "glszm": zones,
        "ngtdm": tones,
    }
    return {f"{of}_{name}": value for of, found in classes.items() for name, value in found.items()}


def _renamed(names: tuple[str, ...], row: Floats, published: dict[str, str]) -> Named:
    return {name: float(row[0, names.index(ours)]) for name, ours in published.items()}


def _of_values(values: Floats, levels: Integers, count: int) -> Named:
    found = dict(zip(first_order.NAMES, first_order.first_order(values[None], levels, count)[0].tolist(), strict=True))
    energy = float(((values + SHIFT) ** 2).sum())
    return {
        "10Percentile": found["percentile_10"],
        "90Percentile": found["percentile_90"],
        "Energy": energy,
        "Entropy": found["entropy"],
        "InterquartileRange": found["interquartile_range"],
        "Kurtosis": found["excess_kurtosis"] + 3 if found["variance"] > 0 else 0.0,
        "Maximum": found["maximum"],
        "MeanAbsoluteDeviation": found["mean_absolute_deviation"],
        "Mean": found["mean"],
        "Median": found["median"],
        "Minimum": found["minimum"],
        "Range": found["maximum"] - found["minimum"],
        "RobustMeanAbsoluteDeviation": found["robust_mean_absolute_deviation"],
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "Skewness": found["skewness"],
        "TotalEnergy": energy * SPACING_MM**2,
        "Uniformity": found["uniformity"],
        "Variance": found["variance"],
    }
