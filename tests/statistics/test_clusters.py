"""Which images belong together, against loops over all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bench.statistics.clusters import Clusters
from bench.statistics.resampling import fixed_folds

NAMES = [f"p{i}" for i in np.random.default_rng(0).integers(0, 40, 150)]


def test_images_of_a_patient_share_its_fold_which_its_name_alone_decides() -> None:
    found = Clusters.of(NAMES, 8)
    names = np.array(NAMES)
    for name in set(NAMES):
        assert len(set(found.folds[names == name])) == len(set(found.patients[names == name])) == 1
    assert len(set(found.patients)) == len(set(NAMES)) and found.count == 8 and len(found) == 150
    np.testing.assert_array_equal(found.folds, fixed_folds(NAMES, 8))
    order = np.random.default_rng(1).permutation(150)
    again = Clusters.of([NAMES[i] for i in order], 8)
    np.testing.assert_array_equal(again.folds, found.folds[order])


def test_how_many_images_the_patient_of_each_image_has() -> None:
    found = Clusters.of(NAMES, 8)
    assert found.together.tolist() == [NAMES.count(name) for name in NAMES]
    assert Clusters.apart(found.folds).together.tolist() == [1] * 150


def test_pairs_of_one_patient_are_listed_once_each_and_no_others() -> None:
    listed = [tuple(sorted(pair)) for step in Clusters.of(NAMES, 8).pairs() for pair in zip(*step, strict=True)]
    expected = {(i, j) for i, j in combinations(range(150), 2) if NAMES[i] == NAMES[j]}
    assert len(listed) == len(expected) and set(listed) == expected
    assert not list(Clusters.apart(np.arange(9) % 3).pairs())


def test_merging_folds_keeps_patients_whole_and_choosing_images_keeps_whose_they_are() -> None:
    found = Clusters.of(NAMES, 12)
    merged, rows = found.merged(5), np.array([3, 70, 71, 149])
    assert merged.count == 5 and all(len(set(merged.folds[found.folds == fold])) == 1 for fold in range(12))
    np.testing.assert_array_equal(merged.patients, found.patients)
    kept = found.kept(rows)
    np.testing.assert_array_equal(kept.folds, found.folds[rows])
    np.testing.assert_array_equal(kept.patients, found.patients[rows])


def test_a_set_of_nothing_has_no_folds() -> None:
    nothing = Clusters.apart(np.zeros(0, np.int64))
    assert len(nothing) == nothing.count == 0 and not list(nothing.pairs())
