"""Two sets of features: their scale, their chance, whose uncertainty is whose, and where a score stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bench.api import Metric, Score
from bench.statistics.clusters import Clusters
from bench.statistics.estimate import Estimate
from bench.statistics.neighbours import parts_of
from bench.statistics.resampling import jackknife, wilson
from bench.statistics.scaling import scale_of
from evaluators.fidelity.chance import DRAWS, Pool
from evaluators.fidelity.comparison import FEWEST_FOLDS, Found, Members, Place, Reference, Sides
from evaluators.fidelity.feature_metrics import MEASURES, OWN_SCALE, likeness, scores
from evaluators.fidelity.frechet_distance import FD, FD_FLOOR, frechet_jackknife
from evaluators.fidelity.kernel_distance import KID, kernel_distance
from evaluators.fidelity.metrics import OF_FEATURES

SHARE = Metric("share", "Share", "higher", "none", bounds=(0.0, 1.0), minimum=50, summary="A share.")
UNITS = np.array([1, 30, 0.01], np.float32)


def members(n: int, m: int, count: int = 20, images: int = 1) -> Members:
    """Real patients with ``images`` each, synthetic images of a patient of their own."""
    real = Clusters.of([f"p{i // images}" for i in range(n)], count)
    fake = Clusters.of([f"s{i}" for i in range(m)], count)
    return Members("all", np.arange(n), np.arange(m), real, fake)


def rows(rng: np.random.Generator, n: int, shift: float = 0.0, columns: int = 3) -> np.ndarray:
    return (rng.normal(size=(n, columns)) + shift).astype(np.float32)


NOTHING = Reference()


def sides(real: np.ndarray, fake: np.ndarray, reference: Reference = NOTHING, *, apart: bool = False) -> Sides:
    return Sides("it", (real, fake), members(len(real), len(fake)), 5, 0, reference, apart=apart)


def of(found: Sequence[Score], metric: Metric) -> Score:
    (score,) = [each for each in found if each.metric == metric.key]
    return score


def test_a_set_without_a_fold_keeps_its_images_and_whose_they_are() -> None:
    whole = members(60, 40, 12, images=3)
    rest = whole.without(4)
    stay = np.flatnonzero(whole.real_clusters.folds != 4)
    np.testing.assert_array_equal(rest.real, stay)
    np.testing.assert_array_equal(rest.real_clusters.patients, whole.real_clusters.patients[stay])
    before, after = whole.real_clusters.folds[stay], rest.real_clusters.folds
    np.testing.assert_array_equal(after, before - (before > 4))
    assert rest.fold_count == 11 and whole.merged(10).fold_count == 10
    assert whole.left == 60 - 6 or whole.left == 40 - 4


def test_the_scale_is_that_of_the_reference_or_of_the_real_images_themselves() -> None:
    rng = np.random.default_rng(0)
    real, fake, train = (rows(rng, n) * UNITS for n in (80, 70, 200))
    known, own, none = (
        sides(real, fake, each) for each in (Reference(scale_of(train)), Reference(own=True), Reference())
    )
    np.testing.assert_array_equal(known.real, scale_of(train)(real))
    np.testing.assert_array_equal(known.fake, scale_of(train)(fake))
    np.testing.assert_array_equal(own.fake, scale_of(real)(fake))
    assert none.real is real and none.fake is fake
    np.testing.assert_array_equal(own.without(3).fake, scale_of(own.without(3).raw[0])(own.without(3).raw[1]))


def test_chance_is_taken_from_the_first_pool_that_is_large_enough_then_from_the_real_images() -> None:
    rng = np.random.default_rng(1)
    real, fake = rows(rng, 80), rows(rng, 70)
    small, large = (Pool(rows(rng, n), np.arange(n)) for n in (6, 60))
    assert sides(real, fake, Reference(pools=[small, large])).chance == large.chance(80, 70, DRAWS)
    assert sides(real, fake, Reference(pools=[large, small])).chance == large.chance(80, 70, DRAWS)
    own = sides(real, fake, Reference(pools=[small]))
    assert own.chance == Pool(real, own.clusters[0].patients).chance(80, 70, DRAWS)
    scale = scale_of(rows(rng, 100))
    scaled = sides(real, fake, Reference(scale, pools=[large])).chance
    assert scaled == Pool(scale(large.rows), large.patients).chance(80, 70, DRAWS)


def test_on_its_own_scale_everything_is_measured_anew_without_each_fold() -> None:
    rng = np.random.default_rng(2)
    real, fake = rows(rng, 90) * UNITS, rows(rng, 80, 0.3) * UNITS
    given = sides(real, fake, Reference(own=True))
    merged = given.members.merged(FEWEST_FOLDS)
    values, nulls = [], []
    for fold in range(-1, FEWEST_FOLDS):
        i, j = (each.folds != fold for each in merged.clusters)
        scale = scale_of(real[i])
        tables = kernel_distance(
            scale(real[i]),
            scale(fake[j]),
            *(_renumbered(each.kept(k)) for each, k in zip(merged.clusters, (i, j), strict=True)),
        )
        values.append(tables.distance())
        nulls.append(tables.second_order())
    expected = jackknife(values, nulls[0])
    score = of(list(scores(given, OF_FEATURES, MEASURES[1:2])), KID)
    assert OWN_SCALE in (score.reason or "")
    assert score.value == pytest.approx(10 * values[0] - 9 * np.mean(values[1:]), abs=1e-6)
    assert score.spread is not None and np.linalg.norm(score.spread.deviations) == pytest.approx(expected.se, rel=1e-4)


def test_where_a_fold_cannot_be_measured_on_its_own_scale_nothing_is_said() -> None:
    """An interval of the whole set alone would know nothing of the scale's own chance."""
    rng = np.random.default_rng(4)
    given = sides(rows(rng, 105) * UNITS, rows(rng, 105) * UNITS, Reference(own=True))
    score = of(list(scores(given, OF_FEATURES, MEASURES[:1])), FD)
    assert score.value is None and "without a fold there are too few images left" in (score.reason or "")


