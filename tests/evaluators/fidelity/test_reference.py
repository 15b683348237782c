"""Real images beside the test part: which of them are looked at, and what they tell of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.api import ImageSet, Material, Split
from evaluators.fidelity import reference
from evaluators.fidelity.reference import FEWEST, RealImages
from tests.toy import Given, GivenUnits, material, toy_set


def part(folder: Path, name: str, count: int, images: int = 3) -> ImageSet:
    """``count`` images of patients who have ``images`` each, not one after the other."""
    drawn = toy_set(folder, name, count)
    patients = [f"{name} {i % (count // images)}" for i in range(count)]
    return ImageSet(drawn.rows.remove_columns("patient_id").add_column("patient_id", patients), drawn.info)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("parts")
    return Split(part(folder, "train", 90), part(folder, "holdout", 30), part(folder, "test", 60))


def shuffled(images: ImageSet, seed: int) -> ImageSet:
    return images.select(np.random.default_rng(seed).permutation(len(images)))


def given(split: Split, folder: Path, encoder: Given) -> tuple[Material, list[str]]:
    """Material whose features are random by image, those of the test part far away, and which parts were encoded."""
    asked: list[str] = []

    def features(_: str, images: ImageSet) -> np.ndarray:
        asked.extend(images.ids)
        rows = [np.random.default_rng([*name.encode()]).normal(size=4) * [1, 10, 100, 1000] for name in images.ids]
        return np.stack(rows).astype(np.float32)

    return material(split, {"fidelity": split.test}, folder, encoders={"it": encoder}, features=features), asked


def test_all_images_are_taken_where_there_are_few(split: Split) -> None:
    found = RealImages.of(split)
    assert list(found.train.ids) == list(split.train.ids) and list(found.holdout.ids) == list(split.holdout.ids)


@pytest.mark.parametrize("most", [7, 40, 100])
def test_whole_patients_are_taken_and_no_more_than_the_most(
    split: Split, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MOST", most)
    found = RealImages.of(split)
    taken = [*found.train.patients, *found.holdout.patients]
    assert most - 3 < len(taken) <= most
    assert all(taken.count(name) == 3 for name in set(taken))


def test_the_same_images_are_taken_whatever_the_order_of_rows(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MOST", 40)
    found, again = (
        RealImages.of(split),
        RealImages.of(Split(shuffled(split.train, 1), shuffled(split.holdout, 2), shuffled(split.test, 3))),
    )
    for one, other in ((found.train, again.train), (found.holdout, again.holdout)):
        assert set(one.ids) == set(other.ids)
    assert set(found.train.patients) != {f"train {i}" for i in range(len(set(found.train.patients)))}


def test_the_scale_is_that_of_the_training_images_alone(split: Split, tmp_path: Path) -> None:
    known, (made, asked) = RealImages.of(split), given(split, tmp_path, GivenUnits())
    found = known.reference(made, "it", "all")
    rows = made.features("it", split.train)
    assert found.scale is not None and not found.own
    np.testing.assert_allclose(found.scale.spread, rows.std(axis=0, dtype=float))
    np.testing.assert_allclose(found.scale.mean, rows.mean(axis=0, dtype=float))
    assert not set(asked) & set(split.test.ids)


def test_columns_alike_have_no_scale(split: Split, tmp_path: Path) -> None:
    found = RealImages.of(split).reference(given(split, tmp_path, Given())[0], "it", "all")
    assert found.scale is None and not found.own


def test_too_few_training_images_have_no_scale_of_their_own(split: Split, tmp_path: Path) -> None:
    few = Split(split.train.select(np.arange(FEWEST - 1)), split.holdout, split.test)
    enough = Split(split.train.select(np.arange(FEWEST)), split.holdout, split.test)
    for each, own in ((few, True), (enough, False)):
        made, _ = given(each, tmp_path, GivenUnits())
        found = RealImages.of(each).reference(made, "it", "all")
        assert (found.own, found.scale is None) == (own, own)


def test_chance_is_measured_on_training_and_holdout_images_by_their_patients(split: Split, tmp_path: Path) -> None:
    made, asked = given(split, tmp_path, Given())
    (pool,) = RealImages.of(split).reference(made, "it", "all").pools
    np.testing.assert_array_equal(
        pool.rows, np.concatenate([made.features("it", each) for each in (split.train, split.holdout)])
    )
    names = [*split.train.patients, *split.holdout.patients]
    for i, j in ((0, 30), (0, 1), (90, 100), (0, 90)):
        assert (pool.patients[i] == pool.patients[j]) == (names[i] == names[j])
    assert len(set(pool.patients)) == 40 and not set(asked) & set(split.test.ids)


def test_a_group_has_its_own_images_first_then_all(split: Split, tmp_path: Path) -> None:
    made, _ = given(split, tmp_path, Given())
    own, everybody = RealImages.of(split).reference(made, "it", "dense=yes").pools
    dense = np.array([*split.train.group("dense"), *split.holdout.group("dense")]) == "yes"
    assert 0 < dense.sum() < 120 and len(everybody.rows) == 120
    np.testing.assert_array_equal(own.rows, everybody.rows[dense])
    np.testing.assert_array_equal(own.patients, everybody.patients[dense])


def test_an_encoder_sees_the_images_once(split: Split, tmp_path: Path) -> None:
    known, (made, asked) = RealImages.of(split), given(split, tmp_path, GivenUnits())
    for group in ("all", "dense=yes", "dense=no"):
        known.reference(made, "it", group)
    assert len(asked) == 120


def test_a_patient_with_more_images_than_are_looked_at_keeps_nobody_else_out(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MOST", 40)
    patients = ["everywhere"] * 60 + [f"once {i}" for i in range(30)]
    train = ImageSet(split.train.rows.remove_columns("patient_id").add_column("patient_id", patients), split.info)
    known = RealImages.of(Split(train, split.holdout, split.test))
    assert "everywhere" not in known.train.patients and len(known.train) + len(known.holdout) == 40
