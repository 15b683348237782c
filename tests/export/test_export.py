"""Giving a finished set away: what is written, what the library reads back, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import yaml

from bench.api import BenchError
from bench.export import images as module
from bench.export.dataset_card import size_category
from bench.export.images import export
from bench.pipeline.requests import PURPOSES
from bench.storage.image_reader import pixel_hash
from tests.conftest import ROOT
from tests.pipeline.test_run import configure, start

CHOICES = [
    "generator=pca",
    "evaluator=[fidelity,card]",
    "encoder=[radiomics,pixels]",
    "dataset.n_train=80",
    "dataset.n_test=60",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    start(configure(cache, *CHOICES), folder)
    # the images of the purposes that these evaluators do not read
    start(configure(cache, *("evaluator=[]" if each.startswith("evaluator") else each for each in CHOICES)), folder)
    return folder


@pytest.fixture
def altered(finished: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the run whose record says something else."""

    def change(**fields: Any) -> Path:
        folder = tmp_path / "altered"
        shutil.copytree(finished, folder)
        record = json.loads((folder / "run.json").read_text())
        record["info"] |= fields.pop("info", {})
        (folder / "run.json").write_text(json.dumps(record | fields))
        return folder

    return change


def load(out: Path, cache: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(out), split="train", cache_dir=str(cache))


def test_the_datasets_library_reads_it_without_a_script(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = export(finished, out)
    rows = load(out, tmp_path / "cache")
    made = datasets.Dataset.from_parquet([str(path) for path in sorted((finished / "images").glob("*.parquet"))])
    assert len(rows) == len(made) == written.rows
    assert rows.column_names[:4] == ["image", "filename", "prompt", "labels_dict"]
    for mine, theirs in zip(rows, made, strict=True):
        assert pixel_hash(np.asarray(mine["image"])) == theirs["pixel_hash"] == mine["pixel_hash"]
        assert mine["filename"] == f"{theirs['image_id']}.png" and mine["request_ids"] == [theirs["image_id"]]
        assert mine["labels_dict"] == {name: theirs[name] for name in mine["labels_dict"]}
        assert mine["purposes"] == [theirs["purpose"]] and mine["masking_level"] == theirs["masking_level"]
        assert mine["prompt"] is None, "pca reads no prompt"
    assert not {"source", "patient_id", "grade"} & {*rows.column_names}


def test_each_image_is_written_once(cache: Path, tmp_path: Path) -> None:
    """500 files that served three purposes made a set of 1,126 rows: here 40 files for 120 requests."""
    from PIL import Image

    files = tmp_path / "files"
    files.mkdir()
    for index in range(40):
        picture = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(picture).save(files / f"{index:02d}.png")
    made = ["generator=folder", f"generator.path={files}", "evaluator=[]", *CHOICES[2:]]
    start(configure(cache, *made, *(f"requests.{each}=40" for each in PURPOSES)), tmp_path / "run")
    written = export(tmp_path / "run", tmp_path / "out")
    rows = load(tmp_path / "out", tmp_path / "hf")
    assert written.rows == len(rows) == len(set(rows["pixel_hash"])) == 40
    assert written.purposes == dict.fromkeys(PURPOSES, 40)
    requested = {str(name) for ids in rows["request_ids"] for name in ids}
    assert len(requested) == 120 and all(purposes == list(PURPOSES) for purposes in rows["purposes"])
    made = datasets.Dataset.from_parquet([str(path) for path in sorted((tmp_path / "run/images").glob("*.parquet"))])
    asked = dict(zip(made["image_id"], made["masking_level"], strict=True))
    for row in rows:
        levels = {asked[name] for name in row["request_ids"]}
        assert (
            row["masking_level"] == row["labels_dict"]["masking_level"] == (levels.pop() if len(levels) == 1 else None)
        )
    text = (tmp_path / "out" / "README.md").read_text()
    assert "num_examples: 40" in text and "n<1K" in text
    assert "| all | 120 | 120 |" in text and "holds 40 different images, each once" in text
    only = export(tmp_path / "run", tmp_path / "only", "utility")
    assert only.rows == 40 and only.purposes == {"utility": 40}


def test_only_what_was_asked_for_leaves_the_house(finished: Path, altered: Callable[..., Path], tmp_path: Path) -> None:
    """The run's own files hold every column of the request, measurements of the real woman included."""
    record = json.loads((finished / "run.json").read_text())
    measured = set(record["info"]["attributes"]) | {"If_cancer"}
    made = datasets.Dataset.from_parquet([str(path) for path in sorted((finished / "images").glob("*.parquet"))])
    assert measured <= set(made.column_names)
    export(finished, tmp_path / "out")
    rows = load(tmp_path / "out", tmp_path / "cache")
    assert not measured & set(rows.column_names) and set(rows[0]["labels_dict"]) == {"masking_level"}
    body = (tmp_path / "out" / "README.md").read_text()
    assert "percent_density" not in body and not [value for value in made["percent_density"] if value in body]
    told = altered(facts={**record["facts"], "columns_used": ["prompt", "laterality"]})
    export(told, tmp_path / "told")
    rows = load(tmp_path / "told", tmp_path / "cache")
    assert rows[0]["prompt"] == made[0]["prompt"] and rows[0]["laterality"] == made[0]["laterality"]
    assert "percent_density" not in rows.column_names


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"trained_on": "unknown"}, "unknown"),
        ({"trained_on": "unknown", "trained_on_stated": "yes"}, "unknown"),
        ({"trained_on": "train"}, "train"),
        ({"trained_on": "train", "trained_on_stated": "elsewhere"}, "train, as stated"),
        ({}, "not recorded"),
    ],
)
def test_the_card_claims_no_training_it_does_not_know_of(
    altered: Callable[..., Path], tmp_path: Path, facts: dict[str, str], words: str
) -> None:
    export(altered(facts=facts), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"| trained on | {words} |" in text and "learned from |" not in text


def test_row_groups_are_small_and_shards_numbered(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 20_000)
    export(finished, tmp_path / "out")
    paths = sorted((tmp_path / "out" / "data").iterdir())
    assert len(paths) > 1 and paths[0].name == f"train-00000-of-{len(paths):05d}.parquet"
    for path in paths:
        metadata = pyarrow.parquet.read_metadata(path)
        assert max(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)) <= 100
    assert (
        len(load(tmp_path / "out", tmp_path / "cache"))
        == json.loads((finished / "run.json").read_text())["images"]["made"]
    )


