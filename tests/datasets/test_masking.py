import numpy as np
import pytest
from scipy.stats import kendalltau

from bench.datasets.masking import (
    DENSITY_MEDIANS,
    TRAIN_CASES,
    Woman,
    breast_area,
    imagine,
    level,
    outcome,
    percent_density,
)

MEDIAN_AGREEMENT = (0.7232, 0.7279, 0.5450, 0.5554, 0.6342)
AGREEMENT = {
    (0, 1): 0.5568,
    (0, 2): 0.3822,
    (0, 3): 0.3676,
    (0, 4): 0.5014,
    (1, 2): 0.3507,
    (1, 3): 0.3990,
    (1, 4): 0.5105,
    (2, 3): 0.3199,
    (2, 4): 0.3054,
    (3, 4): 0.3179,
}


@pytest.fixture(scope="module")
def women() -> list[Woman]:
    rng = np.random.default_rng(0)
    return [imagine(rng, TRAIN_CASES) for _ in range(20_000)]


def test_readers_agree_as_published(women: list[Woman]) -> None:
    readings = np.array([woman.readings for woman in women])
    median = [woman.median for woman in women]
    errors = [kendalltau(readings[:, a], readings[:, b]).statistic - tau for (a, b), tau in AGREEMENT.items()]
    assert np.sqrt(np.mean(np.square(errors))) < 0.035
    for reader, tau in enumerate(MEDIAN_AGREEMENT):
        assert kendalltau(median, readings[:, reader]).statistic == pytest.approx(tau, abs=0.03)


def test_density_has_the_published_median_at_every_level(women: list[Woman]) -> None:
    for masking_level, median in enumerate(DENSITY_MEDIANS, start=1):
        densities = [woman.percent_density for woman in women if woman.median == masking_level]
        assert np.median(densities) == pytest.approx(median, rel=0.06)


def test_outcomes_have_the_published_rates_and_odds(women: list[Woman]) -> None:
    cancer = np.array([woman.outcome.cancer for woman in women])
    interval = np.array([woman.outcome.interval for woman in women])
    composite = np.array([woman.outcome.composite for woman in women])
    assert cancer.mean() == pytest.approx(0.066, abs=0.006)
    assert interval.sum() / cancer.sum() == pytest.approx(92 / 303, abs=0.05)
    assert composite.sum() / cancer.sum() == pytest.approx(177 / 303, abs=0.05)
    assert not (composite & ~cancer).any()


def probability(rank: float, name: str) -> float:
    """P(outcome | rank) at a case rate of 1 in 100, by counting over a grid of uniform draws."""
    grid = np.linspace(0, 0.03, 3000, endpoint=False)
    return float(np.mean([getattr(outcome(rank, 0.01, float(u)), name) for u in grid])) * 0.03


def test_odds_of_the_outer_quarters() -> None:
    low, high = np.linspace(0.02, 0.23, 6), np.linspace(0.77, 0.98, 6)
    for name, expected in (("interval", 3.2), ("composite", 2.5)):
        ratio = np.mean([probability(rank, name) for rank in high]) / np.mean([probability(rank, name) for rank in low])
        assert ratio == pytest.approx(expected, abs=0.15)


def test_levels_are_eight_equal_bins() -> None:
    edges = [level(value, 1.0) for value in (-9, -1.151, -1.149, -0.001, 0.001, 1.149, 1.151, 9)]
    assert edges == [1, 1, 2, 4, 5, 7, 8, 8]
    assert level(1.0, 2.0) == level(0.5, 1.0)


def test_density_and_area_stay_in_range() -> None:
    assert percent_density(4, 0.0) == 19.0
    assert percent_density(1, -9.0) == 1.0 and percent_density(8, 9.0) == 95.0
    assert breast_area(4.3, 0.0) == pytest.approx(1.3 * 239)
    assert breast_area(80, 0.0) < breast_area(10, 0.0)
