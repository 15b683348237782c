"""Recovery of asked labels: who follows them reaches the real test set's figure, who does not stays at chance."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from bench.api import DatasetInfo, ImageSet
from bench.statistics.classification import patient_weights
from bench.statistics.resampling import Floats
from evaluators.utility import label_recovery
from evaluators.utility.classifier import UNKNOWN, Lesson, Recipe, train_and_score
from evaluators.utility.test_set import Exam, Integers, examine, marked
from tests.evaluators.utility.test_evaluator import INFO, TRAINING, labels, material, measure, toy

BOTH = replace(INFO, targets=("sick", "side"))
KEYS = ("auc_recovered", "balanced_accuracy_recovered")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ImageSet]:
    """Images drawn for their labels, then said to have been asked with a ``share`` of the sick labels shuffled."""
    folder = tmp_path_factory.mktemp("asked")
    images = toy(folder, "made", *labels(300, 7), info=BOTH)

    def shuffled(share: float = 0.0, info: DatasetInfo = BOTH) -> ImageSet:
        rng = np.random.default_rng(1)
        chosen = rng.permutation(300)[: round(300 * share)]
        sick = np.array(images.column("sick"))
        sick[chosen] = sick[rng.permutation(chosen)]
        return ImageSet(images.rows.remove_columns("sick").add_column("sick", sick.tolist()), info)

    return shuffled


def test_the_better_labels_are_followed_the_more_are_recovered(tmp_path: Path, asked: Callable[..., ImageSet]) -> None:
    given = material(tmp_path)
    found = [
        measure(replace(given, images=given.images | {"fidelity": asked(share, INFO)}, rng=np.random.default_rng(5)))
        for share in (0, 0.5, 1)
    ]
    for key in KEYS:
        follower, partial, deaf = (scores[key, "all"] for scores in found)
        ceiling, real = (found[0][key.replace("recovered", each), "all"] for each in ("recovered_ceiling", "real"))
        assert follower.n == 300 and follower.value == pytest.approx(real.value, abs=0.03)
        assert ceiling.n == 120 and ceiling.value == pytest.approx(real.value, abs=0.03)
        assert deaf.low < 0.5 < deaf.high
        assert deaf.high < partial.value < follower.low
        assert partial.low > 0.5
        for same in (ceiling, real):
            assert len({scores[same.metric, "all"] for scores in found}) == 1, "not a matter of the generator"
    report = json.loads((tmp_path / "utility.json").read_text())["sick"]
    assert report["values"]["auc_recovered"] == found[2]["auc_recovered", "all"].value
    assert sum(report["images"]["asked"].values()) == 300


def test_each_target_is_recovered_and_one_the_generator_does_not_read_says_so(
    tmp_path: Path, asked: Callable[..., ImageSet]
) -> None:
    given = material(tmp_path, info=BOTH)
    scores = measure(replace(given, images=given.images | {"fidelity": asked(1.0)}, generator={"unread": ["sick"]}))
    said = "the generator reads nothing that tells it sick: chance is expected"
    for key in KEYS:
        sick, side = (scores[key, f"target={name}"] for name in BOTH.targets)
        assert sick.low < 0.5 < sick.high and sick.reason == said
        assert side.low > 0.55, "the column follows its label although sickness does not"
        assert side.reason is None
        assert scores[key, "all"].value == pytest.approx((sick.value + side.value) / 2)
        assert scores[key, "all"].reason == said
    for key in ("auc_real", "auc_recovered_ceiling"):
        assert scores[key, "all"].reason is None


def test_unknown_labels_are_left_out_and_few_of_a_class_refused(tmp_path: Path) -> None:
    sick, side = labels(80, 11)
    made = toy(tmp_path, "made", [None if i % 4 == 0 else each for i, each in enumerate(sick)], side, info=BOTH)
    rare = [1 if i < 9 else 2 + i % 2 for i in range(80)]
    rows = made.rows.remove_columns(["side", "patient_id"]).add_column("side", rare)
    made = ImageSet(rows.add_column("patient_id", made.ids), BOTH)
    given = material(tmp_path, info=BOTH)
    scores = measure(replace(given, images=given.images | {"fidelity": made}))
    for key in KEYS:
        assert scores[key, "target=sick"].n == 60
        refused = scores[key, "target=side"]
        assert refused.value is None and refused.n == 80
        assert refused.reason == "side = left has 9 synthetic images, needed 10"
        assert scores[key, "all"].value == scores[key, "target=sick"].value
        assert scores[key, "all"].reason == refused.reason
    for key in ("auc_synthetic", "auc_recovered_ceiling"):
        assert scores[key, "target=side"].value is not None, "only the recovery is refused"


@pytest.mark.parametrize(
    ("conditions", "unread", "expected"),
    [
        (("sick", "side"), (), []),
        (("sick", "side"), ("sick",), ["sick"]),
        (("side",), (), []),  # sickness may follow from the side
        (("side",), ("side",), ["sick", "side"]),
        ((), (), ["sick", "side"]),
    ],
)
def test_what_a_generator_cannot_know(
    conditions: tuple[str, ...], unread: Sequence[str], expected: Sequence[str]
) -> None:
    info = replace(INFO, conditions=conditions, targets=("sick", "side"))
    assert label_recovery.untold_targets(info, unread) == expected
    assert label_recovery.untold_targets(info, unread, ["sick", "side"]) == [], "a prompt may state a target"


def test_without_any_figure_every_score_is_refused_with_all_reasons(asked: Callable[..., ImageSet]) -> None:
    few = asked().select(range(15))
    exam, unlearned = examine(few, ["sick"], 16), {"sick": None, "side": "side was not learned"}
    none = label_recovery.recover(
        "recovered", few, (exam, []), unlearned, (np.ones((1, 15)), np.zeros((1, 1), np.int64))
    )
    rows = list(none.scores(["sick"]))
    assert len(rows) == 6 and all(row.value is None for row in rows)
    assert re.fullmatch(
        r"sick = (no|yes) has \d synthetic images, needed 10; side was not learned", str(rows[0].reason)
    )


def test_a_class_of_few_patients_is_refused_however_many_their_images(asked: Callable[..., ImageSet]) -> None:
    many = asked()
    owners = [f"p{i % 9}" for i in range(len(many))]
    shared = ImageSet(many.rows.remove_columns("patient_id").add_column("patient_id", owners), many.info)
    fault = label_recovery.recover("recovered_ceiling", shared, (None, []), {"sick": None}, (None, None)).faults["sick"]  # type: ignore[arg-type]
    assert fault is not None and re.fullmatch(r"sick = (no|yes) has \d holdout patients, needed 10", fault)


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, (90, 1))
    truth[::7] = UNKNOWN
    answers: list[list[Floats]] = [[rng.normal(size=(90, 3)) + np.eye(3)[truth[:, 0]]] for _ in range(2)]
    exam = Exam(np.zeros((90, 4, 4), np.uint8), truth, [str(i) for i in range(90)])
    weights = patient_weights(exam.patients, rng, 200)
    picks: Integers = np.tile([0, 1], (200, 1))
    found = marked(answers, exam, 0, (weights, picks))
    known = truth[:, 0] != UNKNOWN
    right = truth[known, 0]
    softmax = [np.exp(each[0][known]) / np.exp(each[0][known]).sum(axis=1, keepdims=True) for each in answers]
    balanced = [balanced_accuracy_score(right, each.argmax(axis=1)) for each in softmax]
    assert found["balanced_accuracy"][0] == pytest.approx(np.mean(balanced))
    one = [
        [roc_auc_score(right == k, each[0][known][:, k], sample_weight=weights[0, known]) for k in range(3)]
        for each in answers
    ]
    assert found["auc"][1][0] == pytest.approx(np.mean(one))


def test_scores_of_a_paper_do_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 16, 16), dtype=np.uint8)
    lesson = Lesson(images, rng.integers(0, 2, (70, 1)), (2,))
    recipe = Recipe(TRAINING["steps"], 8, 4, 0.01, "cpu")
    alone = train_and_score(lesson, [images], recipe, seed=1)
    together = train_and_score(lesson, [images, images[:33]], recipe, seed=1)
    assert (alone[0][0] == together[0][0]).all()
    assert together[1][0] == pytest.approx(together[0][0][:33], abs=1e-5)
