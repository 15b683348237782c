"""A changed line in anything a plug-in imports is noticed; a changed line elsewhere is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.runtime.code_digest import class_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "somelab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "main.py").write_text(
        "from somelab.near import f\nfrom .beside import f as h\nfrom . import below\n"
        "class Kind:\n    def g(self):\n        import somelab.far\n"
    )
    for name in ("near", "beside", "below", "far", "stranger"):
        (folder / f"{name}.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [each for each in sys.modules if each.startswith("somelab")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("changed", "noticed"),
    [("main", True), ("near", True), ("beside", True), ("below", True), ("far", True), ("stranger", False)],
)
def test_what_is_imported_decides(package: Path, changed: str, noticed: bool) -> None:
    from somelab.main import Kind

    before = class_digest(Kind)
    path = package / f"{changed}.py"
    path.write_text(path.read_text() + "# another line\n")
    assert (class_digest(Kind) != before) == noticed


def test_the_computing_part_of_the_core_belongs_to_an_evaluator() -> None:
    from bench.runtime.code_digest import _imports, _place
    from evaluators.fidelity.evaluator import Fidelity

    assert class_digest(Fidelity) == class_digest(Fidelity)
    import evaluators.fidelity.evaluator as module

    named = _imports(module.__name__, Path(module.__file__))
    assert _place("bench.statistics.resampling", "evaluators") is not None and "bench.statistics.resampling" in named
    assert _place("bench.pipeline.run", "evaluators") is None
