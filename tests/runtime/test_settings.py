"""Settings are judged before the work: each fault names the setting, the value and what is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

import bench.runtime.variant  # noqa: F401 - the default name, which a run's loader brings along
from bench.api import BenchError, Generator
from bench.runtime.search import CONFIGURATION
from bench.runtime.settings import Settings, ValiditySettings, check_settings

PARTS = {"dataset", "generator", "filter", "encoder", "evaluator"}


def composed(name: str = "config", *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose(name, [*overrides], return_hydra_config=True)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    place = tmp_path_factory.mktemp("judged")
    (place / "file").touch()
    return composed("config", "generator=pca", "filter=manifold", f"runs={place}/runs", f"cache={place}/cache")


def changed(config: DictConfig, **values: Any) -> DictConfig:
    result = config.copy()
    with open_dict(result):
        for key, value in values.items():
            OmegaConf.update(result, key.replace("__", "."), value, force_add=True)
    return result


def test_the_shipped_configurations_are_right(right: DictConfig) -> None:
    check_settings(right)
    check_settings(composed("validity", "name=measured"), ValiditySettings)
    check_settings(composed("config", "experiment=smoke", "+mine=1", 'name="ldm-diffusion.rate=0.002"'))


@pytest.mark.parametrize(("name", "model"), [("config", Settings), ("validity", ValiditySettings)])
def test_every_setting_of_the_top_level_has_a_type(name: str, model: type[Settings]) -> None:
    keys = {str(key) for key in composed(name)} - PARTS - {"hydra"}
    assert keys == set(model.model_fields)


def test_a_cache_that_is_there_may_be_anothers(
    right: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it lacks is told when it is needed; a folder for runs, or a cache yet to be made, is needed at once."""
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    (tmp_path / "runs").mkdir()
    with pytest.raises(BenchError) as caught:
        check_settings(changed(right, runs=f"{tmp_path}/runs", cache=str(tmp_path)))
    assert "runs is " in str(caught.value) and "cache is " not in str(caught.value)
    with pytest.raises(BenchError, match=r"cache is .* but nothing can be made in"):
        check_settings(changed(right, cache=f"{tmp_path}/none"))
    check_settings(changed(right, cache=f"{tmp_path}/none", dry_run=True))


