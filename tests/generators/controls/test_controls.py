import time
from pathlib import Path

import numpy as np
import pytest

from bench.api import BenchError, Generator, ImageSet
from generators.assignment import UNKNOWN, assign, draw
from generators.controls.copy import Copy, jitter
from generators.controls.holdout import Holdout
from generators.controls.noise import Noise, histogram, noise
from generators.controls.pca import Pca, indicators, principal_components, score_model

CONTROLS = [Holdout, Copy, lambda: Copy(jitter_grey=3), Noise, lambda: Pca(components=8)]


@pytest.fixture(scope="module")
def images(toy) -> ImageSet:
    return toy.labelled(96)


def ready(generator: Generator, images: ImageSet, folder: Path, requests: list) -> Generator:
    generator.fit(images, folder, seed=1)
    generator.plan(requests)
    return generator


@pytest.mark.parametrize("make", CONTROLS)
def test_same_images_whatever_the_order_and_block(toy, make, images, tmp_path) -> None:
    requests = toy.requests_like(images)[:40]
    whole = ready(make(), images, tmp_path / "a", requests).sample(requests)
    assert whole.dtype == np.uint8 and whole.shape == (40, 16, 12)
    other = ready(make(), images, tmp_path / "b", requests[::-1])
    pieces = np.concatenate([other.sample(requests[start : start + 7]) for start in range(0, 40, 7)])
    assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("make", CONTROLS)
def test_another_seed_gives_other_images(toy, make, images, tmp_path) -> None:
    first, second = (toy.requests_like(images, run=run)[:40] for run in (0, 1))
    generator = ready(make(), images, tmp_path, first)
    before = generator.sample(first)
    generator.plan(second)
    assert not np.array_equal(before, generator.sample(second))


@pytest.mark.parametrize("make", [Holdout, Copy])
def test_real_images_are_given_once_with_the_asked_conditions(toy, make, images, tmp_path) -> None:
    requests = toy.requests_like(images) + toy.requests_like(images, "utility")
    got = ready(make(), images, tmp_path, requests).sample(requests)
    real = {image.tobytes(): position for position, image in enumerate(images.pixels())}
    rows = [real[image.tobytes()] for image in got]
    assert sorted(rows[:96]) == sorted(rows[96:]) == list(range(96))
    for name in toy.info.conditions:
        column = images.column(name)
        assert [column[row] for row in rows] == [each.labels[name] for each in requests]


def test_only_what_it_may_see() -> None:
    assert (Holdout.learns_from, Copy.learns_from) == ("holdout", "train")
    assert Holdout.shows_real and Copy.shows_real and not Noise.shows_real and not Pca.shows_real
    assert [each.control for each in (Holdout, Copy, Noise, Pca)] == ["ceiling", "memoriser", "floor", "baseline"]


def test_assign_takes_the_nearest_when_none_is_the_same_and_starts_again_when_all_are_used() -> None:
    held = np.array([[0, 0, 0], [0, 0, 1], [5, 5, 5]], np.int32)
    asked = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], np.int32)
    rows = assign(asked, held, np.random.default_rng(0)).tolist()
    assert rows == [0, 1, 2, 0]


def test_assign_leaves_an_image_to_the_request_that_asks_for_it() -> None:
    held = np.array([[1], [2]], np.int32)
    asked = np.array([[UNKNOWN], [1], [2]], np.int32)
    assert assign(asked[:2], held, np.random.default_rng(0)).tolist() == [1, 0]
    assert assign(asked[1:], held, np.random.default_rng(0)).tolist() == [0, 1]
    with pytest.raises(ValueError, match="no image"):
        assign(asked, held[:0], np.random.default_rng(0))


def test_images_of_one_kind_are_equally_likely(toy, images) -> None:
    counts = np.zeros(96)
    rng = np.random.default_rng(0)
    for run in range(400):
        asked = [toy.request(f"r{int(rng.integers(1 << 40))}", run=run, level=1, side=0)]
        counts[next(iter(draw(asked, images).values()))] += 1
    same = [a == 1 and b == 0 for a, b in zip(images.column("level"), images.column("side"), strict=True)]
    assert counts[np.logical_not(same)].sum() == 0
    expected = 400 / sum(same)
    assert ((counts[same] - expected) ** 2 / expected).sum() < 3 * sum(same)


def test_assign_is_fast() -> None:
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 2, (5000, 14)).astype(np.int32)
    held = rng.integers(0, 2, (5000, 14)).astype(np.int32)
    start = time.process_time()
    rows = assign(asked, held, rng)
    assert time.process_time() - start < 2
    assert len(set(rows.tolist())) == 5000


