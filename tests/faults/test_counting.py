"""The count of trials: a failure and an error are lost, a skip is no trial, and what nobody tried is not whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.counting import Counting, as_json, as_table

TRIALS = '''"""Things that go wrong.

More of it.
"""
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_good(number):
    pass

def test_bad():
    assert False, "the reason"

def test_error(nothing_of_this_name):
    pass

@pytest.mark.skip(reason="not here")
def test_skipped():
    pass
'''


def counted(folder: Path, *files: str) -> Counting:
    """The trials of some files, run as ``python -m tests.faults`` runs its own."""
    counting = Counting()
    quiet = ["-p", "no:terminal", "-p", "no:cacheprovider", "-s", "-c", str(folder / "none.ini"), f"--rootdir={folder}"]
    (folder / "none.ini").write_text("[pytest]\n")
    pytest.main([*(str(folder / name) for name in files), *quiet], plugins=[counting])
    return counting


def test_each_outcome_is_counted_once_and_what_is_lost_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_things.py").write_text(TRIALS)
    counting = counted(tmp_path, "test_things.py")
    assert not counting.whole
    assert counting.to_repeat() == [
        "lost: python -m pytest -m '' test_things.py::test_bad",
        "lost: python -m pytest -m '' test_things.py::test_error",
    ]
    head, row, total = as_table(counting.suites).splitlines()
    assert head.split()[:6] == ["suite", "tried", "survived", "lost", "skipped", "time"]
    assert row.split()[:5] == ["things", "4", "2", "2", "1"] and row.endswith("Things that go wrong.")
    assert total.split()[:5] == ["all", "4", "2", "2", "1"]
    said = capsys.readouterr().out
    assert "the reason" in said and "5 of 5, 2 lost, " in said
    (suite,) = json.loads(as_json(counting.suites, {"length": "quick"}))["suites"]
    assert suite["tried"] == 4 and suite["trials"]["test_things.py::test_skipped"] == "skipped"


def test_a_suite_that_survives_is_whole_and_an_unreadable_or_empty_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_fine.py").write_text("def test_good():\n    pass\n")
    (tmp_path / "test_torn.py").write_text("def test_good(:\n")
    assert counted(tmp_path, "test_fine.py").whole
    torn = counted(tmp_path, "test_torn.py", "test_fine.py")
    assert not torn.whole and torn.to_repeat() == ["cannot be read: test_torn.py"]
    assert not Counting().whole
    assert "SyntaxError" in capsys.readouterr().out
