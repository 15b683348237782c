"""Small textures for comparisons, and the ways in which a person may have them: files, parquet, volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.api import Images
from bench.storage.image_reader import encode_png


def textures(seed: int, count: int = 60, side: int = 32, mean: float = 110.0, spread: float = 25.0) -> Images:
    """``(count, side, side)``: a gradient of random direction under noise of blocks, no two alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    slope = 60 * (np.cos(angle) * x + np.sin(angle) * y)
    blocks = rng.normal(0, spread, (count, side // 4, side // 4)).repeat(4, 1).repeat(4, 2)
    values = mean + rng.normal(0, 10, (count, 1, 1)) + slope + blocks + rng.normal(0, 4, (count, side, side))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def as_files(images: Sequence[Images], folder: Path, suffix: str = ".png") -> Path:
    """A file an image, in folders of ten, under names in no order."""
    for number, image in enumerate(images):
        path = folder / f"{number % 10}" / f"{(number * 37) % 101:03d}-{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def as_parquet(images: Sequence[Images], path: Path, **columns: Any) -> Path:
    """Rows in backward order, in the struct of ``datasets.Image``."""
    import pyarrow
    import pyarrow.parquet

    cells = [{"bytes": encode_png(image), "path": None} for image in images[::-1]]
    pyarrow.parquet.write_table(pyarrow.table({"image": cells, **columns}), path)
    return path


def as_volumes(images: Sequence[Images], folder: Path, slices: int = 1) -> Path:
    """NIfTI files of ``slices`` images each, as they are."""
    import nibabel

    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(images), slices):
        volume = np.stack(list(images[start : start + slices]), axis=2)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / f"{start}.nii.gz")
    return folder


def as_dicom(image: Images, path: Path, patient: str) -> Path:
    """A plain 8-bit DICOM file, black as zero."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    told = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    told.SOPClassUID, told.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    told.PatientID, told.Modality = patient, "DX"
    told.Rows, told.Columns = image.shape
    told.SamplesPerPixel, told.PhotometricInterpretation = 1, "MONOCHROME2"
    told.BitsAllocated = told.BitsStored = 8
    told.HighBit, told.PixelRepresentation = 7, 0
    told.PixelData = image.tobytes()
    told.save_as(path, enforce_file_format=True)
    return path
