"""The split of a data set is written so that others can honour it, and states what it is."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from bench.api import BenchError, Split
from bench.datasets.nih_cxr14 import NihCxr14
from bench.split.parts import KINDS, PARTS, description, file_names
from bench.split.place import put
from tests.datasets.test_nih_cxr14 import official


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("nih")
    return NihCxr14(str(official(folder / "nih")), image_size=24).load(folder / "cache")


def written(split: Split, kind: str, out: Path) -> dict[str, Any]:
    assert put(out, description(split, kind, {}), lambda folder: KINDS[kind](split, folder))
    found: dict[str, Any] = json.loads((out / "split.json").read_text())
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_lists_name_every_image_with_all_that_is_known_of_it(split: Split, tmp_path: Path) -> None:
    told = written(split, "lists", tmp_path / "out")
    for name in PARTS:
        part, rows = getattr(split, name), rows_of(tmp_path / "out" / f"{name}.csv")
        assert [row["image_id"] for row in rows] == part.ids
        assert [row["patient_id"] for row in rows] == part.patients
        assert [row["Pneumonia"] for row in rows] == [str(value) for value in part.column("Pneumonia")]
        assert told["parts"][name] == {
            "images": len(part),
            "patients": len(set(part.patients)),
            "digest": part.unordered_digest,
        }
    assert (told["digest"], told["membership"], told["dataset"]) == (split.digest, split.membership, "nih_cxr14")
    assert told["membership"] in told["use"]


def test_folders_hold_the_images_and_are_read_as_an_imagefolder(split: Split, tmp_path: Path) -> None:
    written(split, "imagefolder", tmp_path / "out")
    for name in PARTS:
        part = getattr(split, name)
        read = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out" / name), split="train")
        assert sorted(read["image_id"]) == sorted(part.ids)
        place = part.ids.index(read[0]["image_id"])
        assert np.array_equal(np.asarray(read[0]["image"]), part.pixels([place])[0])


def test_parquet_holds_the_same_images(split: Split, tmp_path: Path) -> None:
    written(split, "parquet", tmp_path / "out")
    files = {name: str(tmp_path / "out" / f"{name}.parquet") for name in PARTS}
    read = datasets.load_dataset("parquet", data_files=files)
    for name in PARTS:
        part = getattr(split, name)
        assert read[name]["image_id"] == part.ids
        assert np.array_equal(np.asarray(read[name][0]["image"]), part.pixels([0])[0])


def test_the_membership_is_that_of_any_size_and_the_digest_is_not(split: Split, tmp_path: Path) -> None:
    root = official(tmp_path / "nih")
    other = NihCxr14(str(root), image_size=16).load(tmp_path / "cache")
    assert other.membership == split.membership and other.digest != split.digest
    moved = NihCxr14(str(root), image_size=16, holdout_fraction=0.5).load(tmp_path / "cache")
    assert moved.membership != split.membership


def test_the_same_split_is_found_and_another_is_not_written_over_it(split: Split, tmp_path: Path) -> None:
    out, told = tmp_path / "out", description(split, "lists", {})
    written(split, "lists", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert not put(out, told, lambda folder: pytest.fail("written again"))
    for other in ({**told, "kind": "parquet"}, {**told, "membership": "0" * 16}):
        with pytest.raises(BenchError, match="holds something else already"):
            put(out, other, lambda folder: None)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_is_interrupted_leaves_nothing(split: Split, tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "train.csv").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        put(tmp_path / "out", description(split, "lists", {}), broken)
    assert list(tmp_path.iterdir()) == []


def test_ids_become_different_names_of_files() -> None:
    names = file_names(["a/b", "a_b", "A_B", "../x", ".hidden", "ä", "c"])
    assert len({name.casefold() for name in names}) == 7
    assert all("/" not in name and not name.startswith(".") for name in names)
    assert names[-1] == "c.png"
