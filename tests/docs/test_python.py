"""What docs/python.md shows is what happens, and the notebook runs from its first cell to its last."""

from __future__ import annotations

import ast
import doctest
import os
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from evaluators.fidelity import torch_metrics
from tests.conftest import ROOT

PAGE, NOTEBOOK = ROOT / "docs" / "python.md", ROOT / "docs" / "compare.ipynb"


def test_the_examples_hold() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 10 and not found.failed


def test_the_first_lines_are_python_that_names_what_there_is() -> None:
    first = re.findall(r"```python\n(from bench.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    scope = {"real": np.random.default_rng(0).integers(0, 255, (60, 24, 24), dtype=np.uint8)}
    scope["fake"] = scope["real"][::-1] // 2 + 40
    exec(compile(ast.parse(first), str(PAGE), "exec"), scope)
    assert {"small_cnn", "radiomics"} <= set(scope["table"].encoder.dropna())  # type: ignore[attr-defined]


def test_every_class_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    kinds = [each for each in vars(torch_metrics).values() if isinstance(each, type)]
    kinds = [
        each for each in kinds if issubclass(each, torch_metrics.SetMetric) and each is not torch_metrics.SetMetric
    ]
    assert kinds and all(f"`{kind.__name__}`" in text for kind in kinds)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = tmp_path / "kernels" / "here"
    kernel.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernel / "kernel.json").write_text(f'{{"argv": {command}, "display_name": "here", "language": "python"}}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # that of a notebook shows figures in it
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # none that could say what is no longer so
    NotebookClient(notebook, timeout=240, kernel_name="here", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert (tmp_path / "report.html").is_file()
