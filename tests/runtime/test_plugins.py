"""Configuration may only start code the user meant to run."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from bench.api import BenchError
from bench.runtime.plugins import Encoders, build

HOSTILE = [
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "posix.system",
    "hydra.utils.get_method",
    "importlib.import_module",
    "generatorsx.evil.Run",
    "benchmark.Run",
]


@pytest.mark.parametrize("target", HOSTILE)
def test_foreign_targets_are_refused_before_import(target: str) -> None:
    with pytest.raises(BenchError, match="was not imported"):
        build(OmegaConf.create({"_target_": target}))


def test_nested_targets_are_checked_too() -> None:
    config = OmegaConf.create({"_target_": "generators.controls.noise.Noise", "inner": [{"_target_": "os.system"}]})
    with pytest.raises(BenchError, match=r"'os\.system' is outside"):
        build(config)


def test_a_trusted_package_is_allowed_by_name() -> None:
    assert build(OmegaConf.create({"_target_": "fractions.Fraction", "numerator": 3}), ["fractions"]) == 3


def test_unknown_setting_names_the_target() -> None:
    with pytest.raises(BenchError, match=r"cannot build generators\.controls\.noise\.Noise.*wrong_setting"):
        build(OmegaConf.create({"_target_": "generators.controls.noise.Noise", "wrong_setting": 1}))


def test_an_encoder_that_is_not_configured_says_how_to_add_it() -> None:
    with pytest.raises(BenchError, match=r"add it with encoder=\[\.\.\.,rad_dino\]"):
        Encoders(OmegaConf.create({}))["rad_dino"]