WRONG = [
    ("seed", 1.5, "seed is 1.5, needed a whole number"),
    ("seed", "../x", "seed is '../x', needed a whole number"),
    ("seed", True, "seed is true, needed a whole number"),
    ("seed", -1, "seed is -1"),
    ("seed", 2**63, "seed is 9223372036854775808"),
    ("fit_seed", "x", "fit_seed is 'x'"),
    ("evaluation_seed", None, "evaluation_seed is null"),
    ("name", "../../x", "name: the name '../../x' has /"),
    ("name", "/abs", "name: the name '/abs' has /"),
    ("name", "<script>alert(1)</script>", "name: the name '<script>alert(1)</script>' has / < >"),
    ("name", "a" * 300, "name: the name has 300 characters"),
    ("name", "ldm\u202emdl", "name: the name has control or text-direction characters: ldm⟨U+202E⟩mdl"),
    ("name", "", "name: the name '' is empty"),
    ("name", 2024, "name is 2024, needed text"),
    ("requests.privacy", -5, "requests.privacy is -5, needed null or a whole number"),
    ("requests.fidelity", "many", "requests.fidelity is 'many'"),
    ("requests.speed", 5, "requests has no setting 'speed'; it has fidelity, utility, privacy"),
    ("documentation.intended_use", [1], "documentation.intended_use is [1], needed text or null"),
    ("blank_tolerance", -1, "blank_tolerance is -1"),
    ("dry_run", "yes", "dry_run is 'yes', needed true or false"),
    ("show", "most", "show is 'most', needed headline or all"),
    ("device", "gpu 1", "device is 'gpu 1', needed auto, or a kind of device"),
    ("device", "gpu", "device is 'gpu', needed auto, or a device that PyTorch knows: "),
    ("device", "auto:1", "device is 'auto:1', needed auto, or a device that PyTorch knows: "),
    ("threads", 0, "threads is 0, needed a whole number of 1 or more"),
    ("runs", "", "runs is ''"),
    ("runs", 5, "runs is 5, needed text"),
    ("runs", "FILE", "needed a folder, but FILE is none"),
    ("cache", "FILE/below", "needed a folder, but FILE is none"),
    ("cache", "a\0b", "without a NUL character"),
    ("allow", "mylab", "allow is 'mylab', needed a list of names"),
    ("wandb.mode", "offlin", "wandb.mode is 'offlin', needed offline, online or disabled"),
    ("wandb.timeout_seconds", 0, "wandb.timeout_seconds is 0, needed a number above 0"),
    ("wandb.tags", "x", "wandb.tags is 'x', needed a list"),
    ("wandb.tags", [2024], """needed a list of texts; a number as text is 'wandb.tags=["2024"]'"""),
    ("wandb.entty", "x", "wandb has no setting 'entty'; did you mean 'entity'?; it has mode, project, entity,"),
    ("name", "${seed}", "name is 0, needed text; a number as text is"),
    ("name", "sk-proj-" + "Zq7" * 14, "name holds an OpenAI key, and names stand in records and links; give another"),
    ("name", "x-token=abcdefghijkl", "name holds the value of a secret"),
    ("wandb.project", {"api_key": "abc"}, """wandb.project is {"api_key": "<secret>"}, needed text"""),
    ("generator.components", "x", "generator.components is 'x', needed a whole number"),
    ("generator.components", "3", "generator.components is '3', needed a whole number"),
    ("generator.components", 2.5, "generator.components is 2.5, needed a whole number"),
    ("generator.variance", 1.5, "generator.variance is 1.5, needed a number above 0, at most 1"),
    ("generator.block", 0, "generator.block is 0"),
    ("generator.componnts", 3, "generator has no setting 'componnts'; did you mean 'components'?"),
    ("generator", {"_target_": "generators.finished.folder.Folder", "path": "/nowhere"}, "needed an existing folder"),
    ("generator", {"_target_": "generators.ldm.generator.LatentDiffusion"}, "generator.diffusion is not set"),
    ("generator", "pca", "generator is 'pca', needed settings with a _target_"),
    ("dataset.holdout_fraction", 2, "dataset.holdout_fraction is 2, needed a number above 0 and below 1"),
    ("dataset.image_size", "abc", "dataset.image_size is 'abc', needed a whole number, or a list"),
    ("dataset.n_train", 0, "dataset.n_train is 0"),
    ("dataset", {"_target_": "bench.datasets.nih_cxr14.NihCxr14", "root": "/nowhere"}, "dataset.root is '/nowhere'"),
    ("dataset", {"_target_": "bench.datasets.imagefolder.ImageFolder", "name": "a/b"}, "dataset.name: the name 'a/b'"),
    ("filter.quantile", "high", "filter.quantile is 'high', needed a number"),
    ("encoder.pixels.side", 0, "encoder.pixels.side is 0"),
    ("evaluator.fidelity.folds", "many", "evaluator.fidelity.folds is 'many', needed a whole number"),
    ("evaluator.privacy.permutations", 0, "evaluator.privacy.permutations is 0"),
    ("evaluator.privacy.encoders", "pixels", "evaluator.privacy.encoders is 'pixels', needed a list (each text)"),
    ("evaluator.fidelity", "yes", "evaluator.fidelity is 'yes', needed settings with a _target_"),
    ("hydra.runtime.choices.dataset", "lab/mine", "dataset: the name 'lab/mine' has /"),
    ("wandb.project", "${nowhere}", "wandb.project: Interpolation key 'nowhere' not found"),
    ("wandb.project", "???", "wandb.project"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_a_wrong_setting_is_refused(right: DictConfig, key: str, value: Any, said: str) -> None:
    file = str(Path(right.runs).parent / "file")
    value = value.replace("FILE", file) if isinstance(value, str) else value
    before = OmegaConf.to_yaml(right)
    with pytest.raises(BenchError, match=re.escape(said.replace("FILE", file))):
        check_settings(changed(right, **{key: value}))
    assert OmegaConf.to_yaml(right) == before


RIGHT = [
    ("device", "xla:0"),
    ("device", "cuda:1"),
    ("device", "hpu"),
    ("name", "sk-learn-random-forest-classifier-123"),
    ("name", "\u0939\u093f\u0928\u094d\u0926\u0940"),
    ("name", "s${seed}"),
    ("wandb.tags", ["2024"]),
]


@pytest.mark.parametrize(("key", "value"), RIGHT)
def test_a_right_setting_is_taken(right: DictConfig, key: str, value: Any) -> None:
    check_settings(changed(right, **{key: value}))


def test_every_fault_is_named_at_once(right: DictConfig) -> None:
    with pytest.raises(BenchError) as caught:
        check_settings(changed(right, seed=1.5, threads=0, name="a/b"))
    assert [line.split(maxsplit=1)[0] for line in str(caught.value).splitlines()] == ["seed", "threads", "name:"]


def test_evaluators_and_encoders_have_names_of_files(right: DictConfig) -> None:
    config = right.copy()
    with open_dict(config):
        config.evaluator["../x"] = config.evaluator.card
    with pytest.raises(BenchError, match=r"evaluator\.\.\./x: the name"):
        check_settings(config)


def test_code_that_is_not_this_projects_is_not_imported(right: DictConfig, monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "strange.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    check_settings(changed(right, generator={"_target_": "strange.Generator"}, allow=["strange"]))


def test_what_the_sections_of_the_diffusion_model_take_is_named() -> None:
    config = composed("config", "generator=ldm")
    from bench.runtime.plugins import build

    for key, value, said in (
        ("diffusion.rate", "fast", "generator.diffusion.rate is 'fast', needed a number"),
        ("autoencoder.channels", [1.5], "generator.autoencoder.channels is [1.5], needed a list (each a whole number)"),
    ):
        wrong = config.generator.copy()
        OmegaConf.update(wrong, key, value)
        with pytest.raises(BenchError, match=re.escape(said)):
            build(wrong, Generator)
