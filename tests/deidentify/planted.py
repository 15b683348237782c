"""Files with planted identifiers: what is planted, and what must be found and never told."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from bench.storage.image_reader import encode_png

SECRET = "Quillfeather^Zebediah"
OTHER = "Quillfeather Zebediah"
SECRETS = ("Quillfeather", "Zebediah", "19630217", "1963-02-17", "zeb@example.org", "48151623", "Saint Orla")


class Plant(NamedTuple):
    """A kind of identifier: how a file with it is written, and a word of what must be found."""

    name: str
    write: Callable[[Path], None]
    found: str


def noise(seed: int = 0, size: int = 64) -> np.ndarray:
    """Grey levels without any shape, ``(size, size)`` uint8."""
    return np.random.default_rng(seed).integers(20, 40, (size, size), dtype=np.uint8)


def dicom(**values: object) -> Dataset:
    """A small DICOM image that holds as little as one can, and ``values``."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.BurnedInAnnotation = "NO"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 64, 64, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = noise().tobytes()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def _save(dataset: Dataset, path: Path) -> None:
    dataset.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)


def _dicom(**values: object) -> Callable[[Path], None]:
    return lambda folder: _save(dicom(**values), folder / "a.dcm")


def _private(folder: Path) -> None:
    dataset = dicom()
    dataset.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", SECRET)
    _save(dataset, folder / "a.dcm")


def _nested(folder: Path) -> None:
    inner = Dataset()
    inner.PatientID = "48151623"
    _save(dicom(OtherPatientIDsSequence=[inner]), folder / "a.dcm")


def _overlay(folder: Path) -> None:
    dataset = dicom()
    dataset.add_new((0x6000, 0x0010), "US", 64)
    dataset.add_new((0x6000, 0x0100), "US", 8)
    dataset.add_new((0x6000, 0x0102), "US", 7)
    _save(dataset, folder / "a.dcm")


def _overlay_data(folder: Path) -> None:
    dataset = dicom()
    dataset.add_new((0x6002, 0x3000), "OW", b"\1" * 512)
    _save(dataset, folder / "a.dcm")