def test_jitter_stays_within_its_range() -> None:
    image = np.full((200, 200), 100, np.uint8)
    assert set(np.unique(jitter(image, 2, seed=3))) == {98, 99, 100, 101, 102}
    assert jitter(np.full((50, 50), 254, np.uint8), 3, seed=3).max() == 255
    with pytest.raises(BenchError, match="jitter_grey"):
        Copy(jitter_grey=300)


def test_noise_has_the_grey_levels_of_the_training_images_and_nothing_else(images) -> None:
    counts = histogram(images.pixels())
    made = noise(counts, (400, 500), seed=2)
    assert set(np.unique(made)) <= set(np.flatnonzero(counts))
    assert np.abs(histogram(made) / made.size - counts / counts.sum()).max() < 0.003
    beside = np.corrcoef(made[:, 1:].ravel().astype(float), made[:, :-1].ravel().astype(float))[0, 1]
    assert abs(beside) < 0.01


def test_principal_components_are_those_of_the_singular_value_decomposition() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50)).astype(np.uint8)
    mean, components, scores = principal_components(pixels, 29, 1.0)
    centred = pixels - pixels.mean(axis=0)
    _, lengths, rows = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.linalg.norm(scores, axis=0), lengths[:29])
    assert np.allclose(np.abs(components @ rows[:29].T), np.eye(29), atol=1e-4)
    assert np.allclose(mean + scores @ components, pixels, atol=1e-2)
    for share in (0.3, 0.6, 0.9):
        kept = len(principal_components(pixels, 29, share)[1])
        explained = np.cumsum(lengths**2) / (lengths**2).sum()
        assert explained[kept - 1] >= share > (explained[kept - 2] if kept > 1 else 0)


def test_score_model_recovers_means_and_covariance(toy) -> None:
    rng = np.random.default_rng(0)
    conditions = np.stack([rng.integers(0, 4, 4000), rng.integers(0, 2, 4000), np.zeros(4000)], 1).astype(np.int32)
    table = indicators(conditions, toy.info.labels)
    factor = np.array([[2.0, 0.0], [1.0, 0.5]])
    truth = np.stack([10.0 * conditions[:, 0], -4.0 * conditions[:, 1]], 1)
    effects, spread = score_model(truth + rng.standard_normal((4000, 2)) @ factor.T, table)
    assert np.allclose(table @ effects, truth, atol=0.3)
    assert np.allclose(spread, factor, atol=0.1)


def test_pca_follows_the_conditions(toy, images, tmp_path) -> None:
    requests = [toy.request(f"{level}-{i}", level=level, side=1) for level in range(4) for i in range(16)]
    made = ready(Pca(components=8), images, tmp_path, requests).sample(requests).astype(float)
    right = made[:, :, 6:].mean(axis=(1, 2)).reshape(4, 16).mean(axis=1)
    assert np.allclose(right, [80, 110, 140, 170], atol=4)
    left = made[:, :, :6].mean(axis=(1, 2)).reshape(4, 16).mean(axis=1)
    assert np.allclose(left, [40, 70, 100, 130], atol=4)


def test_pca_takes_an_unknown_condition(toy, images, tmp_path) -> None:
    requests = [toy.request("a", level=None, side=None)]
    assert ready(Pca(components=4), images, tmp_path, requests).sample(requests).std() > 1


def test_pca_loads_what_it_kept_and_learns_again_on_other_data(toy, images, tmp_path, monkeypatch) -> None:
    requests = toy.requests_like(images)[:4]
    first = ready(Pca(components=4), images, tmp_path, requests).sample(requests)
    assert [path.name for path in tmp_path.iterdir()] == ["pca.npz"]
    with monkeypatch.context() as patch:
        patch.setattr(Pca, "_learn", lambda *_: pytest.fail("learned twice"))
        assert np.array_equal(first, ready(Pca(components=4), images, tmp_path, requests).sample(requests))
    other = ready(Pca(components=4), toy.labelled(96, seed=5), tmp_path, requests).sample(requests)
    assert not np.array_equal(first, other)


def test_pca_refuses_settings_that_mean_nothing(images, tmp_path) -> None:
    with pytest.raises(BenchError, match="variance"):
        Pca(variance=0)
    with pytest.raises(BenchError, match="1 training images"):
        Pca().fit(images.select([0]), tmp_path, 0)
