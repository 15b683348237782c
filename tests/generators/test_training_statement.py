"""What a person states that weights or images learned from: a digest is believed where it is this split's."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.api import BenchError, Generator, Split
from generators.finished.folder import Folder
from generators.finished.parquet import Parquet
from generators.ldm.generator import LatentDiffusion
from generators.text_to_image.families import StableDiffusion
from generators.text_to_image.lora_training import LoraTraining
from generators.text_to_image.pipeline import DiffusersPipeline
from generators.training_statement import training_statement
from tests.toy import toy_split

CONF = Path(__file__).parents[2] / "conf" / "generator"
Make = Callable[..., Generator]


def pipeline(**settings: Any) -> Generator:
    return DiffusersPipeline(path="somebody/weights", size=(32, 32), **settings)


def adapted(**settings: Any) -> Generator:
    return LoraTraining({"family": StableDiffusion()}, path="somebody/weights", size=(32, 32), **settings)


def diffusion(**settings: Any) -> Generator:
    """A latent diffusion model, trained here."""
    network = {"channels": (32,), "steps": 1, "batch": 1, "rate": 1e-3}
    denoiser = network | {"attention": (False,), "head_channels": (32,), **settings.pop("diffusion", {})}
    autoencoder = network | {"latent_channels": 2, **settings.pop("autoencoder", {})}
    return LatentDiffusion(autoencoder, denoiser, {"steps": 1, "guidance": 1.0}, **settings)


KINDS: list[Make] = [Folder, Parquet, pipeline]
FURTHER: list[Make] = [
    adapted,
    partial(diffusion, diffusion={"text_encoder": "somebody/words"}),
    partial(diffusion, autoencoder={"perceptual": 0.1, "perceptual_weights": "squeeze.pth"}),
]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return toy_split(tmp_path_factory.mktemp("split"), 6, 3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_train_and_the_digest_of_this_split_are_believed_and_nothing_else(kind: Make, split: Split) -> None:
    found = {
        stated: kind(trained_on=stated).learned_from(split)
        for stated in (
            None,
            "train",
            split.digest,
            split.membership,
            split.train.digest,
            "0123456789abcdef",
            "Train",
            "yes",
            "elsewhere",
            "",
        )
    }
    believed = ("train", split.digest, split.membership)
    assert found == {stated: "train" if stated in believed else "unknown" for stated in found}


@pytest.mark.parametrize("kind", FURTHER)
def test_what_learns_here_knows_what_it_starts_from(kind: Make, split: Split) -> None:
    """Weights that know the holdout go on knowing it, however they are trained here."""
    believed = ("train", "elsewhere", split.digest, split.membership)
    stated = (*believed, None, split.train.digest, "0123456789abcdef", "Elsewhere", "")
    found = {each: kind(trained_on=each).learned_from(split) for each in stated}
    assert found == {each: "train" if each in believed else "unknown" for each in stated}


def test_what_learns_here_from_nothing_needs_no_statement(split: Split) -> None:
    assert {diffusion(trained_on=each).learned_from(split) for each in (None, "train", "elsewhere", "yes")} == {"train"}


def test_weights_that_know_the_train_part_do_not_learn_from_the_holdout_alone(split: Split) -> None:
    class Control(Folder):
        learns_from = "holdout"

    held = {stated: said(Control(), stated).learned_from(split) for stated in (None, "train", "elsewhere")}
    assert held == {None: "unknown", "train": "unknown", "elsewhere": "holdout"}


def said(generator: Generator, stated: str | None) -> Generator:
    generator.reads, generator.trained_on = ("weights",), stated
    return generator


@pytest.mark.parametrize("kind", [*KINDS, *FURTHER])
def test_a_statement_changes_no_image(kind: Make) -> None:
    assert "trained_on" in kind().incidental


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_option_that_starts_from_elsewhere_can_be_told_and_is_told_nothing(path: Path) -> None:
    settings = yaml.safe_load(path.read_text())
    module, _, name = settings["_target_"].rpartition(".")
    kind = getattr(import_module(module), name)
    assert kind.learns_from is not None or "trained_on" in kind.incidental
    assert ("trained_on" in settings) == ("trained_on" in kind.incidental)
    assert settings.get("trained_on") is None


@pytest.mark.parametrize("kind", [*KINDS, *FURTHER])
def test_the_file_of_a_split_states_its_digest(kind: Make, split: Split, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"membership": split.membership}))
    assert kind(trained_on=str(file)).learned_from(split) == "train"
    file.write_text(json.dumps({"membership": "0" * 16}))
    assert kind(trained_on=str(file)).learned_from(split) == "unknown"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"none/split\.json does not exist; python -m bench\.split"),
        ("[]", "states no split"),
        ('{"membership": 3}', "states no split"),
    ],
)
def test_a_file_that_states_nothing_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "none" / "split.json"
    if content is not None:
        file.parent.mkdir()
        file.write_text(content)
    with pytest.raises(BenchError, match=message):
        training_statement(str(file))


def test_whoever_was_trained_here_cannot_state_otherwise(split: Split) -> None:
    class Trained(Folder):
        learns_from = "test"

    assert Trained(trained_on="train").learned_from(split) == "test"
