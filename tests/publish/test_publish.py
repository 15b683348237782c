"""What would be sent of a run is shown whole, and nothing is sent that is not for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.publish.sending import main, shown
from bench.runtime.scan import NotForOthers, findings, refuse_private, replacements, shared_files
from bench.storage.files import write_json
from tests.leaderboard.conftest import fidelity, run_record, write_run

HUB = "hf_" + "Zq7" * 11


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run folder with a record that says nothing it should not."""
    config = {"dataset": {"root": "<data>"}, "note": "${oc.env:LAB_NOTE}", "hub": {"token": "<secret>"}, "seed": 0}
    record = run_record("ldm", 0, config=config)
    write_run(tmp_path, record, [fidelity((5, 1), (0.5, 0.1))])
    folder = next(tmp_path.glob("*/*/seed=0"))
    (folder / "card.md").write_text("# Card\n\nA run of `ldm`, revision 110cbc18d5133582e320b43d53bf5c44e410c936.\n")
    (folder / "card.json").write_text('{"revision": "110cbc18d5133582e320b43d53bf5c44e410c936"}')
    (folder / "requests.csv").write_text("names real images, and is sent to nobody: /home/alice_smith\n")
    return folder


def planted(folder: Path, file: str, *place: str, value: Any) -> None:
    path = folder / file
    found = json.loads(path.read_text())
    inner = found
    for each in place[:-1]:
        inner = inner.setdefault(each, {})
    inner[place[-1]] = value
    write_json(path, found)


def test_a_sound_run_is_shown_with_every_file_and_every_replaced_value(finished: Path) -> None:
    text, sound = shown(finished)
    assert sound and findings(finished) == []
    for name in ("run.json", "scores/fidelity.json", "card.md", "card.json"):
        assert f"{(finished / name).stat().st_size:,}" in next(
            each for each in text.splitlines() if each.startswith(name)
        )
    assert "requests.csv" not in text
    for line in (
        "run.json: /config/dataset/root -> <data>",
        "run.json: /config/note -> ${oc.env:LAB_NOTE}",
        "run.json: /config/hub/token -> <secret>",
    ):
        assert line in text
    assert len(replacements(finished)) == 3


OLD = {
    "a token under a harmless name": ("run.json", ("config", "note"), HUB),
    "credentials": ("run.json", ("config", "credentials", "user"), "ada"),
    "auth": ("run.json", ("config", "auth"), "hush"),
    "a number as a password": ("run.json", ("config", "password"), 1234),
    "a proxy": ("run.json", ("config", "proxy"), "https://alice:password@host"),
    "a folder of data": ("run.json", ("config", "dataset", "root"), "/home/alice_smith/nih"),
    "the interpreter": ("run.json", ("facts", "python"), sys.executable),
    "a traceback": ("scores/fidelity.json", ("reason",), 'Traceback:\n  File "/work/x/bench/api.py", line 3'),
    "a card": ("card.json", ("hyperparameters",), f"token {HUB}"),
    "a path as a key": ("scores/fidelity.json", ("key", "reads", "/home/alice_smith/x"), "0123"),
}


@pytest.mark.parametrize("old", OLD)
def test_a_record_of_an_older_version_is_not_sent(finished: Path, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, place, value = OLD[old]
    planted(finished, file, *place, value=value)
    found = findings(finished)
    assert found and {each.file for each in found} == {file}
    assert found[0].place.startswith("/" + "/".join(each for each in place if "/" not in each))
    with pytest.raises(NotForOthers, match=r"start the same command again") as error:
        refuse_private(finished)
    assert file in str(error.value) and HUB not in str(error.value)
    monkeypatch.setattr(sys, "argv", ["bench.publish", str(finished)])
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("sent"))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1


def test_the_values_of_variables_the_run_names_and_of_secret_ones_are_looked_for(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_NOTE", "our-third-note")
    monkeypatch.setenv("WANDB_API_KEY", "0a1b2c3d" * 5)
    (finished / "card.md").write_text(f"# Card\n\nfine\n\nour-third-note\n{'0a1b2c3d' * 5}\n")
    (finished / "sheet.png").write_bytes(b"\x89PNG\xff" + b"our-third-note")
    planted(finished, "run.json", "shows_real", value=False)
    assert {(each.file, each.place) for each in findings(finished)} == {
        ("card.md", "line 5"),
        ("card.md", "line 6"),
        ("sheet.png", "bytes"),
    }


def test_a_sheet_that_may_not_be_shown_is_not_sent(finished: Path) -> None:
    (finished / "sheet.png").write_bytes(b"\x89PNG\xff")
    assert "sheet.png" in {path.name for path in shared_files(finished)}
    planted(finished, "run.json", "shows_real", value=True)
    planted(finished, "run.json", "info", "redistributable", value=False)
    assert "sheet.png" not in {path.name for path in shared_files(finished)}


def test_a_sound_run_is_handed_to_the_sender_with_its_options(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr(
        subprocess, "run", lambda command: sent.append(command) or subprocess.CompletedProcess(command, 3)
    )
    monkeypatch.setattr(sys, "argv", ["bench.publish", str(finished), "--mode", "offline"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3 and sent == [
        [sys.executable, "-m", "bench.tracking", str(finished), "--mode", "offline"]
    ]
    monkeypatch.setattr(sys, "argv", ["bench.publish", str(finished), "--dry-run"])
    main()
    assert len(sent) == 1


def test_a_folder_without_a_record_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.publish", os.fspath(tmp_path)])
    with pytest.raises(SystemExit, match=r"has no run\.json"):
        main()


def test_a_run_that_is_called_after_a_person_is_sent(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "asmith3")
    planted(finished, "run.json", "config", "name", value="asmith3_ldm")
    planted(finished, "run.json", "generator", value="asmith3_ldm")
    (finished / "card.md").write_text("# Card\n\nA run of asmith3_ldm.\n")
    assert findings(finished) == []


def test_what_identifies_a_result_is_judged_by_itself_alone(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "asmith3")
    planted(finished, "scores/fidelity.json", "protocol", "settings", value={"prompt": "as asmith3 asked"})
    assert findings(finished) == []
    planted(finished, "scores/fidelity.json", "protocol", "settings", value={"prompt": f"as {HUB}", "x": "in /a/b/c"})
    assert {each.place for each in findings(finished)} == {"/protocol/settings/prompt", "/protocol/settings/x"}


def test_a_recorded_text_that_looks_like_an_interpolation_keeps_nothing_from_being_seen(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(finished, "run.json", "config", "prompt", value="echo ${HOME")
    assert shown(finished)[1]
    monkeypatch.setenv("LAB_NOTE", "our-third-note")
    (finished / "card.md").write_text("our-third-note\n")
    assert [each.file for each in findings(finished)] == ["card.md"]


def test_a_path_between_two_tags_is_seen(finished: Path) -> None:
    (finished / "card.html").write_text("<p>&lt;home&gt;/x/y</p>\n<p>3</p>/<p>4</p>\n<td>/mnt/alice/x</td>\n")
    assert [(each.file, each.place) for each in findings(finished)] == [("card.html", "line 3")]
