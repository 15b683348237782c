"""Configuration names parts of a run; nothing else that it names is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.api import BenchError, Configurable, Dataset, Encoder, Evaluator, Filter, Generator
from bench.runtime.plugins import Encoders, build

LAB = """
import functools, pathlib
from bench.api import Configurable, Encoder, Generator
from generators.controls.noise import Noise

class Mine(Generator):
    def __init__(self, inner=None, remote_code=()):
        self.inner = inner
    def sample(self, requests):
        raise NotImplementedError

class Coded(Mine):
    runs_code = ("remote_code",)

class Rows(Encoder):
    id, dim = "rows", 1
    def __call__(self, images):
        raise NotImplementedError

class Schedule(Configurable):
    def __init__(self, steps):
        self.steps = steps

@functools.lru_cache
def cached(size: int) -> Rows:
    return Rows()

def unsaid(size):
    return Rows()

def other(path) -> str:
    pathlib.Path(path).write_text("started")
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of somebody's own package, which can be imported."""
    name = f"lab_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(LAB)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def made(expected: type = Generator, allow: tuple[str, ...] = (), **settings: Any) -> Any:
    return build(OmegaConf.create(settings), expected, allow)


def test_a_part_is_built_only_as_what_it_is() -> None:
    with pytest.raises(BenchError, match=r"pixels\.Pixels' was not started: it is no Generator"):
        made(_target_="evaluators.encoders.pixels.Pixels")
    for other in (Dataset, Encoder, Evaluator, Filter):
        with pytest.raises(BenchError, match=f"was not started: it is no {other.__name__}"):
            made(other, _target_="generators.controls.noise.Noise")


def test_a_package_of_the_users_is_allowed_by_name(lab: str) -> None:
    with pytest.raises(BenchError, match=rf"was not imported; if you trust the package, add allow=\[{lab}\] on the"):
        made(_target_=f"{lab}.Mine")
    assert type(made(_target_=f"{lab}.Mine", allow=(lab,))).__name__ == "Mine"


def test_what_an_allowed_package_borrows_is_not_its_own(lab: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"cannot be imported, needed module\.name"):
        made(_target_=f"{lab}.pathlib.Path", allow=(lab,))
    (tmp_path / f"shop_{lab}.py").write_text(f"from {lab} import Mine as Theirs\n")
    with pytest.raises(BenchError, match=rf"only a name for code of {lab}, outside .* add allow=\[{lab}\] on the"):
        made(_target_=f"shop_{lab}.Theirs", allow=(f"shop_{lab}",))
    # a part of this project under a name of that package is still this project's
    assert type(made(_target_=f"{lab}.Noise", allow=(lab,))).__name__ == "Noise"


def test_a_function_says_what_it_returns(lab: str, tmp_path: Path) -> None:
    assert made(Encoder, _target_=f"{lab}.cached", size=1, allow=(lab,)).id == "rows"
    with pytest.raises(BenchError, match="annotated to return"):
        made(Encoder, _target_=f"{lab}.unsaid", size=1, allow=(lab,))
    with pytest.raises(BenchError, match="annotated to return"):
        made(Encoder, _target_=f"{lab}.other", path=str(tmp_path / "started"), allow=(lab,))
    assert not (tmp_path / "started").exists()


def test_settings_may_be_objects_that_are_marked_so_at_any_depth(lab: str) -> None:
    inner = {"schedules": [{"_target_": f"{lab}.Schedule", "steps": 3}], "encoder": {"_target_": f"{lab}.Rows"}}
    found = made(_target_=f"{lab}.Mine", inner=inner, allow=(lab,)).inner
    assert isinstance(found["schedules"][0], Configurable) and found["schedules"][0].steps == 3
    assert found["encoder"].id == "rows"


def test_everything_is_judged_before_anything_is_made(lab: str) -> None:
    """Else what stands first would have run when what stands second is refused."""
    inner = [{"_target_": f"{lab}.Schedule", "steps": 1}, {"_target_": "os.system", "command": "true"}]
    with pytest.raises(BenchError, match=r"'os\.system' is outside"):
        build(OmegaConf.create({"_target_": f"{lab}.Mine", "inner": [*inner]}), Generator, [lab])
    with pytest.raises(BenchError, match=r"needed module\.name"):
        made(_target_=f"{lab}.Mine", inner=[{"_target_": f"{lab}.Nothing"}], allow=(lab,))


def test_code_that_comes_with_weights_needs_the_users_word(lab: str) -> None:
    with pytest.raises(
        BenchError, match=r"remote_code=\['unet'\] starts code .* add allow=\[remote_code\] on the comm"
    ):
        made(_target_=f"{lab}.Coded", remote_code=["unet"], allow=(lab,))
    assert made(_target_=f"{lab}.Coded", remote_code=["unet"], allow=(lab, "remote_code"))
    assert made(_target_=f"{lab}.Coded", remote_code=[], allow=(lab,))


@pytest.mark.parametrize("key", ["_args_", "_partial_", "_recursive_", "_convert_"])
def test_other_keys_of_hydra_are_refused(key: str) -> None:
    with pytest.raises(BenchError, match=f"noise.Noise: {key} is no setting"):
        made(_target_="generators.controls.noise.Noise", **{key: True})


def test_unknown_setting_names_the_target() -> None:
    with pytest.raises(BenchError, match=r"cannot build generators\.controls\.noise\.Noise.*wrong_setting"):
        made(_target_="generators.controls.noise.Noise", wrong_setting=1)


def test_a_word_in_the_place_of_settings_is_refused() -> None:
    with pytest.raises(BenchError, match="cannot build a Generator"):
        build("os.system", Generator)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match="_target_ is None, needed the dotted name of a Generator"):
        made(side=3)


def test_an_encoder_that_is_not_configured_says_how_to_add_it() -> None:
    with pytest.raises(BenchError, match=r"add it with encoder=\[\.\.\.,rad_dino\]"):
        Encoders(OmegaConf.create({}))["rad_dino"]
