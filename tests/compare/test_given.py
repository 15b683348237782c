"""What a person gives, and what is said of what is not as needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError
from bench.compare.given import given
from bench.compare.measure import comparison
from bench.compare.sets import made_one_size
from bench.compare.sizes import size_notes, working_size
from tests.compare.pictures import as_dicom, as_files, as_parquet, as_volumes, textures

REAL = textures(1)
FEW = textures(5, 6)


def messages(real: Any, fake: Any, **options: Any) -> str:
    with pytest.raises(BenchError) as caught:
        comparison(real, fake, encoders=("small_cnn",), **options)
    return str(caught.value)


def refused(real: Any, fake: Any) -> dict[str, str]:
    found = comparison(real, fake, encoders=("small_cnn",))
    assert all(score.value is None for score in found.scores)
    return {score.metric: str(score.reason) for score in found.scores}


def test_too_few_images_are_refused_in_words() -> None:
    assert refused(REAL, FEW)["kid"] == "6 images; 50 are needed"
    assert refused(REAL[:1], FEW[:1])["kid"] == "1 images; 50 are needed"
    assert refused(REAL[:10], FEW)["ms_ssim"].startswith("images of 10 patients")


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "has 1 files (1 .txt), needed images (png, jpeg, tiff, dcm)" in messages(REAL, tmp_path)
    assert "nowhere is not there; name a folder" in messages(tmp_path / "nowhere", REAL)
    as_files(FEW, tmp_path)
    as_volumes(FEW, tmp_path)
    assert "6 image files, 6 NIfTI files; name a folder with one kind" in messages(tmp_path, REAL)


def test_other_files_beside_images_are_counted(tmp_path: Path) -> None:
    as_files(FEW, tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".arrow").mkdir()
    for hidden in (".DS_Store", "._0.png", ".arrow/0.png"):
        (tmp_path / hidden).write_bytes(b"hidden")
    found = given("REAL", tmp_path)
    assert len(found) == len(FEW)
    assert found.notes == ("REAL: 1 other files were not read (1 .txt)",)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (REAL / 255.0, r"(60, 32, 32) of float64, values 0"),
        (REAL / 255.0, "np.rint(255 * images).astype(np.uint8)"),
        (REAL.astype(np.uint16) * 16, "by one rule for both sides"),
        (REAL[:, None], "images[:, 0]"),
        (REAL[0], "needed an array (N, H, W) of uint8"),
        (REAL[:0], "REAL has no image"),
        ({"a": 1}, "got dict, needed an array"),
        (7, "needed an array (N, H, W)"),
    ],
)
def test_arrays_of_other_ranges_and_shapes_are_told_what_is_needed(images: Any, said: str) -> None:
    assert said in messages(images, FEW)


def test_a_blank_real_image_is_an_error_and_a_blank_generated_one_is_counted() -> None:
    blank = REAL.copy()
    blank[7] = 12
    assert "image 7: shows nothing" in messages(blank, FEW)
    found = comparison(REAL, blank, encoders=("small_cnn",))
    assert "FAKE: 1 of 60 images show nothing; they count like any other" in found.notes
    assert len(found.fake) == 60


def test_damaged_files_are_named_together(tmp_path: Path) -> None:
    as_files(FEW, tmp_path)
    broken = sorted(tmp_path.rglob("*.png"))[:2]
    for path in broken:
        path.write_bytes(path.read_bytes()[:-30])
    said = messages(tmp_path, REAL)
    assert all(str(path) in said for path in broken)
    assert "of 6 images cannot be used" in said
    for path in broken:
        path.write_bytes(b"no image")
    said = messages(tmp_path, REAL)
    assert said.count("not a PNG, JPEG, TIFF or DICOM") == 2


def test_a_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(image) for image in FEW]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    assert "holds 6 frames, needed one" in messages(REAL, tmp_path)


def test_deep_images_need_a_window_and_get_it(tmp_path: Path) -> None:
    as_files([image.astype(np.uint16) * 16 for image in REAL], tmp_path)
    assert "no window" in messages(tmp_path, FEW)
    found = comparison(tmp_path, REAL, encoders=("small_cnn",), window=(0, 255 * 16))
    assert found.protocol["real"]["digest"] == found.protocol["fake"]["digest"]
    assert "REAL: grey levels 0 to 4080 of 60 images of more than 8 bits are shown" in found.notes
    assert "no image file has more than 8 bits" in messages(REAL, FEW, window=(0, 100))


def test_a_table_names_patients(tmp_path: Path) -> None:
    as_files(REAL, tmp_path)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    rows = [f"{name},p{number // 2}" for number, name in enumerate(names[:50])] + [f"{names[50]},", "gone.png,p"]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,patient_id", *rows]))
    found = comparison(tmp_path, FEW, encoders=("small_cnn",))
    assert found.protocol["real"]["patients"] == 25 + 10
    assert "REAL: metadata.csv names the patients of 50 of 60 images" in found.notes
    assert "REAL: 1 rows of metadata.csv name no patient" in found.notes
    assert "REAL: 1 rows of metadata.csv name files that are not there" in found.notes
    assert any(note.startswith("REAL: 10 images are of nobody known") for note in found.notes)


def test_a_table_of_other_columns_is_not_used_and_said(tmp_path: Path) -> None:
    as_files(REAL, tmp_path)
    (tmp_path / "metadata.csv").write_text("image,age\na,3\n")
    found = given("REAL", tmp_path)
    assert found.notes[0].startswith("REAL: a table was not used: ")
    assert "file_name" in found.notes[0]


def test_patients_of_training_images_among_the_real_ones_are_counted() -> None:
    patients = {"real": [f"p{number}" for number in range(60)], "train": [f"p{number + 55}" for number in range(60)]}
    found = comparison(REAL, FEW, textures(4), ("small_cnn",), patients=patients)
    assert "REAL: 5 patients have images in TRAIN too, which flatters FAKE" in found.notes


def test_a_single_file_is_a_side(tmp_path: Path) -> None:
    as_files(REAL[:1], tmp_path)
    (path,) = tmp_path.rglob("*.png")
    assert given("REAL", path).names == [str(path)]
    (tmp_path / "notes.txt").write_text("x")
    assert "notes.txt has 1 files (1 .txt), needed images" in messages(tmp_path / "notes.txt", FEW)


def test_a_dicom_header_names_the_patient(tmp_path: Path) -> None:
    pytest.importorskip("bench.storage.dicom")
    for number, image in enumerate(REAL):
        as_dicom(image, tmp_path / f"{number}.dcm", f"P{number % 12}")
    found = comparison(tmp_path, REAL, encoders=("small_cnn",))
    assert found.protocol["real"]["patients"] == 12
    assert "REAL: patients are those of the DICOM headers" in found.notes
    np.testing.assert_array_equal(found.real.pixels(), found.fake.pixels())


def test_a_parquet_column_names_patients(tmp_path: Path) -> None:
    path = as_parquet(REAL, tmp_path / "r.parquet", patient_id=[f"p{number // 3}" for number in range(60)])
    found = comparison(path, FEW, encoders=("small_cnn",))
    assert found.protocol["real"]["patients"] == 20
    assert found.real.ids[0].startswith("r.parquet row ")


def test_patients_are_one_for_each_image() -> None:
    assert "5 patients for 60 images" in messages(REAL, FEW, patients={"real": range(5)})
    assert "patients is ['other']" in messages(REAL, FEW, patients={"other": range(5)})


def test_slices_are_images_and_a_volume_is_a_patient(tmp_path: Path) -> None:
    import nibabel

    stack = np.concatenate([np.zeros((2, 32, 32), np.uint8), REAL[:8]])
    as_volumes(stack, tmp_path / "plain", slices=10)
    found = given("REAL", tmp_path / "plain")
    assert len(found) == 10
    side = made_one_size(found, (32, 32), tmp_path / "set")
    assert len(side.images) == 8
    assert "REAL: 2 of 10 slices show nothing and were left out" in side.notes
    assert len(set(side.images.patients)) == 1
    assert sorted(side.images.ids)[0] == "0.nii.gz slice 2"
    values = np.random.default_rng(0).normal(0, 300, (20, 16, 4))
    values[0, 0, 0] = 1e9
    (tmp_path / "deep").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1, 1, 1, 1])), tmp_path / "deep" / "ct.nii")
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "deep" / "other.nii")
    deep = given("FAKE", tmp_path / "deep")
    assert "percentile 0.5 to 99.5" in deep.notes[0]
    assert deep.notes[1] == "FAKE: volumes lie in several orientations (LAS, RAS) and were not turned"
    first = next(deep.readers())()
    low, high = np.percentile(values, (0.5, 99.5))
    wanted = np.clip(np.rint((values[:, :, 0] - low) / (high - low) * 255), 0, 255)
    np.testing.assert_array_equal(first, wanted)


def test_volumes_that_are_none_are_refused(tmp_path: Path) -> None:
    import nibabel

    (tmp_path / "a.nii").write_bytes(b"nothing")
    assert "not a sound NIfTI file" in messages(tmp_path / "a.nii", FEW)
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "b.nii")
    assert "needed three axes of real numbers" in messages(tmp_path / "b.nii", FEW)
    nibabel.save(nibabel.Nifti1Image(np.zeros((32, 32, 4), np.uint8), np.eye(4)), tmp_path / "c.nii")
    assert "none of 4 slices shows anything" in messages(tmp_path / "c.nii", FEW)


def test_the_working_size_is_that_of_most_real_images_up_to_256() -> None:
    assert working_size([(100, 80), (100, 80), (90, 90)]) == (100, 80)
    assert working_size([(1024, 512), (2000, 2000), (1024, 512)]) == (256, 128)
    assert working_size([(10, 20), (20, 10)]) == working_size([(20, 10), (10, 20)]) == (20, 10)
    assert working_size([(100, 80)], 64) == (64, 64)
    assert working_size([(100, 80)], [64, 32]) == (64, 32)
    for wrong in ("64", 4, (64, 32, 1), 5000, 2.5, True):
        with pytest.raises(BenchError, match="size"):
            working_size([(100, 80)], wrong)


def test_sizes_that_differ_are_said_with_both_numbers(tmp_path: Path) -> None:
    as_files([*textures(1, 6, 64), *textures(2, 3, 48)], tmp_path)
    real, fake = given("REAL", tmp_path), given("FAKE", textures(3, 5, 32))
    notes = size_notes([real, fake], working_size(real.sizes))
    assert notes[0] == "compared at 64 x 64 pixels: REAL 48 x 48 to 64 x 64, FAKE 32 x 32"
    assert "REAL up to 1.33 times, FAKE up to 2 times" in notes[1]
    assert "by factors from 1 to 2" in notes[2]
    wide = given("FAKE", np.zeros((5, 32, 64), np.uint8))
    assert "FAKE 32 x 64 (5 of 5 padded with black)" in size_notes([real, wide], (64, 64))[0]


def test_a_size_that_is_asked_for_is_used() -> None:
    found = comparison(REAL, textures(2, 60, 48), encoders=("small_cnn",), size=(24, 32))
    assert found.real.size == found.fake.size == (24, 32)
    assert found.protocol["size"] == [24, 32]
