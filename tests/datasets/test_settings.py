"""Every data set under conf/ is held to what its settings mean, on small files in its own layout."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_class
from omegaconf import DictConfig

from bench.api import BenchError, Dataset, Split
from bench.datasets.phantom import Population, drawn
from bench.runtime.plugins import build
from tests.datasets import test_imagefolder, test_synthchex_75k
from tests.datasets.test_csaw_m import full_size
from tests.datasets.test_nih_cxr14 import official
from tests.test_contracts import options


def csaw_m(folder: Path) -> Path:
    root = drawn(Population((64, 64), 12, 6, 3), folder)
    full_size(root)
    return root


def imagefolder(folder: Path) -> Path:
    test_imagefolder.write(folder / "train", test_imagefolder.rows(24))
    test_imagefolder.write(folder / "test", test_imagefolder.rows(8, 40))
    return folder


def synthchex_75k(folder: Path) -> Path:
    return test_synthchex_75k.save(folder, test_synthchex_75k.rows(60))


WRITERS: dict[str, Callable[[Path], Path]] = {
    "csaw_m": csaw_m,
    "imagefolder": imagefolder,
    "nih_cxr14": lambda folder: official(folder / "nih"),
    "synthchex_75k": synthchex_75k,
}
OWN_SIZES = {"csaw_m": (632, 512), "imagefolder": (20, 20), "nih_cxr14": (40, 40), "synthchex_75k": (24, 20)}


@dataclass(frozen=True)
class Small:
    """A data set of ``conf/`` with few images: read from ``root``, or drawn where there is none."""

    name: str
    root: Path | None
    cache: Path

    def config(self, *overrides: str) -> DictConfig:
        """Its configuration, as ``overrides`` on the command line would make it."""
        few = [f"dataset.root='{self.root}'"] if self.root else ["dataset.n_train=24", "dataset.n_test=8"]
        with initialize_config_module("conf", version_base="1.3"):
            return compose("config", overrides=[f"dataset={self.name}", *few, *overrides])["dataset"]

    def load(self, *overrides: str) -> Split:
        split: Split = build(self.config(*overrides), Dataset).load(self.cache)
        return split


@pytest.fixture(scope="module", params=options("dataset"))
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Small:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    drawn_here = name not in WRITERS
    data = Small(name, None if drawn_here else WRITERS[name](folder / "data"), folder / "cache")
    assert not drawn_here or "n_train" in data.config(), f"{name} is read: write small files for it in WRITERS"
    return data


def pictures(split: Split) -> dict[str, str]:
    """The hash of every picture in the training pool, by its id."""
    parts = (split.train, split.holdout)
    return {name: pixels for part in parts for name, pixels in zip(part.ids, part.column("pixel_hash"), strict=True)}


def test_the_holdout_seed_decides_who_is_held_out_and_nothing_else(small: Small) -> None:
    one, other = small.load(), small.load("dataset.holdout_seed=12345")
    assert set(one.holdout.patients) != set(other.holdout.patients)
    assert pictures(one) == pictures(other)
    assert one.test.digest == other.test.digest
    assert one.digest == small.load().digest != other.digest


def test_the_seed_decides_a_drawn_population_and_nothing_else(small: Small) -> None:
    assert "holdout_seed" in small.config()
    assert ("seed" in small.config()) == (small.root is None)
    if small.root is None:
        one, other = small.load(), small.load("dataset.seed=7")
        assert one.holdout.ids == other.holdout.ids and one.test.ids == other.test.ids
        assert not set(pictures(one).values()) & set(pictures(other).values())
        assert not set(one.test.column("pixel_hash")) & set(other.test.column("pixel_hash"))


def test_one_number_is_a_square(small: Small) -> None:
    split = small.load("dataset.image_size=64")
    assert {part.size for part in (split.train, split.holdout, split.test)} == {(64, 64)}
    assert split.digest == small.load("dataset.image_size=[64,64]").digest
    with pytest.raises(BenchError, match=r"image_size = 7, needed one whole number of at least (8|16) for a square"):
        small.load("dataset.image_size=7")


def test_the_files_own_size_is_known_at_every_working_size(small: Small) -> None:
    for side in (16, 32):
        split = small.load(f"dataset.image_size={side}")
        own = OWN_SIZES.get(small.name, (side, side))
        assert {part.own_size for part in (split.train, split.holdout, split.test)} == {(own, own)}


@pytest.mark.parametrize("name", options("dataset"))
def test_code_and_configuration_say_the_same_of_the_holdout(name: str) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[f"dataset={name}"])["dataset"]
    defaults: dict[str, Any] = {
        setting: each.default for setting, each in inspect.signature(get_class(config["_target_"])).parameters.items()
    }
    share = "fractions" if "fractions" in config else "holdout_fraction"
    said = tuple(config[share]) if share == "fractions" else config[share]
    assert (config["holdout_seed"], said) == (defaults["holdout_seed"], defaults[share])


def test_the_smoke_experiment_loads(tmp_path: Path) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=["experiment=smoke"])["dataset"]
    split: Split = build(config, Dataset).load(tmp_path)
    assert [len(part) for part in (split.train, split.holdout, split.test)] == [120, 40, 120]
    assert split.test.own_size == ((32, 32), (32, 32)) == (split.test.size,) * 2
