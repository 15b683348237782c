"""``python -m bench.compare``: arguments, files written, exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from bench.compare import __main__ as program
from bench.compare.table import Document
from tests.compare.pictures import as_files, textures


@pytest.fixture(autouse=True)
def this_process_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(program, "use_threads", lambda count: None)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    home = tmp_path_factory.mktemp("sides")
    return str(as_files(textures(1), home / "real")), str(as_files(textures(2), home / "fake"))


def code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        program.main(arguments)
    return int(left.value.code or 0)


def test_two_folders_give_a_table_and_json(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    assert code(*folders, "--encoders", "small_cnn", "evaluator.fidelity.folds=10", "--json", str(file)) == 0
    out, err = capsys.readouterr()
    assert err.startswith("compare ")
    assert "kid ↓" in out
    assert "compare/1 " in out
    found = Document.model_validate(json.loads(file.read_text(encoding="utf-8")))
    assert found.protocol["evaluators"]["fidelity"]["settings"]["folds"] == 10
    assert list(found.protocol["encoders"]) == ["small_cnn"]


def test_json_alone_on_standard_output(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    real, fake = folders
    assert code("--json", "-", "--size", "24x32", "--seed", "3", "--encoders", "small_cnn", real, fake, real) == 0
    found = Document.model_validate(json.loads(capsys.readouterr().out))
    assert found.protocol["size"] == [24, 32]
    assert found.protocol["seed"] == 3
    assert found.protocol["train"] == found.protocol["real"]


def test_a_mistake_is_one_line_and_exit_code_1(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert code(folders[0], str(tmp_path / "nowhere")) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("compare: FAKE: ")
    assert code(*folders, "encoder=[small_cn]") == 1
    assert "did you mean 'small_cnn'" in capsys.readouterr().err
    assert code(*folders, "--json", str(tmp_path / "no" / "such" / "folder.json")) == 1
    assert "no/such" in capsys.readouterr().err


def test_a_folder_whose_name_has_an_equals_sign_is_no_setting(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = as_files(textures(3), tmp_path / "seed=0")
    assert code(*folders, str(train), "evaluator=[privacy]") == 1
    assert "TRAIN 32 x 32" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--size", "big"], ["--window", "5"], ["c", "d"]])
def test_arguments_that_are_none_are_explained(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code("a", "b", *wrong) == 2
    assert "error: " in capsys.readouterr().err


def test_nothing_measured_is_exit_code_1(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code(*folders, "evaluator=[privacy]") == 1
    assert "privacy was not measured: it needs" in capsys.readouterr().out
