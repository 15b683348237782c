"""Who the phantoms are of: masking level, five readers, density, area, outcome.

A latent masking potential ``z ~ N(0, 1)`` decides everything. Reader ``e`` sees ``z + sigma_e * noise`` and sorts it
into eight equal bins; the five sigmas are fitted to the ten rank correlations between the readers of CSAW-M (Sorkhei et
al. 2021, arXiv 2112.01330). Density given the level, breast area given density, and the outcomes given the rank of
``z`` follow published tables of the same cohort or, for the areas, of a comparable one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

READER_NOISE = (0.64, 0.64, 1.31, 1.16, 0.88)
LEVELS = 8
DENSITY_MEDIANS = (7.0, 8.0, 12.0, 19.0, 23.0, 27.0, 31.0, 32.0)
DENSITY_LOG_DEVIATIONS = (0.55, 0.55, 0.55, 0.45, 0.45, 0.45, 0.35, 0.35)
AREA_DENSITIES = (4.3, 19.3, 40.4, 62.3)
AREA_MEANS = (239.0, 156.0, 119.0, 96.0)
AREA_LOG_DEVIATION = 0.3
# Larger than life, so that small pictures still show tissue.
AREA_ENLARGEMENT = 1.3
TRAIN_CASES, TEST_CASES = 0.066, 0.062


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether cancer was found, and of what kind; ``composite`` is interval or large invasive."""

    cancer: bool
    interval: bool
    large_invasive: bool

    @property
    def composite(self) -> bool:
        return self.interval or self.large_invasive


@dataclass(frozen=True, slots=True)
class Woman:
    """One imagined woman: ``readings`` are the five readers' levels 1 to 8, ``rank`` is the rank of z, 0 to 1.

    ``percent_density`` is 1 to 95, ``breast_area`` in cm2, ``chosen`` the reader (0 to 4) whose level is kept where a
    data set keeps one reading only.
    """

    rank: float
    readings: tuple[int, ...]
    chosen: int
    percent_density: float
    breast_area: float
    outcome: Outcome

    @property
    def median(self) -> int:
        """The middle one of the five levels."""
        return sorted(self.readings)[len(self.readings) // 2]


def imagine(rng: np.random.Generator, cases: float) -> Woman:
    """Draw one woman from a population in which the share ``cases`` has cancer."""
    latent = float(rng.standard_normal())
    readings = tuple(
        level(latent + sigma * float(rng.standard_normal()), math.hypot(1, sigma)) for sigma in READER_NOISE
    )
    rank = float(ndtr(latent))
    chosen = int(rng.integers(len(READER_NOISE)))
    density = percent_density(sorted(readings)[2], float(rng.standard_normal()))
    area = breast_area(density, float(rng.standard_normal()))
    return Woman(rank, readings, chosen, density, area, outcome(rank, cases, float(rng.random())))


def level(value: float, deviation: float) -> int:
    """``1 + floor(8 * Phi(value / deviation))``: the bin, 1 to 8, of a normal value among eight of equal mass."""
    return 1 + min(LEVELS - 1, int(LEVELS * ndtr(value / deviation)))


def percent_density(masking_level: int, normal: float) -> float:
    """Log-normal about the published median of the level; ``normal`` is a standard normal draw. Clipped to 1-95."""
    median, deviation = DENSITY_MEDIANS[masking_level - 1], DENSITY_LOG_DEVIATIONS[masking_level - 1]
    return min(95.0, max(1.0, median * math.exp(deviation * normal)))


def breast_area(density: float, normal: float) -> float:
    """Log-normal, in cm2, about a mean that falls with density; ``normal`` is a standard normal draw."""
    mean = float(np.interp(density, AREA_DENSITIES, AREA_MEANS))
    return min(480.0, max(80.0, AREA_ENLARGEMENT * mean * math.exp(AREA_LOG_DEVIATION * normal)))


# Share among cancers and log-odds gained from the lowest rank to the highest: the shares are 92 interval and 177
# composite among 303 cancers; the slopes give odds ratios of about 3.2 and 2.5 between the outer quarters.
_KINDS = (
    (Outcome(True, True, False), 0.21, 1.55),
    (Outcome(True, True, True), 0.09, 1.55),
    (Outcome(True, False, True), 0.28, 0.85),
    (Outcome(True, False, False), 0.42, 0.0),
)


def outcome(rank: float, cases: float, uniform: float) -> Outcome:
    """The outcome at masking rank ``rank``; ``uniform`` is a draw from [0, 1).

    Kind ``k`` has probability ``cases * share_k * exp(b_k rank) b_k / (exp(b_k) - 1)``, whose mean over ranks is
    ``cases * share_k``.
    """
    left = uniform
    for kind, share, slope in _KINDS:
        tilt = math.exp(slope * rank) * slope / math.expm1(slope) if slope else 1.0
        left -= cases * share * tilt
        if left < 0:
            return kind
    return Outcome(False, False, False)
