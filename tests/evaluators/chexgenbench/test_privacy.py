"""The legacy privacy numbers of CheXGenBench: the published arithmetic on images whose distance is known."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from bench.api import BenchError, ImageSet, Material, Refused, Rows, Score, Split
from evaluators.chexgenbench.privacy import (
    CheXGenBenchPrivacy,
    latent_distances,
    pairs_by_prompt,
    pixel_distances,
    resized,
)
from evaluators.encoders.patient_verification import PatientVerification, patient_verification, shrunk
from tests.toy import INFO, image_set, material, toy_set


def published_distance(first: np.ndarray, second: np.ndarray) -> float:
    """``np.linalg.norm`` of the difference of two RGB arrays of bytes over the root of their number of elements."""
    one, other = (np.array(Image.fromarray(each).convert("RGB")) for each in (first, second))
    return float(np.linalg.norm(one - other) / np.sqrt(one.size))


def smooth(seed: int, contrast: float) -> np.ndarray:
    """A smooth picture of 512 pixels whose grey levels have this standard deviation."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.normal(size=(16, 16)).astype(np.float32)).resize((512, 512))
    values = np.asarray(coarse)
    return np.clip(128 + contrast * (values - values.mean()) / values.std(), 0, 255).astype(np.uint8)


def both(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    as_coded, plain = pixel_distances(real[None], made[None])[:, 0]
    assert as_coded == pytest.approx(published_distance(real, made), rel=1e-9)
    return float(as_coded), float(plain)


def test_a_copy_one_level_brighter_is_the_most_private_there_is() -> None:
    # a share of the pixels is white already and cannot be brighter: 254.6^2 / 255^2 of them can
    real = np.arange(512 * 512).reshape(512, 512) % 254
    real[::320, :] = 255
    real = real.astype(np.uint8)
    brighter = np.where(real < 255, real + 1, real).astype(np.uint8)
    as_coded, plain = both(real, brighter)
    assert as_coded == pytest.approx(254.6, abs=0.1) and plain == pytest.approx(1.0, abs=0.005)
    as_coded, plain = both(brighter, real)  # in the other order nothing wraps around
    assert as_coded == plain == pytest.approx(1.0, abs=0.005)


def test_exact_copies_have_no_distance() -> None:
    real = smooth(0, 50)
    assert both(real, real) == (0.0, 0.0)


def test_noise_of_one_level_scores_as_much_as_an_unrelated_image() -> None:
    real = smooth(0, 30)
    noise = np.random.default_rng(0).integers(-1, 2, real.shape)
    as_coded, plain = both(real, (real + noise).astype(np.uint8))
    assert plain == pytest.approx(np.sqrt(2 / 3), abs=0.01)
    assert as_coded == pytest.approx(255 * np.sqrt(1 / 3), abs=1.0)  # a third of the differences is -1, that is 255


def test_a_compressed_copy_scores_hundreds_of_times_its_distance() -> None:
    real = smooth(0, 50)
    buffer = io.BytesIO()
    Image.fromarray(real).save(buffer, "JPEG", quality=90)
    as_coded, plain = both(real, np.asarray(Image.open(buffer)))
    assert plain < 1.5 and as_coded > 60 * plain


@pytest.mark.parametrize(("contrast", "true", "reported"), [(30, 43, 160), (50, 71, 152), (70, 95, 148)])
def test_unrelated_images_score_less_the_less_alike_they_are(contrast: float, true: float, reported: float) -> None:
    found = [both(smooth(seed, contrast), smooth(seed + 100, contrast)) for seed in range(12)]
    as_coded, plain = np.mean(found, axis=0)
    assert plain == pytest.approx(true, rel=0.12)
    assert as_coded == pytest.approx(reported, rel=0.08)


def test_pairs_are_the_first_training_image_of_a_prompt_and_all_that_was_asked_for_with_it() -> None:
    pairs = pairs_by_prompt(["a", None, "b", "a", "c"], ["b", "a", "x", None, "a"])
    assert pairs.real.tolist() == [0, 2] and pairs.last.tolist() == [4, 0]
    assert [rows.tolist() for rows in pairs.made] == [[1, 4], [0]]


def test_latent_distance_is_over_the_root_of_the_columns() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)
    wanted = [torch.norm(torch.from_numpy(a - b)).item() / 16**0.5 for a, b in zip(*rows, strict=True)]
    np.testing.assert_allclose(latent_distances(*rows), wanted, rtol=1e-6)


