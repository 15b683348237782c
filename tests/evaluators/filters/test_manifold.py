from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from bench.api import BenchError, Encoder, ImageSet, Rows, Split
from evaluators.filters.manifold import Manifold, distances_to_others, limit_of
from tests.toy import INFO, Given, GivenUnits, image_set, toy_set


def judging(encoder: Encoder | None = None, **settings: Any) -> Manifold:
    """A filter that has seen the encoder it reads."""
    judge = Manifold("cells", **settings)
    judge.prepare({"cells": encoder or Given()})
    return judge


def grid(encoder: str, images: ImageSet) -> Rows:
    """Means of 8 x 8 cells; the last column has another unit."""
    pixels = images.pixels().astype(np.float32)
    rows = pixels.reshape(len(pixels), 8, 4, 8, 4).mean(axis=(2, 4)).reshape(len(pixels), -1)
    rows[:, -1] *= 1e4
    return rows


def test_the_limit_is_the_conformal_order_statistic() -> None:
    distances = np.arange(1.0, 20.0)[::-1]
    assert limit_of(distances, 0.95) == 19 and limit_of(distances, 0.5) == 10 and limit_of(distances, 0.9) == 18
    with pytest.raises(BenchError, match=r"18 training images, but quantile=0\.95 needs 19"):
        limit_of(distances[1:], 0.95)


def test_fresh_values_pass_with_the_stated_probability() -> None:
    rng = np.random.default_rng(0)
    passed = [rng.normal() <= limit_of(rng.normal(size=39), 0.9) for _ in range(4000)]
    assert 0.885 < np.mean(passed) < 0.915


def test_real_images_pass_and_strange_ones_do_not(tiny_split: Split, tmp_path: Path) -> None:
    judge = judging(GivenUnits(), neighbour=3, quantile=0.9)
    unseen = judge(toy_set(tmp_path, "unseen", 40), tiny_split, grid)
    assert np.mean([verdict.keep for verdict in unseen]) > 0.75
    copies = judge(tiny_split.train, tiny_split, grid)
    assert np.mean([verdict.keep for verdict in copies]) > np.mean([verdict.keep for verdict in unseen])
    noise = np.random.default_rng(1).integers(0, 256, (5, 32, 32)).astype(np.uint8)
    verdicts = judge(image_set(noise, INFO, tmp_path / "noise"), tiny_split, grid)
    assert not any(verdict.keep for verdict in verdicts)
    assert {verdict.grade for verdict in verdicts} == {"outside"} and "limit" in verdicts[0].reason


def test_a_verdict_does_not_depend_on_the_other_images(tiny_split: Split, tmp_path: Path) -> None:
    judge, images = judging(quantile=0.9), toy_set(tmp_path, "unseen", 12)
    together = judge(images, tiny_split, grid)
    assert together == [judge(images.select([i]), tiny_split, grid)[0] for i in range(12)]
    assert judge.id == "manifold-2 cells raw neighbour=5 quantile=0.9" and judge.encoders == ("cells",)


def test_the_holdout_has_no_say(tiny_split: Split, tmp_path: Path) -> None:
    images = toy_set(tmp_path, "unseen", 12)
    flat = image_set([*np.full((30, 32, 32), 9, np.uint8)], INFO, tmp_path / "flat")
    other = Split(tiny_split.train, flat, tiny_split.test)
    verdicts = [judging()(images, split, grid) for split in (tiny_split, other)]
    assert verdicts[0] == verdicts[1] and judging().reads_parts == ("train",)


def test_a_limit_is_kept_for_one_training_part(tiny_split: Split, tmp_path: Path) -> None:
    judge, images = judging(quantile=0.9), toy_set(tmp_path, "unseen", 12)
    fewer = Split(tiny_split.train.select(range(30)), tiny_split.holdout, tiny_split.test)
    found = [judge(images, split, grid) for split in (tiny_split, fewer, tiny_split)]
    assert found[0] == found[2] != found[1] == judging(quantile=0.9)(images, fewer, grid)


@pytest.mark.parametrize("neighbour", [1, 3])
def test_the_images_of_a_patient_are_no_neighbours_of_each_other(neighbour: int) -> None:
    rng = np.random.default_rng(0)
    patients = [f"patient{i}" for i in range(20) for _ in range(i % 4 + 1)]
    person = {name: 3 * rng.normal(size=4) for name in patients}
    rows = np.stack([person[name] + 0.1 * rng.normal(size=4) for name in patients]).astype(np.float32)
    between = cdist(rows.astype(np.float64), rows.astype(np.float64))
    between[np.asarray(patients)[:, None] == patients] = np.inf
    found = distances_to_others(rows, patients, neighbour)
    assert np.allclose(found, np.sort(between, axis=1)[:, neighbour - 1], rtol=1e-6)


def test_further_patients_pass_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(40):
        train, further = (rng.normal(size=(count, 4)).astype(np.float32) for count in (100, 200))
        limit = limit_of(distances_to_others(train, [str(i) for i in range(100)], 5), 0.9)
        passed.append(np.mean(np.sort(cdist(further, train), axis=1)[:, 4] <= limit))
    assert 0.88 < np.mean(passed) < 0.93


def test_too_little_to_judge_by_is_refused(tiny_split: Split) -> None:
    with pytest.raises(BenchError, match=r"48 training images, but quantile=0\.99 needs 99"):
        judging(quantile=0.99)(tiny_split.test, tiny_split, grid)
    with pytest.raises(BenchError, match="48 training images, 1 of them of one patient; needed of others neighbour=48"):
        judging(neighbour=48)(tiny_split.test, tiny_split, grid)
    with pytest.raises(BenchError, match="neighbour=0"):
        Manifold("cells", neighbour=0)


def test_columns_of_different_units_are_divided_by_their_spread_over_train(tiny_split: Split, tmp_path: Path) -> None:
    images = toy_set(tmp_path, "unseen", 12)
    spread = grid("cells", tiny_split.train).std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1

    def divided(encoder: str, images: ImageSet) -> Rows:
        return (grid(encoder, images) / spread).astype(np.float32)

    scaled = judging(GivenUnits())
    assert scaled(images, tiny_split, grid) == judging()(images, tiny_split, divided)
    assert scaled(images, tiny_split, grid) != judging()(images, tiny_split, grid)
    assert scaled.id == "manifold-2 cells standardised neighbour=5 quantile=0.95"


def test_an_encoder_has_to_be_seen_before_its_columns_are_compared(tiny_split: Split) -> None:
    with pytest.raises(ValueError, match="prepare"):
        Manifold("cells")(tiny_split.test, tiny_split, grid)
