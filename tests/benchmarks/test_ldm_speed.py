"""Ours and MONAI's loop compute the same thing where they are timed, and the figures say what they claim."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import BenchError, Request, Split
from benchmarks import ldm_agreement
from benchmarks.clock import Clock, swept
from benchmarks.ldm_agreement import STEPS, check, every_time, stir
from benchmarks.ldm_loops import SEED, Material, Monai, Ours, Preset, Task, Variant, images, networks, seeds_of
from benchmarks.ldm_speed import HEADER, PRESETS, VARIANTS, Part, Row, main, measure, options, report
from benchmarks.ldm_training import Course
from generators.ldm.generator import LatentDiffusion
from generators.ldm.settings import AutoencoderSettings, DiffusionSettings
from generators.training.loop import generator

CPU = torch.device("cpu")
PLAIN = Variant("float32")
MICRO = Preset(
    "micro",
    AutoencoderSettings(channels=(8, 16, 16), latent_channels=3, steps=1, batch=2, rate=1e-3),
    DiffusionSettings(
        channels=(16, 32), attention=(False, True), head_channels=(0, 16), groups=8, steps=1, batch=2, rate=1e-3
    ),
)


@pytest.fixture(scope="module")
def material() -> Material:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32)).astype(np.uint8)
    return Material(pixels, torch.eye(6))


@pytest.fixture
def task() -> Task:
    return Task(MICRO, 32, 2, 2, 3, CPU)


def test_both_samplers_pass_through_the_same_latents(material: Material) -> None:
    assert check(MICRO, material, CPU) < 1e-5


def test_samplers_that_differ_are_not_timed(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    late = lambda count, steps, spacing: [max(0, time - 1) for time in range(count)][::-1]  # noqa: E731
    monkeypatch.setattr(ldm_agreement, "sample_times", late)
    with pytest.raises(BenchError, match="latents of ours and MONAI differ"):
        check(MICRO, material, CPU)


def test_the_samplers_that_are_timed_make_the_same_images(material: Material) -> None:
    made = []
    for side in (Ours, Monai):
        model = networks(every_time(MICRO, STEPS), material, PLAIN, CPU)
        stir(model.denoiser, 1)
        made.append(side(model, material, PLAIN).sampler(STEPS)(seeds_of(2), material.labels[:2]))
    assert made[0].shape == (2, 32, 32) and made[0].std() > 5
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1


def test_both_denoiser_trainings_have_the_same_loss(material: Material) -> None:
    preset = replace(MICRO, diffusion=replace(MICRO.diffusion, drop=0.0))
    ours, theirs = (networks(preset, material, PLAIN, CPU) for _ in range(2))
    for model in (ours, theirs):
        stir(model.denoiser, 1)
        model.scale = 0.7
    (found,) = Ours(ours, material, PLAIN).denoiser_stage().step(3)

    draw, shape = generator(SEED, "diffusion", 3), (2, *theirs.latent_shape)
    mean, deviation = theirs.encode(images(theirs, material, 3, 2))
    latent = (mean + deviation * torch.randn(shape, generator=draw)) * 0.7
    times, noise = torch.randint(0, 1000, (2,), generator=draw), torch.randn(shape, generator=draw)
    condition = material.labels[torch.from_numpy(material.rows(3, 2))]
    expected = Monai(theirs, material, PLAIN).denoiser_error()(latent, noise, times, condition)
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_both_autoencoder_trainings_have_the_same_loss(material: Material) -> None:
    ours, theirs = (networks(MICRO, material, PLAIN, CPU) for _ in range(2))
    for model in (ours, theirs):
        # so narrow a latent that its noise, which the two draw differently, does not count
        torch.nn.init.zeros_(model.autoencoder.net.quant_conv_log_sigma.conv.weight)
        torch.nn.init.constant_(model.autoencoder.net.quant_conv_log_sigma.conv.bias, -20)
    error, spread = Ours(ours, material, PLAIN).autoencoder_stage().step(0)
    expected = Monai(theirs, material, PLAIN).autoencoder()(1)
    assert error + MICRO.autoencoder.kl * spread == pytest.approx(expected, rel=1e-4)


def test_peak_and_held_memory_are_seen() -> None:
    clock = Clock(CPU)
    if clock.held() is None:
        pytest.skip("this system does not say what a process holds")
    with swept():
        before = clock.held()
        kept = torch.ones(2**24)
        assert clock.held() - before == pytest.approx(64, abs=16)  # type: ignore[operator]
        assert clock.peak(lambda: torch.ones(2**25).sum()) == pytest.approx(128, abs=16)
        del kept
        assert clock.held() - before == pytest.approx(0, abs=16)  # type: ignore[operator]


def test_waiting_takes_no_cpu_seconds() -> None:
    assert Clock(CPU).seconds(lambda: time.sleep(0.2)) < 0.1


def test_the_memory_of_a_row_is_that_of_its_own_contender(task: Task, material: Material) -> None:
    def hold(side: Ours | Monai, task: Task) -> Any:
        held = torch.ones(2 ** (24 if isinstance(side, Ours) else 25))
        return partial(held.add, 1)

    with swept():
        rows = measure(task, PLAIN, Part("hold", hold), material)
    if rows[0].peak is None:
        pytest.skip("this system does not say what a process holds")
    # what is held, and as much again for the sum
    assert [each.peak for each in rows] == [pytest.approx(128, abs=32), pytest.approx(256, abs=32)]


def test_laps_are_taken_in_turn_after_one_that_does_not_count(task: Task, material: Material) -> None:
    seen: list[str] = []
    part = Part("note", lambda side, task: partial(seen.append, side.name), updates=False)
    with swept():
        rows = measure(task, PLAIN, part, material)
    assert seen == ["ours", "MONAI"] * (1 + task.laps + 1)
    assert [len(each.rates) for each in rows] == [task.laps] * 2


def test_a_line_compares_ours_with_monai_in_the_same_variant() -> None:
    rows = [
        Row("bf16", "sampling", "ours", (10.0, 30.0, 20.0), 100.0),
        Row("bf16", "sampling", "MONAI", (5.0, 5.0, 5.0), None),
        Row("float32", "sampling", "ours", (1.0, 1.0, 1.0), 1.0),
    ]
    assert list(report(rows)) == [
        "| bf16 | sampling | ours | 20 | 10 - 30 | 4.00 | 100 |",
        "| bf16 | sampling | MONAI | 5 | 5 - 5 |  |  |",
        "| float32 | sampling | ours | 1 | 1 - 1 |  | 1 |",
    ]


def test_the_steps_of_a_training_fill_its_minutes(task: Task) -> None:
    rates = {"autoencoder training": 10.0, "denoiser training": 5.0}
    first, second = Course(task, PLAIN, 2.0, rates).steps()
    assert first * task.batch / 10 + second * task.batch / 5 == pytest.approx(120, abs=1)


def test_a_preset_that_monai_cannot_run_is_refused() -> None:
    with pytest.raises(BenchError, match="patch=1 and shortcut=None"):
        replace(MICRO, autoencoder=replace(MICRO.autoencoder, patch=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "fp8"], "--variants 'fp8', needed some of"),
        (["--size", "16"], "--size 16, needed at least 32"),
        (["--batch", "0"], "--batch 0, needed at least 1"),
        (["--steps", "1001"], "--steps 1001, needed at most 1000"),
        (["--images", "15"], "--images 15, needed at least 4 batches of 4"),
        (["--train-minutes", "1"], "needs more than 0 minutes and a folder --out"),
    ],
)
def test_options_that_mean_nothing_are_errors(arguments: list[str], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        options(["--device", "cpu", *arguments])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error() -> None:
    with pytest.raises(BenchError, match="no usable CUDA device"):
        options(["--device", "cuda"])


def test_the_command_measures_trains_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", MICRO)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    sizes = ["--size", "32", "--batch", "2", "--steps", "1", "--laps", "2", "--variants", "bf16", "--images", "24"]
    where = ["--device", "cpu", "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]
    main([*sizes, *where, "--train-minutes", "0.02"])
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "ldm_speed.json").read_text())
    with (tmp_path / "ldm_speed.csv").open() as file:
        table = list(csv.DictReader(file))
    assert HEADER in shown and len(table) == len(found["rows"]) == 7
    assert all(float(each["images_per_second"]) > 0 for each in table)
    assert found["largest_difference_of_latents"] < 1e-5
    trained = found["trained"]
    assert trained["images"] >= 2 and set(trained["fd_radiomics"]) == {"ours", "MONAI", "held out"}
    assert set(trained["images_per_second"]) == {"ours", "MONAI"}
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")


def _requests(split: Split) -> list[Request]:
    levels = split.test.column("level")[:4]
    return [
        Request(str(row), "fidelity", {"level": level}, {}, None, row + 1, str(row)) for row, level in enumerate(levels)
    ]


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
        ),
        pytest.param("cpu", marks=pytest.mark.slow),
    ],
)
def test_the_fastest_variant_trains_and_samples_the_same_bytes_twice(
    device: str, tiny_split: Split, tmp_path: Path
) -> None:
    variant = VARIANTS["bf16+channels_last+compiled"]
    made = []
    for _ in range(2):
        model = LatentDiffusion(
            autoencoder={"channels": (16, 32), "latent_channels": 4, "steps": 4, "batch": 4, "rate": 1e-3},
            diffusion={
                "channels": (16, 32),
                "attention": (False, True),
                "head_channels": (0, 16),
                "steps": 4,
                "batch": 4,
                "rate": 1e-3,
            },
            sampling={"steps": 3},
            block=4,
            precision="bf16",
            channels_last=variant.channels_last,
            compiled=variant.compiled,
            device=device,
        )
        # the second time the trained model is taken from its folder
        model.fit(tiny_split.train, tmp_path, seed=0)
        made += [model.sample(_requests(tiny_split)), model.sample(_requests(tiny_split))]
    assert made[0].shape == (4, 32, 32) and made[0].std() > 1
    assert all(np.array_equal(each, made[0]) for each in made[1:])
