"""The record of a privacy accountant is taken as it is or refused with its fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.api import BenchError, Generator
from generators.accounting import FILE, accounting_record
from generators.finished.folder import Folder
from generators.finished.parquet import Parquet
from generators.text_to_image.lora_training import LoraTraining
from generators.text_to_image.pipeline import DiffusersPipeline

RECORD: dict[str, Any] = {
    "mechanism": "DP-SGD",
    "epsilon": 1.5,
    "delta": 1e-05,
    "unit": "patient",
    "accountant": "dp_accounting pld",
    "version": "0.6.0",
    "noise_multiplier": 1.1,
    "sampling_rate": 0.01,
    "steps": 4000,
    "clipping_norm": 1.0,
}


def written(folder: Path, **changes: Any) -> str:
    record = {name: value for name, value in (RECORD | changes).items() if value != "left out"}
    (folder / FILE).write_text(json.dumps(record))
    return str(folder / FILE)


def test_a_record_is_read_from_its_file_or_folder(tmp_path: Path) -> None:
    assert accounting_record(None) is None
    assert accounting_record(written(tmp_path)) == RECORD
    assert accounting_record(str(tmp_path)) == RECORD
    short = accounting_record(written(tmp_path, steps="left out", noise_multiplier="left out", epsilon=3))
    assert short == RECORD | {"steps": None, "noise_multiplier": None, "epsilon": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": -0.1}, "epsilon: .*greater than or equal to 0"),
        ({"epsilon": "1.5"}, "epsilon: .*valid number"),
        ({"epsilon": float("inf")}, "epsilon: .*finite"),
        ({"delta": 1}, "delta: .*less than 1"),
        ({"unit": "person"}, "unit: .*'patient', 'study' or 'image'"),
        ({"unit": "left out"}, "unit: Field required"),
        ({"accountant": ""}, "accountant: .*at least 1 character"),
        ({"sampling_rate": 1.5}, "sampling_rate: .*less than or equal to 1"),
        ({"steps": 10.5}, "steps: .*valid integer"),
        ({"eps": 1}, "eps: Extra inputs"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=rf"generator\.accounting: .*{FILE}: {message}.*needed an object of mechanism"):
        accounting_record(written(tmp_path, **changes))


def test_no_file_no_object_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=rf"{FILE} does not exist; name a"):
        accounting_record(str(tmp_path))
    (tmp_path / FILE).write_text("[1]")
    with pytest.raises(BenchError, match=r"the whole: .*valid dictionary"):
        accounting_record(str(tmp_path))
    (tmp_path / FILE).write_text("{")
    with pytest.raises(BenchError, match="is not valid JSON"):
        accounting_record(str(tmp_path))


@pytest.mark.parametrize("kind", [Folder, Parquet])
def test_finished_sets_take_it_and_it_changes_no_image(kind: type[Generator], tmp_path: Path) -> None:
    assert kind().accounted is None
    assert kind(accounting=written(tmp_path)).accounted == RECORD  # type: ignore[call-arg]
    assert "accounting" in kind.incidental


def test_pipelines_take_it_and_a_training_on_top_does_not(tmp_path: Path) -> None:
    assert DiffusersPipeline(size=(8, 8), accounting=written(tmp_path)).accounted == RECORD
    assert "accounting" in DiffusersPipeline.incidental
    with pytest.raises(BenchError, match="no accountant saw"):
        LoraTraining(training={}, size=(8, 8), accounting=written(tmp_path))
