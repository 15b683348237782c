"""Where runs of a data set go, as the real configuration says it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import bench.runtime.variant  # noqa: F401 - the default name, which a run's loader brings along
from bench.api import BenchError, Dataset
from bench.runtime.dataset_place import dataset_place
from bench.runtime.plugins import build
from bench.runtime.search import CONFIGURATION
from bench.runtime.settings import ValiditySettings, check_settings
from tests.datasets.test_imagefolder import rows, write


def composed(*overrides: str, name: str = "config") -> DictConfig:
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose(name, ["generator=pca", *overrides], return_hydra_config=True)


def places(config: DictConfig) -> tuple[str, str]:
    """The folder of a run, and that of a job of a sweep below the folder of runs."""
    HydraConfig.instance().set_config(config)
    return str(config.hydra.run.dir), str(config.hydra.sweep.subdir)


def test_two_data_sets_of_ones_own_do_not_share_a_folder() -> None:
    mine, yours = (places(composed("dataset=imagefolder", f"dataset.name={name}")) for name in ("mine", "yours"))
    assert mine == ("runs/mine/pca/seed=0", "mine/pca/seed=0")
    assert yours == ("runs/yours/pca/seed=0", "yours/pca/seed=0")


@pytest.mark.parametrize("option", ["phantom", "nih_cxr14", "imagefolder"])
def test_others_are_placed_by_their_option(option: str) -> None:
    assert places(composed(f"dataset={option}")) == (f"runs/{option}/pca/seed=0", f"{option}/pca/seed=0")
    assert dataset_place("mine", OmegaConf.create({"name": None})) == "mine"


def test_the_validity_report_is_placed_alike() -> None:
    config = composed("dataset=imagefolder", "dataset.name=mine", name="validity")
    HydraConfig.instance().set_config(config)
    assert config.hydra.run.dir == "validity/mine"
    check_settings(config, ValiditySettings)


@pytest.mark.parametrize("name", ["../out", "a/b", "/abs"])
def test_a_name_that_is_no_folder_is_refused_before_one_is_made(name: str, tmp_path: Path) -> None:
    config = composed("dataset=imagefolder", f"dataset.name={name}", f"runs={tmp_path}/r", f"cache={tmp_path}/c")
    with pytest.raises(BenchError, match=r"dataset\.name: the name .* has /"):
        check_settings(config)


def test_labels_can_be_declared_on_the_command_line(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train", rows(12))
    write(tmp_path / "data" / "test", rows(4, 20))
    config = composed(
        *("dataset=imagefolder", f"dataset.root={tmp_path / 'data'}", f"runs={tmp_path}/r", f"cache={tmp_path}/c"),
        "dataset.labels={finding: {kind: binary, values: [0, 1], names: [absent, present], unknown: ['', '-1']}}",
        "dataset.targets=[finding]",
        "dataset.about={title: My images}",
    )
    check_settings(config)
    split = build(config.dataset, Dataset).load(tmp_path)  # type: ignore[type-abstract]
    assert split.info.title == "My images" and split.info.targets == ("finding",)
    assert split.test.column("finding") == [0, 1, None, None]
