"""ChestX-ray14: small folders in the official layout, with every fault planted, and the real sample where present."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bench.api import BenchError, Dataset
from bench.datasets.nih_cxr14 import FINDINGS, TABLE, TEST_LIST, TRAIN_LIST, NihCxr14, age_group
from bench.runtime.plugins import build

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("BENCH_SHARED_DATA", ROOT.parent / "shared" / "data")) / "nih_cxr14"
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def record(index: int, finding: str = "No Finding", age: str = "58", sex: str = "M", view: str = "PA") -> str:
    return f"{index:08d}_000.png,{finding},0,{index},{age},{sex},{view},2682,2749,0.143,0.143"


def official(folder: Path, sizes: Sequence[tuple[int, int]] = ((40, 40),) * 12) -> Path:
    """Twelve patients with one image each, eight for training, in files of these (height, width)."""
    (folder / "images").mkdir(parents=True)
    findings = ["No Finding", "Pneumonia", "Effusion|Pleural_Thickening"]
    records = [record(index, findings[index % 3]) for index in range(12)]
    (folder / TABLE).write_text("\n".join([HEADER, *records]) + "\n")
    names = [line.split(",")[0] for line in records]
    (folder / TRAIN_LIST).write_text("\n".join(names[:8]) + "\n")
    (folder / TEST_LIST).write_text("\n".join(names[8:]))
    for index, (name, size) in enumerate(zip(names, sizes, strict=True)):
        pixels = np.random.default_rng(index).integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return official(tmp_path / "nih")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_official_layout_is_loaded(root: Path, tmp_path: Path) -> None:
    split = NihCxr14(str(root), image_size=[32, 24]).load(tmp_path)
    assert (len(split.train), len(split.holdout), len(split.test)) == (6, 2, 4)
    assert split.train.size == (32, 24)
    assert split.test.ids == [f"{index:08d}_000" for index in range(8, 12)]
    assert split.test.patients == ["8", "9", "10", "11"]
    assert split.test.column("Effusion") == [1, 0, 0, 1]
    assert split.test.column("prompt")[:2] == [
        "Chest radiograph, PA view: Effusion, Pleural Thickening.",
        "Chest radiograph, PA view: no finding.",
    ]
    assert split.test.group("Pneumonia") == ["absent", "absent", "present", "absent"]
    assert set(split.test.group("age_group")) == {"40-59"}
    assert split.info.conditions == FINDINGS
    assert len(FINDINGS) == 14


def test_the_size_of_the_files_is_known_and_no_part_of_the_digest(tmp_path: Path) -> None:
    sizes = [(1024, 1024), *[(1023, 1024)] * 6, (1021, 1025), *[(1024, 1024)] * 3, (37, 2047)]
    dataset = NihCxr14(str(official(tmp_path / "nih", sizes)), image_size=32)
    split = dataset.load(tmp_path)
    assert split.train.size == split.holdout.size == split.test.size == (32, 32)
    assert split.test.own_size == ((37, 1024), (1024, 2047))
    learned, held = split.train.own_size, split.holdout.own_size
    assert learned and held
    sides = [(min(learned[0][side], held[0][side]), max(learned[1][side], held[1][side])) for side in (0, 1)]
    assert sides == [(1021, 1024), (1024, 1025)]
    again = dataset.load(tmp_path)
    assert (again.train.own_size, again.holdout.own_size) == (learned, held) and again.digest == split.digest
    for part in (split.train, split.holdout, split.test):
        for name, pixels in zip(part.ids, part.pixels(), strict=True):
            Image.fromarray(pixels).save(tmp_path / "nih" / "images" / f"{name}.png")
    small = dataset.load(tmp_path)
    assert small.test.own_size == ((32, 32), (32, 32)) and small.digest == split.digest


def test_archives_may_stay_in_their_own_folders(root: Path, tmp_path: Path) -> None:
    whole = NihCxr14(str(root)).load(tmp_path).digest
    for index, path in enumerate(sorted((root / "images").iterdir())):
        part = root / f"images_{index % 12 + 1:03d}" / "images"
        part.mkdir(parents=True, exist_ok=True)
        path.rename(part / path.name)
    (root / "images").rmdir()
    (root / "images_001" / "images" / "._00000000_000.png").write_bytes(b"left by an archiver")
    assert NihCxr14(str(root)).load(tmp_path).digest == whole
    (root / "images").mkdir()
    (root / "images" / "00000003_000.png").write_bytes(b"twice")
    with pytest.raises(BenchError, match=r"00000003_000.png lies in .*images and in .*images_004/images; remove one"):
        NihCxr14(str(root)).load(tmp_path)


def test_the_order_of_the_lists_and_of_the_table_makes_no_other_split(root: Path, tmp_path: Path) -> None:
    before = NihCxr14(str(root)).load(tmp_path)
    for name in (TABLE, TRAIN_LIST, TEST_LIST):
        lines = (root / name).read_text().splitlines()
        head = lines[: name == TABLE]
        (root / name).write_text("\n".join([*head, *reversed(lines[len(head) :])]) + "\n")
    after = NihCxr14(str(root)).load(tmp_path)
    assert after.test.ids == before.test.ids[::-1] and after.digest == before.digest


FAULTS = {
    "unknown finding": ("Pneumonia,0,1,", "Pneunomia,0,1,", r"line 3, column 'Finding Labels'.*'Pneunomia'"),
    "finding and none": ("Pneumonia,0,1,", "No Finding|Pneumonia,0,1,", r"line 3, column 'Finding Labels'.*alone"),
    "finding twice": ("Pneumonia,0,1,", "Mass|Mass,0,1,", r"line 3, column 'Finding Labels'.*once"),
    "no finding given": ("Pneumonia,0,1,", ",0,1,", r"line 3, column 'Finding Labels'.*official findings"),
    "bad view": ("0,1,58,M,PA", "0,1,58,M,LL", r"line 3, column 'View Position': got 'LL', needed AP or PA"),
    "bad sex": ("0,1,58,M,PA", "0,1,58,0,PA", r"line 3, column 'Patient Gender': got '0', needed M or F"),
    "bad age": ("0,1,58,M,PA", "0,1,058Y,M,PA", r"line 3, column 'Patient Age': got '058Y', needed whole years"),
    "no patient": ("0,1,58,M,PA", "0,,58,M,PA", r"line 3, column 'Patient ID'"),
    "patient of another": (
        "0,9,58,M,PA",
        "0,1,58,M,PA",
        r"line 11, column 'Patient ID': got '1', needed '9', the patient that the image 00000009_000.png is named",
    ),
    "row twice": ("00000002_000.png", "00000001_000.png", r"line 4: image '00000001_000.png' stands in .* line 3"),
    "row lost": (record(1, "Pneumonia") + "\n", "", r"listed images have no row(?s:.)*00000001_000.png \(train_val"),
    "long row": ("0,1,58,M,PA", "0,1,58,M,PA,PA", "line 3: got 12 cells, needed 11"),
    "no column": ("View Position", "View", r"columns \['View Position'\] are missing"),
    "semicolons": (HEADER, HEADER.replace(",", ";"), "separated by a semicolon, needed a comma"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_table_name_the_row(fault: str, root: Path, tmp_path: Path) -> None:
    old, new, message = FAULTS[fault]
    change(root / TABLE, old, new)
    with pytest.raises(BenchError, match=message):
        NihCxr14(str(root)).load(tmp_path)


def test_an_image_of_an_unofficial_name_says_no_patient(root: Path, tmp_path: Path) -> None:
    for name in (TABLE, TEST_LIST):
        change(root / name, "00000009_000.png", "9_000.png")
    (root / "images" / "00000009_000.png").rename(root / "images" / "9_000.png")
    with pytest.raises(BenchError, match=r"line 11, column 'Image Index': got '9_000.png', needed the official name"):
        NihCxr14(str(root)).load(tmp_path)


def test_a_patient_with_images_in_both_lists_is_named(root: Path, tmp_path: Path) -> None:
    change(root / TABLE, record(9), record(9).replace("00000009_000.png,No Finding,0,9", "00000001_001.png,Mass,1,1"))
    change(root / TEST_LIST, "00000009_000.png", "00000001_001.png")
    (root / "images" / "00000009_000.png").rename(root / "images" / "00000001_001.png")
    with pytest.raises(BenchError, match=r"patient '1': \S+ line 3 and \S+ line 11"):
        NihCxr14(str(root)).load(tmp_path)


def test_lists_table_and_folder_must_agree(root: Path, tmp_path: Path) -> None:
    (root / "images" / "00000001_000.png").rename(root / "images" / "99999999_000.png")
    change(root / TEST_LIST, "00000009_000.png", "00000002_000.png")
    with pytest.raises(BenchError) as caught:
        NihCxr14(str(root)).load(tmp_path)
    message = str(caught.value)
    assert "00000002_000.png: train_val_list.txt line 3 and test_list.txt line 2" in message
    assert f"00000001_000.png ({TABLE} line 3, train_val_list.txt line 2)" in message
    assert f"1 image files have no row in {TABLE}" in message
    assert "99999999_000.png" in message


def test_at_most_ten_faults_are_listed(root: Path, tmp_path: Path) -> None:
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(BenchError, match=r"12 listed images have no file; unpack(?s:.)*and 2 more") as caught:
        NihCxr14(str(root)).load(tmp_path)
    assert str(caught.value).count("\n") == 11


def test_unlisted_rows_need_no_image(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = NihCxr14(str(root)).load(tmp_path).digest
    with (root / TABLE).open("a") as file:
        file.write(record(77, age="411") + "\n" + record(78) + "\n")
    Image.new("L", (9, 9)).save(root / "images" / "00000078_000.png")
    assert NihCxr14(str(root)).load(tmp_path).digest == whole
    assert "1 image files stand in neither list" in caplog.text


def test_impossible_age_is_unknown_and_opaque_alpha_accepted(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(root / TABLE, "0,8,58,", "0,8,411,")
    path = root / "images" / "00000008_000.png"
    before = np.asarray(Image.open(path))
    Image.open(path).convert("RGBA").save(path)
    test = NihCxr14(str(root), image_size=40).load(tmp_path).test
    assert test.column("age")[:2] == [None, "58"]
    assert test.group("age_group")[0] == "unknown"
    assert "line 10: age 411 is taken for unknown" in caplog.text
    assert np.array_equal(test.pixels([0])[0], before)


def test_bad_image_is_named_with_its_row(root: Path, tmp_path: Path) -> None:
    (root / "images" / "00000009_000.png").write_bytes(b"<html>")
    with pytest.raises(BenchError, match=rf"{TABLE} line 11: .*00000009_000.png: a web page"):
        NihCxr14(str(root)).load(tmp_path)


def test_missing_data_tells_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIH_CXR14_ROOT", raising=False)
    for data, found in ((NihCxr14(), "no folder is named"), (NihCxr14(str(tmp_path)), "lacks .*'test_list.txt'")):
        with pytest.raises(BenchError, match=f"{found}.*nihcc.app.box.com.*NIH_CXR14_ROOT.*dataset=phantom"):
            data.load(tmp_path)


def test_folder_may_come_from_the_environment(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIH_CXR14_ROOT", str(root))
    config = OmegaConf.load(ROOT / "conf" / "dataset" / "nih_cxr14.yaml")
    split = build(config, Dataset).load(tmp_path)  # type: ignore[arg-type]
    assert split.train.size == (64, 64)
    assert split.info.targets == ("Pneumonia",)


def test_targets_are_findings() -> None:
    assert NihCxr14(targets=["Hernia", "Mass"]).info.targets == ("Hernia", "Mass")
    with pytest.raises(BenchError, match=r"dataset.targets \['Cough'\] are no findings"):
        NihCxr14(targets=["Cough"])


def test_age_groups() -> None:
    assert [age_group(years) for years in (0, 39, 40, 59, 60, 99)] == ["0-39"] * 2 + ["40-59"] * 2 + ["60+"] * 2


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real sample at {REAL} (set BENCH_SHARED_DATA)")
def test_real_sample_is_loaded_whole(tmp_path: Path) -> None:
    split = NihCxr14(str(REAL)).load(tmp_path)
    assert (len(split.train) + len(split.holdout), len(split.test)) == (484, 243)
    everyone = [patient for part in (split.train, split.holdout, split.test) for patient in set(part.patients)]
    assert len(everyone) == len(set(everyone)) == 494
    pneumonia = [value for part in (split.train, split.holdout, split.test) for value in part.column("Pneumonia")]
    assert sum(pneumonia) == 356
    assert all(part.pixels().std() > 30 for part in (split.train, split.holdout, split.test))
