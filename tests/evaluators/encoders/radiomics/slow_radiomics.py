"""Radiomic features by their definitions, one pixel at a time, on one image of levels counted from 1."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

Table = dict[tuple[int, int], float]


def pair_table(image: Any, step: tuple[int, int]) -> Table:
    counts: Counter[tuple[int, int]] = Counter()
    for r in range(image.shape[0]):
        for c in range(image.shape[1]):
            other = (r + step[0], c + step[1])
            if 0 <= other[0] < image.shape[0] and 0 <= other[1] < image.shape[1]:
                i, j = int(image[r, c]), int(image[other])
                counts[i, j] += 1
                counts[j, i] += 1
    total = sum(counts.values())
    return {pair: count / total for pair, count in counts.items()}


def bits(values: Any) -> float:
    return -sum(p * math.log2(p) for p in values if p > 0)


def pair_features(p: Table, levels: int) -> dict[str, float]:
    margin: Counter[int] = Counter()
    gap: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for (i, j), q in p.items():
        margin[i] += q
        gap[abs(i - j)] += q
        total[i + j] += q
    mean = sum(i * q for i, q in margin.items())
    variance = sum((i - mean) ** 2 * q for i, q in margin.items())
    gap_mean = sum(k * q for k, q in gap.items())
    hx, hxy = bits(margin.values()), bits(p.values())
    hxy1 = -sum(q * math.log2(margin[i] * margin[j]) for (i, j), q in p.items())
    hxy2 = -sum(a * b * math.log2(a * b) for a in margin.values() for b in margin.values())
    return {
        "joint_maximum": max(p.values()),
        "joint_average": mean,
        "joint_entropy": hxy,
        "difference_average": gap_mean,
        "difference_variance": sum((k - gap_mean) ** 2 * q for k, q in gap.items()),
        "difference_entropy": bits(gap.values()),
        "sum_entropy": bits(total.values()),
        "angular_second_moment": sum(q * q for q in p.values()),
        "contrast": sum((i - j) ** 2 * q for (i, j), q in p.items()),
        "inverse_difference": sum(q / (1 + abs(i - j)) for (i, j), q in p.items()),
        "normalised_inverse_difference": sum(q / (1 + abs(i - j) / levels) for (i, j), q in p.items()),
        "inverse_difference_moment": sum(q / (1 + (i - j) ** 2) for (i, j), q in p.items()),
        "normalised_inverse_difference_moment": sum(q / (1 + (i - j) ** 2 / levels**2) for (i, j), q in p.items()),
        "inverse_variance": sum(q / (i - j) ** 2 for (i, j), q in p.items() if i != j),
        "correlation": 1.0 if variance == 0 else sum((i - mean) * (j - mean) * q for (i, j), q in p.items()) / variance,
        "autocorrelation": sum(i * j * q for (i, j), q in p.items()),
        "cluster_tendency": sum((i + j - 2 * mean) ** 2 * q for (i, j), q in p.items()),
        "cluster_shade": sum((i + j - 2 * mean) ** 3 * q for (i, j), q in p.items()),
        "cluster_prominence": sum((i + j - 2 * mean) ** 4 * q for (i, j), q in p.items()),
        "information_correlation_1": 0.0 if hx == 0 else (hxy - hxy1) / hx,
        "information_correlation_2": math.sqrt(max(0.0, 1 - math.exp(-2 * (hxy2 - hxy)))),
    }


def run_table(image: Any, step: tuple[int, int]) -> Table:
    counts: Counter[tuple[int, int]] = Counter()
    height, width = image.shape

    def level(r: int, c: int) -> int | None:
        return int(image[r, c]) if 0 <= r < height and 0 <= c < width else None

    for r in range(height):
        for c in range(width):
            here = level(r, c)
            if level(r - step[0], c - step[1]) == here:
                continue
            length = 1
            while level(r + length * step[0], c + length * step[1]) == here:
                length += 1
            counts[image[r, c], length] += 1
    return {(int(i), int(s)): float(n) for (i, s), n in counts.items()}


def zone_table(image: Any) -> Table:
    counts: Counter[tuple[int, int]] = Counter()
    seen = np.zeros(image.shape, bool)
    for start in np.ndindex(image.shape):
        if seen[start]:
            continue
        seen[start] = True
        waiting, size = [start], 0
        while waiting:
            r, c = waiting.pop()
            size += 1
            for other in ((r + a, c + b) for a in (-1, 0, 1) for b in (-1, 0, 1)):
                inside = 0 <= other[0] < image.shape[0] and 0 <= other[1] < image.shape[1]
                if inside and not seen[other] and image[other] == image[start]:
                    seen[other] = True
                    waiting.append(other)
        counts[image[start], size] += 1
    return {(int(i), int(s)): float(n) for (i, s), n in counts.items()}


def size_features(table: Table, pixels: int) -> list[float]:
    number = sum(table.values())
    by_level: Counter[int] = Counter()
    by_size: Counter[int] = Counter()
    for (i, s), n in table.items():
        by_level[i] += n
        by_size[s] += n

    def mean(weight: Any) -> float:
        return sum(n * weight(i, s) for (i, s), n in table.items()) / number

    mean_level, mean_size = mean(lambda i, s: i), mean(lambda i, s: s)
    return [
        mean(lambda i, s: 1 / s**2),
        mean(lambda i, s: s**2),
        mean(lambda i, s: 1 / i**2),
        mean(lambda i, s: i**2),
        mean(lambda i, s: 1 / (s**2 * i**2)),
        mean(lambda i, s: i**2 / s**2),
        mean(lambda i, s: s**2 / i**2),
        mean(lambda i, s: s**2 * i**2),
        sum(n**2 for n in by_level.values()) / number,
        sum(n**2 for n in by_level.values()) / number**2,
        sum(n**2 for n in by_size.values()) / number,
        sum(n**2 for n in by_size.values()) / number**2,
        number / pixels,
        mean(lambda i, s: (i - mean_level) ** 2),
        mean(lambda i, s: (s - mean_size) ** 2),
        bits(n / number for n in table.values()),
    ]


def tone_table(image: Any) -> tuple[Counter[int], Counter[int]]:
    number: Counter[int] = Counter()
    difference: Counter[int] = Counter()
    for r, c in np.ndindex(image.shape):
        around = [
            float(image[r + a, c + b])
            for a in (-1, 0, 1)
            for b in (-1, 0, 1)
            if (a, b) != (0, 0) and 0 <= r + a < image.shape[0] and 0 <= c + b < image.shape[1]
        ]
        number[int(image[r, c])] += 1
        difference[int(image[r, c])] += abs(int(image[r, c]) - sum(around) / len(around))
    return number, difference


def tone_features(image: Any) -> list[float]:
    number, s = tone_table(image)
    pixels = image.size
    p = {i: n / pixels for i, n in number.items()}
    used, total = len(p), sum(s.values())
    rough = sum(p[i] * s[i] for i in p)
    pairs = [(i, j) for i in p for j in p]
    restless = sum(abs(i * p[i] - j * p[j]) for i, j in pairs)
    spread = sum(p[i] * p[j] * (i - j) ** 2 for i, j in pairs)
    return [
        1 / rough,
        spread / (used * (used - 1)) * total / pixels,
        rough / restless,
        sum(abs(i - j) * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j]) for i, j in pairs) / pixels,
        sum((p[i] + p[j]) * (i - j) ** 2 for i, j in pairs) / total,
    ]


def dependence_table(image: Any) -> Table:
    """Level 0 is outside the region of interest."""
    counts: Counter[tuple[int, int]] = Counter()
    for r, c in zip(*np.nonzero(image), strict=True):
        around = [(r + a, c + b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
        inside = [(y, x) for y, x in around if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]]
        counts[int(image[r, c]), 1 + sum(image[place] == image[r, c] for place in inside)] += 1
    return {pair: float(n) for pair, n in counts.items()}


def dependence_features(image: Any) -> dict[str, float]:
    table = dependence_table(image)
    pixels = sum(table.values())
    of_dependence: Counter[int] = Counter()
    for (_, j), n in table.items():
        of_dependence[j] += n

    def mean(weight: Any) -> float:
        return sum(n * weight(i, j) for (i, j), n in table.items()) / pixels

    mean_level, mean_dependence = mean(lambda i, j: i), mean(lambda i, j: j)
    return {
        "low_dependence_emphasis": mean(lambda i, j: 1 / j**2),
        "high_dependence_emphasis": mean(lambda i, j: j**2),
        "low_grey_level_count_emphasis": mean(lambda i, j: 1 / i**2),
        "high_grey_level_count_emphasis": mean(lambda i, j: i**2),
        "low_dependence_low_grey_level_emphasis": mean(lambda i, j: 1 / (i**2 * j**2)),
        "low_dependence_high_grey_level_emphasis": mean(lambda i, j: i**2 / j**2),
        "high_dependence_low_grey_level_emphasis": mean(lambda i, j: j**2 / i**2),
        "high_dependence_high_grey_level_emphasis": mean(lambda i, j: i**2 * j**2),
        "normalised_dependence_count_non_uniformity": sum(n**2 for n in of_dependence.values()) / pixels**2,
        "grey_level_variance": mean(lambda i, j: (i - mean_level) ** 2),
        "dependence_count_variance": mean(lambda i, j: (j - mean_dependence) ** 2),
        "dependence_count_entropy": bits(n / pixels for n in table.values()),
        "dependence_count_energy": sum(n**2 for n in table.values()) / pixels**2,
    }
