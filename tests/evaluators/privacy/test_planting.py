"""Planted copies: whose images are copied, and how copies of each kind stand out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Encoder, Images, Material, Rows, Split
from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.closeness import pool_of
from evaluators.privacy.planting import PLANTED, families, pictures, planted, sources_of
from evaluators.privacy.view import view_of
from tests.toy import described, image_set, material


class Levels(Encoder):
    """Grey levels, a column each."""

    id = "levels"
    dim = 64

    def __call__(self, images: Images) -> Rows:
        return images.reshape(len(images), -1).astype(np.float32)


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 200, (8, 8)).astype(np.uint8)


def part(numbers: np.ndarray) -> Any:
    return image_set(
        [picture(each) for each in numbers],
        described(),
        image_id=[f"i{each:03d}" for each in numbers],
        patient_id=[f"p{each // 2:02d}" for each in numbers],
    )


def toy(folder: Path, train: np.ndarray, **given: Any) -> Material:
    """60 pictures of 30 patients, those of ``train`` for training."""
    holdout = np.setdiff1d(np.arange(60), train)
    split = Split(part(train), part(holdout), part(holdout[:2]))
    made = image_set([picture(1000 + each) for each in range(10)], described(), name="made")
    return material(split, {"privacy": made}, folder, encoders={"levels": Levels()}, **given)


ONE, OTHER = np.arange(30), np.r_[10:20, 40:60]


def test_sources_are_of_different_patients_and_blends_are_with_another(tmp_path: Path) -> None:
    pool = pool_of(toy(tmp_path, ONE).split)
    for count in (7, 30, 200):
        found = sources_of(pool, count, np.random.default_rng(0))
        own, others = pool.owners[found.own], pool.owners[found.others]
        assert len(own) == len(np.unique(own)) == min(count, 30)
        assert (own != others).all()


def test_sources_are_the_same_whoever_is_in_which_part(tmp_path: Path) -> None:
    chosen = []
    for train in (ONE, OTHER):
        given = toy(tmp_path / str(len(chosen)), train)
        pool = pool_of(given.split)
        found = sources_of(pool, 30, np.random.default_rng(0))
        chosen.append((found.own.tolist(), pictures(given, pool, found.own)))
        members = pool.member[pool.owners[found.own[:20]]]
        assert 0 < members.sum() < 20, "sources are of both parts"
    assert chosen[0][0] == chosen[1][0]
    assert (chosen[0][1] == chosen[1][1]).all()


def test_every_image_of_a_patient_may_be_the_source(tmp_path: Path) -> None:
    pool = pool_of(toy(tmp_path, ONE).split)
    drawn = [sources_of(pool, 30, np.random.default_rng(seed)).own for seed in range(60)]
    assert set(np.concatenate(drawn).tolist()) == set(range(60))


def test_a_pool_of_one_patient_has_nobody_to_blend_with(tmp_path: Path) -> None:
    pool = replace(pool_of(toy(tmp_path, ONE).split), owners=np.zeros(3, np.int64), member=np.ones(1, np.bool_))
    with pytest.raises(ValueError, match="one patient"):
        sources_of(pool, 3, np.random.default_rng(0))


def test_copies_stand_out_as_the_kind_lets_them(tmp_path: Path) -> None:
    given = toy(tmp_path, ONE)
    pool = pool_of(given.split)
    found = planted(given, pool, view_of("levels", given, pool))
    assert list(found) == list(TRANSFORMS)
    assert all(len(each.hits) == len(each.margins) == min(PLANTED, 30) for each in found.values())
    assert found["identity"].hits.all()
    assert (found["identity"].margins == 1).all()
    assert found["gamma"].hits.all()
    assert (found["gamma"].margins < 1).all()
    assert found["blend70"].hits.all(), "the greater part is the source's"
    assert np.median(found["blend70"].margins) < np.median(found["gamma"].margins)
    assert found["patch"].hits.mean() < 0.2, "three quarters are another patient's"


def test_arrays_that_were_kept_are_found_again_and_other_labels_find_the_same(tmp_path: Path) -> None:
    kept: dict[str, Mapping[str, np.ndarray]] = {}
    made: list[str] = []

    def keep(identity: Any, make: Any) -> Mapping[str, np.ndarray]:
        key = repr(identity)
        if key not in kept:
            made.append(key)
            kept[key] = make()
        return kept[key]

    results = []
    for train in (ONE, ONE, OTHER):
        given = toy(tmp_path, train, keep=keep)
        pool = pool_of(given.split)
        results.append(planted(given, pool, view_of("levels", given, pool)))
    assert len(made) == 2, "made once for each split, not for each run"
    for kind in TRANSFORMS:
        for other in results[1:]:
            assert (results[0][kind].hits == other[kind].hits).all()
            assert results[0][kind].margins == pytest.approx(other[kind].margins, abs=1e-6)


def test_families_hold_every_kind_once() -> None:
    found = families()
    assert list(found) == ["exact or recoloured", "re-posed", "re-posed and recoloured", "blends and parts"]
    assert sorted(each.name for kinds in found.values() for each in kinds) == sorted(TRANSFORMS)
