"""The whole evaluator on toy pictures, with planted leaks and faulty splits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.bounds import limits
from evaluators.privacy.closeness import pool_of
from evaluators.privacy.copies import copies_of
from evaluators.privacy.evaluator import STATED_TRAINING, UNKNOWN_TRAINING, Privacy
from evaluators.privacy.metrics import MEMBERSHIP
from evaluators.privacy.planted_splits import plan_of, trial
from evaluators.privacy.planting import planted
from evaluators.privacy.self_test import row_of
from evaluators.privacy.view import near, view_of
from tests.evaluators.privacy.worlds import ENCODERS, HOLDOUT, MADE, TRAIN, Run, World, honest, measure

CLEARED = re.compile(
    r"no leak found; exact or recoloured copies above (?P<exact>[\d.]+)%, re-posed above (?P<reposed>[\d.]+)%.* would "
    r"have been found; blends and parts are not seen, nor are a few patients copied often"
)
SEED = 1


@pytest.fixture(scope="module")
def world() -> World:
    return honest(SEED)


@pytest.fixture(scope="module")
def honest_run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return measure(world, tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def copier(world: World, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tenth are JPEG copies."""
    return measure(world.with_copies("jpeg50", MADE // 10), tmp_path_factory.mktemp("copier"))


def refused(run: Run, reason: str) -> bool:
    """Whether every membership figure and the verdict are refused for ``reason``."""
    cells = [run.scores[metric.key, encoder] for metric in MEMBERSHIP for encoder in ENCODERS]
    cells += [run[name] for name in ("leak_bound", "leak_bound_reposed", "evidence_p", "split_false_alarms")]
    verdict = run["leak_found"].value is None and run.words == "cannot tell" and reason in run.reason
    return verdict and all(cell.value is None and reason in str(cell.reason) for cell in cells)


def test_an_honest_generator_is_cleared_and_told_what_would_have_been_found(honest_run: Run) -> None:
    assert honest_run["leak_found"].value == 0
    said = CLEARED.fullmatch(honest_run.words)
    assert said
    limit = honest_run["leak_bound"].value
    assert limit is not None and 0 < 100 * limit <= float(said["exact"]) < 10
    assert STATED_TRAINING not in honest_run.reason
    assert honest_run["duplicates"].value == honest_run["near_duplicates"].value == 0
    for encoder in ENCODERS:
        assert float(honest_run.scores["copying_p", encoder]) > 0.025
        for metric, chance in (("mia_auc", 0.5), ("mia_auc_above_null", 0.0), ("nn_distance_ratio", 1.0)):
            score = honest_run.scores[metric, encoder]
            assert score.low is not None and score.high is not None and score.low < chance < score.high
        assert honest_run.scores["mia_tpr", encoder].value is None
    assert not (honest_run.folder / "privacy_pairs.png").exists(), "real images may not be shown"


def test_a_memoriser_is_found_by_everything(world: World, tmp_path: Path) -> None:
    shown = replace(world, info=replace(world.info, redistributable=True))
    chosen = np.random.default_rng(0).integers(0, TRAIN, MADE)
    run = measure(shown.with_part("privacy", world.pixels["train"][chosen]), tmp_path)
    assert run["leak_found"].value == 1 and run.words == "leak found"
    assert "600 exact copies of training images" in run.reason
    assert run["duplicates"].value == run["near_duplicates"].value == 1
    assert run["near_duplicates_holdout"].value == 0
    assert max(run.report["tests"]["copying"].values()) <= 0.004
    for encoder in ENCODERS:
        assert run.scores["excess_copy_share", encoder].value == pytest.approx(1)
        assert float(run.scores["nn_distance_ratio", encoder].high or 1) < 1
        for metric, least in (("mia_auc", 0.6), ("mia_auc_above_null", 0.1)):
            assert float(run.scores[metric, encoder].low or 0) > least
    assert run["leak_bound"].value is None, "no changed copy stands out among exact ones, and nothing bounds them"
    assert (tmp_path / "privacy_pairs.png").exists()


def test_a_tenth_of_copies_is_found_and_not_bounded_below_the_truth(copier: Run) -> None:
    assert copier["duplicates"].value == 0
    assert copier["near_duplicates"].value == pytest.approx(0.1, abs=0.005)
    assert copier["leak_found"].value == 1 and "near copies of 60 training images" in copier.reason
    assert float(copier["leak_bound"]) >= 0.1
    assert copier.limit("jpeg50")["most"] < 0.2
    for encoder in ENCODERS:
        assert float(copier.scores["mia_auc_above_null", encoder].low or 0) > 0
        excess = copier.scores["excess_copy_share", encoder]
        assert float(excess.low or 0) <= 0.1 <= float(excess.high or 0)


@pytest.mark.slow
def test_a_fifth_of_rotated_copies_is_not_bounded_below_the_truth(world: World, tmp_path: Path) -> None:
    run = measure(world.with_copies("rotate", MADE // 5), tmp_path, 199)
    assert run["leak_found"].value == 1
    assert float(run["leak_bound_reposed"]) >= 0.2
    assert run.limit("rotate")["most"] < 0.35


@pytest.mark.slow
def test_copies_that_the_words_promise_to_find_are_found_on_any_split(world: World, tmp_path: Path) -> None:
    """Nothing found, a share named for this kind, and that share or more planted, must not come together."""
    kinds = {"rotate_crop_jpeg": 0.1, "blend70": 0.2, "blend50": 0.2, "patch": 0.2}
    material = world.material(tmp_path)
    pool = pool_of(material.split)
    plan = plan_of(material, tuple(ENCODERS), material.images["privacy"], tuple(kinds), 0.2, pool)
    for number, (kind, share) in enumerate(kinds.items()):
        trials = [trial(plan, kind, share, 199, np.random.default_rng([number, seed])) for seed in range(5)]
        row = row_of(kind, share, trials)
        assert row.missed == 0, kind
        assert row.below == 0, kind
        assert row.found == 1 or kind in ("blend50", "patch"), kind


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "share"), [("rotate_crop_jpeg", 0.1), ("blend50", 0.2), ("patch", 0.2)])
def test_a_generator_of_altered_copies_is_not_cleared_below_the_truth(kind: str, share: float, tmp_path: Path) -> None:
    run = measure(honest(3).with_copies(kind, round(share * MADE)), tmp_path, 199)
    limit = run.limit(kind) if run["leak_found"].value == 0 else None
    assert limit is None or (limit["found_from"] is None and "are not seen" in run.words) or limit["found_from"] > share
    assert run["leak_found"].value == 1 or kind != "rotate_crop_jpeg"


def test_nothing_is_cleared_that_the_attack_tells_better_than_the_test_part(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.privacy.attack.area_above", lambda *_: (0.04, (0.01, 0.07)))
    run = measure(world, tmp_path, 199)
    assert run["leak_found"].value is None and run.words == "cannot tell"
    assert "+0.040 [0.010, 0.070]" in run.reason


def test_the_same_material_gives_the_same_numbers(world: World, honest_run: Run, tmp_path: Path) -> None:
    again = measure(world, tmp_path)
    assert again.scores == honest_run.scores and again.report == honest_run.report


def test_the_order_of_real_images_does_not_matter(world: World, copier: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    mixed = world.with_copies("jpeg50", MADE // 10)
    for part, count in (("train", TRAIN), ("holdout", HOLDOUT)):
        mixed = mixed.reordered(part, rng.permutation(count).tolist())
    run = measure(mixed, tmp_path)
    for key in ("tests", "kinds", "verdict", "reason"):
        assert run.report[key] == copier.report[key], key
    for metric in ("copying_p", "evidence_p", "leak_bound", "leak_bound_reposed", "near_duplicates"):
        assert run[metric] == copier[metric]


def exchanged(world: World) -> World:
    """The holdout is called train and the other way round; every image keeps its id."""
    other = {"train": "holdout", "holdout": "train"}
    ids = {part: [f"{name}-{i}" for i in range(len(world.pixels[name]))] for part, name in other.items()}
    pixels, patients = (
        table | {part: table[name] for part, name in other.items()} for table in (world.pixels, world.patients)
    )
    return replace(world, pixels=pixels, patients=patients, ids=ids)


def test_distances_and_planted_copies_do_not_depend_on_who_is_called_train(world: World, tmp_path: Path) -> None:
    seen = []
    for number, each in enumerate((world, exchanged(world))):
        material = each.material(tmp_path / str(number))
        pool = pool_of(material.split)
        copies = copies_of(material.split, material.images["privacy"], pool, 0.999)
        for name in ENCODERS:
            view = view_of(name, material, pool)
            close = near(view, view.synthetic, pool)
            known = planted(material, pool, view)
            margins = [known[kind].margins for kind in TRANSFORMS]
            hits = [known[kind].hits for kind in TRANSFORMS]
            own = [close.close.margins, close.close.owners, close.close.distances, close.least]
            seen.append([number, *own, *margins, *hits, copies.near.threshold, copies.owner])
        assert int(pool.member.sum()) == (300, 150)[number]
    one, two = seen[:2], seen[2:]
    for first, second in zip(one, two, strict=True):
        for a, b in zip(first[1:], second[1:], strict=True):
            np.testing.assert_array_equal(a, b)


def test_where_limits_are_read_does_not_depend_on_the_labels(world: World, tmp_path: Path) -> None:
    material = world.with_copies("jpeg50", 120).material(tmp_path)
    pool = pool_of(material.split)
    views = [view_of(name, material, pool) for name in ENCODERS]
    close = {view.name: near(view, view.synthetic, pool).close for view in views}
    known = {view.name: {kind: planted(material, pool, view)[kind] for kind in ("jpeg50", "flip")} for view in views}
    members = [pool.member, *(np.random.default_rng(seed).permutation(pool.member) for seed in range(2))]
    found = [limits(close, known, member, np.random.default_rng(0)) for member in members]
    for kind in ("jpeg50", "flip"):
        each = [own[kind] for own in found]
        assert len({(own.encoder, own.tail, own.hit_rate) for own in each if own}) == 1
    most = [own["jpeg50"].most for own in found if own["jpeg50"]]
    assert most[0] >= 0.2 > max(most[1:]), "the copied training patients are training patients in the first only"


def overlapping(world: World) -> World:
    pixels = world.pixels["holdout"].copy()
    pixels[42] = world.pixels["train"][137, ::-1]
    return world.with_part("holdout", pixels)


def brighter(part: str) -> Callable[[World], World]:
    return lambda world: world.with_part(part, np.minimum(world.pixels[part], 215) + np.uint8(40))


def copied_holdout(world: World) -> World:
    return world.with_part("privacy", world.pixels["holdout"][np.arange(MADE) % HOLDOUT])


def unknown(world: World) -> World:
    return replace(world, generator={"trained_on": "unknown"})


FAULTS: list[tuple[str, Callable[[World], World]]] = [
    ("holdout-42 and train train-137", overlapping),
    ("told apart", brighter("holdout")),
    ("600 of 600 synthetic images have exactly the pixels of a holdout image", copied_holdout),
    (UNKNOWN_TRAINING, unknown),
]


@pytest.mark.parametrize(("reason", "spoil"), FAULTS, ids=["both parts", "blind", "holdout copied", "unknown"])
def test_a_fault_refuses_all_membership_figures_and_the_verdict(
    world: World, tmp_path: Path, reason: str, spoil: Callable[[World], World]
) -> None:
    run = measure(spoil(world), tmp_path)
    assert refused(run, reason)
    assert run["duplicates"].value == 0
    assert run["near_duplicates_holdout"].value == (1 if spoil is copied_holdout else 0)


def test_an_exact_copy_is_a_leak_whatever_else_cannot_be_told(world: World, tmp_path: Path) -> None:
    made = world.pixels["privacy"].copy()
    made[7] = world.pixels["train"][11]
    run = measure(unknown(world.with_part("privacy", made)), tmp_path)
    assert run["leak_found"].value == 1 and run.words == "leak found"
    assert run.reason.endswith("1 exact copy of training images")
    assert run["mia_auc"].value is None and run["copying_p"].reason == UNKNOWN_TRAINING
    assert "generator.trained_on" in UNKNOWN_TRAINING


def test_training_that_a_person_stated_is_said_to_be_stated(world: World, tmp_path: Path) -> None:
    run = measure(replace(world, generator={"trained_on": "train", "trained_on_stated": "train"}), tmp_path, 199)
    assert run["leak_found"].value == 0 and run.reason.endswith(STATED_TRAINING)


def test_few_images_refuse_the_tests_and_not_the_attack(world: World, tmp_path: Path) -> None:
    fewer = replace(world, patients=world.patients | {"privacy": world.patients["privacy"][:499]})
    run = measure(fewer.with_part("privacy", world.pixels["privacy"][:499]), tmp_path)
    reason = "needs 500 synthetic images, got 499"
    assert run.words == "cannot tell" and reason in run.reason
    for metric in ("copying_p", "excess_copy_share", "evidence_p", "leak_bound", "leak_bound_reposed"):
        assert run[metric].value is None and reason in str(run[metric].reason)
    assert run["mia_auc"].value is not None and run["mia_auc_above_null"].value is not None


def test_few_patients_refuse_everything(world: World, tmp_path: Path) -> None:
    names = [f"h{i % 19:02d}" for i in range(HOLDOUT)]
    run = measure(replace(world, patients=world.patients | {"holdout": names}), tmp_path)
    assert run.words == "cannot tell" and "20" in run.reason and "19" in run.reason
    assert run["mia_auc"].value is None


def test_a_test_part_of_another_kind_is_no_null(world: World, honest_run: Run, tmp_path: Path) -> None:
    run = measure(brighter("test")(world), tmp_path)
    for encoder in ENCODERS:
        score = run.scores["mia_auc_above_null", encoder]
        assert score.value is None and str(score.reason).startswith("the test part is no null")
    assert "the test part is no null" in str(run["split_false_alarms"].reason)
    assert run.words == honest_run.words and run["copying_p"] == honest_run["copying_p"]
    spoilt = brighter("test")(world)
    null = replace(spoilt.with_part("privacy", spoilt.pixels["privacy"]), generator={"control": "null"})
    assert refused(measure(null, tmp_path / "null"), "the test part is no null")


def test_the_null_is_measured_but_not_against_itself(world: World, tmp_path: Path) -> None:
    made = np.concatenate([world.pixels["test"], world.pixels["privacy"][:300]])
    run = measure(replace(world.with_part("privacy", made), generator={"control": "null"}), tmp_path, 199)
    assert run["leak_found"].value is not None and run["mia_auc"].value is not None
    assert "are the test part" in str(run["mia_auc_above_null"].reason)


def test_columns_of_different_units_are_divided_by_their_spread_over_both_parts(world: World, tmp_path: Path) -> None:
    material = world.material(tmp_path)
    split, pool = material.split, pool_of(material.split)
    raw = {part: material.features("radiomics", getattr(split, part)) for part in ("train", "holdout")}
    spread = np.concatenate(list(raw.values())).std(axis=0, dtype=np.float64)
    view = view_of("radiomics", material, pool)
    np.testing.assert_allclose(view.train, raw["train"] / spread, rtol=1e-5)
    np.testing.assert_allclose(view.holdout, raw["holdout"] / spread, rtol=1e-5)
    made = material.images["privacy"]
    np.testing.assert_allclose(view.synthetic, material.features("radiomics", made) / spread, rtol=1e-5)
    assert view_of("pixels", material, pool).scale is None


def test_the_rate_at_a_false_positive_rate_says_what_rate_was_achieved(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.privacy.attack.FEWEST_FOR_TPR", 100)
    fewer = replace(world, patients=world.patients | {"privacy": world.patients["privacy"][:400]})
    score = measure(fewer.with_part("privacy", world.pixels["privacy"][:400]), tmp_path)["mia_tpr"]
    assert score.value is not None and score.low is not None and score.low <= score.value <= float(str(score.high))
    assert re.search(r"achieved false positive rate \d\.\d\d% on holdout patients", str(score.reason))


def test_two_generators_on_one_split_are_compared_patient_by_patient(honest_run: Run) -> None:
    spread = honest_run["mia_auc"].spread
    assert spread is not None and len(spread.deviations) == 20


def test_p_values_limits_and_the_verdict_are_never_ranked() -> None:
    better = {metric.key: metric.better for metric in Privacy.metrics}
    described = ("leak_found", "leak_bound", "leak_bound_reposed", "copying_p", "evidence_p", "split_false_alarms")
    assert {better[key] for key in described} == {"neither"}


def test_a_blind_classifier_sees_at_most_so_many_images_and_says_so(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.privacy.blind_gate.MOST_BLIND", 700)
    run = measure(unknown(world), tmp_path)
    assert run["blind_auc"].n == 700
    assert run["mia_auc"].n != 700
