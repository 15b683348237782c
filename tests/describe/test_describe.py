"""Folders and tables as people have them: what is found, what is said, and that the settings work as they are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from PIL import Image

import bench.runtime.variant  # noqa: F401 - the default name, which a run's loader brings along
from bench.api import BenchError, Dataset, Split
from bench.datasets.named_files import NamedFiles
from bench.describe.columns import Table, understand
from bench.describe.command import describe
from bench.runtime.plugins import build
from bench.runtime.search import CONFIGURATION
from bench.runtime.settings import check_settings
from tests.storage.test_dicom import saved, scan

COUNT = 60


def images(folder: Path, count: int = COUNT, size: tuple[int, int] = (20, 16)) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        picture = np.random.default_rng(index).integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{index:03d}.png")
    return folder


def table(path: Path, header: Sequence[str], *columns: Sequence[Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))
    return path


def each(*values: Any, count: int = COUNT) -> list[Any]:
    return [values[index % len(values)] for index in range(count)]


def found(folder: Path, header: Sequence[str], *columns: Sequence[Any]) -> Table:
    path = table(folder / "t.csv", header, *columns)
    return understand(path, NamedFiles(folder, sorted(folder.rglob("*.png"))))


NAMES = [f"{index:03d}.png" for index in range(COUNT)]
PEOPLE = [f"P{index // 2}" for index in range(COUNT)]


def run_settings(out: Path) -> Split:
    """What ``python -m bench --config-dir . dataset=mine generator=pca`` would load."""
    place = out.parent.parent
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        overrides = [f"hydra.searchpath=[file://{place}]", "dataset=mine", "generator=pca"]
        overrides += [f"runs={place}/runs", f"cache={place}/cache"]
        config = compose("config", overrides, return_hydra_config=True)
    check_settings(config)
    return build(config.dataset, Dataset).load(place / "cache")  # type: ignore[type-abstract]


def test_a_folder_and_its_table_become_settings_that_work(tmp_path: Path) -> None:
    folder = images(tmp_path / "my")
    header = ["Filename", "Subject", "Sex", "Age", "Projection", "Findings", "Pneumonia", "Grade (A-C)", "Comment"]
    findings = [f"Edema|Nodule {index % 17}" for index in range(COUNT)]
    columns = [NAMES, PEOPLE, each("F", "M"), range(20, 20 + COUNT), each("PA", "AP", ""), findings]
    table(folder / "patients.csv", header, *columns, each(0, 1), each("A", "B", "C"), range(COUNT))
    out = tmp_path / "dataset" / "mine.yaml"
    said = describe(folder, None, out, "mine")
    assert len(said.splitlines()) < 25 and "'Subject' names people" in said and "20% of the patients" in said
    assert f"--config-dir {tmp_path} dataset=mine generator=pca" in said
    split = run_settings(out)
    assert len(split.train) + len(split.holdout) + len(split.test) == COUNT
    assert len(set(split.test.patients)) == 6 and split.train.size == (20, 16)
    assert split.info.attributes == ("Sex", "Age", "Projection") and split.info.groups == ("Sex", "Projection")
    assert split.info.conditions == split.info.targets == ("Pneumonia", "Grade (A-C)")
    assert split.info.label("Grade (A-C)").names == ("A", "B", "C")
    text = out.read_text()
    assert '"Findings": 17 different values; several in a cell' in text and '"Comment": 60 different values' in text
    with pytest.raises(BenchError, match=r"is there already; remove it, or write another with --out"):
        describe(folder, None, out, "mine")


def test_a_folder_without_a_table_says_that_patients_are_unknown(tmp_path: Path) -> None:
    out = tmp_path / "dataset" / "mine.yaml"
    said = describe(images(tmp_path / "my", 20), None, out, "mine")
    assert "PATIENTS ARE UNKNOWN" in said and "no table" in said
    assert "PATIENTS ARE UNKNOWN" in out.read_text() and yaml.safe_load(out.read_text())["patient_column"] is None
    split = run_settings(out)
    assert (len(split.train), len(split.holdout), len(split.test)) == (12, 4, 4)


def test_parts_of_the_table_are_taken_over(tmp_path: Path) -> None:
    folder = images(tmp_path / "my")
    parts = ["Training"] * 40 + ["Validation"] * 8 + ["Testing"] * 12
    table(folder / "t.csv", ["image_path", "pid", "Set"], [f"x/y/{name}" for name in NAMES], PEOPLE, parts)
    out = tmp_path / "dataset" / "mine.yaml"
    assert "'Set' says which images are for testing" in describe(folder, None, out, "mine")
    split = run_settings(out)
    assert len(split.test) == 12 and len(split.train) + len(split.holdout) == 48


def test_parts_that_share_patients_are_not_used_and_told(tmp_path: Path) -> None:
    known = found(images(tmp_path / "my"), ["file", "pid", "split"], NAMES, PEOPLE, each("train", "test"))
    assert known.split is None and "has 30 patients in train and test alike" in known.doubts[0]


def test_rows_and_files_that_do_not_match_are_left_out_and_told(tmp_path: Path) -> None:
    folder = images(tmp_path / "my")
    table(folder / "t.csv", ["id", "pid"], [*(name[:-4] for name in NAMES[:50]), "gone"], [*PEOPLE[:50], "P99"])
    out = tmp_path / "dataset" / "mine.yaml"
    assert "1 rows without an image and 10 images without a row are left out" in describe(folder, None, out, "mine")
    split = run_settings(out)
    assert len(split.train) + len(split.holdout) + len(split.test) == 50


PATIENTS = {
    "PatientID": "PatientID",
    "patient_id": "patient_id",
    "Subject": "Subject",
    "pid": "pid",
    "Case ID": "Case ID",
    "Patient Age": None,
    "Patient Gender": None,
    "Follow-up": None,
}


@pytest.mark.parametrize("name", PATIENTS)
def test_the_patient_is_found_by_its_name(name: str, tmp_path: Path) -> None:
    known = found(images(tmp_path / "my", 12), ["file", name], NAMES[:12], each("a", "b", "c", count=12))
    assert known.patient == PATIENTS[name]


def test_a_patient_column_with_gaps_is_not_taken_and_told(tmp_path: Path) -> None:
    known = found(images(tmp_path / "my", 12), ["file", "patient"], NAMES[:12], ["", *PEOPLE[:11]])
    assert known.patient is None and "column 'patient' is empty in some rows" in known.doubts[0]


LABELS: dict[str, tuple[list[Any], dict[str, Any] | None]] = {
    "numbers": ([0, 1], {"kind": "binary", "values": [0, 1]}),
    "words": (["no", "yes"], {"kind": "binary", "values": [0, 1], "names": ["no", "yes"]}),
    "decimals": (["0.0", "1.0"], {"kind": "binary", "values": [0, 1], "names": ["0.0", "1.0"]}),
    "uncertain": ([0, 1, -1, ""], {"kind": "binary", "values": [0, 1], "unknown": ["", "-1"]}),
    "several": ([3, 1, 2], {"kind": "categorical", "values": [1, 2, 3]}),
    "one value": (["x"], None),
    "measurements": ([index / 7 for index in range(30)], None),
    "looked up": (["${oc.env:HOME}", "b"], None),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_columns_of_few_values(kind: str, tmp_path: Path) -> None:
    values, wanted = LABELS[kind]
    known = found(images(tmp_path / "my"), ["file", "what"], NAMES, each(*values))
    assert known.labels.get("what") == wanted and ("what" in known.unused) == (wanted is None)


def test_rare_values_are_no_target(tmp_path: Path) -> None:
    known = found(images(tmp_path / "my"), ["file", "what"], NAMES, [1] * 4 + [0] * 56)
    assert list(known.labels) == ["what"] and known.targets == []


def test_deep_and_coloured_images_are_told(tmp_path: Path) -> None:
    folder = images(tmp_path / "deep", 8)
    for path in folder.iterdir():
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * 15).save(path)
    out = tmp_path / "dataset" / "mine.yaml"
    assert "shown from 0 to 4095 (window)" in describe(folder, None, out, "mine")
    assert run_settings(out).test.size == (20, 16)
    colour = tmp_path / "colour"
    colour.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(colour / "a.png")
    assert "colour images will be refused, such as" in describe(colour, None, tmp_path / "c.yaml", "mine")


def test_what_cannot_be_used_is_refused_with_a_remedy(tmp_path: Path) -> None:
    folder, out = images(tmp_path / "my", 2), tmp_path / "x.yaml"
    with pytest.raises(BenchError, match=r"no column names image files such as 000.png"):
        found(folder, ["a", "b"], ["x", "y"], [1, 2])
    (folder / "t.csv").write_text("a;b\n000.png;1\n")
    with pytest.raises(BenchError, match=r"t.csv: cells are not separated by commas"):
        describe(folder, None, out, "mine")
    with pytest.raises(BenchError, match=r"--name: the name '../x' has /"):
        describe(folder, None, out, "../x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match=r"has no image files"):
        describe(tmp_path / "empty", None, out, "mine")
    assert not out.exists()


def test_folders_of_parts_and_headers_of_dicom_files_are_seen_without_a_table(tmp_path: Path) -> None:
    images(tmp_path / "parts" / "train", 40)
    images(tmp_path / "parts" / "test", 20, (20, 17))
    said = describe(tmp_path / "parts", None, tmp_path / "parts.yaml", "parts")
    assert "the folders train and test say which images are for testing" in said
    assert yaml.safe_load((tmp_path / "parts.yaml").read_text())["test_fraction"] is None
    (tmp_path / "scans").mkdir()
    for index in range(12):
        (tmp_path / "scans" / f"{index}.dcm").write_bytes(saved(scan(PatientID=f"P{index // 3}")))
    said = describe(tmp_path / "scans", None, tmp_path / "scans.yaml", "scans")
    assert "PatientID of the DICOM headers names people (4 patients)" in said and "UNKNOWN" not in said
    assert yaml.safe_load((tmp_path / "scans.yaml").read_text())["patient_column"] == "PatientID"
    (tmp_path / "scans" / "other.dcm").write_bytes(saved(scan(PatientID="")))
    assert "PATIENTS ARE UNKNOWN" in describe(tmp_path / "scans", None, tmp_path / "again.yaml", "again")


def test_a_column_that_may_name_people_is_pointed_to(tmp_path: Path) -> None:
    folder = images(tmp_path / "mine")
    names = [f"{index:03d}.png" for index in range(COUNT)]
    table(folder / "t.csv", ["Bild", "Fall"], names, [f"{index // 2:02d}" for index in range(COUNT)])
    said = describe(folder, None, tmp_path / "mine.yaml", "mine")
    assert "column 'Fall' has 30 values for 60 images: if it names people, set patient_column to it" in said
