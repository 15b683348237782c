"""What making the images cost and what was counted meanwhile, over kills and over several processes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Generator, Images, Request, Split
from bench.pipeline import image_parts
from bench.pipeline.requests import make_requests, requests_key
from bench.pipeline.sampling import Sampled, Sampling, unread
from bench.pipeline.stage import result
from bench.pipeline.training import Training
from bench.runtime.processes import ALONE, Team
from bench.storage.files import read_checked, write_checked
from tests.runtime.test_processes import in_threads


class Counting(Generator):
    """Speckle; counts every image made for a level over 2, may stop after some blocks, as a kill would."""

    block = 2

    def __init__(self, stop_after: int | None = None) -> None:
        self.facts: dict[str, Any] = {"parameters": 7, "bright": 0, "name": "counting"}
        self.left, self.seen = stop_after, set[str]()

    def sample(self, requests: Sequence[Request]) -> Images:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.seen |= {each.request_id for each in requests if (each.labels["level"] or 0) > 2}
        self.facts["bright"] = len(self.seen)
        images = [np.random.default_rng(each.seed).integers(0, 256, (32, 32)) for each in requests]
        return np.stack(images).astype(np.uint8)


Sample = Callable[..., Sampled]


@pytest.fixture
def sample(tiny_split: Split, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """Make the 24 + 7 images of two purposes in parts of 4; every part takes one second."""
    requests = make_requests(tiny_split, 0, {"fidelity": None, "utility": 7, "privacy": 0})
    ticks = itertools.count()
    monkeypatch.setattr(image_parts, "PART", 4)
    monkeypatch.setattr(image_parts, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))

    def go(folder: Path, generator: Generator, team: Team = ALONE) -> Sampled:
        folder.mkdir(exist_ok=True)
        training = Training(folder / "fit", {}, generator, tiny_split, 0, folder, {"mode": "disabled"})
        key = {"seed": 0, "requests": requests_key(requests)}
        return result(Sampling(folder, key, training, requests, 0), team)

    return go


def bright(sampled: Sampled) -> int:
    return sum(level > 2 for level in sampled.images.column("level"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "images").glob("part-*")}


def test_a_killed_sampling_reports_the_whole_cost_and_every_count(sample: Sample, tmp_path: Path) -> None:
    whole = sample(tmp_path / "whole", Counting())
    facts = {"parameters": 7, "bright": bright(whole), "name": "counting"}
    assert len(whole.images) == 31 and whole.seconds == 8 and whole.facts == facts
    for stop in (5, 7):  # 2 blocks a part: in the middle of the third, then of the sixth part
        with pytest.raises(KeyboardInterrupt):
            sample(tmp_path / "killed", Counting(stop_after=stop))
    assert not json.loads((tmp_path / "killed" / "stages" / "sampling.json").read_text())["made"]
    last = Counting()
    resumed = sample(tmp_path / "killed", last)
    assert 0 < last.facts["bright"] < bright(whole), "the last process made only some of them"
    assert (resumed.seconds, resumed.facts) == (whole.seconds, whole.facts)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_a_part_without_its_account_is_made_again(sample: Sample, tmp_path: Path) -> None:
    whole = sample(tmp_path, Counting())
    before = content(tmp_path)
    for name in ("images/.part-1-fidelity-00002-of-00006.json", "stages/sampling.json"):
        (tmp_path / name).unlink()
    again = Counting()
    assert sample(tmp_path, again).facts == whole.facts
    assert 0 < len(again.seen) < bright(whole) and content(tmp_path) == before
    assert not list(tmp_path.rglob("*.draft"))


@pytest.mark.parametrize("damage", [b"", b"rot"])
def test_a_damaged_part_is_made_again_before_and_after_the_end(
    sample: Sample, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    whole = sample(tmp_path, Counting())
    before, part = content(tmp_path), tmp_path / "images" / "part-1-fidelity-00003-of-00006.parquet"
    for done in (True, False):
        caplog.clear()
        part.write_bytes(damage)
        if not done:
            (tmp_path / "stages" / "sampling.json").unlink()
        again = Counting()
        assert sample(tmp_path, again).facts == whole.facts and content(tmp_path) == before
        assert f"{part} is changed" in caplog.text and len(again.seen) < bright(whole)


def test_parts_of_other_settings_are_refused_without_a_mark_too(sample: Sample, tmp_path: Path) -> None:
    sample(tmp_path, Counting())
    (tmp_path / "stages" / "sampling.json").unlink()
    for account in (tmp_path / "images").glob(".part-*.json"):
        known = read_checked(account)
        assert known is not None
        write_checked(account, known | {"key": "another"})
    with pytest.raises(BenchError, match=r"part-1-fidelity-00000.* was made with other settings\. Give this run another name"):
        sample(tmp_path, Counting())


def test_a_part_that_was_not_moved_to_its_place_is_made_again(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", _stop_at_a_part(Path.replace))
        sample(tmp_path, Counting())
    assert not (tmp_path / "images" / ".part-1-fidelity-00000-of-00006.json").exists() and not content(tmp_path)
    whole = sample(tmp_path, Counting())
    assert whole.seconds == 8 and whole.facts["bright"] == bright(whole)


def _stop_at_a_part(replace: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    def stop(source: Path, target: Path) -> Path:
        if target.suffix == ".parquet":
            raise KeyboardInterrupt
        return replace(source, target)

    return stop


def test_several_processes_report_the_sum_of_their_counts(sample: Sample, tmp_path: Path) -> None:
    alone = sample(tmp_path / "one", Counting())
    generators = [Counting() for _ in range(3)]
    found = in_threads(lambda team: sample(tmp_path / "three", generators[team.rank], team), 3)
    assert all(each.facts == alone.facts for each in found), found
    assert all(0 < len(each.seen) < bright(alone) for each in generators)
    assert content(tmp_path / "three") == content(tmp_path / "one")


@pytest.mark.parametrize(
    ("uses", "expected"),
    [(["level", "dense"], []), (["dense"], ["level"]), ([], ["level"]), (["prompt"], [])],
)
def test_conditions_not_among_the_columns_used_are_unread(
    tiny_split: Split, uses: list[str], expected: list[str]
) -> None:
    assert unread(tiny_split.info, uses) == expected
