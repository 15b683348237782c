"""Whether the intervals of the membership attack hold: at a fixed false positive rate, and between two generators."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from bench.api import Spread
from bench.pipeline.evaluation import metric_row
from bench.statistics.arrays import Floats
from bench.statistics.classification import auc
from bench.statistics.resampling import clopper_pearson, holm
from bench.storage.record import MetricRow
from evaluators.privacy.membership_inference import (
    MIA_AUC,
    MIA_TPR,
    auc_deviations,
    beta_mixture_interval,
    patient_auc,
    tpr_at_fpr,
)
from leaderboard.compare import difference
from leaderboard.estimate import Estimate, loss

Draw = Callable[[np.random.Generator, int], Floats]
REPEATS = 400
SPLITS = 200
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Population:
    """Scores of members and of others, and the share of members above the 99% quantile of others."""

    members: Draw
    others: Draw
    truth: float


def normal(rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(size=count)


def copies(distance: float) -> Draw:
    """Most members are like others; 5% of them lie ``distance`` above."""
    return lambda rng, count: rng.normal(size=count) + distance * (rng.random(count) < 0.05)


def rounded(shift: float, step: float) -> Draw:
    return lambda rng, count: np.round((rng.normal(size=count) + shift) / step) * step


def tied(step: float) -> Population:
    """One standard deviation apart, rounded: the quantile is a score that many have, and fewer than 1% are above."""
    quantile = next(each for each in np.arange(0, 9, step) if stats.norm.sf(each + step / 2) <= 0.01)
    return Population(rounded(1, step), rounded(0, step), float(stats.norm.sf(quantile + step / 2 - 1)))


def shifted(shift: float) -> Population:
    truth = float(stats.norm.sf(stats.norm.isf(0.01) - shift))
    return Population(lambda rng, count: rng.normal(size=count) + shift, normal, truth)


POPULATIONS = {
    "no leak": shifted(0),
    "one standard deviation": shifted(1),
    "two standard deviations": shifted(2),
    "heavy tails": Population(
        lambda rng, count: rng.standard_t(3, size=count) + 1,
        lambda rng, count: rng.standard_t(3, size=count),
        float(stats.t.sf(stats.t.isf(0.01, 3) - 1, 3)),
    ),
    "5% copies": Population(copies(10), normal, 0.95 * 0.01 + 0.05),
    "5% near the threshold": Population(
        copies(2.3), normal, 0.95 * 0.01 + 0.05 * float(stats.norm.sf(stats.norm.isf(0.01) - 2.3))
    ),
    "ties": tied(0.25),
    "many ties": tied(1.0),
}


def misses(population: Population, members: int, others: int, repeats: int) -> tuple[int, int]:
    """How often the interval lay below the truth, and how often above."""
    rng = np.random.default_rng(1)
    below = above = 0
    for _ in range(repeats):
        _, (low, high), _ = tpr_at_fpr(population.members(rng, members), population.others(rng, others))
        below += high < population.truth
        above += low > population.truth
    return below, above


def test_interval_knows_of_its_threshold() -> None:
    """One that does not holds the truth in 20 to 60%."""
    for name in ("no leak", "one standard deviation", "ties"):
        below, above = misses(POPULATIONS[name], 3000, 1000, 80)
        assert below + above <= 10, (name, below, above)


@pytest.mark.slow
def test_interval_holds_the_truth_in_93_to_97_percent() -> None:
    """The table that ``docs/membership.md`` shows; ``--log-cli-level=INFO`` tells it."""
    found = {}
    for others in (1000, 7000):
        for members in (3000, 8000):
            for name, population in POPULATIONS.items():
                below, above = misses(population, members, others, REPEATS)
                found[name, members, others] = below + above
                log.info(
                    "%s, %d, %d: %.4f, %d below, %d above",
                    name,
                    members,
                    others,
                    1 - (below + above) / REPEATS,
                    below,
                    above,
                )
    # a cell is wrong where the exact interval of its coverage, adjusted over all cells, lies outside the band
    outside = [
        min(stats.binomtest(each, REPEATS, 0.07, "greater").pvalue, stats.binomtest(each, REPEATS, 0.03, "less").pvalue)
        for each in found.values()
    ]
    assert min(holm(outside)) > 0.05, found
    assert 0.94 <= 1 - np.mean(list(found.values())) / REPEATS <= 0.97


def test_mixture_of_one_count_is_the_interval_of_a_share() -> None:
    low, high = beta_mixture_interval(np.array([30, 30]), 1000, np.array([0.5, 0.5]))
    assert (low, high) == pytest.approx(stats.beta.ppf((0.025, 0.975), 30.5, 970.5), abs=1e-8)
    outer = clopper_pearson(30, 1000)
    assert outer[0] < low < high < outer[1]
    wide = beta_mixture_interval(np.array([10, 90]), 1000, np.array([0.5, 0.5]))
    assert wide[0] < 0.01 and wide[1] > 0.09


def test_threshold_is_the_highest_score_that_one_in_a_hundred_others_may_exceed() -> None:
    others = np.arange(999.0)  # the tenth highest is 989
    value, (low, high), achieved = tpr_at_fpr(np.array([989.0, 989.5, 990.0, 5.0]), others)
    assert value == 0.5 and low <= value <= high
    assert achieved == pytest.approx(0.01, abs=0.003)


def test_achieved_rate_is_below_where_many_others_are_alike() -> None:
    others = np.concatenate([np.zeros(960), np.ones(40)])
    value, (low, high), achieved = tpr_at_fpr(np.concatenate([np.zeros(50), np.ones(50)]), others)
    assert value == 0 and achieved == 0
    assert low == 0 and high < 0.06


def test_order_of_the_scores_does_not_matter_but_for_the_achieved_rate() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 3000), rng.normal(size=1234)
    assert tpr_at_fpr(members, others)[:2] == tpr_at_fpr(rng.permutation(members), rng.permutation(others))[:2]


@pytest.mark.parametrize(("members", "others"), [(0, 1000), (10, 98)])
def test_too_few_are_refused(members: int, others: int) -> None:
    with pytest.raises(ValueError, match="needs 1 and 99"):
        tpr_at_fpr(np.zeros(members), np.zeros(others))


def rate(members: Floats, others: Floats) -> Estimate:
    value, interval, _ = tpr_at_fpr(members, others)
    return Estimate(value, *interval)


def test_nobody_is_better_than_chance_at_hiding_who_was_learned_from() -> None:
    """The target is the false positive rate: an honest generator's interval holds it, nobody is better, and a copier is
    worse."""
    metric = metric_row(MIA_TPR)
    rng = np.random.default_rng(0)
    others = rng.normal(size=1000)
    honest, nobody = rate(rng.normal(size=3000), others), rate(rng.normal(-5, 1, size=3000), others)
    copier = rate(copies(10)(rng, 3000), others)
    assert loss(metric, honest)[1] == 0
    assert loss(metric, nobody)[1] > 0
    assert not difference(metric, nobody, honest).beyond_doubt
    assert difference(metric, honest, copier).beyond_doubt


def attacked(real: Floats, made: Floats) -> Floats:
    from scipy.spatial import cKDTree

    found: Floats = -cKDTree(made).query(real)[0]
    return found


def two_on_one_split(rng: np.random.Generator, copied: float) -> tuple[Estimate, Estimate]:
    """Two generators of one population on one split; the second gives ``copied`` of its images as near copies."""
    count, images = 1500, 700
    real = rng.normal(size=(count, 4))
    member = rng.permutation(count) < count * 2 // 3
    names = [f"patient {number}" for number in range(count)]
    found = []
    for share in (0.0, copied):
        made = rng.normal(size=(images, 4))
        near = int(share * images)
        made[:near] = real[member][:near] + 0.05 * rng.normal(size=(near, 4))
        scores = attacked(real, made)
        value, interval = patient_auc(scores, member, names, rng)
        spread = Spread(auc_deviations(scores, member, names, interval))
        found.append(Estimate(value, *interval, spread))
    return found[0], found[1]


def test_deviations_are_those_of_the_split_whoever_made_the_images() -> None:
    rng = np.random.default_rng(0)
    one, other = two_on_one_split(rng, 0.0)
    assert one.spread is not None and other.spread is not None and one.low is not None and one.high is not None
    first, second = np.array(one.spread.deviations), np.array(other.spread.deviations)
    assert len(first) == 20 and first.sum() == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(first) == pytest.approx((one.high - one.low) / 2 / stats.t.ppf(0.975, 19))
    assert np.corrcoef(first, second)[0, 1] > 0.4
    assert difference(metric_row(MIA_AUC), one, other).paired


def test_deviations_do_not_depend_on_the_order_of_patients() -> None:
    rng = np.random.default_rng(0)
    scores, member, names = rng.normal(size=300), rng.random(300) < 0.7, [f"p{i}" for i in range(300)]
    order = rng.permutation(300)
    again = auc_deviations(scores[order], member[order], [names[i] for i in order], (0.4, 0.6))
    assert again == pytest.approx(auc_deviations(scores, member, names, (0.4, 0.6)))


def test_an_area_that_no_patient_moves_has_deviations_all_the_same() -> None:
    member = np.arange(60) < 40
    names = [f"p{i}" for i in range(60)]
    assert auc_deviations(1.0 * ~member, member, names, (0.0, 0.0)) == (0.0,) * 20


def coverage(metric: MetricRow, copied: float, truth: float, repeats: int) -> tuple[int, int, float]:
    """How often the interval of the difference lay below the truth and above it, and its width over an unpaired one."""
    below = above = 0
    widths = []
    for seed in range(repeats):
        one, other = two_on_one_split(np.random.default_rng(seed), copied)
        found = difference(metric, one, other)
        apart = difference(metric, one._replace(spread=None), other)
        below += found.high < truth
        above += found.low > truth
        widths.append((found.high - found.low) / (apart.high - apart.low))
    return below, above, float(np.mean(widths))


def expected_difference(copied: float, repeats: int) -> float:
    """The mean over splits and images of the true difference of areas."""
    found = []
    for seed in range(10_000, 10_000 + repeats):
        rng = np.random.default_rng(seed)
        real = rng.normal(size=(1500, 4))
        member = np.arange(1500) < 1000
        near = int(copied * 700)
        areas = []
        for count in (0, near):
            made = rng.normal(size=(700, 4))
            made[:count] = real[:count] + 0.05 * rng.normal(size=(count, 4))
            areas.append(auc(attacked(real, made), member, np.ones((1, 1500)))[0])
        found.append(areas[1] - areas[0])
    return float(np.mean(found))


@pytest.mark.slow
@pytest.mark.parametrize("copied", [0.0, 0.2])
def test_interval_of_a_difference_on_one_split_holds_and_is_half_as_wide(copied: float) -> None:
    truth = expected_difference(copied, 600) if copied else 0.0
    below, above, width = coverage(metric_row(MIA_AUC), copied, truth, SPLITS)
    held = SPLITS - below - above
    log.info("%g copied: %.4f, %d below, %d above, width %.2f", copied, held / SPLITS, below, above, width)
    low, high = clopper_pearson(held, SPLITS)
    assert low <= 0.97 and high >= 0.93
    assert width < 0.65
