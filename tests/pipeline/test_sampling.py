"""What making the images cost and what was counted meanwhile, over kills and over several processes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Generator, Images, ImageSet, Request, Split
from bench.pipeline import image_parts
from bench.pipeline.requests import make_requests, requests_key
from bench.pipeline.sampling import Sampled, Sampling
from bench.pipeline.stage import result
from bench.pipeline.training import Training
from bench.runtime.processes import ALONE, Team
from bench.runtime.told import unread
from bench.storage.files import read_checked, write_checked
from generators.controls.holdout import Holdout
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
LIMITS = {"fidelity": None, "utility": 7, "privacy": 0}


@pytest.fixture
def sample(tiny_split: Split, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """Make the 24 + 7 images of two purposes in parts of 4; every part takes one second."""
    ticks = itertools.count()
    monkeypatch.setattr(image_parts, "PART", 4)
    monkeypatch.setattr(image_parts, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))

    def go(folder: Path, generator: Generator, team: Team = ALONE, seed: int = 0, **limits: int | None) -> Sampled:
        folder.mkdir(exist_ok=True)
        requests = make_requests(tiny_split, 0, LIMITS | limits)
        training = Training(folder / "fit", {}, generator, tiny_split, 0, folder, {"mode": "disabled"})
        key = {"seed": seed, "requests": requests_key(requests)}
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
    with pytest.raises(
        BenchError, match=r"part-1-fidelity-00000.* was made with other settings\. Give this run another name"
    ):
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


def everything(folder: Path) -> dict[str, bytes]:
    """All that sampling left but what it cost."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder / "stages"]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths if "fit" not in path.parts}
    mark = json.loads((folder / "stages" / "sampling.json").read_text())
    mark["note"].pop("fit_seconds")
    return found | {"mark": json.dumps(mark["note"]).encode(), "files": json.dumps(sorted(mark["files"])).encode()}


@pytest.mark.parametrize("first", [{"utility": 0}, {"fidelity": 0}])
def test_a_further_purpose_leaves_the_bytes_of_one_run_and_makes_only_its_own(
    sample: Sample, tmp_path: Path, first: dict[str, int]
) -> None:
    whole = sample(tmp_path / "whole", Counting())
    few = sample(tmp_path / "run", Counting(), **first)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "images").iterdir()}
    assert 0 < len(few.images) < len(whole.images)
    generator = Counting()
    both = sample(tmp_path / "run", generator)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    purposes = {name.split("-")[0] for name in generator.seen}
    assert purposes == set(first) and both.images.ids == whole.images.ids
    assert both.facts == whole.facts and both.facts["bright"] == bright(both)
    assert everything(tmp_path / "run") == everything(tmp_path / "whole")


def test_what_is_said_of_fewer_images_is_not_said_of_all(sample: Sample, tmp_path: Path) -> None:
    """Killed between the last part of a further purpose and the mark."""
    whole = sample(tmp_path / "whole", Counting())
    few = sample(tmp_path / "run", Counting(), utility=0)
    mark = (tmp_path / "run" / "stages" / "sampling.json").read_bytes()
    sample(tmp_path / "run", Counting())
    (tmp_path / "run" / "stages" / "sampling.json").write_bytes(mark)
    assert sample(tmp_path / "run", Counting()).facts == whole.facts != few.facts


