"""Someone's own folder: both layouts, every declaration, and nothing read from outside."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bench.api import BenchError, Dataset
from bench.datasets.imagefolder import ImageFolder
from bench.datasets.templates import fill
from bench.runtime.plugins import build

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("BENCH_SHARED_DATA", ROOT.parent / "shared" / "data")) / "nih_cxr14"
LABELS = {
    "finding": {"kind": "binary", "values": [0, 1], "names": ["absent", "present"], "unknown": ["", "-1"]},
    "density": {"kind": "ordinal", "values": [1, 2, 3]},
}
SETTINGS: dict[str, Any] = {
    "labels": LABELS,
    "attributes": ["view"],
    "groups": ["view", "finding"],
    "conditions": ["finding", "density"],
    "targets": ["finding"],
    "prompt": "Radiograph, {view}: {finding}, {{{density}}}.",
    "image_size": 16,
}
Table = list[dict[str, str]]


def rows(count: int, start: int = 0) -> Table:
    return [
        {
            "file_name": f"{index:03d}.png",
            "patient_id": f"0{index // 2}",
            "finding": ("0", "present", "", "-1")[index % 4],
            "density": str(index % 3 + 1),
            "view": ("AP", "")[index % 2],
        }
        for index in range(start, start + count)
    ]


def write(folder: Path, table: Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row in table:
        path = folder / row["file_name"]
        path.parent.mkdir(exist_ok=True, parents=True)
        seed = list(path.name.encode())
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8)).save(path)
    write_table(folder, table)


def write_table(folder: Path, table: Table) -> None:
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "data" / "train", rows(12))
    write(tmp_path / "data" / "test", rows(4, 20))
    return tmp_path / "data"


def test_two_folders_are_loaded(root: Path, tmp_path: Path) -> None:
    split = ImageFolder(str(root), **SETTINGS).load(tmp_path)
    assert (len(split.train), len(split.holdout), len(split.test)) == (8, 4, 4)
    assert split.test.ids == [f"test/0{index}" for index in range(20, 24)]
    assert split.test.patients == ["010", "010", "011", "011"]
    assert split.test.column("finding") == [0, 1, None, None]
    assert split.test.column("density") == [3, 1, 2, 3]
    assert split.test.column("view") == ["AP", None, "AP", None]
    assert split.test.column("prompt")[:3] == [
        "Radiograph, AP: absent, {3}.",
        "Radiograph, unknown: present, {1}.",
        "Radiograph, AP: unknown, {2}.",
    ]
    assert split.info.label("finding").names == ("absent", "present")


def test_one_table_with_a_split_column_is_loaded(tmp_path: Path) -> None:
    root = tmp_path / "data"
    table = [row | {"split": "train" if index < 12 else "test"} for index, row in enumerate(rows(16))]
    for row in table:
        row |= {"file_name": f"deep/{row['file_name']}", "id": f"scan {row['file_name']}", "text": "words"}
    write(root, table)
    settings = SETTINGS | {"prompt": "text", "id_column": "id"}
    split = ImageFolder(str(root), **settings).load(tmp_path)
    assert split.test.ids[0] == "scan 012.png"
    assert set(split.train.column("prompt")) == {"words"}
    table[3]["split"] = "validation"
    write_table(root, table)
    with pytest.raises(
        BenchError, match=r"metadata.csv line 5, column 'split': got 'validation', needed train or test"
    ):
        ImageFolder(str(root), **settings).load(tmp_path)


def test_one_image_a_patient_must_be_stated(root: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        folder = root / part
        with (folder / "metadata.csv").open() as file:
            table = [{key: value for key, value in row.items() if key != "patient_id"} for row in csv.DictReader(file)]
        write_table(folder, table)
    with pytest.raises(BenchError, match=r"line 2, column 'patient_id'.*patient_column.*null to state"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)
    split = ImageFolder(str(root), patient_column=None, **SETTINGS).load(tmp_path)
    assert split.train.patients == split.train.ids
    assert len(split.holdout) == 3


CELLS = {
    "label out of range": ("finding", "2", r"column 'finding': got '2', needed one of \[0, 1\] or \['absent'"),
    "label as word": ("finding", "yes", r"column 'finding': got 'yes'.*finding.unknown"),
    "label as float": ("density", "1.0", r"column 'density': got '1\.0', needed one of \[1, 2, 3\]"),
    "label empty": ("density", "", r"column 'density': got '', needed one of"),
    "no patient": ("patient_id", " ", "column 'patient_id': got ' ', needed whose image it is"),
    "parent folder": ("file_name", "../test/020.png", "column 'file_name'.*without '..'"),
    "absolute path": ("file_name", "/etc/passwd", "column 'file_name'.*no absolute path"),
    "address": ("file_name", "https://example.org/a.png", "column 'file_name'.*no address"),
    "backslash": ("file_name", r"a\b.png", "column 'file_name'.*forward slashes"),
    "drive": ("file_name", "C:a.png", "column 'file_name'.*no absolute path"),
    "no file named": ("file_name", "", "column 'file_name'.*a path relative"),
    "link out": ("file_name", "link.png", "column 'file_name'.*link out of it"),
    "link through a folder": ("file_name", "out/a.png", "column 'file_name'.*link out of it"),
}


@pytest.mark.parametrize("fault", CELLS)
def test_bad_cell_names_its_row(fault: str, root: Path, tmp_path: Path) -> None:
    column, value, message = CELLS[fault]
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.png").write_bytes((root / "test" / "020.png").read_bytes())
    (root / "train" / "link.png").symlink_to(tmp_path / "outside" / "a.png")
    (root / "train" / "out").symlink_to(tmp_path / "outside")
    table = rows(12)
    table[3][column] = value
    write_table(root / "train", table)
    with pytest.raises(BenchError, match=f"metadata.csv line 5, {message}"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)


def test_files_and_rows_must_agree(root: Path, tmp_path: Path) -> None:
    (root / "train" / "extra.JPG").write_bytes(b"")
    with pytest.raises(BenchError, match=r"1 image files have no row in .*train/metadata.csv(?s:.)*extra.JPG"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)
    (root / "train" / "extra.JPG").unlink()
    (root / "test" / "021.png").unlink()
    with pytest.raises(BenchError, match=r"metadata.csv line 3: .*test/021.png: no such file"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)


def test_rows_of_one_image_or_patient_are_named(root: Path, tmp_path: Path) -> None:
    table = rows(12)
    write_table(root / "train", [*table, table[3] | {"file_name": "./003.png"}])
    with pytest.raises(BenchError, match=r"image_id 'train/003': metadata.csv line 5 and metadata.csv line 14"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)
    table[3]["patient_id"] = "010"
    write_table(root / "train", table)
    with pytest.raises(BenchError, match=r"patient '010': metadata.csv line 5 and metadata.csv line 3"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)


DECLARATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no folder": ({"root": None}, "no folder is named; set dataset.root"),
    "wrong folder": ({"root": "/nowhere"}, "/nowhere is not a folder"),
    "kind": ({"labels": {"finding": {"kind": "text", "values": [0, 1]}}}, r"labels.finding.kind = 'text', needed"),
    "no values": ({"labels": {"finding": {"kind": "ordinal"}}}, r"labels.finding.values = \[\], needed"),
    "three of two": ({"labels": {"finding": {"kind": "binary", "values": [0, 1, 2]}}}, "needed two for a binary"),
    "text values": (
        {"labels": {"finding": {"kind": "binary", "values": ["0", "1"]}}},
        "needed different whole numbers",
    ),
    "yaml's no": ({"labels": {"f": {"kind": "binary", "values": [0, 1], "names": [False, True]}}}, "quotes"),
    "few names": ({"labels": {"f": {"kind": "binary", "values": [0, 1], "names": ["a"]}}}, "a different name for each"),
    "strange key": ({"labels": {"finding": {"kind": "binary", "value": [0, 1]}}}, r"has the keys \['value'\]"),
    "condition": ({"conditions": ["view"]}, r"dataset.conditions names \['view'\]; the labels are"),
    "ordinal target": ({"targets": ["density"]}, r"dataset.targets names \['density'\]; the binary"),
    "group": ({"groups": ["sex"]}, r"dataset.groups names \['sex'\]"),
    "about": ({"about": {"license": "MIT"}}, r"dataset.about names \['license'\]"),
    "attribute": ({"attributes": ["view", "sex"]}, r"train/metadata.csv line 1: columns \['sex'\] are missing"),
    "aspect": ({"aspect": "stretch"}, "aspect = 'stretch', needed one of"),
    "template": ({"prompt": "{view.__class__}"}, "'view.__class__' in braces, needed one of"),
    "open brace": ({"prompt": "{view"}, "dataset.prompt"),
    "stated": ({"prompt": "text", "prompted": ["sex"]}, r"dataset.prompted names \['sex'\]"),
    "stated by a template": ({"prompted": ["view"]}, "which is no text column: set prompted to null"),
}


@pytest.mark.parametrize("fault", DECLARATIONS)
def test_bad_declaration_is_named(fault: str, root: Path, tmp_path: Path) -> None:
    changed, message = DECLARATIONS[fault]
    with pytest.raises(BenchError, match=message):
        ImageFolder(**({"root": str(root)} | SETTINGS | changed)).load(tmp_path)


def test_layout_must_be_one_of_two(root: Path, tmp_path: Path) -> None:
    (root / "test" / "metadata.csv").unlink()
    with pytest.raises(BenchError, match=r"has \['train/metadata.csv'\], needed train/metadata.csv and test/metadata"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)
    (root / "train" / "metadata.csv").unlink()
    with pytest.raises(BenchError, match="has no table, but dataset"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)


def test_template_takes_plain_names_only() -> None:
    assert fill("{{{a}}} of {b}", {"a": "1", "b": "{c}"}) == "{1} of {c}"
    for template in ("{c}", "{a!r}", "{a:>9}", "{}", "{0}"):
        with pytest.raises(BenchError, match=r"dataset\.prompt"):
            fill(template, {"a": "1"})


def test_configuration_file_builds(root: Path, tmp_path: Path) -> None:
    config = OmegaConf.load(ROOT / "conf" / "dataset" / "imagefolder.yaml")
    with pytest.raises(BenchError, match="no folder is named"):
        build(config, Dataset).load(tmp_path)  # type: ignore[arg-type]
    merged = OmegaConf.merge(config, SETTINGS, {"root": str(root), "about": {"required_attributes": ["view"]}})
    split = build(merged, Dataset).load(tmp_path)  # type: ignore[arg-type]
    assert split.info.required_attributes == ("view",)
    assert len(split.test) == 4


def test_deep_images_need_their_window(root: Path, tmp_path: Path) -> None:
    for path in root.glob("*/*.png"):
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * 16).save(path)
    with pytest.raises(BenchError, match=r"metadata.csv line 2: .*no window"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)
    split = ImageFolder(str(root), window=[0, 4080], **(SETTINGS | {"image_size": 20})).load(tmp_path)
    seed = list(b"020.png")
    assert np.array_equal(split.test.pixels([0])[0], np.random.default_rng(seed).integers(0, 256, (20, 20), np.uint8))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real sample at {REAL} (set BENCH_SHARED_DATA)")
def test_real_images_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    (root / "scans").mkdir(parents=True)
    table = []
    for index, path in enumerate(sorted((REAL / "images").iterdir())[:40]):
        (root / "scans" / path.name).write_bytes(path.read_bytes())
        patient = path.name.split("_")[0]
        part = "test" if int(patient) % 2 else "train"
        table.append({"file_name": f"scans/{path.name}", "patient_id": patient, "odd": str(index % 2), "split": part})
    write_table(root, table)
    labels = {"odd": {"kind": "binary", "values": [0, 1]}}
    split = ImageFolder(str(root), labels=labels, targets=["odd"], image_size=32).load(tmp_path)
    assert len(split.train) + len(split.holdout) + len(split.test) == 40
    assert min(images.pixels().std() for images in (split.train, split.holdout, split.test)) > 20