def _png(**chunks: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        info = PngImagePlugin.PngInfo()
        for kind, text in chunks.items():
            if kind == "iTXt":
                info.add_itxt("Comment", text, zip=True)
            else:
                info.add_text("Comment", text, zip=kind == "zTXt")
        Image.fromarray(noise()).save(folder / "a.png", pnginfo=info)

    return write


def _raw_chunk(name: bytes, body: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        info = PngImagePlugin.PngInfo()
        info.add(name, body)
        Image.fromarray(noise()).save(folder / "a.png", pnginfo=info)

    return write


def _exif(where: str, tag: int, value: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        exif = Image.Exif()
        if where == "GPS":
            exif.get_ifd(0x8825)[tag] = value
        elif where == "Exif":
            exif.get_ifd(0x8769)[tag] = value
        else:
            exif[tag] = value
        Image.fromarray(noise()).save(folder / "a.jpg", exif=exif)

    return write


def _thumbnail(folder: Path) -> None:
    """A small JPEG within Exif, in a second directory, as cameras write it."""
    small = io.BytesIO()
    Image.fromarray(noise(1, 16)).save(small, "JPEG")
    content = small.getvalue()
    entry = lambda tag, value: tag.to_bytes(2, "big") + b"\0\4\0\0\0\1" + value.to_bytes(4, "big")  # noqa: E731
    first = b"\0\0" + (14).to_bytes(4, "big")
    second = b"\0\2" + entry(513, 44) + entry(514, len(content)) + b"\0\0\0\0"
    block = b"Exif\0\0MM\0*\0\0\0\x08" + first + second + content
    Image.fromarray(noise()).save(folder / "a.jpg", exif=block)


def _jpeg(**given: object) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(noise()).save(folder / "a.jpg", **given)


def _segment(kind: int, body: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        out = io.BytesIO()
        Image.fromarray(noise()).save(out, "JPEG")
        content = out.getvalue()
        segment = bytes([0xFF, kind]) + (len(body) + 2).to_bytes(2, "big") + body
        (folder / "a.jpg").write_bytes(content[:2] + segment + content[2:])

    return write


def _tiff(tag: int) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(noise()).save(folder / "a.tif", tiffinfo={tag: OTHER})


def _after(suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / f"a{suffix}"
        Image.fromarray(noise()).save(path)
        path.write_bytes(path.read_bytes() + OTHER.encode())

    return write


def _named(path: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise()).save(file, "PNG")

    return write


def _text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8") and None


def _parquet(column: str, value: str, metadata: bool = False) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        image = {"bytes": encode_png(noise()), "path": "a.png"}
        table = pyarrow.table({"image": [image], column: [value]})
        if metadata:
            table = table.replace_schema_metadata({"note": OTHER})
        pyarrow.parquet.write_table(table, folder / "a.parquet")

    return write


def _parquet_image(folder: Path) -> None:
    _png(tEXt=OTHER)(folder)
    path = folder / "a.png"
    table = pyarrow.table({"image": [{"bytes": path.read_bytes(), "path": "a.png"}]})
    path.unlink()
    pyarrow.parquet.write_table(table, folder / "a.parquet")


def _nifti(field: str, extension: bool = False) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        volume = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
        if extension:
            volume.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", OTHER.encode()))
        else:
            volume.header[field] = OTHER.encode()[:16]
        nibabel.save(volume, folder / "a.nii.gz")

    return write


def _alike(folder: Path) -> None:
    for number in range(10):
        image = noise(number)
        image[5:8, 10:40] = 250
        Image.fromarray(image).save(folder / f"{'abcdefghij'[number]}.png")


PLANTS = (
    Plant("dicom name", _dicom(PatientName=SECRET), "(0010,0010) Patient's Name"),
    Plant("dicom id", _dicom(PatientID="48151623"), "(0010,0020) Patient ID"),
    Plant("dicom birth date", _dicom(PatientBirthDate="19630217"), "(0010,0030)"),
    Plant("dicom study date", _dicom(StudyDate="19630217"), "(0008,0020)"),
    Plant("dicom time", _dicom(StudyTime="121314"), "(0008,0030)"),
    Plant("dicom institution", _dicom(InstitutionName="Saint Orla"), "(0008,0080)"),
    Plant("dicom physician", _dicom(ReferringPhysicianName=SECRET), "(0008,0090)"),
    Plant("dicom accession", _dicom(AccessionNumber="48151623"), "(0008,0050)"),
    Plant("dicom serial", _dicom(DeviceSerialNumber="48151623"), "(0018,1000)"),
    Plant("dicom uid", _dicom(StudyInstanceUID="1.2.3.4.5.6.48151623"), "(0020,000D)"),
    Plant("dicom name outside the profile", _dicom(EvaluatorName=SECRET), "(0014,2006)"),
    Plant("dicom private", _private, "private attributes"),
    Plant("dicom nested", _nested, "(0010,0020) Patient ID"),
    Plant("dicom overlay in pixels", _overlay, "an overlay in unused bits"),
    Plant("dicom overlay", _overlay_data, "Overlay Data"),
    Plant("dicom burnt in", _dicom(BurnedInAnnotation="YES"), "BurnedInAnnotation says YES"),
    Plant("dicom burnt in not said", _dicom(BurnedInAnnotation=None), "BurnedInAnnotation is not there"),
    Plant("dicom capture", _dicom(SOPClassUID=SecondaryCaptureImageStorage), "a secondary capture"),
    Plant("png tEXt", _png(tEXt=OTHER), "PNG text tEXt (Comment)"),
    Plant("png zTXt", _png(zTXt=OTHER), "PNG text zTXt (Comment)"),
    Plant("png iTXt", _png(iTXt=OTHER), "PNG text iTXt (Comment)"),
    Plant("png tIME", _raw_chunk(b"tIME", b"\x07\xab\2\x11\0\0\0"), "tIME"),
    Plant("png private chunk", _raw_chunk(b"zeBb", OTHER.encode()), "neither picture nor text"),
    Plant("png after the end", _after(".png"), "bytes after the end"),
    Plant("jpeg after the end", _after(".jpg"), "bytes after the end"),
    Plant("jpeg comment", _jpeg(comment=OTHER), "JPEG comment"),
    Plant("jpeg xmp", _jpeg(xmp=f"<x>{OTHER}</x>".encode()), "XMP"),
    Plant("jpeg iptc", _segment(0xED, b"Photoshop 3.0\0" + OTHER.encode()), "IPTC"),
    Plant("jpeg application data", _segment(0xE9, OTHER.encode()), "APP9"),
    Plant("exif artist", _exif("", 315, OTHER), "tag 315 (Artist)"),
    Plant("exif date", _exif("Exif", 0x9003, "1963:02:17 01:02:03"), "DateTimeOriginal"),
    Plant("exif gps", _exif("GPS", 2, (48.0, 8.0, 15.0)), "a place (GPS"),
    Plant("exif thumbnail", _thumbnail, "a small picture of the picture (Exif)"),
    Plant("tiff software", _tiff(305), "TIFF tag 305 (Software)"),
    Plant("tiff artist", _tiff(315), "TIFF tag 315 (Artist)"),
    Plant("tiff description", _tiff(270), "TIFF tag 270 (ImageDescription)"),
    Plant("tiff host", _tiff(316), "TIFF tag 316 (HostComputer)"),
    Plant("name in a file name", _named("Quillfeather_Zebediah.png"), "a name holds what may be a person's name"),
    Plant("name in a folder", _named("Quillfeather, Zebediah/a.png"), "a name holds what may be a person's name"),
    Plant("date in a file name", _named("scan-19630217.png"), "a name holds a date"),
    Plant("number in a file name", _named("x48151623.png"), "a name holds a long number"),
    Plant("mail in a file name", _named("zeb@example.org.png"), "a name holds an e-mail address"),
    Plant("hidden file", _named(".a.png"), "a hidden file"),
    Plant("index of dicom", lambda folder: _save(dicom(), folder / "DICOMDIR"), "an index of DICOM files"),
    Plant("thumbs", _text("Thumbs.db", OTHER), "small pictures that Windows kept"),
    Plant("archive", _text("a.zip", OTHER), "an archive"),
    Plant("other", _text("a.xyz", OTHER), "content was not looked at"),
    Plant("csv values", _text("a.csv", f"x\n{OTHER}\n"), "what may be a person's name"),
    Plant("csv dates", _text("a.csv", "x\n1963-02-17\n"), "values with the form of a date"),
    Plant("csv columns", _text("a.csv", "x,BirthDate\n1,2\n"), "name speaks of birth"),
    Plant("json", _text("a.json", json.dumps({"x": [OTHER]})), "what may be a person's name"),
    Plant("txt", _text("a.txt", f"so said {OTHER}"), "what may be a person's name"),
    Plant("parquet values", _parquet("x", OTHER), "what may be a person's name"),
    Plant("parquet columns", _parquet("patient", "a"), "name speaks of patient"),
    Plant("parquet metadata", _parquet("x", "a", metadata=True), "metadata of the file"),
    Plant("parquet image", _parquet_image, "PNG text tEXt (Comment)"),
    Plant("nifti descrip", _nifti("descrip"), "header field descrip"),
    Plant("nifti db_name", _nifti("db_name"), "header field db_name"),
    Plant("nifti intent_name", _nifti("intent_name"), "header field intent_name"),
    Plant("nifti extension", _nifti("", extension=True), "a header extension"),
    Plant("alike", _alike, "bright pixels differ"),
)
