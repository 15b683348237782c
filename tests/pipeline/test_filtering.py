"""The filter stage: verdicts on the record, resumed after a kill, and nothing changed where there is none."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, FeatureReader, Filter, ImageSet, Rows, Split, Verdict
from bench.pipeline.filtering import Filtered, Filtering, described, kept_ids, remove_reports
from bench.pipeline.stage import result
from bench.storage.record import RunRecord
from tests.pipeline.test_run import configure, start
from tests.toy import INFO, draw, image_set


class Bright(Filter):
    """Keeps images brighter than a limit; may stop after some blocks, as a kill would."""

    block = 3
    facts: dict[str, Any] = {"lamp": "on"}  # noqa: RUF012 - as a plug-in writes it

    def __init__(self, limit: float = 40, stop_after: int | None = None) -> None:
        self.id = f"bright-1 limit={limit}"
        self.limit, self.left, self.seen = limit, stop_after, list[str]()

    def __call__(self, images: ImageSet, split: Split, features: FeatureReader) -> list[Verdict]:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.seen += images.ids
        means = [float(image.mean()) for image in images.pixels()]
        return [Verdict(mean > self.limit, "bright" if mean > self.limit else "dark", "mean", mean) for mean in means]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Ten generated images; every other one is dark."""
    rng = np.random.default_rng(0)
    return image_set(
        [draw(rng, 4, 32) if i % 2 else draw(rng, 1, 32) // 4 for i in range(10)],
        INFO,
        tmp_path_factory.mktemp("made") / "set",
        "r",
        prompt="a",
        purpose=["fidelity"] * 6 + ["utility"] * 4,
        labels={"level": 1, "dense": 0},
        attributes={"laterality": "L"},
    )


def no_features(encoder: str, images: ImageSet) -> Rows:
    raise AssertionError("this filter reads no features")


def test_another_code_of_an_encoder_judges_anew(tiny_split: Split, tmp_path: Path, made: ImageSet) -> None:
    seen = []
    for code in ("one", "one", "two"):
        judge = Bright()
        key = described(judge, {}) | {"code": {"radiomics": code}}
        result(Filtering(tmp_path, key, judge, tiny_split, no_features, made))
        seen.append(len(judge.seen))
    assert seen == [10, 0, 10]


@pytest.fixture
def stage(tiny_split: Split, tmp_path: Path, made: ImageSet) -> Callable[[Filter], Filtered]:
    """Apply a filter to the ten images in one folder."""

    def go(judge: Filter) -> Filtered:
        return result(Filtering(tmp_path, described(judge, {}), judge, tiny_split, no_features, made))

    return go


def test_kept_images_go_on_and_every_verdict_is_written(stage: Any, tmp_path: Path) -> None:
    kept = stage(Bright())
    assert kept.images.ids == ["r1", "r3", "r5", "r7", "r9"] and kept.counts == {"kept": 5, "dropped": 5}
    report = json.loads((tmp_path / "filter.json").read_text())
    assert report["counts"] == {"judged": 10, "kept": 5, "dropped": 5}
    assert report["by_grade"] == {"bright": {"kept": 5, "dropped": 0}, "dark": {"kept": 0, "dropped": 5}}
    assert report["by_purpose"] == {"fidelity": {"kept": 3, "dropped": 3}, "utility": {"kept": 2, "dropped": 2}}
    assert report["key"]["filter"]["id"] == "bright-1 limit=40" and report["facts"] == {"lamp": "on"}
    with (tmp_path / "filter.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["keep"] for row in rows] == ["no", "yes"] * 5
    assert rows[0]["grade"] == "dark" and float(rows[0]["value"]) < 40 and rows[7]["purpose"] == "utility"
    assert kept_ids(tmp_path, kept.report) == dict.fromkeys(kept.images.ids, "bright")


def test_a_killed_filter_goes_on_where_it_was(stage: Any, tmp_path: Path) -> None:
    whole = stage(Bright())
    written = {name: (tmp_path / name).read_bytes() for name in ("filter.json", "filter.csv")}
    straight = {path: path.read_bytes() for path in (tmp_path / ".filter").glob("*.jsonl")}
    assert len(straight) == 2
    for path in (*straight, tmp_path / "filter.json", tmp_path / "filter.csv", tmp_path / "stages" / "filtering.json"):
        path.unlink()
    with pytest.raises(KeyboardInterrupt):
        stage(Bright(stop_after=3))
    assert not (tmp_path / "filter.json").exists()
    journal = min(straight, key=lambda path: path.stat().st_size)
    journal.write_bytes(journal.read_bytes() + b'[{"keep": true, "gra')  # torn by the kill
    resumed = Bright()
    assert stage(resumed).images.digest == whole.images.digest
    assert resumed.seen == ["r9"]
    assert straight == {path: path.read_bytes() for path in straight}
    assert written == {name: (tmp_path / name).read_bytes() for name in written}


def test_the_same_filter_again_judges_nothing_and_another_everything(stage: Any, tmp_path: Path) -> None:
    stage(Bright())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("filter.*")}
    again, other = Bright(), Bright(limit=0)
    stage(again)
    assert not again.seen and before == {path: path.stat().st_mtime_ns for path in before}
    assert len(stage(other).images) == len(other.seen) == 10


def test_images_of_a_further_purpose_are_judged_alone(
    stage: Any, tiny_split: Split, tmp_path: Path, made: ImageSet
) -> None:
    first = Bright()
    few = made.select(range(6))
    result(Filtering(tmp_path, described(first, {}) | {"images": few.digest}, first, tiny_split, no_features, few))
    assert first.seen == made.ids[:6]
    later, alone = Bright(), tmp_path / "alone"
    key = described(later, {}) | {"images": made.digest}
    kept = result(Filtering(tmp_path, key, later, tiny_split, no_features, made))
    assert later.seen == made.ids[6:]
    whole = result(Filtering(alone, key, Bright(), tiny_split, no_features, made))
    assert kept.images.digest == whole.images.digest and kept.report == whole.report
    assert (tmp_path / "filter.csv").read_bytes() == (alone / "filter.csv").read_bytes()


def test_a_purpose_without_an_image_is_refused_with_the_grades(stage: Any, tmp_path: Path) -> None:
    with pytest.raises(
        BenchError, match=r"leaves no image for fidelity, utility \(all 10 by grade: dark 10(.|\n)*none"
    ):
        stage(Bright(limit=300))
    assert (tmp_path / "filter.csv").exists()


def test_a_filter_with_a_bug_is_named(stage: Any) -> None:
    class Short(Bright):
        def __call__(self, images: ImageSet, split: Split, features: FeatureReader) -> list[Verdict]:
            return super().__call__(images, split, features)[:-1]

    with pytest.raises(BenchError, match=r"bright-1 limit=40 gave 2 verdicts for 3 images"):
        stage(Short())
    for grade, value in (("", 1.0), ("good", float("nan"))):
        with pytest.raises(ValueError, match="the filter has a bug"):
            Verdict(True, grade, "", value)


def test_changed_verdicts_are_noticed(stage: Any, tmp_path: Path, made: ImageSet) -> None:
    report = stage(Bright()).report
    table = tmp_path / "filter.csv"
    table.write_text(table.read_text().replace("no", "yes", 1))
    with pytest.raises(BenchError, match=r"filter\.csv is missing or changed"):
        kept_ids(tmp_path, report)
    remove_reports(tmp_path)
    assert not table.exists()


def test_verdicts_of_another_filter_are_not_taken_for_those_on_record(stage: Any, tmp_path: Path) -> None:
    first = stage(Bright(limit=40))
    same_images = stage(Bright(limit=41))
    assert same_images.images.digest == first.images.digest and same_images.report != first.report
    with pytest.raises(BenchError, match=r"speak of, but of bright-1 limit=41; another run .* stopped on the way"):
        kept_ids(tmp_path, first.report)
    assert stage(Bright(limit=40)).report == first.report
    assert kept_ids(tmp_path, first.report)


RUN = ["generator=pca", "evaluator=[fidelity]", "encoder=[pixels]", "dataset.n_train=80", "dataset.n_test=60"]


def test_a_run_measures_what_is_kept_and_says_so(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "run"
    plain = start(configure(cache, *RUN), folder)
    before = (folder / "run.json").read_bytes(), (folder / "scores" / "fidelity.json").read_bytes()
    assert b"filter" not in before[0] + before[1]
    settings = ["filter=manifold", "filter.encoder=pixels", "filter.quantile=0.5"]
    filtered = start(configure(cache, *RUN, *settings), folder)
    counts = filtered.record.images
    assert counts["kept"] + counts["dropped"] == counts["made"] and counts["kept"] and counts["dropped"]
    fidelity = filtered.records["fidelity"]
    assert fidelity.protocol["filter"]["id"].startswith("manifold-2 pixels raw neighbour=5 quantile=0.5")
    assert set(fidelity.protocol["filter"]["encoders"]) == {"pixels"}
    fewer, all_ = ([score.n for score in each.scores] for each in (fidelity, plain.records["fidelity"]))
    assert sum(fewer) < sum(all_)
    assert RunRecord.model_validate_json((folder / "run.json").read_bytes()).digests["kept"]
    start(configure(cache, *RUN), folder)
    assert (folder / "scores" / "fidelity.json").read_bytes() == before[1]
    assert b"filter" not in (folder / "run.json").read_bytes() and not (folder / "filter.json").exists()


def test_a_filter_that_cannot_work_stops_before_any_image_is_made(tmp_path: Path) -> None:
    for settings, message in (
        (["filter=vision_language"], r"filter\.path is not set"),
        (["filter=manifold", "filter.encoder=rad_dino"], r"encoder 'rad_dino' is not configured"),
        (["filter=manifold", "filter.quantile=1"], r"quantile=1"),
    ):
        with pytest.raises(BenchError, match=message):
            start(configure(tmp_path / "cache", *RUN, *settings), tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()
