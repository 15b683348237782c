from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bench.api import BenchError
from evaluators.encoders.preprocessing import Preprocessing

CPU = torch.device("cpu")
ASPECTS = ("pad", "crop", "squash")
PLAIN = {"mean": [0.0], "std": [1.0]}


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
def test_resizing_is_that_of_pillow_in_floating_point(resample: str) -> None:
    grey = np.random.default_rng(0).integers(60, 190, (1, 90, 90), dtype=np.uint8)
    method = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[resample]
    want = np.asarray(Image.fromarray(grey[0].astype(np.float32)).resize((28, 28), method))
    got = Preprocessing.of("x", {"size": 28, "resample": resample, **PLAIN})(grey, CPU)[0, 0] * 255
    np.testing.assert_allclose(got.numpy(), want, atol=1e-2)


def test_every_channel_is_normalised() -> None:
    made = Preprocessing.of("x", {"size": 4, "mean": [0.5, 0.25, 0.0], "std": [0.5, 0.25, 2.0]})
    batch = made(np.full((2, 4, 4), 255, np.uint8), CPU)
    assert batch.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(batch[1, :, 0, 0].numpy(), [1, 3, 0.5])


def test_oblong_images_become_square_as_asked() -> None:
    tall = np.zeros((1, 8, 4), np.uint8)
    tall[:, 2:6] = 255
    made = {
        aspect: Preprocessing.of("x", {"size": 8, "aspect": aspect, **PLAIN})(tall, CPU)[0, 0] for aspect in ASPECTS
    }
    assert made["pad"][:, 2:6].sum() == made["pad"].sum() == 16
    assert made["crop"].min() > 0.999
    assert made["squash"][4].min() > 0.999
    assert made["squash"][0].max() == 0


def test_the_right_size_is_left_alone_and_overshoot_is_cut() -> None:
    grey = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (1, 16, 16))
    same = Preprocessing.of("x", {"size": 16, **PLAIN})(grey, CPU)
    np.testing.assert_array_equal(same[0, 0].numpy(), grey[0] / np.float32(255))
    larger = Preprocessing.of("x", {"size": 37, **PLAIN})(grey, CPU)
    assert larger.min() == 0
    assert larger.max() == 1


def test_the_spec_tells_all() -> None:
    base = {"size": 16, "mean": [0.1], "std": [0.5]}
    variants = [
        base,
        base | {"size": 17},
        base | {"mean": [0.2]},
        base | {"std": [0.6]},
        base | {"aspect": "crop"},
        base | {"resample": "bilinear"},
    ]
    assert len({Preprocessing.of("x", variant).spec for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 8, **PLAIN, "aspect": "stretch"}, "stretch"),
        ({"size": 8, **PLAIN, "resample": "nearest"}, "nearest"),
        ({"size": 8, "mean": [0.5, 0.5], "std": [1.0]}, "2 means and 1 stds"),
        ({"size": 8, **PLAIN, "flip": True}, "flip"),
        (PLAIN, "size"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(BenchError, match=f"encoder x: preprocessing.*{said}"):
        Preprocessing.of("x", settings)
