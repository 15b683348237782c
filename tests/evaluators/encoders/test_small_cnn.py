from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from scipy.stats import kendalltau

from bench.api import BenchError
from evaluators.encoders.deep import load_state, read_state
from evaluators.encoders.small_cnn import FEATURES, INPUT, SHIPPED, TARGETS, small_cnn
from evaluators.encoders.small_cnn_network import SmallCnn
from tools.train_small_cnn import Lesson, blurred, damaged, examine, lesson, train

COMPUTE = {"device": "cpu", "dtype": "float32", "block": 64}


@pytest.fixture(scope="module")
def unseen() -> Lesson:
    return lesson(96, seed=11)


def test_shipped_weights_are_small_and_give_rows(unseen: Lesson) -> None:
    encoder = small_cnn("small_cnn", None, COMPUTE)
    rows = encoder(unseen.images)
    assert SHIPPED.stat().st_size < 1_000_000
    assert rows.shape == (96, FEATURES) == (96, encoder.dim)
    assert np.isfinite(rows).all()
    assert np.linalg.matrix_rank(rows - rows.mean(axis=0)) == FEATURES
    np.testing.assert_array_equal(small_cnn("other", None, COMPUTE)(unseen.images), rows)


def test_shipped_network_tells_masking_and_damage(unseen: Lesson) -> None:
    network = SmallCnn(FEATURES, len(TARGETS))
    load_state("small_cnn", network, read_state("small_cnn", SHIPPED))
    marks = examine(network.eval(), unseen)
    assert set(marks) == {"masking level, Kendall's tau", *TARGETS}
    assert marks["masking level, Kendall's tau"] > 0.6
    assert min(marks[name] for name in ("density", "area", "mirrored", "blur", "noise")) > 0.8


def test_graded_damage_moves_the_features_ever_further(unseen: Lesson) -> None:
    encoder = small_cnn("small_cnn", None, COMPUTE)
    rows = encoder(unseen.images)
    noise = np.random.default_rng(0).standard_normal(unseen.images.shape)
    grey = torch.from_numpy(unseen.images).float()
    for strengths, damage in (
        ((0.3, 0.6, 1.2), lambda amount: blurred(grey, torch.full((96,), amount)).numpy()),
        ((3.0, 6.0, 12.0), lambda amount: unseen.images + amount * noise),
    ):
        moved = []
        for strength in strengths:
            pictures = np.clip(np.round(damage(strength)), 0, 255).astype(np.uint8)
            moved.append(np.linalg.norm(encoder(pictures).mean(axis=0) - rows.mean(axis=0)))
        assert moved == sorted(moved)
        assert moved[-1] > 2 * moved[0]


def test_other_sizes_are_brought_to_its_own(unseen: Lesson) -> None:
    encoder = small_cnn("small_cnn", None, COMPUTE)
    doubled = unseen.images.repeat(2, axis=1).repeat(2, axis=2)
    near = np.linalg.norm(encoder(doubled) - encoder(unseen.images), axis=1).mean()
    far = np.linalg.norm(encoder(unseen.images) - encoder(np.roll(unseen.images, 1, axis=0)), axis=1).mean()
    assert near < 0.8 * far


def test_blur_is_that_of_scipy() -> None:
    from scipy.ndimage import gaussian_filter

    grey = np.random.default_rng(2).uniform(0, 255, (2, 20, 20)).astype(np.float32)
    got = blurred(torch.from_numpy(grey), torch.tensor([0.0, 0.9]))
    np.testing.assert_allclose(got[0], grey[0], rtol=1e-5)
    np.testing.assert_allclose(got[1], gaussian_filter(grey[1], 0.9, mode="nearest", truncate=4.6), atol=0.05)


def test_damage_is_told_as_it_is_done(unseen: Lesson) -> None:
    grey = torch.from_numpy(unseen.images).float()
    made, told = damaged(grey, torch.Generator().manual_seed(1))
    centre = (grey.sum(1) * torch.arange(64)).sum(1) / grey.sum((1, 2))
    moved = (made.sum(1) * torch.arange(64)).sum(1) / made.sum((1, 2))
    untouched = (told[:, 1] == -1) & (told[:, 2] == -1) & (told[:, 3] == 0)
    assert untouched.sum() > 2
    for index in torch.nonzero(untouched).ravel():
        want = grey[index].flip(1) if told[index, 0] == 1 else grey[index]
        assert torch.equal(made[index], want)
    assert torch.corrcoef(torch.stack(((moved - 31.5) * -told[:, 0], centre)))[0, 1] > 0.5
    assert torch.equal(made, made.round())


def test_drawing_and_training_repeat_themselves() -> None:
    small = lesson(12, seed=5)
    assert np.array_equal(lesson(20, seed=5).images[:12], small.images)
    before = torch.random.get_rng_state()
    once, again, other = (save(train(small, seed, epochs=1).state_dict()) for seed in (0, 0, 1))
    assert once == again != other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_lesson_shows_what_it_says(unseen: Lesson) -> None:
    lit = (unseen.images > 0).mean(axis=(1, 2))
    assert kendalltau(lit, unseen.facts[:, 2]).statistic > 0.7
    assert kendalltau(unseen.level, unseen.facts[:, 0]).statistic > 0.6
    assert (np.abs(unseen.facts.mean(axis=0)) < 1).all()
    assert (np.abs(unseen.facts.std(axis=0) - 1) < 0.5).all()


def test_other_weights_give_another_id(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(save(SmallCnn(FEATURES, len(TARGETS)).state_dict()))
    mine, shipped = small_cnn("small_cnn", str(path), COMPUTE), small_cnn("small_cnn", None, COMPUTE)
    assert mine.id != shipped.id
    assert INPUT.spec in mine.id
    with pytest.raises(BenchError, match="no file of weights"):
        small_cnn("small_cnn", str(tmp_path / "none"), COMPUTE)(np.zeros((1, 64, 64), np.uint8))
