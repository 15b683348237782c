"""The default run keeps its promise: the small diffusion model is better than the cheap and the blind generator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.storage.record import ScoreRow
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
CHEAP = ["evaluator=[fidelity]", "encoder=[radiomics]"]
Found = dict[tuple[str, str | None], ScoreRow]  # by metric and encoder, over all images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quality")


def measured(folder: Path, generator: str, *choices: str) -> dict[str, Found]:
    """The scores by evaluator of ``python -m bench generator=<generator>`` on the default data."""
    places = [f"runs={folder / 'runs'}", f"cache={folder / 'cache'}", "wandb.mode=disabled"]
    command = [sys.executable, "-m", "bench", f"generator={generator}", *places, *choices]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in (folder / "runs").glob(f"*/{generator}/*/scores/[!.]*.json")]
    rows = {each["evaluator"]: [ScoreRow(**row) for row in each["scores"]] for each in records}
    return {name: {(row.metric, row.encoder): row for row in own if row.group == "all"} for name, own in rows.items()}


@pytest.fixture(scope="module")
def ldm(folder: Path) -> dict[str, Found]:
    """The default run, whole."""
    return measured(folder, "ldm")


@pytest.mark.parametrize("generator", ["pca", "noise"])
def test_it_is_more_faithful_beyond_doubt(folder: Path, ldm: dict[str, Found], generator: str) -> None:
    other = measured(folder, generator, *CHEAP)["fidelity"]
    for metric, better, worse in (("fd", ldm["fidelity"], other), ("coverage", other, ldm["fidelity"])):
        low, high = better[metric, "radiomics"], worse[metric, "radiomics"]
        assert low.high is not None and high.low is not None
        assert low.high < high.low, f"{metric}: {low} and {high}"


def test_it_follows_the_masking_it_is_asked_for(ldm: dict[str, Found]) -> None:
    for metric, chance in (("balanced_accuracy_recovered", 1 / 3), ("auc_recovered", 1 / 2)):
        score = ldm["utility"][metric, None]
        assert score.low is not None and score.low > chance, score


def test_it_is_not_found_to_leak_patients(ldm: dict[str, Found]) -> None:
    tests = {encoder: row for (metric, encoder), row in ldm["privacy"].items() if metric == "copying_p"}
    assert "radiomics" in tests
    for row in (*tests.values(), ldm["privacy"]["evidence_p", None]):
        assert row.value is not None and row.value > 0.025, row
    copies = ldm["privacy"]["duplicates", None]
    assert copies.value == 0, copies
