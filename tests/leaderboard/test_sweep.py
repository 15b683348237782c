"""Swept settings stand beside the scores, in the table and in leaderboard.csv."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from leaderboard.__main__ import main
from leaderboard.build import as_csv, tidy
from leaderboard.read import Run, read_runs
from leaderboard.settings import swept_settings
from leaderboard.sweep import NoScore, table
from tests.leaderboard.conftest import fidelity, run_record, write_run

LDM = "generators.ldm.generator.LatentDiffusion"


def settings(seed: int, rate: float, **others: Any) -> dict[str, Any]:
    generator = {"_target_": LDM, "seed": seed, "diffusion": {"rate": rate, "channels": [32, 64]}, "steps": 50}
    return {"generator": {**generator, **others}}


@pytest.fixture
def swept(tmp_path: Path) -> list[Run]:
    """Two learning rates, the worse of them with two seeds, and a generator of another class."""
    for rate, seed, distance in ((0.001, 0, 12.0), (0.001, 1, 14.0), (0.002, 0, 5.0)):
        run = run_record(f"ldm-diffusion.rate={rate}", seed, config=settings(seed, rate))
        write_run(tmp_path, run, [fidelity((distance, 1), (0.5, 0.1))])
    other = run_record("pca", 0, config={"generator": {"_target_": "generators.controls.pca.Pca", "components": 3}})
    write_run(tmp_path, other, [fidelity("only 3 images", (0.4, 0.1))])
    return read_runs(tmp_path)[0]


def test_only_what_differs_within_a_class_of_generators_was_swept(swept: list[Run]) -> None:
    found = swept_settings(swept)
    assert found["phantom/ldm-diffusion.rate=0.002/seed=0"] == {"generator.diffusion.rate": 0.002}
    assert found["phantom/pca/seed=0"] == {}


def test_the_table_has_a_line_a_variant_and_the_best_first(swept: list[Run]) -> None:
    header, *lines = table(swept, ["fidelity/fd/radiomics", "fidelity/coverage/radiomics"]).splitlines()
    titles = ["fidelity/fd/radiomics ↓", "fidelity/coverage/radiomics ↑"]
    assert re.split(r"  +", header) == ["data set", "generator", "diffusion.rate", "seeds", *titles]
    assert [re.split(r"  +", line)[1:] for line in lines] == [
        ["ldm-diffusion.rate=0.002", "0.002", "1", "5.0 [4.0, 6.0]", "0.500 [0.400, 0.600]"],
        ["ldm-diffusion.rate=0.001", "0.001", "2", "13 [0, 26]", "0.500 [0.400, 0.600]"],
        ["pca", "1", "refused", "0.400 [0.300, 0.500]"],
    ]
    assert "13 [0, 26]" in table(swept, ["fidelity/fd/radiomics/view=CC"])


def test_a_setting_in_which_the_seeds_of_a_variant_differ_is_not_that_of_one_of_them(tmp_path: Path) -> None:
    for seed, steps in enumerate((50, 20)):
        run = run_record("ldm", seed, config=settings(seed, 0.001, steps=steps))
        write_run(tmp_path, run, [fidelity((12.0, 1), (0.5, 0.1))])
    header, line = table(read_runs(tmp_path)[0], ["fidelity/fd/radiomics"]).splitlines()
    assert header.split()[3] == "steps" and line.split()[1:4] == ["ldm", "differs", "2"]


def test_a_metric_that_nobody_has_is_named_with_what_is_near(swept: list[Run]) -> None:
    with pytest.raises(NoScore, match="no run has a score 'fidelity/fd/radiomic'; there are fidelity/fd/radiomics"):
        table(swept, ["fidelity/fd/radiomic"])


def test_swept_settings_are_the_last_columns_of_the_csv(swept: list[Run]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(tidy(swept)).decode())))
    assert list(rows[0])[-1] == "generator.diffusion.rate"
    assert {(row["generator"], row["generator.diffusion.rate"]) for row in rows} == {
        ("ldm-diffusion.rate=0.001", "0.001"),
        ("ldm-diffusion.rate=0.002", "0.002"),
        ("pca", ""),
    }


def test_the_command_prints_it(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--runs", str(board), "--metric", "fidelity/fd/radiomics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and lines[1].split()[:2] == ["phantom", "holdout"]
    assert main(["sweep", "--runs", str(board), "--metric", "nothing"]) == 1
    assert main(["sweep", "--runs", str(board / "none")]) == 1
