"""What identifies a result: other settings make another one, and the same settings never do."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from bench.api import BenchError
from bench.runtime.identity import Identity
from bench.storage.files import only_reading
from bench.storage.private_text import SECRET


def part(**settings: Any) -> DictConfig:
    return OmegaConf.create({"_target_": "x.Y", **settings})


def test_a_credential_is_in_no_protocol_and_another_one_is_noticed_at_home(tmp_path: Path) -> None:
    here = Identity(tmp_path)
    one, other = part(hf_token="a-b-c-d-1", k=5), part(hf_token="e-f-g-h-2", k=5)
    assert here.settings(one) == here.settings(other) == {"hf_token": SECRET, "k": 5}
    assert here.settings(one, at_home=True) != here.settings(other, at_home=True)
    assert here.settings(one, at_home=True) == here.settings(one, at_home=True) and "a-b" not in str(
        here.settings(one, at_home=True)
    )


def test_a_credential_from_the_environment_makes_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("a-b-c-d-1", "e-f-g-h-2"):
        monkeypatch.setenv("HF_TOKEN", value)
        assert Identity(tmp_path).settings(part(hf_token="${oc.env:HF_TOKEN}"), at_home=True) == {"hf_token": SECRET}


LITERALS = {
    "a prompt": "a disabled patient of asmith3",
    "a relative path": "scans/node-17/asmith3/a.nii",
    "an address of a file": "file:///tmp/a/b",
    "an option": "--atlas /a/b/c",
    "a path": "/models/atlas.nii",
    "a default": "${oc.env:CKPT,/w/a}",
}


@pytest.mark.parametrize("literal", LITERALS)
def test_another_day_machine_user_and_folder_have_the_same_identity(
    literal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT", "/w/b")
    given = part(note=LITERALS[literal], weights={LITERALS[literal]: 1})
    before = [Identity(tmp_path).settings(given, at_home) for at_home in (False, True)]
    for name, value in {
        "BASIC_AUTH": "disabled patient of",
        "USER": "asmith3",
        "HOME": "/a/b",
        "ROOT": "/models",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CKPT", "/w")
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17")
    monkeypatch.chdir("/tmp")
    assert [Identity(tmp_path).settings(given, at_home) for at_home in (False, True)] == before
    assert "/a/b/" not in str(before[0]) and "/models" not in str(before[0]) and "/w/" not in str(before[0])


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("model", "clip:ViT-B-16@openai", "clip:ViT-L-14@openai"),
        ("prompt", "prompt:xray@high.res", "prompt:xray@low.res"),
        ("modifier_token", "sks", "zwx"),
        ("subject_token", "sks", "zwx"),
        ("instance_token", "sks", "zwx"),
        ("token", "<image>", "<scan>"),
        ("archive", "https://host/x?key=images/a.zip", "https://host/x?key=images/b.zip"),
    ],
)
def test_different_settings_are_different(name: str, one: str, other: str, tmp_path: Path) -> None:
    here = Identity(tmp_path)
    assert here.settings(part(**{name: one})) == {name: one}
    assert here.settings(part(**{name: other})) == {name: other}


def test_another_value_from_the_environment_identifies_another_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity(value: str, cache: str = "cache") -> Any:
        monkeypatch.setenv("STEPS", value)
        given = part(steps="${oc.decode:${oc.env:STEPS}}", path="${oc.env:STEPS}")
        return Identity(tmp_path / cache).settings(given)

    first = identity("20")
    assert first["steps"].startswith("${oc.decode:${oc.env:STEPS}} ") and "20" not in first["steps"].split("}} ")[0]
    assert identity("20") == first != identity("21")
    assert identity("20", "another house") != first
    assert identity("/mnt/x")["path"] == "${oc.env:STEPS}"
    with only_reading():
        assert not (tmp_path / "third" / ".house").exists() and identity("20", "third") != first
    assert not (tmp_path / "third").exists()


def test_a_damaged_house_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPS", "20")
    (tmp_path / ".house").write_text("no key")
    with pytest.raises(BenchError, match=r"\.house is damaged.*remove it"):
        Identity(tmp_path).settings(part(steps="${oc.env:STEPS}"))


def test_the_same_files_in_another_folder_have_the_same_identity_and_others_of_their_name_do_not(
    tmp_path: Path,
) -> None:
    def identity(folder: Path) -> tuple[Any, Any]:
        given, here = part(path=str(folder / "images"), k="a/b"), Identity(tmp_path)
        return here.settings(given, at_home=True), here.files(given, [str(folder / "images")])

    images = tmp_path / "images"
    images.mkdir()
    (images / "1.png").write_bytes(b"1")
    first = identity(tmp_path)
    assert first[0] == {"path": "<elsewhere>/images", "k": "a/b"} and list(first[1]) == ["<elsewhere>/images"]
    (tmp_path / "other").mkdir()
    images.rename(tmp_path / "other" / "images")
    assert identity(tmp_path / "other") == first
    (tmp_path / "other" / "images" / "1.png").write_bytes(b"22")
    assert identity(tmp_path / "other")[1] != first[1]


def test_a_folder_from_the_environment_identifies_by_how_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS", str(tmp_path))
    given, here = part(path="${oc.env:MODELS}/sd15"), Identity(tmp_path)
    assert here.settings(given) == {"path": "${oc.env:MODELS}/sd15"}
    assert list(here.files(given, [f"{tmp_path}/sd15"])) == ["${oc.env:MODELS}/sd15"]


def test_files_are_looked_at_once_and_not_those_of_settings_that_change_nothing(tmp_path: Path) -> None:
    weights, logs = tmp_path / "w.pt", tmp_path / "logs"
    weights.write_bytes(b"1")
    logs.mkdir()
    given, here = part(weights=str(weights), log_folder=str(logs), table={f"{weights}": 1}), Identity(tmp_path)
    first = here.files(given, aside=("log_folder",))
    assert list(first) == ["<elsewhere>/w.pt"]
    (logs / "1.log").write_text("written by the run itself")
    weights.write_bytes(b"22")
    assert here.files(given, aside=("log_folder",)) == first
    assert Identity(tmp_path).files(given, aside=("log_folder",)) != first


def test_two_encoders_that_a_variable_chose_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(layer: str) -> str:
        monkeypatch.setenv("LAYER", layer)
        return Identity(tmp_path).name(f"torchvision/{layer}-1", part(network={"layer": "${oc.env:LAYER}"}))

    first = name("denseblock3")
    assert first.startswith("torchvision/${oc.env:LAYER}-1 ") and first == name("denseblock3") != name("denseblock4")
    assert "denseblock" not in first


def test_two_encoders_of_files_in_two_folders_have_two_names(tmp_path: Path) -> None:
    here = Identity(tmp_path)
    assert here.name("at /a/b/w.pt", part()) != here.name("at /a/c/w.pt", part())
    assert here.name("at /a/b/w.pt", part()).startswith("at <elsewhere>/w.pt ")
    assert here.name(os.fspath("radiomics-1"), part(note="/a/b")) == "radiomics-1"
