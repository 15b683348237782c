from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from bench.api import BenchError
from bench.storage.checkpoints import (
    Location,
    Weights,
    check_safetensors,
    folder_digest,
    read_tensors,
    sha256,
)
from bench.storage.disk_errors import DiskError

COMMIT = "110cbc18d5133582e320b43d53bf5c44e410c936"
WANTED = (("model.safetensors", "model.bin"), ("config.json",))
HUB = {"hub": "lab/network", "revision": COMMIT}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_sha256_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert sha256(path) == hashlib.sha256(b"three").hexdigest()


def test_a_local_folder_comes_before_the_hub(folder: Path) -> None:
    files = Weights.of("net", str(folder), HUB, WANTED).files()
    assert [file.name for file in files] == ["model.safetensors", "config.json"]


def test_the_digest_covers_every_file(folder: Path) -> None:
    weights = Weights.of("net", str(folder), {}, WANTED)
    before = weights.digest()
    (folder / "config.json").write_text("{ }")
    assert weights.digest() != before


def test_a_folder_without_its_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no model\.safetensors or model\.bin; run `hf download lab/network"):
        Weights.of("net", str(tmp_path), HUB, WANTED).files()


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    weights = Weights.of("vgg16", str(tmp_path / "vgg.pth"), {"url": "https://example.org/vgg.pth"})
    with pytest.raises(
        BenchError, match=r"no file of weights at .*vgg\.pth; download https.* set encoder\.vgg16\.path"
    ):
        weights.files()


@pytest.mark.parametrize("expected", ["0" * 64, "12345678", "9"])
def test_another_file_is_refused(tmp_path: Path, expected: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    assert not expected.startswith(sha256(path))
    with pytest.raises(BenchError, match=rf"SHA-256 {sha256(path)}, needed {expected}"):
        Weights.of("net", str(path), {"sha256": expected}).files()


def test_the_promised_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"right")
    whole = hashlib.sha256(b"right").hexdigest()
    for expected in (whole, whole[:8].upper(), None):
        assert Weights.of("net", str(path), {"sha256": expected}).files() == (path,)
    with pytest.raises(BenchError, match=f"needed {whole[:7]}: the file is damaged or another one"):
        Weights.of("net", str(path), {"sha256": whole[:7]}).files()


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_an_unpinned_hub_id_is_refused(revision: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", forbidden)
    with pytest.raises(BenchError, match=r"needed the 40 hex digits of one commit in encoder\.net\.origin\.revision"):
        Weights.of("net", None, {"hub": "lab/network", "revision": revision}, WANTED).files()


def test_the_hub_is_asked_only_for_what_is_not_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def download(**settings: Any) -> str:
        asked.append(settings)
        if settings.get("local_files_only") and len(asked) == 1:
            raise FileNotFoundError
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    weights = Weights.of("net", None, HUB, WANTED)
    assert weights.files()[0] == folder / "model.safetensors"
    assert [settings["revision"] for settings in asked] == [COMMIT, COMMIT]
    assert asked[1]["allow_patterns"] == ["model.safetensors", "model.bin", "config.json"]
    weights.files()
    assert len(asked) == 3
    assert asked[2]["local_files_only"]


def test_a_hub_out_of_reach_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(
        BenchError, match=rf"no network.*run `hf download lab/network --revision {COMMIT}.*set encoder\.net\.path"
    ):
        Weights.of("net", None, HUB, WANTED).files()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
def test_a_disk_that_does_not_take_what_is_fetched_is_named(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    place = huggingface_hub.constants.HF_HUB_CACHE

    def refused(*_: Any, **__: Any) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    said = rf"^fetching lab/network into {place}: .*\({errno.errorcode[number]}\).*HF_HOME"
    with pytest.raises(DiskError, match=said) as caught:
        Weights.of("net", None, HUB, WANTED).files()
    assert "licence" not in str(caught.value)


def test_unknown_origin_keys_and_no_origin_are_refused() -> None:
    with pytest.raises(BenchError, match="unknown keys \\['commit'\\]"):
        Weights.of("net", None, {"commit": COMMIT})
    with pytest.raises(BenchError, match=r"no weights are named; set encoder\.net\.path"):
        Weights.of("net", None, None, WANTED).files()


HERE = Location.of("generator", "lab/network", COMMIT)


def test_nothing_named_and_nothing_found_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"generator\.path is not set; give a folder, or a hub id together with gener"):
        Location.of("generator", None, COMMIT).folder(["*"])
    with pytest.raises(BenchError, match=r"filter\.path: .*gone is neither a folder nor a hub id"):
        Location.of("filter", str(tmp_path / "gone"), COMMIT).folder(["*"])


