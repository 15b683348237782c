"""The CheXGenBench profile against torchmetrics and prdc called the way its code calls them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from bench.api import BenchError, ImageSet, Material, Refused, Rows, Score, Split
from bench.storage.disk_errors import DiskError
from evaluators.chexgenbench.evaluator import (
    CheXGenBench,
    alignment_score,
    first_of_each,
    frechet,
    inception_score,
    kernel_distance,
)
from evaluators.encoders.squashed import rad_dino, squash
from tests.toy import material, toy_set


def sets(n: int, m: int, columns: int) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, columns)).astype(np.float32), (rng.normal(size=(m, columns)) + 0.3).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "columns"), [(90, 120, 8), (30, 25, 40)])
def test_frechet_is_torchmetrics_even_without_full_rank(n: int, m: int, columns: int) -> None:
    from torchmetrics.image.fid import _compute_fid

    real, fake = sets(n, m, columns)
    arguments = []
    for rows in (real, fake):
        arguments += [torch.from_numpy(rows.mean(axis=0, dtype=np.float64))]
        arguments += [torch.from_numpy(np.cov(rows.astype(np.float64), rowvar=False))]
    # singular covariances have eigenvalues of rounding error, whose roots differ by 1e-6
    assert frechet(real, fake) == pytest.approx(float(_compute_fid(*arguments)), abs=1e-4)


def test_kid_of_equal_sets_is_one_evaluation_of_everything() -> None:
    from torchmetrics.image.kid import poly_mmd

    real, fake = sets(60, 60, 12)
    wanted = float(poly_mmd(torch.from_numpy(real).double(), torch.from_numpy(fake).double()))
    assert kernel_distance(real, fake, np.random.default_rng(0)) == pytest.approx(wanted, rel=1e-9)


def test_kid_of_unequal_sets_is_the_mean_over_subsets_of_the_larger() -> None:
    from torchmetrics.image.kid import poly_mmd

    real, fake = sets(50, 60, 12)
    rng = np.random.default_rng(3)
    chosen = [np.sort(rng.permutation(60)[:50]) for _ in range(100)]
    wanted = [float(poly_mmd(torch.from_numpy(real).double(), torch.from_numpy(fake[i]).double())) for i in chosen]
    assert kernel_distance(real, fake, np.random.default_rng(3)) == pytest.approx(np.mean(wanted), rel=1e-9)


def test_inception_score_takes_pooled_features_for_logits() -> None:
    from torchmetrics.image.inception import InceptionScore

    pooled = np.abs(np.random.default_rng(0).normal(size=(103, 30))).astype(np.float32)
    torch.manual_seed(0)
    theirs = InceptionScore(feature=torch.nn.Identity())
    theirs.update(torch.from_numpy(pooled))

    class Same:
        def permutation(self, n: int) -> np.ndarray:
            torch.manual_seed(0)
            return torch.randperm(n).numpy()

    torch.manual_seed(0)
    wanted = float(theirs.compute()[0])
    assert inception_score(pooled, Same()) == pytest.approx(wanted, rel=1e-5)  # type: ignore[arg-type]


def test_a_prompt_seen_before_leaves_the_real_side() -> None:
    assert first_of_each(["a", "b", "a", None, "c", None]).tolist() == [0, 1, 3, 4]
    assert first_of_each([None, None]).tolist() == [0, 1]


def test_squashing_is_pillow_and_ignores_shape() -> None:
    from PIL import Image
    from torchvision.transforms import Resize

    image = np.random.default_rng(0).integers(0, 256, (400, 200), dtype=np.uint8)
    wanted = np.asarray(Resize((299, 299))(Image.fromarray(image).convert("RGB")))[:, :, 0]
    np.testing.assert_array_equal(squash(image[None])[0], wanted)


def test_rad_dino_sees_the_squashed_image(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=518, patch_size=74)
    Dinov2Model(config).save_pretrained(tmp_path)
    encoder = rad_dino("tiny", 16, str(tmp_path), {}, {"device": "cpu", "block": 2})
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 90), dtype=np.uint8)
    np.testing.assert_allclose(encoder(images), encoder(squash(images)), atol=1e-6)
    assert "squashed-299" in encoder.id


class OfAnySize(CheXGenBench):
    """The arithmetic does not depend on the size of images, so that small ones do to test it."""

    smallest: ClassVar[int] = 1


def material_of(split: Split, fake: ImageSet) -> Material:
    def features(name: str, images: ImageSet) -> Rows:
        rows = images.pixels().reshape(len(images), 16, -1).mean(axis=2).astype(np.float32)
        return rows / 50 if name == "i" else rows

    encoders = {"i": None, "r": None}
    return material(split, {"fidelity": fake}, Path("unused"), encoders=encoders, features=features)


def measure(split: Split, fake: ImageSet, **settings: Any) -> dict[tuple[str, str], Score]:
    scores = list(OfAnySize("i", "r", **settings)(material_of(split, fake)))
    return {(score.metric, score.group): score for score in scores}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("cxgb")
    test = toy_set(folder, "test", 80)
    rows = test.rows.remove_columns("prompt").add_column("prompt", [f"{i % 4} number {min(i, 69)}" for i in range(80)])
    return Split(toy_set(folder, "train", 8), toy_set(folder, "holdout", 8), ImageSet(rows, test.info))


def test_neighbours_are_those_of_prdc_and_all_is_rounded(split: Split, tmp_path: Path) -> None:
    from prdc import compute_prdc

    fake = toy_set(tmp_path, "fake", 60)
    found = measure(split, fake)
    kept = first_of_each(split.test.column("prompt"))
    assert len(kept) == 73  # the prompts of the last eleven images are four different ones
    real_rows, fake_rows = (
        images.pixels().reshape(len(images), 16, -1).mean(axis=2).astype(np.float32)
        for images in (split.test.select(kept), fake)
    )
    for key, value in compute_prdc(real_rows, fake_rows, nearest_k=5).items():
        assert found[f"chexgenbench_{key}", "all"].value == round(float(value), 3)
    assert {score.n for score in found.values()} == {60} and len(found) == 10
    unread = found.pop(("chexgenbench_alignment", "all"))
    assert unread.value is None and "add encoder=[...,biovil_t]" in unread.reason
    assert all(score.value == round(score.value, 3) and score.low is None for score in found.values())


def test_a_label_has_its_own_real_images_and_the_synthetic_ones_of_their_prompts(split: Split, tmp_path: Path) -> None:
    fake = toy_set(tmp_path, "fake", 80)
    prompts = split.test.column("prompt")
    fake = ImageSet(fake.rows.remove_columns("prompt").add_column("prompt", prompts), fake.info)
    found = measure(split, fake, labels=["dense"])
    kept = first_of_each(prompts)
    dense = kept[np.array(split.test.column("dense"))[kept] == 1]
    asked = sum(prompt in {prompts[i] for i in dense} for prompt in prompts)
    assert found["chexgenbench_fid", "dense=yes"].n == min(len(dense), asked)
    with pytest.raises(BenchError, match=r"label 'level'.*\['dense'\]"):
        measure(split, fake, labels=["level"])


class Reader:
    """Places prompts by their length."""

    def texts(self, prompts: list[str]) -> Rows:
        return np.stack([np.full(16, 1.0) + len(each) * np.eye(16)[0] for each in prompts]).astype(np.float32)


def prompted(images: ImageSet, prompts: list[str | None]) -> ImageSet:
    return ImageSet(images.rows.remove_columns("prompt").add_column("prompt", prompts), images.info)


def aligned(split: Split, fake: ImageSet, reader: Any) -> Score:
    given = material_of(split, fake)
    given = replace(given, encoders={**given.encoders, "b": reader})
    return next(each for each in OfAnySize("i", "r", biovil_t="b")(given) if each.metric == "chexgenbench_alignment")


def test_alignment_is_the_mean_of_rounded_cosines(split: Split, tmp_path: Path) -> None:
    fake = toy_set(tmp_path, "fake", 60)
    prompts = [f"number {'x' * (i % 7)}" for i in range(60)]
    found = aligned(split, prompted(fake, prompts), Reader())
    rows = fake.pixels().reshape(60, 16, -1).mean(axis=2).astype(np.float32)
    cosines = torch.nn.functional.cosine_similarity(torch.from_numpy(rows), torch.from_numpy(Reader().texts(prompts)))
    assert found.value == round(float(np.mean([round(each, 3) for each in cosines.tolist()])), 3)
    assert found.n == 60 and found.encoder == "b" and found.low is None
    assert alignment_score(np.array([[3.0, 0], [0, 2]]), np.array([[1.0, 0], [0, -1]])) == 0


def test_alignment_needs_a_prompt_for_every_image_and_an_encoder_that_reads(split: Split, tmp_path: Path) -> None:
    fake = toy_set(tmp_path, "fake", 60)
    assert "60 of them without a prompt" in aligned(split, prompted(fake, [None] * 60), Reader()).reason


def test_an_encoder_that_reads_no_text_is_refused_before_anything_is_measured(split: Split, tmp_path: Path) -> None:
    given = material_of(split, toy_set(tmp_path, "fake", 60))

    def unasked(name: str, images: ImageSet) -> Rows:
        raise AssertionError("features were read")

    given = replace(given, encoders={**given.encoders, "b": object()}, features=unasked)
    with pytest.raises(BenchError, match="biovil_t=b: this encoder reads no text"):
        list(OfAnySize("i", "r", biovil_t="b")(given))


def broken(fault: Exception) -> Any:
    class Broken:
        def texts(self, prompts: list[str]) -> Rows:
            raise fault

    return Broken()


def test_only_the_alignment_is_refused_where_texts_cannot_be_read(split: Split, tmp_path: Path) -> None:
    fake = prompted(toy_set(tmp_path, "fake", 60), ["a"] * 60)
    given = material_of(split, fake)
    given = replace(given, encoders={**given.encoders, "b": broken(BenchError("no weights; get them"))})
    found = {each.metric: each for each in OfAnySize("i", "r", biovil_t="b")(given)}
    assert found.pop("chexgenbench_alignment").reason == "no weights; get them"
    assert len(found) == 9 and all(each.value is not None for each in found.values())
    with pytest.raises(DiskError):
        aligned(split, fake, broken(DiskError("full")))


def grouped(split: Split, tmp_path: Path, generator: dict[str, Any]) -> dict[tuple[str, str], Score]:
    fake = prompted(toy_set(tmp_path, "fake", 80), split.test.column("prompt"))
    given = replace(material_of(split, fake), generator=generator)
    return {(each.metric, each.group): each for each in OfAnySize("i", "r", ["dense"])(given)}


def test_a_label_that_the_generator_was_never_told_is_shown_and_not_ranked(split: Split, tmp_path: Path) -> None:
    told = grouped(split, tmp_path, {"told": ["dense"]})
    assert all(each.ranked for each in told.values())
    found = grouped(split, tmp_path, {"told": []})
    assert all(each.ranked == (group == "all") for (_, group), each in found.items())
    fid = found["chexgenbench_fid", "dense=yes"]
    assert fid.value == told["chexgenbench_fid", "dense=yes"].value is not None
    assert fid.reason.endswith("; asked for, not a condition: the generator was never told dense")


def test_a_label_whose_images_too_few_got_is_refused(split: Split, tmp_path: Path) -> None:
    matched = {"matched": {"fidelity": {"dense": {"yes": 0.5, "no": 1.0}}}}
    found = grouped(split, tmp_path, {"told": ["dense"], "facts": matched})
    assert len(found) == 20
    for (metric, group), each in found.items():
        assert "alignment" in metric or (each.value is None) == (group == "dense=yes")
        if group == "dense=yes":
            assert each.reason == "50.0% of the images given for dense=yes are such images, needed 95%"


def test_few_images_are_refused(split: Split, tmp_path: Path) -> None:
    found = measure(split, toy_set(tmp_path, "few", 12))
    found.pop(("chexgenbench_alignment", "all"))
    assert all(score.value is None and "12 images" in score.reason for score in found.values())


def test_images_smaller_than_the_published_are_refused(split: Split, tmp_path: Path) -> None:
    evaluator = CheXGenBench("i", "r")
    with pytest.raises(BenchError, match=r"toy are 32 x 32 .*needed 512 .*set dataset\.image_size=512$") as early:
        evaluator.check(split)
    assert not isinstance(early.value, Refused)
    with pytest.raises(Refused) as late:
        list(evaluator(material_of(split, toy_set(tmp_path, "fake", 60))))
    assert str(late.value) == str(early.value)


@pytest.mark.parametrize(("size", "fit"), [((512, 512), True), ((632, 512), True), ((511, 900), False)])
def test_the_smaller_side_decides(size: tuple[int, int], fit: bool) -> None:
    split: Any = SimpleNamespace(test=SimpleNamespace(size=size), info=SimpleNamespace(name="toy"))
    if fit:
        CheXGenBench("i", "r").check(split)
        return
    with pytest.raises(BenchError, match=f"{size[0]} x {size[1]}"):
        CheXGenBench("i", "r").check(split)


@pytest.mark.parametrize("dataset", ["imagefolder", "phantom", "nih_cxr14", "csaw_m"])
def test_the_published_numbers_are_asked_for_at_their_size(dataset: str) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=["experiment=chexgenbench_asis", f"dataset={dataset}"])
    assert config.dataset.image_size == CheXGenBench.smallest == 512


@pytest.mark.parametrize("name", ["chexgenbench", "chexgenbench_asis"])
def test_the_experiments_compose(name: str) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[f"experiment={name}"])
    assert ("chexgenbench_asis" in config.evaluator) == (name == "chexgenbench_asis")
    wanted = {"inception_299", "rad_dino_299"} if "asis" in name else {"rad_dino", "inception", "biomedclip"}
    assert set(config.encoder) >= wanted
