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


TWO = """
class Kind: pass
def first():
    from somelab.{a} import f
    return f()
def second():
    from somelab.{b} import f
    return -f()
"""


def test_imports_count_where_they_stand(package: Path) -> None:
    (package / "main.py").write_text(TWO.format(a="near", b="far"))
    before = digest()
    (package / "main.py").write_text(TWO.format(a="far", b="near"))
    assert digest() != before


def test_of_two_imports_of_one_name_the_last_counts(package: Path) -> None:
    lines = ["from somelab.near import f\n", "from somelab.far import f\n"]
    (package / "main.py").write_text("".join(lines) + "class Kind: pass\n")
    before = digest()
    (package / "main.py").write_text("".join(reversed(lines)) + "class Kind: pass\n")
    assert digest() != before


def test_modules_of_equal_text_are_told_apart_by_what_they_import(package: Path) -> None:
    for name in ("near", "far"):
        (package / f"re{name}.py").write_text(f"from somelab.{name} import f\n")
    (package / "main.py").write_text("from somelab.renear import f\nimport somelab.refar\nclass Kind: pass\n")
    before = digest()
    (package / "main.py").write_text("from somelab.refar import f\nimport somelab.renear\nclass Kind: pass\n")
    assert digest() != before


def test_every_star_is_followed(package: Path) -> None:
    lines = "from somelab.near import *\nfrom somelab.far import *\n"
    (package / "main.py").write_text(lines + "class Kind: pass\n")
    before = digest()
    (package / "near.py").write_text("def f(): return 10\n")
    assert digest() != before


def test_what_cannot_be_imported_or_read_as_source_stops_nothing(package: Path) -> None:
    (package / "moody").mkdir()
    (package / "moody" / "__init__.py").write_text("raise RuntimeError('needs a GPU')\n")
    (package / "compiled.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF\xff\xfe")
    inner = "    def g(self):\n        from somelab.moody import part\n        from somelab import compiled\n"
    (package / "main.py").write_text("class Kind:\n" + inner)
    assert len(digest()) == 16


def test_two_classes_of_one_module_are_two(package: Path) -> None:
    (package / "main.py").write_text("class Kind: pass\nclass Other: pass\n")
    module_ = importlib.import_module("somelab.main")
    assert code_digest(module_.Kind) != code_digest(module_.Other)


def test_a_template_beside_a_module_counts(package: Path) -> None:
    before = digest()
    (package / "card.html").write_text("<p>")
    assert digest() != before


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

    def changed(each: str, packages: set[str]) -> Path | None:
        found = place(each, packages)
        return copy if found and each == name else found

    monkeypatch.setattr(module, "_place", changed)
    assert code_digest(Fidelity) != before
