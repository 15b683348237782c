"""Toy pictures of 16 x 16 whose classes differ in brightness of one corner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import DatasetInfo, ImageSet, Label, Material, Refused, Split
from bench.storage.files import content_key
from evaluators.utility import classifier
from evaluators.utility.classifier import Lesson, Recipe, batches, log_prior, train_and_score
from evaluators.utility.evaluator import Utility
from evaluators.utility.test_set import small, truths
from tests.toy import described, image_set
from tests.toy import material as material_of

SICK = Label("sick", "binary", (0, 1), ("no", "yes"))
SIDE = Label("side", "categorical", (1, 2, 3), ("left", "middle", "right"))
INFO = described(SICK, SIDE, targets=("sick",))
TRAINING: dict[str, Any] = {"steps": 45, "batch": 32, "width": 4, "rate": 0.02}
Values = Sequence[int | None]


def toy(folder: Path, name: str, sick: Values, side: Values, *, info: DatasetInfo = INFO, size: int = 16) -> ImageSet:
    """Sickness lights the upper left corner, side a column; where unknown, the picture shows neither."""
    rng = np.random.default_rng([len(sick), *name.encode()])
    images = rng.normal(100, 25, (len(sick), size, size))
    part = size // 4
    for i, (ill, where) in enumerate(zip(sick, side, strict=True)):
        images[i, : 2 * part, : 2 * part] += 30 if ill else 0
        images[i, 3 * part :, part * (where or 0) : part * ((where or 0) + 1)] += 60
    patients = [f"{name}{i // 2}" for i in range(len(sick))]
    known = [{"sick": ill, "side": where} for ill, where in zip(sick, side, strict=True)]
    pixels = np.clip(images, 0, 255).astype(np.uint8)
    return image_set(pixels, info, folder / name, name, patient_id=patients, labels=known)


def labels(count: int, seed: int) -> tuple[list[int | None], list[int | None]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, count).tolist(), rng.integers(1, 4, count).tolist()


def material(folder: Path, made: ImageSet | None = None, info: DatasetInfo = INFO, test: int = 160) -> Material:
    train = toy(folder, "train", *labels(200, 1), info=info)
    exam = toy(folder, "test", *labels(test, 2), info=info)
    split = Split(train, toy(folder, "holdout", *labels(120, 8), info=info), exam)
    made = made or train
    return material_of(split, {"utility": made, "fidelity": made}, folder, rng=np.random.default_rng(5))


def measure(given: Material, steps: int = TRAINING["steps"], resamples: int = 300) -> dict[tuple[str, str], Any]:
    training = {**TRAINING, "steps": steps}
    scores = list(Utility(training, repeats=2, resamples=resamples, device="cpu")(given))
    found = {(score.metric, score.group): score for score in scores}
    assert len(found) == len(scores)
    return found


def test_synthetic_images_equal_to_real_ones_are_as_useful(tmp_path: Path) -> None:
    scores = measure(material(tmp_path))
    assert {metric for metric, _ in scores} == {metric.key for metric in Utility.metrics}
    assert {group for _, group in scores} == {"all"}
    assert scores["auc_real", "all"].value > 0.85
    assert scores["balanced_accuracy_real", "all"].value > 0.75
    assert scores["f1_real", "all"].value > 0.75
    assert scores["auc_gap", "all"].value == 0
    assert scores["auc_gap", "all"].low <= 0 <= scores["auc_gap", "all"].high
    assert scores["auc_gain", "all"].value > -0.1
    report = json.loads((tmp_path / "utility.json").read_text())["sick"]
    assert sum(report["images"]["test"].values()) == 160
    assert report["values"]["auc_real"] == scores["auc_real", "all"].value
    assert (tmp_path / "utility_roc.png").read_bytes().startswith(b"\x89PNG")


def test_fresh_images_of_the_same_kind_leave_no_gap(tmp_path: Path) -> None:
    scores = measure(material(tmp_path, toy(tmp_path, "fresh", *labels(200, 9))))
    assert scores["auc_gap", "all"].low <= 0.02
    assert scores["auc_gap", "all"].high >= -0.02
    assert scores["auc_gap", "all"].value == pytest.approx(
        scores["auc_synthetic", "all"].value - scores["auc_real", "all"].value
    )


def test_shuffled_labels_teach_nothing(tmp_path: Path) -> None:
    images = toy(tmp_path, "made", *labels(200, 3))
    wrong, side = labels(200, 4)
    rows = images.rows.remove_columns("sick").add_column("sick", wrong)
    scores = measure(material(tmp_path, ImageSet(rows, INFO)))
    assert scores["auc_synthetic", "all"].value == pytest.approx(0.5, abs=0.15)
    assert scores["auc_gap", "all"].high < 0
    assert scores["balanced_accuracy_gap", "all"].high < 0
    assert len(side) == 200


def test_several_targets_are_measured_each_and_together(tmp_path: Path) -> None:
    info = replace(INFO, targets=("sick", "side"))
    scores = measure(material(tmp_path, info=info))
    assert {group for _, group in scores} == {"all", "target=sick", "target=side"}
    each = [scores["auc_real", f"target={name}"].value for name in ("sick", "side")]
    assert scores["auc_real", "all"].value == pytest.approx(np.mean(each))
    assert min(each) > 0.7


def test_target_with_a_tiny_class_is_refused_and_left_out_of_the_mean(tmp_path: Path) -> None:
    info = replace(INFO, targets=("sick", "side"))
    given = material(tmp_path, info=info)
    sick, side = labels(160, 2)
    exam = toy(tmp_path, "tiny", sick, [1 if i < 18 else 2 + i % 2 for i in range(160)], info=info)
    assert side
    scores = measure(replace(given, split=replace(given.split, test=exam)))
    refused = scores["auc_real", "target=side"]
    assert refused.value is None
    assert refused.reason == "side = left has 9 patients in test, needed 10"
    assert scores["auc_recovered", "target=side"].reason == refused.reason
    assert scores["auc_real", "all"].value == scores["auc_real", "target=sick"].value
    assert "side = left" in str(scores["auc_real", "all"].reason)


def test_only_tiny_classes_refuse_everything(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"sick = (no|yes) has \d patients in test, needed 10"):
        measure(material(tmp_path, test=16))


def test_rows_of_unknown_label_are_left_out(tmp_path: Path) -> None:
    sick, side = labels(200, 6)
    made = toy(tmp_path, "made", [None if i % 2 else value for i, value in enumerate(sick)], side)
    assert (truths(made, ["sick", "side"])[1::2, 0] == -1).all()
    scores = measure(material(tmp_path, made))
    report = json.loads((tmp_path / "utility.json").read_text())["sick"]
    assert report["images"]["synthetic"]["unknown"] == 100
    assert scores["auc_synthetic", "all"].value > 0.75


def test_same_material_gives_the_same_scores_and_leaves_global_state_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    threads = torch.get_num_threads()
    assert measure(material(tmp_path / "a")) == measure(material(tmp_path / "b"))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert (tmp_path / "a/utility_roc.png").read_bytes() == (tmp_path / "b/utility_roc.png").read_bytes()


def test_every_image_is_seen_once_before_any_is_seen_twice() -> None:
    rows = torch.cat(list(batches(10, 5, 4, torch.Generator().manual_seed(0))))
    assert sorted(rows[:10].tolist()) == list(range(10)) == sorted(rows[10:].tolist())


def test_prior_counts_known_labels_only() -> None:
    assert np.exp(log_prior(np.array([0, 0, 0, 1, -1, -1]), 2)) == pytest.approx([0.75, 0.25])
    assert np.isfinite(log_prior(np.array([0, 0]), 2)).all()


def test_rare_class_is_still_predicted() -> None:
    """Nine in ten are healthy: without the prior taken off nearly all would be called healthy."""
    rng = np.random.default_rng(0)
    truth = (rng.random(300) < 0.1).astype(np.int64)
    images = np.clip(rng.normal(100, 25, (300, 16, 16)) + 20 * truth[:, None, None], 0, 255).astype(np.uint8)
    lesson = Lesson(images, truth[:, None], (2,))
    ((scores,),) = train_and_score(lesson, [images], Recipe(40, 32, 4, 0.01, "cpu"), seed=1)
    assert scores.shape == (300, 2)
    assert (scores.argmax(axis=1)[truth == 1] == 1).mean() > 0.6


def test_large_images_are_averaged_down(tmp_path: Path) -> None:
    large = toy(tmp_path, "large", *labels(4, 1), size=32)
    expected = large.pixels().reshape(4, 16, 2, 16, 2).mean(axis=(2, 4))
    assert small(large, 16) == pytest.approx(expected, abs=1.01)
    assert (small(large, 32) == large.pixels()).all()


def test_more_images_than_the_most_to_be_answered_on_are_thinned_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.utility.evaluator.MOST", 110)
    scores = measure(material(tmp_path))
    assert {score.n for score in scores.values()} == {110}
    assert scores["auc_real", "all"].value > 0.8


def test_the_classifiers_of_real_images_are_trained_once_for_all_generators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept as arrays under all that decides them, they answer as if trained anew; those of synthetic images are not."""
    given, kept, fits = material(tmp_path), dict[str, Any](), list[int]()
    fit = classifier._fit

    def counted(network: Any, lesson: Lesson, *rest: Any) -> None:
        fits.append(len(lesson.images))
        fit(network, lesson, *rest)

    def keep(identity: Sequence[Any], make: Any) -> Any:
        key = content_key(list(identity))
        if key not in kept:
            kept[key] = {name: array.copy() for name, array in make().items()}
        return kept[key]

    monkeypatch.setattr(classifier, "_fit", counted)
    alone = measure(given, 3, 20)
    again = [replace(given, keep=keep, rng=np.random.default_rng(5)) for _ in range(3)]
    first, second = (measure(each, 3, 20) for each in again[:2])
    assert alone == first == second
    assert fits == [200, 200, 200, 200, 400, 400] * 2 + [200, 200, 400, 400]
    other = toy(tmp_path, "more", *labels(210, 3))
    measure(replace(again[2], split=replace(given.split, train=other)), 3, 20)
    assert len(kept) == 4 and fits[-6:] == [210, 210, 200, 200, 410, 410]
