"""What the files under conf/generator promise: weights of one commit, a size to measure at, where a model learned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from generators.finished.folder import Folder
from generators.finished.parquet import Parquet
from generators.text_to_image.lora_training import LoraTraining
from generators.text_to_image.pipeline import DiffusersPipeline

CONF = Path(__file__).parents[3] / "conf" / "generator"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@.*)?")
COMMIT = re.compile("[0-9a-f]{40}")
# each is used by more than one file, which must not drift apart
SHARED = {
    "stabilityai/stable-diffusion-3.5-medium": "b940f670f0eda2d07fbb75229e779da1ad11eb80",
    "black-forest-labs/FLUX.1-dev": "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
    "microsoft/BiomedVLP-BioViL-T": "692f09e9be1bfe5fdd5f3efdd0e1eca7d2c10b23",
    "Alpha-VLLM/Lumina-Image-2.0": "unknown",
}


def sources(settings: Any, place: str = "generator") -> Iterator[tuple[str, str, str | None]]:
    """Place, hub id and revision of all that ``settings`` name on the hub."""
    if not isinstance(settings, dict):
        return
    for name, value in settings.items():
        if name in ("path", "text_encoder") and isinstance(value, str) and HUB_ID.fullmatch(value):
            hub_id, _, commit = value.partition("@")
            yield place, hub_id, commit or settings.get("revision")
        yield from sources(value, f"{place}.{name}")


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_hub_id_has_a_commit_or_the_word_that_none_is_known(name: str) -> None:
    for place, hub_id, revision in sources(yaml.safe_load((CONF / f"{name}.yaml").read_text())):
        known = revision == "unknown" or COMMIT.fullmatch(revision or "")
        assert known, f"{name}: {place} names {hub_id} at {revision!r}; needed 40 hex digits, or the word unknown"
        assert revision == SHARED.get(hub_id, revision), f"{name}: {place} has {hub_id} at another commit"


def test_the_rule_meets_the_presets_that_it_is_for() -> None:
    found = {path.stem: len(list(sources(yaml.safe_load(path.read_text())))) for path in CONF.glob("*.yaml")}
    one = {"sana", "pixart_sigma", "sd21", "sd35_medium", "lumina2", "flux_dev", "ldm_sinkove"}
    one |= {"sana_lora", "pixart_lora", "sd35_lora", "lumina2_lora", "flux_lora"}
    assert {name: count for name, count in found.items() if count} == dict.fromkeys(one, 1) | {"radedit": 4}


TEXT_TO_IMAGE = [
    path.stem
    for path in sorted(CONF.glob("*.yaml"))
    if re.search(r"^_target_: .*\.(DiffusersPipeline|LoraTraining)$", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("name", TEXT_TO_IMAGE)
def test_the_example_of_a_text_to_image_model_names_the_size_to_measure_at(name: str) -> None:
    """The data sets' own default is mostly 64 pixels."""
    text = (CONF / f"{name}.yaml").read_text()
    settings = yaml.safe_load(text)
    header = " ".join(line.lstrip("# ") for line in text[: text.index("_target_")].splitlines())
    asked = re.search(rf"generator={name} .*dataset\.image_size=(\d+)", header)
    assert asked, f"{name}: no example with dataset.image_size"
    least = min(settings["size"]) if settings["_target_"].endswith("LoraTraining") else 512
    assert int(asked[1]) >= least, f"{name}: {settings['size']} asked of images of {asked[1]}"


def test_only_what_is_trained_here_learned_from_the_training_part() -> None:
    assert [each.learns_from for each in (Folder, Parquet, DiffusersPipeline)] == [None] * 3
    assert LoraTraining.learns_from == "train"
