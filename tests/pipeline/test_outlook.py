"""The dry run: true to what a run then does, and without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.api import BenchError
from bench.pipeline.outlook import outlook
from bench.pipeline.plan import Plan
from tests.pipeline.test_run import configure, go

CHOICE = ("generator=pca", "dataset.n_train=80", "dataset.n_test=60", "evaluator=[fidelity,utility,card]")


def told(home: Path, *overrides: str) -> dict[str, list[str]]:
    """State, time and disk by stage."""
    config = configure(home / "cache", *CHOICE, *overrides, f"runs={home / 'runs'}")
    lines = outlook(Plan.of(config), home / "runs" / "phantom" / "pca" / "seed=0").splitlines()
    table = [line.split("  ") for line in lines[1 : lines.index("")]]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:] if cell.strip()] for cells in table}


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("outlook")
    go(home / "cache", home / "runs" / "phantom" / "pca" / "seed=0", *CHOICE)
    return home


def test_where_nothing_is_nothing_is_made(tmp_path: Path) -> None:
    found = told(tmp_path)
    assert list(found) == ["loading", "training", "sampling", "fidelity", "utility", "card"]
    assert all(state.startswith("to make") for state, *_ in found.values())
    assert everything(tmp_path) == {}


def test_what_is_finished_is_found(home: Path) -> None:
    before = everything(home)
    assert {state for state, *_ in told(home).values()} == {"found", "not needed"}
    assert everything(home) == before


def test_what_another_choice_makes_is_told_with_what_it_cost_before(home: Path) -> None:
    before = everything(home)
    found = told(home, "evaluator=[fidelity,privacy]", "encoder=[radiomics,pixels,spectrum]")
    assert found["sampling"][0] == "to make, 160 of 280 images" and found["training"] == ["found"]
    assert found["fidelity"][0] == "to make" and found["fidelity"][1].endswith("s")
    assert found["encoding spectrum"][0].startswith("to make, ") and found["encoding spectrum"][1] == "unknown"
    assert found["privacy"][0].startswith("to make, after")
    alike = told(home, "evaluator=[fidelity,privacy]")
    assert alike["fidelity"] == ["found"] and alike["sampling"][0] == found["sampling"][0]
    assert everything(home) == before


def test_a_damaged_file_is_to_be_made_again_and_stays(home: Path) -> None:
    path = home / "runs" / "phantom" / "pca" / "seed=0" / "scores" / "utility.json"
    whole = path.read_bytes()
    path.write_bytes(b"{}")
    before = everything(home)
    found = told(home)
    assert found["utility"][0] == "to make" and found["fidelity"] == ["found"]
    assert found["card"][0].startswith("to make")
    assert everything(home) == before
    path.write_bytes(whole)


def test_images_of_other_settings_are_told_as_a_run_would(home: Path) -> None:
    with pytest.raises(BenchError, match=r"settings\.components: 256 there, 3 now"):
        told(home, "generator.components=3")
