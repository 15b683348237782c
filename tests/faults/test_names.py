"""Names and seeds that no run may have: refused before anything is read, made or written."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Laboratory

CASES = {
    "a seed that is no whole number": ("seed=1.5", "seed is 1.5, needed a whole number"),
    "a seed that is a path": ("seed=../../../x", "seed is '../../../x', needed a whole number"),
    "a name that turns text around": ("name='x\u202egnp'", "U+202E"),
    "a name that is a tag": ("name='<script>alert(1)</script>'", "name: "),
    "a name that climbs": ("name=../../../escaped", "name: "),
    "a name that is a place": ("name=/abs/ABS", "name: "),
    "a name of 300 letters": (f"name={'x' * 300}", "300 characters, more than 120"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_name_or_seed_that_no_run_may_have(laboratory: Laboratory, case: str) -> None:
    setting, said = CASES[case]
    folders = laboratory.empty()
    done = laboratory.run(setting)
    assert done.code == 1 and said in done.output, done.output
    assert "Traceback" not in done.output and "making" not in done.output
    assert list(folders.home.iterdir()) == []
    assert not list(folders.home.parent.glob("escaped*"))