def test_the_fewest_images_of_a_half_are_those_of_the_halves_that_are_measured() -> None:
    """Ten folds make eight parts, so that a half may hold fewer patients than five."""
    sizes, found = np.array([1, 9, 1, 8, 1, 10, 2, 9, 10, 1]), []
    for seed in range(40):
        folds = np.repeat(np.arange(10), np.random.default_rng(seed).permutation(sizes))
        clusters, everyone = Clusters(folds, folds), np.arange(len(folds))
        members = Members("all", everyone, everyone, clusters, clusters)
        found.append(members.half)
        assert members.half == min(int(each.sum(axis=1).min()) for each in parts_of(clusters, clusters))
    assert min(found) < np.sort(sizes)[:5].sum(), "half of the folds, the smallest ones, are not the fewest"


def _renumbered(clusters: Clusters) -> Clusters:
    return Clusters(np.unique(clusters.folds, return_inverse=True)[1], clusters.patients)


@pytest.mark.slow
def test_intervals_on_the_scale_of_the_sample_hold_the_distance_of_the_populations(one_thread: None) -> None:
    """With the scale of the sample taken for known they hold it less often."""
    rng = np.random.default_rng(3)

    def draw(n: int, *, real: bool) -> np.ndarray:
        drawn = rng.standard_t(6, (n, 3)) * (1.0 if real else 0.8) + (0.0 if real else 2.5)
        return (drawn * UNITS).astype(np.float32)

    many = draw(50_000, real=True), draw(50_000, real=False)
    scale = scale_of(many[0])
    truth = frechet_jackknife(scale(many[0]), scale(many[1]), np.arange(50_000) % 10, np.arange(50_000) % 10).plain
    own, taken = [], []
    for _ in range(100):
        real, fake = draw(250, real=True), draw(250, real=False)
        score = of(list(scores(sides(real, fake, Reference(own=True)), OF_FEATURES, MEASURES[:1])), FD)
        own.append(score.low <= truth <= score.high)
        as_known = of(list(scores(sides(real, fake, Reference(scale_of(real))), OF_FEATURES, MEASURES[:1])), FD)
        taken.append(as_known.low <= truth <= as_known.high)
    assert np.mean(own) >= 0.9 and np.mean(taken) < np.mean(own) - 0.05


def test_the_errors_of_each_set_apart_are_those_of_redrawing_it(one_thread: None) -> None:
    rng = np.random.default_rng(4)
    fixed, count, pool = (rows(rng, 160), rows(rng, 100, 0.5)), 40, Pool(rows(rng, 400), np.arange(400))
    kept = {"values": np.array(pool.chance(160, 100))}
    found: dict[str, list[tuple[float, float]]] = {"real": [], "synthetic": [], "both": []}
    for _ in range(count):
        fresh = rows(rng, 160), rows(rng, 100, 0.5)
        for name, given in (("real", (fresh[0], fixed[1])), ("synthetic", (fixed[0], fresh[1])), ("both", fresh)):
            told = replace(sides(*given, apart=True), reference=Reference(pools=[pool]), keep=lambda *_: kept)
            score = of(list(scores(told, OF_FEATURES, MEASURES[:1])), FD)
            assert score.spread is not None
            both = float(np.linalg.norm(score.spread.deviations))
            se = {"real": score.spread.real, "synthetic": score.spread.synthetic, "both": both}[name]
            found[name].append((score.value, se))
    for name, values in found.items():
        value, se = np.array(values).T
        assert 0.75 < se.mean() / value.std(ddof=1) < 1.35, name