def test_a_further_purpose_that_was_not_finished_is_named_and_can_be_gone_on_with(
    sample: Sample, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = sample(tmp_path / "whole", Counting())
    sample(tmp_path / "run", Counting(), utility=0)
    with pytest.raises(KeyboardInterrupt):
        sample(tmp_path / "run", Counting(stop_after=3))
    assert len(sample(tmp_path / "run", Counting(), utility=0).images) == 24
    assert "also holds 1 parts (utility) of a run that asked for more" in caplog.text
    with pytest.raises(BenchError, match=r"utility: 7 images there, 5 now\n.*requests\.utility=7"):
        sample(tmp_path / "run", Counting(), utility=5)
    assert sample(tmp_path / "run", Counting()).images.digest == whole.images.digest
    assert content(tmp_path / "run") == content(tmp_path / "whole")


class Unable(Counting):
    def plan(self, requests: Sequence[Request]) -> None:
        raise BenchError("too few images")


def test_a_run_that_failed_before_its_first_image_stops_no_other(sample: Sample, tmp_path: Path) -> None:
    for limits in ({}, {"fidelity": 3}):
        with pytest.raises(BenchError, match="too few images"):
            sample(tmp_path, Unable(), **limits)
    assert len(sample(tmp_path, Counting(), seed=1, fidelity=5).images) == 12
    with pytest.raises(BenchError, match=r"other settings:\n  seed: 1 there, 0 now"):
        sample(tmp_path, Counting(), fidelity=5)


def test_images_that_a_failed_run_made_are_not_lost_to_other_settings(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sample(tmp_path, Counting(stop_after=3))
    for seed, limits, message in ((1, {}, "seed: 0 there, 1 now"), (0, {"fidelity": 20}, "24 images there, 20 now")):
        with pytest.raises(BenchError, match=message):
            sample(tmp_path, Counting(), seed=seed, **limits)
    assert len(sample(tmp_path, Counting(), utility=3).images) == 27, "of utility no image was there"


def test_other_requests_are_told_by_their_numbers(sample: Sample, tmp_path: Path) -> None:
    sample(tmp_path, Counting())
    with pytest.raises(BenchError) as error:
        sample(tmp_path, Counting(), fidelity=20, utility=0)
    lines = str(error.value).splitlines()
    assert lines[1:3] == ["  requests.fidelity: 24 images there, 20 now", "  requests.utility: 7 images there, 0 now"]
    assert "requests.fidelity=24 requests.utility=7" in lines[3] and "name=my_variant" in lines[3]
    assert len(sample(tmp_path, Counting(), fidelity=24).images) == 31


def test_repeated_pictures_are_counted_and_told(
    sample: Sample, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Speckled(Counting):
        def sample(self, requests: Sequence[Request]) -> Images:
            images = np.stack([np.full((32, 32), int(each.request_id[-2:]) % 9, np.uint8) for each in requests])
            images[:, 0, 0] = 255
            return images

    assert sample(tmp_path / "counting", Counting()).repeated == 0 and "repeat" not in caplog.text
    # levels 0 to 8, twice and then six; seven of the other purpose all differ
    assert sample(tmp_path / "speckled", Speckled()).repeated == 15
    assert "15 of 31 images repeat another of their purpose, first fidelity-000009 = fidelity-000000" in caplog.text


@pytest.mark.parametrize(
    ("uses", "expected"),
    [(["level", "dense"], []), (["dense"], ["level"]), ([], ["level"]), (["prompt"], [])],
)
def test_conditions_not_among_the_columns_used_are_unread(
    tiny_split: Split, uses: list[str], expected: list[str]
) -> None:
    assert unread(tiny_split.info, uses) == expected


class Visiting(Counting):
    """Says of whom its images are: of two real people in turn, and every third of nobody's."""

    def __init__(self, missing: int = 0) -> None:
        super().__init__()
        self.missing = missing

    def patients(self, requests: Sequence[Request]) -> Sequence[str | None]:
        numbers = [int(each.request_id[-6:]) for each in requests]
        return [None if i % 3 == 2 else f"real person {i % 3}" for i in numbers][self.missing :]


def test_images_of_one_patient_are_known_by_the_first_of_them_and_no_name_is_kept(
    sample: Sample, tmp_path: Path
) -> None:
    """Across parts, within a purpose; the pixels are those of a generator that names nobody."""
    made = sample(tmp_path / "visiting", Visiting()).images
    expected = []
    for name, purpose in zip(made.ids, made.column("purpose"), strict=True):
        place = int(name[-6:]) % 3
        expected.append(name if place == 2 else f"{purpose}-{place:06d}")
    assert made.patients == expected and len(set(expected[:24])) == 2 + 8
    kept = [path.read_bytes() for path in (tmp_path / "visiting").rglob("*") if path.is_file()]
    assert not any(b"real person" in content for content in kept)
    other = sample(tmp_path / "counting", Counting()).images
    assert other.patients == other.ids and other.column("pixel_hash") == made.column("pixel_hash")


def test_patients_of_another_number_than_requests_are_refused(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"Visiting.patients named 30 for 31 requests; needed one, or None, for each"):
        sample(tmp_path, Visiting(missing=1))


def test_the_images_of_a_control_belong_together_as_the_real_ones_do(tiny_split: Split, tmp_path: Path) -> None:
    owners = [f"{i // 3}" for i in range(len(tiny_split.holdout))]
    rows = tiny_split.holdout.rows.remove_columns("patient_id").add_column("patient_id", owners)
    split = replace(tiny_split, holdout=ImageSet(rows, tiny_split.info))
    requests = make_requests(split, 0, {}, ["fidelity"])
    training = Training(tmp_path / "fit", {}, Holdout(), split, 0, tmp_path, {"mode": "disabled"})
    sampled = result(Sampling(tmp_path, {"requests": requests_key(requests)}, training, requests, 0), ALONE)
    real = dict(zip(split.holdout.column("pixel_hash"), owners, strict=True))
    owner = [real[each] for each in sampled.images.column("pixel_hash")]
    pairs = set(zip(sampled.images.patients, owner, strict=True))
    assert len(pairs) == len(set(sampled.images.patients)) == len(set(owner)) == 8
    assert set(sampled.images.patients) <= set(sampled.images.ids)
    assert sampled.facts["matched"]["fidelity"]["level"] == {"1": 1, "2": 1, "3": 1, "4": 1}
    assert sampled.uses == ("level", "dense")
