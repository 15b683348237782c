"""A DICOM tree as a data set of one's own: what the table leaves out is read from the headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from bench.api import BenchError
from bench.datasets.imagefolder import ImageFolder
from tests.datasets.test_imagefolder import write_table
from tests.storage.test_dicom import saved, scan

SETTINGS: dict[str, Any] = {"attributes": ["view", "laterality"], "patient_column": "PatientID", "image_size": 16}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, start in (("train", 0), ("test", 100)):
        folder = tmp_path / "data" / part
        folder.mkdir(parents=True)
        names = [f"{index}.dcm" for index in range(start, start + 8)]
        for index, name in enumerate(names, start):
            pixels = np.random.default_rng(index).integers(0, 65536, (16, 16)).astype(np.uint16)
            data = scan(
                pixels, 16, PatientID=f"P{index // 2}", ViewPosition="CC", WindowCenter=30000, WindowWidth=60000
            )
            data.PhotometricInterpretation = ("MONOCHROME1", "MONOCHROME2")[index % 2]
            if index % 2:
                data.ImageLaterality = "L"
            (folder / name).write_bytes(saved(data))
        write_table(folder, [{"file_name": name} for name in names])
    return tmp_path / "data"


def test_patients_views_and_sides_come_from_the_headers(root: Path, tmp_path: Path) -> None:
    split = ImageFolder(str(root), **SETTINGS).load(tmp_path)
    assert split.test.patients == [f"P{index // 2}" for index in range(100, 108)]
    assert split.test.column("view") == ["CC"] * 8
    assert split.test.column("laterality") == [None, "L"] * 4
    assert (len(split.train), len(split.holdout)) == (6, 2)


def test_the_table_is_believed_where_it_speaks(root: Path, tmp_path: Path) -> None:
    names = [f"{index}.dcm" for index in range(100, 108)]
    write_table(root / "test", [{"file_name": name, "view": "", "PatientID": f"Q{name}"} for name in names])
    test = ImageFolder(str(root), **SETTINGS).load(tmp_path).test
    assert test.column("view") == [None] * 8
    assert test.patients == [f"Q{name}" for name in names]


def test_without_patients_the_headers_are_pointed_to(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"column 'patient_id'.*headers of DICOM.*patient_column=PatientID"):
        ImageFolder(str(root), **SETTINGS | {"patient_column": "patient_id"}).load(tmp_path)


def test_a_file_without_header_needs_the_column(root: Path, tmp_path: Path) -> None:
    (root / "train" / "3.dcm").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    with pytest.raises(BenchError, match=r"line 5: the table has no column 'view'.*DICOM file.*add the column"):
        ImageFolder(str(root), **SETTINGS).load(tmp_path)


def spaced(root: Path, spacings: list[float]) -> None:
    for index, path in enumerate(sorted(root.rglob("*.dcm"))):
        data = dcmread(path)
        data.ImagerPixelSpacing = [spacings[index % len(spacings)]] * 2
        path.write_bytes(saved(data))


def test_pixel_spacing_is_taken_at_the_working_size_where_all_agree(root: Path, tmp_path: Path) -> None:
    def loaded(**more: Any) -> float | None:
        return ImageFolder(str(root), **SETTINGS | {"image_size": 8} | more).load(tmp_path).train.info.pixel_spacing_mm

    assert loaded() is None
    spaced(root, [0.1])
    assert loaded() == pytest.approx(0.2)
    assert loaded(about={"pixel_spacing_mm": 0.7}) == 0.7
    spaced(root, [0.1, 0.11])
    assert loaded() is None