def test_both_sets_apart_are_told_of_every_measure_of_pairs() -> None:
    rng = np.random.default_rng(5)
    real, fake = rows(rng, 400), rows(rng, 90, 0.5)
    for score in scores(sides(real, fake, apart=True), OF_FEATURES, MEASURES[1:2]):
        if score.metric == "cmmd_published":
            assert score.low is None and score.spread is None
        elif score.spread is not None:
            assert score.spread.real is not None and score.spread.synthetic is not None
            if score.metric in ("kid", "cmmd", "alpha_precision"):
                assert score.spread.synthetic > 1.5 * score.spread.real, score.metric
    alone = list(scores(sides(real, fake), OF_FEATURES, MEASURES[1:2]))
    assert of(alone, KID).spread is not None and of(alone, KID).spread.real is None


@pytest.mark.parametrize("good", [0.04, 0.1, 0.5, 0.95])
def test_no_share_has_an_interval_narrower_than_half_of_wilsons(good: float) -> None:
    n = 118
    for seed in range(3):
        real, fake = np.random.default_rng(seed).normal(size=(2, n, 8)).astype(np.float32)
        fake[round(good * n) :] += 3
        for score in scores(sides(real, fake), OF_FEATURES, MEASURES[1:2]):
            if score.metric not in {each.key for each in OF_FEATURES if each.bounds == (0.0, 1.0)}:
                continue
            assert score.value is not None and score.low is not None and score.high is not None, score.metric
            low, high = wilson(score.value, n)
            assert score.low <= score.value - 0.5 * (score.value - low) + 1e-9, score.metric
            assert score.high >= score.value + 0.5 * (high - score.value) - 1e-9, score.metric


def test_a_score_moves_as_its_estimate_unless_it_was_cut_off_at_its_bound() -> None:
    place = Place(100)
    inside = place.scored(Found(SHARE, Estimate(0.9, 0.05, 20, (0.03, 0.04)), cut=100))
    assert inside.spread is not None and inside.spread.deviations == (0.03, 0.04)
    beyond = place.scored(Found(SHARE, Estimate(1.02, 0.05, 20, (0.03, 0.04)), cut=100))
    assert (beyond.value, beyond.high, beyond.spread) == (1.0, 1.0, None) and beyond.low < 0.95


def test_what_has_no_interval_says_why_and_too_few_images_refuse_it() -> None:
    bare = Place(100).scored(Found.bare(SHARE, 0.5, "for a reason"))
    assert (bare.value, bare.low, bare.reason, bare.spread) == (0.5, None, "for a reason", None)
    few = Place(30).scored(Found(SHARE, Estimate(0.5, 0.1, 20, (0.1, 0.0)), share=30))
    assert few.value is None and few.reason == "30 images, share needs 50"


def test_the_floor_has_the_range_of_its_draws_and_fd_an_error_no_smaller_than_theirs() -> None:
    rng = np.random.default_rng(6)
    pool = Pool((rng.standard_t(3, (400, 3))).astype(np.float32), np.arange(400))
    given = sides(rows(rng, 120), rows(rng, 110), Reference(pools=[pool]))
    found, chance = list(scores(given, OF_FEATURES, MEASURES[:1])), pool.chance(120, 110)
    floor, fd = of(found, FD_FLOOR), of(found, FD)
    assert chance is not None
    assert (floor.value, floor.low, floor.high, floor.reason) == (chance.mean, chance.low, chance.high, chance.words)
    assert fd.spread is not None and np.linalg.norm(fd.spread.deviations) >= chance.sd * (1 - 1e-9)


def test_images_of_few_patients_are_refused_with_the_reason() -> None:
    real, fake = rows(np.random.default_rng(7), 90), rows(np.random.default_rng(8), 90)
    few = replace(sides(real, fake), members=members(90, 90, images=10))
    assert {score.reason for score in likeness(few)} == {"images of 9 patients; 10 are needed for an interval"}


def test_images_of_a_patient_count_as_one_where_they_are_to_outnumber_the_features() -> None:
    """240 images of 60 patients tell no more of 64 columns than 60 images may."""
    rng = np.random.default_rng(5)
    real, fake = (rng.normal(size=(240, 64)).astype(np.float32) for _ in range(2))
    apart = sides(real, fake, Reference())
    four = Clusters.of([str(i // 4) for i in range(240)], 20)
    together = replace(apart, members=apart.members._replace(real_clusters=four))
    assert apart.outnumber_columns and not together.outnumber_columns
    assert together.members.effective == pytest.approx(60 * 19 / 20)
