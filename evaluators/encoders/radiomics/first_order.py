"""First-order radiomic features: grey levels without their places (IBSI sections 3.3 and 3.4, arXiv:1612.07003)."""

from __future__ import annotations

import numpy as np

from bench.statistics.arrays import Floats, Integers, Levels

Binned = Levels | Integers  # discretised grey levels, from 0

NAMES = (
    "mean",
    "variance",
    "skewness",
    "excess_kurtosis",
    "median",
    "minimum",
    "percentile_10",
    "percentile_90",
    "maximum",
    "interquartile_range",
    "mean_absolute_deviation",
    "robust_mean_absolute_deviation",
    "median_absolute_deviation",
    "root_mean_square",
    "entropy",
    "uniformity",
)


def percentiles(ordered: Floats, percents: tuple[float, ...]) -> list[Floats]:
    """Linearly interpolated percentiles of ascending rows ``(N, P)``: one ``(N,)`` for each of ``percents``."""
    last = ordered.shape[1] - 1
    found = []
    for percent in percents:
        place = last * percent / 100
        below = int(place)
        above = min(below + 1, last)
        found.append(ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below]))
    return found


def moments(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean, variance, skewness and excess kurtosis of rows ``(N, P)``; the last two are 0 for a flat row."""
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    squares = centred * centred
    variance = squares.mean(axis=1)
    flat = values.max(axis=1) == values.min(axis=1)
    scale = np.where(flat, 1.0, variance)
    skewness = np.where(flat, 0.0, (squares * centred).mean(axis=1) / scale**1.5)
    kurtosis = np.where(flat, 0.0, (squares * squares).mean(axis=1) / scale**2 - 3)
    return mean, np.where(flat, 0.0, variance), skewness, kurtosis


def robust_deviation(values: Floats, low: Floats, high: Floats) -> Floats:
    """Mean absolute deviation of the values in ``[low, high]`` from their own mean, for rows ``(N, P)``."""
    inside = (values >= low[:, None]) & (values <= high[:, None])
    count = inside.sum(axis=1)
    mean = (values * inside).sum(axis=1) / count
    return (np.abs(values - mean[:, None]) * inside).sum(axis=1) / count


def shares(levels: Binned, count: int) -> Floats:
    """Share of pixels at each of ``count`` levels: ``(N, count)`` for levels ``(N, ...)`` in ``0..count-1``."""
    images = len(levels)
    flat = levels.reshape(images, -1)
    codes = flat + (np.arange(images) * count)[:, None]
    counts = np.bincount(codes.ravel(), minlength=images * count)
    return counts.reshape(images, count) / flat.shape[1]


def entropy(probabilities: Floats) -> Floats:
    """``-sum p log2 p`` over the last axis, in bits, with ``0 log 0 = 0``."""
    logs = np.zeros_like(probabilities)
    np.log2(probabilities, out=logs, where=probabilities > 0)
    return -(probabilities * logs).sum(axis=-1)


def first_order(values: Floats, levels: Binned, count: int) -> Floats:
    """The features ``NAMES`` of every image: ``(N, 16)``.

    Args:
        values: ``(N, H, W)`` grey levels or filter responses.
        levels: ``(N, H, W)`` the same, discretised to ``0..count-1``, for entropy and uniformity.

    ``median_absolute_deviation`` is the mean absolute deviation from the median, as IBSI names it. The range (maximum
    less minimum) and the energy (root mean square, squared, times pixels) are left out, being others over again; so
    are the coefficients of variation and of dispersion, which have no bound for filter responses around zero.
    """
    rows = values.reshape(len(values), -1)
    mean, variance, skewness, kurtosis = moments(rows)
    ordered = np.sort(rows, axis=1)
    p10, p25, median, p75, p90 = percentiles(ordered, (10, 25, 50, 75, 90))
    histogram = shares(levels, count)
    columns = (
        mean,
        variance,
        skewness,
        kurtosis,
        median,
        ordered[:, 0],
        p10,
        p90,
        ordered[:, -1],
        p75 - p25,
        np.abs(rows - mean[:, None]).mean(axis=1),
        robust_deviation(rows, p10, p90),
        np.abs(rows - median[:, None]).mean(axis=1),
        np.sqrt((rows**2).mean(axis=1)),
        entropy(histogram),
        (histogram**2).sum(axis=1),
    )
    return np.stack(columns, axis=1)
