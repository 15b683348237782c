"""The default name: readable, stable, safe in a path and a link, and free of what is nobody's business."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bench.runtime.variant import family, variant_name
from leaderboard.check import LONGEST_NAME, is_inner

LDM = "generators.ldm.generator.LatentDiffusion"


def name(overrides: list[str], settings: dict[str, Any], target: str = LDM, choice: str = "ldm") -> str:
    return variant_name(choice, overrides, OmegaConf.create({"_target_": target, **settings}))


@pytest.mark.parametrize("others", [[], ["seed=3", "generator=ldm", "dataset.image_size=32", "evaluator=[fidelity]"]])
def test_a_plain_run_stays_where_it_is(others: list[str]) -> None:
    assert name(others, {}) == "ldm"


@pytest.mark.parametrize("written", ["0.002", "2e-3", "'0.002'"])
def test_a_setting_enters_by_its_value_however_it_is_written(written: str) -> None:
    assert name([f"generator.diffusion.rate={written}"], {"diffusion": {"rate": 0.002}}) == "ldm-diffusion.rate=0.002"


def test_settings_stand_in_alphabetical_order_whatever_the_command_line() -> None:
    overrides, settings = ["+generator.b=true", "seed=1", "generator.a=[1,2]"], {"a": [1, 2], "b": True}
    assert name(overrides, settings) == name(overrides[::-1], settings) == "ldm-a=1+2-b=true"


def test_what_decides_nothing_of_the_images_does_not_enter() -> None:
    overrides = ["generator.checkpoint_every=5", "generator.device=cpu", "generator.block=2"]
    assert name(overrides, {"checkpoint_every": 5, "device": "cpu", "block": 2}) == "ldm-block=2"


def test_code_that_is_not_trusted_is_not_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine:\n    incidental = ('a',)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert name(["generator.a=1"], {"a": 1}, "hostile.Mine") == "ldm-a=1"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["/home/bob/data/imgs", "/home/bob/data/imgs/", "C:\\Users\\bob\\imgs", "../bob/imgs"])
def test_of_a_path_only_the_last_component_is_shown(path: str) -> None:
    found = name(["generator.path=x"], {"path": path}, choice="folder")
    assert found.startswith("folder-path=imgs-") and len(found) == len("folder-path=imgs-") + 8
    assert "bob" not in found
    assert found != name(["generator.path=x"], {"path": f"/other{path}"}, choice="folder")


def test_secrets_and_the_environment_do_not_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "hidden")
    overrides = ["generator.token=hf_abc", "generator.place='${oc.env:PLACE}'"]
    assert name(overrides, {"token": "hf_abc", "place": "${oc.env:PLACE}"}) == "ldm-place=environment"


def test_the_rest_of_a_name_is_cut_to_what_the_board_takes() -> None:
    settings = {f"setting_number_{i}": i for i in range(20)}
    one = name([f"generator.{key}=1" for key in settings], settings)
    two = name([f"generator.{key}=1" for key in settings], settings | {"setting_number_19": 20})
    assert one != two and one[:80] == two[:80] and len(one) <= 100 < LONGEST_NAME
    shown = "ldm-setting_number_0=0-setting_number_1=1-setting_number_10=10-setting_number_11=11"
    assert re.fullmatch(rf"{shown}-[0-9a-f]{{8}}", one)


@given(st.one_of(st.text(max_size=80), st.floats(), st.integers(), st.lists(st.text(max_size=9), max_size=4)))
def test_every_value_makes_a_name_for_paths_and_links(value: Any) -> None:
    found = name(["generator.a=1"], OmegaConf.create({"a": value}, flags={"allow_objects": True}), choice="pca")
    assert found.startswith("pca-a=") and len(found) <= 100 and is_inner(found)
    assert set(found) <= set(f"{string.ascii_letters}{string.digits}._=+-")


def test_variants_of_a_generator_share_what_is_trained() -> None:
    assert {family(each) for each in ("ldm", "ldm-sampling.steps=5", "ldm-sampling.steps=9")} == {"ldm"}