def test_the_card_has_front_matter_licence_counts_and_scores(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = export(finished, out, "utility")
    text = (out / "README.md").read_text()
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    head = yaml.safe_load(front)
    assert head["license"] == "other" and head["size_categories"] == [size_category(written.rows)]
    assert head["dataset_info"]["splits"][0]["num_examples"] == written.rows
    assert {each["name"] for each in head["dataset_info"]["features"]} >= {"image", "filename", "prompt", "labels_dict"}
    record = json.loads((finished / "run.json").read_text())
    asked = record["images"]
    assert written.purposes == {"utility": asked["utility"]}
    assert (
        f"| utility | {asked['utility']} | {written.rows} |" in body
        and f"| fidelity | {asked['fidelity']} | 0 |" in body
    )
    assert record["info"]["licence"] in body and record["digests"]["images"] in body and "synthetic" in body
    scores = json.loads((finished / "scores" / "fidelity.json").read_text())["scores"]
    shown = next(each for each in scores if each["group"] == "all" and each["value"] is not None)
    assert f"{shown['value']:.4g}" in body
    assert "## Card" in body and "\n### " in body.split("## Card")[1]
    assert datasets.load_dataset_builder(str(out)).info.splits["train"].num_examples == written.rows


def test_a_purpose_without_images_is_named_with_the_remedy(cache: Path, tmp_path: Path) -> None:
    start(configure(cache, "generator=noise", "evaluator=[fidelity]", *CHOICES[2:]), tmp_path / "run")
    with pytest.raises(
        BenchError, match=r"for purpose=utility; it has \{'fidelity': 60\}.*evaluator=\[\] makes images"
    ):
        export(tmp_path / "run", tmp_path / "out", "utility")


def test_only_what_a_filter_kept_is_exported_with_its_grade(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ["filter=manifold", "filter.encoder=pixels", "filter.quantile=0.5"]
    record = start(configure(cache, *CHOICES, *settings), folder).record
    written = export(folder, tmp_path / "out")
    rows = load(tmp_path / "out", tmp_path / "hf")
    assert written.rows == len(rows) == record.images["kept"] < record.images["made"]
    assert set(rows["grade"]) == {"inside"}
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"kept {record.images['kept']} and dropped {record.images['dropped']}" in text and "| outside | 0 |" in text
    (folder / "filter.csv").unlink()
    with pytest.raises(BenchError, match=r"filter\.csv is missing or changed"):
        export(folder, tmp_path / "again")


def test_a_filtering_killed_before_its_scores_is_not_exported(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    lenient, strict = (
        [*CHOICES, "evaluator=[fidelity]", "filter=manifold", "filter.encoder=pixels", f"filter.quantile={quantile}"]
        for quantile in (0.9, 0.5)
    )
    start(configure(cache, *lenient), folder)
    before = (folder / "run.json").read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("bench.pipeline.evaluation.Evaluation.make", _interrupt)
        start(configure(cache, *strict), folder)
    assert (folder / "run.json").read_bytes() == before
    with pytest.raises(BenchError, match=r"not those of the filtering that run\.json .* of manifold-2 .*quantile=0\.5"):
        export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    start(configure(cache, *lenient), folder)
    assert (folder / "run.json").read_bytes() == before
    assert export(folder, tmp_path / "out").rows == json.loads(before)["images"]["kept"]


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_unfinished_and_failed_runs_are_refused(altered: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="has no run"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(BenchError, match=r"status is failed .* until it is ok"):
        export(altered(status="failed"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_real_images_leave_only_where_they_may(altered: Callable[..., Path], tmp_path: Path) -> None:
    folder = altered(shows_real=True, info={"redistributable": False})
    with pytest.raises(BenchError, match=r"shows real images of phantom, which may not be passed on"):
        export(folder, tmp_path / "out")
    record = json.loads((folder / "run.json").read_text())
    record["info"]["redistributable"] = True
    (folder / "run.json").write_text(json.dumps(record))
    export(folder, tmp_path / "out")
    assert "These are real images" in (tmp_path / "out" / "README.md").read_text()


def test_what_was_changed_is_noticed_and_nothing_is_left_behind(altered: Callable[..., Path], tmp_path: Path) -> None:
    folder = altered()
    for name in ("scores/fidelity.json", "card.md", next((folder / "images").glob("*.parquet")).relative_to(folder)):
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        with pytest.raises(BenchError, match=rf"{path.name} is (missing or )?changed"):
            export(folder, tmp_path / "out")
        path.write_bytes(before)
    (tmp_path / "taken").mkdir()
    with pytest.raises(BenchError, match="is there already"):
        export(folder, tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["altered", "taken"]


def test_a_label_that_takes_a_columns_name_is_refused(altered: Callable[..., Path], tmp_path: Path) -> None:
    label = {"name": "grade", "kind": "binary", "values": [0, 1], "names": []}
    with pytest.raises(BenchError, match=r"\['grade'\] have names that the export needs"):
        export(altered(info={"labels": [label], "conditions": ["grade"]}), tmp_path / "out")


def test_the_card_cannot_be_broken_by_what_it_quotes(altered: Callable[..., Path], tmp_path: Path) -> None:
    export(altered(info={"licence": "a|b\n<script>", "title": "x: [y"}), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "a\\|b &lt;script>" in text and yaml.safe_load(text.split("---\n")[1])["pretty_name"].startswith("x: [y")


def test_the_command_says_what_is_wrong_and_leaves_with_1(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(finished), str(tmp_path / "out")]
    command = [sys.executable, "-m", "bench.export", *arguments, "--purpose", "privacy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "images in" in done.stderr, done.stderr
    monkeypatch.setattr(sys, "argv", ["bench.export.images", *arguments])
    with pytest.raises(SystemExit, match="is there already"):
        module.main()


def test_sizes_have_the_hubs_names() -> None:
    names = [size_category(count) for count in (999, 1000, 75_649, 10**7)]
    assert names == ["n<1K", "1K<n<10K", "10K<n<100K", "n>10M"]
