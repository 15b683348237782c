"""A changed line in anything a plug-in reaches is noticed; a changed line elsewhere, a new name or a comment is not."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.runtime import code_digest as module
from bench.runtime.code_digest import code_digest
from tests.conftest import ROOT

MAIN = '''"""A laboratory."""
from somelab.near import f
from .beside import f as h
from . import below
class Kind:
    """A kind."""
    def g(self):
        import somelab.far
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "somelab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "main.py").write_text(MAIN)
    for number, name in enumerate(("near", "beside", "below", "far", "stranger")):
        (folder / f"{name}.py").write_text(f"def f(): return {number}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [each for each in sys.modules if each.startswith("somelab")]:
        del sys.modules[name]


def digest(name: str = "somelab.main") -> str:
    importlib.invalidate_caches()
    return code_digest(importlib.import_module(name).Kind)


@pytest.mark.parametrize(
    ("changed", "noticed"),
    [("main", True), ("near", True), ("beside", True), ("below", True), ("far", True), ("stranger", False)],
)
def test_what_is_imported_decides(package: Path, changed: str, noticed: bool) -> None:
    before = digest()
    path = package / f"{changed}.py"
    path.write_text(path.read_text() + "LIMIT = 2\n")
    assert (digest() != before) == noticed


@pytest.mark.parametrize("change", ["# a comment\n", "\n\n\n", '"""Another text."""\n'])
def test_comments_layout_and_docstrings_do_not(package: Path, change: str) -> None:
    before = digest()
    path = package / "near.py"
    path.write_text(
        change + path.read_text().replace("return 0", '    "What it returns."\n    return 0').replace("): ", "):\n")
    )
    assert digest() == before


def test_a_module_that_moves_is_the_same_code(package: Path) -> None:
    before = digest()
    shutil.move(package / "near.py", package / "renamed.py")
    moved = MAIN.replace("from somelab.near import f\n", "")
    (package / "elsewhere.py").write_text(
        moved.replace("from . import below\n", "from . import below\nfrom .renamed import f\n")
    )
    assert digest("somelab.elsewhere") == before


def test_the_same_name_taken_from_another_module_is_other_code(package: Path) -> None:
    before = digest()
    (package / "main.py").write_text(
        MAIN.replace("somelab.near import f", "somelab.far import f") + "import somelab.near\n"
    )
    assert digest() != before


# every one of them changed no digest when the core's computing modules were named in a list
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bench/api.py", "min(interval[1], high)", "min(interval[1], high) + 1.0"),
        ("bench/api.py", "return np.stack(decoded)", "return 255 - np.stack(decoded)"),
        ("bench/statistics/resampling.py", "Z95 = 1.9", "Z95 = 2.9"),
    ],
)
def test_a_changed_formula_of_the_core_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str
) -> None:
    from evaluators.fidelity.evaluator import Fidelity

    before = code_digest(Fidelity)
    copy = tmp_path / "changed.py"
    text = (ROOT / file).read_text()
    assert text.count(old) == 1
    copy.write_text(text.replace(old, new))
    place, name = module._place, file.removesuffix(".py").replace("/", ".")
    monkeypatch.setattr(module, "_place", lambda each, packages: copy if each == name else place(each, packages))
    assert code_digest(Fidelity) != before
