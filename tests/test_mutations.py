"""The planted bugs still fit the code, and the tests notice them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation import DoesNotFit, line, patched, run
from tests.planted_bugs import BUGS, Bug


def test_every_patch_fits_and_is_python() -> None:
    for bug in BUGS:
        compile(patched(bug), bug.file, "exec")
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 25


def test_a_patch_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("one\none\n")
    for old in ("two", "one", "one\none"):
        with pytest.raises(DoesNotFit, match="needed once"):
            patched(Bug("name", "code.py", old, "one\none", ()), tmp_path)


@pytest.mark.slow
def test_nearly_every_bug_is_caught() -> None:
    found = run(BUGS)
    missed = [line(each) for each in found if each.outcome != "caught"]
    assert not [each for each in found if each.outcome == "error"], missed
    assert len(missed) <= len(found) // 25, missed
