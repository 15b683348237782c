"""One evaluator and its record: what it leaves, and what becomes of a failure."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from bench.api import Encoder, Evaluator, Images, Material, Metric, Rows, Score, Split
from bench.pipeline.evaluation import Evaluation, Measured
from bench.pipeline.features import FeatureStore
from bench.pipeline.stage import Mark, result
from bench.runtime.processes import ALONE, Lost, Team, Told
from bench.storage.disk_errors import DiskError
from bench.storage.files import Waited
from tests.runtime.test_processes import in_threads

GAP = Metric("gap", "Gap", "lower", "none")


class Leaving(Evaluator):
    """Leaves a file under a name."""

    id = "leaving"
    metrics: ClassVar = (GAP,)
    purposes: ClassVar = ("fidelity",)

    def __init__(self, name: str = "gap.json") -> None:
        self.name = name

    def __call__(self, material: Material) -> Iterator[Score]:
        material.leave(self.name, b"{}")
        yield GAP(0.0, n=2, reason="an example")


class Means(Encoder):
    """May fail, as a device without memory does."""

    id, dim, block = "means-1", 1, 4

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def __call__(self, images: Images) -> Rows:
        if self.fails:
            raise ValueError("out of memory")
        return images.mean(axis=(1, 2))[:, None].astype(np.float32)


def evaluation(split: Split, folder: Path, encoder: Encoder | None = None, name: str = "gap.json") -> Evaluation:
    encoders = {"mean": encoder} if encoder else {}
    return Evaluation(
        name="gap",
        folder=folder,
        key={"code": ""},
        protocol={"settings": {}},
        evaluator=Leaving(name),
        split=split,
        images={"fidelity": split.holdout},
        features=FeatureStore(folder / "features", encoders),
        seed=0,
        conformances=folder / "conformance",
        real=folder / "real",
        encoders=list(encoders),
        sampled=["sheet.png", "history.csv"],
    )


BAD = ["", "run.json", "a/../run.json", "scores", "stages/x.json", ".hidden", "/etc/x", "sheet.png", "history.csv"]


@pytest.mark.parametrize("name", BAD)
def test_no_file_of_the_run_is_overwritten(tiny_split: Split, tmp_path: Path, name: str) -> None:
    record = result(evaluation(tiny_split, tmp_path, name=name)).record
    assert record.status == "failed" and record.error is not None and "would leave" in record.error.message
    assert not (tmp_path / "run.json").exists()


def test_no_file_of_an_earlier_evaluator_is_overwritten(tiny_split: Split, tmp_path: Path) -> None:
    first = result(evaluation(tiny_split, tmp_path / "one")).record
    assert first.artifacts.keys() == {"gap.json"}
    stage = evaluation(tiny_split, tmp_path / "two")
    object.__setattr__(stage, "earlier", {"other": first})
    error = result(stage).record.error
    assert error is not None and "which other has left already" in error.message


def test_a_failure_is_recorded_and_tried_again(tiny_split: Split, tmp_path: Path) -> None:
    failed = result(evaluation(tiny_split, tmp_path, Means(fails=True))).record
    assert failed.status == "failed" and failed.error is not None and failed.error.message == "out of memory"
    assert result(evaluation(tiny_split, tmp_path)).record.status == "ok"


def test_a_full_disk_is_no_failure_of_the_evaluator(
    tiny_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops the run, and no record says that the evaluator cannot measure."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stage = evaluation(tiny_split, tmp_path)
    stage.put(Mark({}))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=rf"^writing {tmp_path}/gap\.json: the disk is full"):
        stage.make(ALONE)
    assert not list(tmp_path.glob("scores/*"))


class Refusing(Leaving):
    """Meets an error of its own, once the fixed material is measured."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def __call__(self, material: Material) -> Iterator[Score]:
        self.calls += 1
        if self.calls > 1:
            raise self.error
        yield from super().__call__(material)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), Waited("features are in use")], ids=str
)
def test_what_an_evaluator_meets_of_disk_and_other_processes_is_no_failure_of_it(
    tiny_split: Split, tmp_path: Path, error: Exception
) -> None:
    stage = replace(evaluation(tiny_split, tmp_path), evaluator=Refusing(error))
    with pytest.raises((DiskError, Waited)):
        result(stage)
    assert not list(tmp_path.glob("scores/*"))


def test_a_file_that_an_evaluator_may_not_read_is_its_failure(tiny_split: Split, tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/data/of_another")
    record = result(replace(evaluation(tiny_split, tmp_path), evaluator=Refusing(error))).record
    assert record.status == "failed" and record.error is not None and record.error.type == "PermissionError"


def test_an_encoder_that_fails_elsewhere_is_told_by_its_reason(tiny_split: Split, tmp_path: Path) -> None:
    def work(team: Team) -> Measured:
        return result(evaluation(tiny_split, tmp_path, Means(fails=team.rank == 1)), team)

    main, broken, other = in_threads(work, 3)
    assert isinstance(broken, ValueError)
    for heard in (main, other):
        assert isinstance(heard, Told) and not isinstance(heard, Lost) and "out of memory" in str(heard)
    assert ALONE.count == 1 and not (tmp_path / "scores").exists()


class Quoting(Leaving):
    """Leaves and says what it should keep to itself."""

    token = "hf_" + "Zq7" * 11

    def __call__(self, material: Material) -> Iterator[Score]:
        material.leave("gap.json", f'{{"where": "{__file__}", "with": "{self.token}"}}'.encode())
        raise ValueError(f"401 for {self.token} in {__file__}")


def test_a_failure_tells_nothing_to_those_outside(tiny_split: Split, tmp_path: Path) -> None:
    stage = evaluation(tiny_split, tmp_path)
    object.__setattr__(stage, "evaluator", Quoting())
    error = result(stage).record.error
    assert error is not None and error.message == "401 for <secret> in <project>/tests/pipeline/test_evaluation.py"
    assert 'File "<project>/bench/pipeline/evaluation.py", line ' in error.traceback
    for path in ("scores/gap.json", "gap.json", "stages/gap.json"):
        text = (tmp_path / path).read_text()
        assert Quoting.token not in text and str(Path(__file__).parents[2]) not in text, path