def test_other_sizes_are_brought_to_that_of_the_published_code() -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 520), dtype=np.uint8)
    wanted = np.array(Image.fromarray(image).resize((512, 512)).convert("RGB"))[:, :, 0]
    np.testing.assert_array_equal(resized(image[None])[0], wanted)


class OfAnySize(CheXGenBenchPrivacy):
    """The arithmetic does not depend on the size of images, so that small ones do to test it."""

    smallest: ClassVar[int] = 1


class Verifier:
    def same_patient(self, first: Rows, second: Rows) -> Rows:
        return np.exp(-np.abs(first - second).mean(axis=1))


def features(name: str, images: ImageSet) -> Rows:
    return images.pixels().reshape(len(images), 16, -1).mean(axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("legacy")
    return Split(*(toy_set(folder, name, 8) for name in ("train", "holdout", "test")))


def brighter(split: Split, folder: Path, prompts: list[str | None]) -> ImageSet:
    """Two images of each prompt: noise, then the first training image of that prompt, one level brighter."""
    known = split.train.column("prompt")
    noise = np.random.default_rng(0).integers(0, 256, split.train.size, dtype=np.uint8)
    images = []
    for prompt in prompts:
        source = split.train.pixels([known.index(prompt)])[0] if prompt in known else noise
        images += [noise, np.where(source < 255, source + 1, source).astype(np.uint8)]
    twice = [prompt for prompt in prompts for _ in range(2)]
    labels = [{"level": 1, "dense": 0}] * len(images)
    return image_set(images, INFO, folder, prompt=twice, labels=labels, attributes={"laterality": "L"})


def given(split: Split, fake: ImageSet) -> Material:
    encoders: dict[str, Any] = {"r": object(), "v": Verifier()}
    return material(split, {"privacy": fake}, Path("unused"), encoders=encoders, features=features)


def measured(split: Split, fake: ImageSet, **settings: Any) -> dict[str, Score]:
    return {score.metric: score for score in OfAnySize("r", **settings)(given(split, fake))}


def test_pairs_are_by_prompt_and_the_pixels_are_those_of_the_last_image(split: Split, tmp_path: Path) -> None:
    fake = brighter(split, tmp_path / "fake", ["level 1", "level 3", "only a holdout patient's"])
    found = measured(split, fake, reid="v", delta=0.3)
    assert {score.n for score in found.values()} == {2}
    large = [(resized(split.train.pixels([i]))[0], resized(fake.pixels([j]))[0]) for i, j in ((0, 1), (2, 3))]
    wanted = np.mean([round(published_distance(*pair), 4) for pair in large])
    assert found["chexgenbench_pixel_distance"].value == pytest.approx(wanted) and wanted > 240
    assert found["chexgenbench_pixel_distance_unwrapped"].value == pytest.approx(1.0, abs=0.05)
    real, made = features("r", split.train), features("r", fake)
    each = [round(float(latent_distances(real[i : i + 1], made[j : j + 1])[0]), 4) for i, j in PAIRS]
    assert found["chexgenbench_latent_distance"].value == pytest.approx(np.mean(each))
    scores = [float(Verifier().same_patient(real[i : i + 1], made[j : j + 1])[0]) for i, j in PAIRS]
    assert found["chexgenbench_reid"].value == pytest.approx(np.mean(scores), abs=1e-4)
    assert found["chexgenbench_reid_max"].value == pytest.approx(max(scores), abs=1e-4)
    assert found["chexgenbench_reid_count"].value == 2
    assert all("legacy" in str(score.reason) and score.low is None for score in found.values())


PAIRS = ((0, 0), (0, 1), (2, 2), (2, 3))  # training image, synthetic image


def test_nothing_can_be_ranked() -> None:
    assert {metric.better for metric in CheXGenBenchPrivacy.metrics} == {"neither"}
    assert all("legacy" in metric.title for metric in CheXGenBenchPrivacy.metrics)


def test_without_a_network_or_a_threshold_the_reason_is_said(split: Split, tmp_path: Path) -> None:
    fake = brighter(split, tmp_path / "fake", ["level 1"])
    found = measured(split, fake)
    for key in ("reid", "reid_max", "reid_count"):
        score = found[f"chexgenbench_{key}"]
        assert score.value is None and "encoder=[...,patient_verification]" in str(score.reason)
    assert "never published" in str(measured(split, fake, reid="v")["chexgenbench_reid_count"].reason)
    with pytest.raises(BenchError, match="reid=r: this encoder verifies no patients"):
        measured(split, fake, reid="r")


def test_missing_weights_cost_only_their_own_numbers(split: Split, tmp_path: Path) -> None:
    def without_weights(name: str, images: ImageSet) -> Rows:
        if name == "v":
            raise BenchError("encoder.v.path: no weights are named")
        return features(name, images)

    whole = replace(given(split, brighter(split, tmp_path / "fake", ["level 1"])), features=without_weights)
    found = {score.metric: score for score in OfAnySize("r", reid="v")(whole)}
    assert found["chexgenbench_reid"].reason == "encoder.v.path: no weights are named"
    assert found["chexgenbench_latent_distance"].value is not None


def test_images_without_prompts_and_small_ones_are_refused(split: Split, tmp_path: Path) -> None:
    fake = brighter(split, tmp_path / "fake", ["another"])
    with pytest.raises(Refused, match="none of 2 images"):
        measured(split, fake)
    with pytest.raises(BenchError, match=r"toy are 32 x 32 .*needed 512.*set dataset\.image_size=512$"):
        CheXGenBenchPrivacy("r").check(split)
    bare = split.train.rows.remove_columns("prompt").add_column("prompt", [None] * len(split.train))
    with pytest.raises(BenchError, match="no training image of toy has a prompt"):
        OfAnySize("r").check(replace(split, train=ImageSet(bare, split.info)))


class Siamese(torch.nn.Module):
    """The published network, written out again."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.model = resnet50(weights=None)
        self.model.fc = torch.nn.Linear(2048, 128)
        self.fc_end = torch.nn.Linear(128, 1)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        one, other = (torch.sigmoid(self.model(each)) for each in (first, second))
        return torch.sigmoid(self.fc_end(torch.abs(one - other)))


def test_the_network_is_that_of_the_published_code(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.transforms import Compose, Resize, ToTensor

    torch.manual_seed(0)
    theirs = Siamese().eval()
    save_file(theirs.state_dict(), tmp_path / "reid.safetensors")
    encoder = patient_verification("v", str(tmp_path / "reid.safetensors"), {}, {"device": "cpu"})
    images = np.random.default_rng(0).integers(0, 256, (2, 512, 512), dtype=np.uint8)
    transform = Compose([Resize((224, 224)), ToTensor()])
    seen = [transform(Image.fromarray(each).convert("RGB"))[None] for each in images]
    with torch.inference_mode():
        wanted = float(theirs(*seen))
    rows = encoder(images)
    assert encoder.same_patient(rows[:1], rows[1:])[0] == pytest.approx(wanted, abs=1e-6)
    assert shrunk(images).shape == (2, 224, 224) and isinstance(encoder, PatientVerification)


def test_a_pickle_is_not_opened_and_a_missing_layer_is_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    images = np.zeros((1, 8, 8), np.uint8)
    (tmp_path / "reid.pth").write_bytes(b"never read")
    with pytest.raises(BenchError, match=r"no \.safetensors file.*convert it once"):
        patient_verification("v", str(tmp_path / "reid.pth"), {}, {"device": "cpu"})(images)
    save_file({"model.fc.bias": torch.zeros(128)}, tmp_path / "other.safetensors")
    with pytest.raises(BenchError, match=r"has none as fc_end\.weight"):
        patient_verification("v", str(tmp_path / "other.safetensors"), {}, {"device": "cpu"})(images)
