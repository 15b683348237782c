"""Images and a table as they came: names as people write them, parts by patient, and what does not match."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Split
from bench.datasets.imagefolder import ImageFolder
from tests.datasets.test_own_sizes import pictures
from tests.storage.test_dicom import VALUES, saved, scan

SETTINGS: dict[str, Any] = {"table": "mine.csv", "file_column": "Image", "patient_column": "Subject"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "in").mkdir(parents=True)
    pictures(tmp_path / "data" / "in", [(20, 20)] * 12)
    return tmp_path / "data"


def load(root: Path, names: list[str], column: list[str] | None = None, **settings: Any) -> Split:
    with (root / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Image", "Subject", "Part"])
        writer.writerows([name, f"p{i // 2}", (column or [""] * 12)[i]] for i, name in enumerate(names))
    return ImageFolder(str(root), **(SETTINGS | settings)).load(root.parent / "cache")


def ids(split: Split) -> list[str]:
    return sorted([*split.train.ids, *split.holdout.ids, *split.test.ids])


FORMS = {
    "path": "in/{}.png",
    "path without suffix": "in/{}",
    "name": "{}.png",
    "name without suffix": "{}",
    "another folder": "data\\scans\\{}.png",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_may_name_files_as_it_likes(form: str, root: Path) -> None:
    split = load(root, [FORMS[form].format(f"{i:02d}") for i in range(12)], test_fraction=0.4)
    assert ids(split) == [f"in/{i:02d}" for i in range(12)]


def test_a_name_of_two_files_is_refused(root: Path) -> None:
    (root / "again").mkdir()
    (root / "again" / "03.png").write_bytes((root / "in" / "03.png").read_bytes())
    with pytest.raises(BenchError, match=r"mine.csv line 5, column 'Image': got '03', .* again/03.png, in/03.png"):
        load(root, [f"{i:02d}" for i in range(12)], test_fraction=0.4)


def test_parts_are_divided_by_patient_and_by_a_seed_of_their_own(root: Path) -> None:
    names = [f"{i:02d}" for i in range(12)]
    split = load(root, names, test_fraction=0.34)
    patients = [set(part.patients) for part in (split.train, split.holdout, split.test)]
    assert [len(each) for each in patients] == [3, 1, 2] and len(set.union(*patients)) == 6
    tests = {tuple(load(root, names, test_fraction=0.34, split_seed=seed).test.ids) for seed in range(4)}
    assert len(tests) > 1 and tuple(load(root, names, test_fraction=0.34).test.ids) in tests


def test_a_split_column_may_have_words_of_its_own(root: Path) -> None:
    names, parts = [f"{i:02d}" for i in range(12)], ["Training"] * 6 + ["Validation"] * 2 + ["Testing"] * 4
    words = {"Training": "train", "Validation": "train", "Testing": "test"}
    split = load(root, names, parts, split_column="Part", split_names=words)
    assert split.test.ids == ["in/08", "in/09", "in/10", "in/11"]
    with pytest.raises(BenchError, match=r"line 8, column 'Part': got 'Validation', needed Training or Testing"):
        load(root, names, parts, split_column="Part", split_names={"Training": "train", "Testing": "test"})


def test_what_does_not_match_is_refused_or_left_out_and_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [*(f"{i:02d}" for i in range(10)), "gone"]
    with pytest.raises(BenchError, match=r"line 12, column 'Image': got 'gone', .*unmatched=leave_out"):
        load(root, names, test_fraction=0.4)
    with pytest.raises(BenchError, match=r"2 image files have no row in .*mine.csv"):
        load(root, names[:10], test_fraction=0.4)
    with caplog.at_level(logging.INFO):
        split = load(root, names, test_fraction=0.4, unmatched="leave_out")
    assert ids(split) == [f"in/{i:02d}" for i in range(10)]
    assert "10 images; left out are 1 rows without an image file and 2 image files without a row" in caplog.text


def test_without_a_table_every_image_counts_if_that_is_stated(root: Path) -> None:
    split = ImageFolder(str(root), patient_column=None, test_fraction=0.25).load(root.parent)
    assert ids(split) == [f"in/{i:02d}" for i in range(12)] and len(split.test) == 3
    assert split.test.patients == split.test.ids
    with pytest.raises(BenchError, match=r"no table, but dataset.patient_column name columns"):
        ImageFolder(str(root), test_fraction=0.25).load(root.parent)
    with pytest.raises(BenchError, match=r"has no table, needed .*python -m bench.describe"):
        ImageFolder(str(root), patient_column=None).load(root.parent)


def test_folders_train_and_test_are_the_split_where_there_is_no_table(tmp_path: Path) -> None:
    root = tmp_path / "bare"
    for part, count in (("train", 12), ("test", 5)):
        (root / part).mkdir(parents=True)
        pictures(root / part, [(16, 16 + (part == "test"))] * count)
    split = ImageFolder(str(root), patient_column=None, image_size=16).load(tmp_path)
    assert (len(split.train) + len(split.holdout), len(split.test)) == (12, 5)
    assert all(name.startswith("test/") for name in split.test.ids)
    first = min((root / "train").iterdir())
    first.rename(root / first.name)
    with pytest.raises(BenchError, match="no table"):
        ImageFolder(str(root), patient_column=None, image_size=16).load(tmp_path)


def test_dicom_headers_say_whose_the_images_are_where_there_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for index in range(20):
        values = np.random.default_rng(index).integers(0, 4000, (16, 16)).astype(np.uint16)
        data = scan(values, PatientID=f"P{index // 2}", ViewPosition="PA")
        (tmp_path / "scans" / f"{index:02}.dcm").write_bytes(saved(data))
    settings = {"patient_column": "PatientID", "attributes": ["view"], "test_fraction": 0.2, "image_size": 16}
    split = ImageFolder(str(tmp_path / "scans"), **settings).load(tmp_path)
    assert len(set(split.test.patients)) == 2 and len(split.test) == 4
    assert set(split.train.column("view")) == {"PA"}
    data = scan(VALUES[:16, :16], PatientID="")
    (tmp_path / "scans" / "99.dcm").write_bytes(saved(data))
    with pytest.raises(BenchError, match=r"99\.dcm, column 'PatientID': got ''"):
        ImageFolder(str(tmp_path / "scans"), **settings).load(tmp_path)