def test_a_folder_needs_no_commit_and_a_hub_id_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda **chosen: asked.append(chosen) or str(tmp_path))
    local = Location.of("generator", str(tmp_path), "main")
    assert local.folder(["*.json"]) == tmp_path and local.commit is None and not asked
    with pytest.raises(BenchError, match="is pinned to 'main', needed the 40 hex digits"):
        Location.of("generator", "lab/network", "main").folder(["*.json"])
    with pytest.raises(BenchError, match=r"generator\.revision is unknown: no commit of lab/network is known"):
        Location.of("generator", "lab/network", "unknown").folder(["*.json"])
    assert not asked
    assert HERE.folder(["*.json"], ["*.fp16*"]) == tmp_path and HERE.commit == COMMIT
    (wanted,) = asked
    assert wanted["repo_id"] == "lab/network" and wanted["revision"] == COMMIT
    assert wanted["allow_patterns"] == ["*.json"] and wanted["ignore_patterns"] == ["*.fp16*"]


def test_files_that_can_run_code_are_no_weights(tmp_path: Path) -> None:
    check_safetensors(tmp_path, "generator.path")
    with pytest.raises(BenchError, match=r"filter\.path: .* has no safetensors; name a folder"):
        check_safetensors(tmp_path, "filter.path", needed=True)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(BenchError, match=r"no safetensors, but .*pytorch_model\.bin: such a file can run code"):
        check_safetensors(tmp_path, "generator.path")
    (tmp_path / "model.safetensors").write_bytes(b"")
    check_safetensors(tmp_path, "filter.path", needed=True)


def test_a_pickle_is_not_opened_as_weights(tmp_path: Path) -> None:
    import pickle

    ran = tmp_path / "ran"
    path = tmp_path / "weights.pth"

    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (ran,))

    path.write_bytes(pickle.dumps(Hostile()))
    for content in (path.read_bytes(), b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(BenchError, match=r"encoder\.net\.path: .*weights\.pth is no plain file of weights"):
            read_tensors(path, "encoder.net.path")
    damaged = tmp_path / "weights.safetensors"
    damaged.write_bytes(b"\xff" * 20)
    with pytest.raises(BenchError, match="is no plain file of weights"):
        read_tensors(damaged, "encoder.net.path")
    assert not ran.exists()


def test_the_digest_of_a_folder_covers_names_and_bytes(folder: Path) -> None:
    before = folder_digest(folder, ["*.json", "*.safetensors"])
    (folder / "notes.md").write_text("not asked for")
    assert folder_digest(folder, ["*.json", "*.safetensors"]) == before
    (folder / "config.json").rename(folder / "other.json")
    assert folder_digest(folder, ["*.json", "*.safetensors"]) != before


def _header(change: Any) -> bytes:
    """A file of one tensor whose header is not what it was."""
    header = {"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


WHOLE = _header(lambda header: None)
DAMAGED = {
    "empty": b"",
    "header_truncated": WHOLE[:20],
    "header_too_large": struct.pack("<Q", 1 << 60) + WHOLE[8:],
    "header_no_json": WHOLE[:8] + b"{" * 20 + WHOLE[28:],
    "type_unknown": _header(lambda header: header["x"].update(dtype="Q9")),
    "offsets_out_of_range": _header(lambda header: header["x"].update(data_offsets=[0, 4000])),
    "data_truncated": WHOLE[:-6],
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_safetensors_are_refused_by_name_with_the_remedy(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(WHOLE)
    assert read_tensors(path, "encoder.net.path")["x"].shape == (2, 2)
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(
        BenchError, match=rf"^encoder\.net\.path: {path} is no plain file of weights: .*; copy it again"
    ):
        read_tensors(path, "encoder.net.path")
