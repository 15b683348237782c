"""DICOM files are shown as their headers say, or refused by name."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from bench.storage.dicom import DicomHeader, header
from bench.storage.image_reader import PIXEL_CAP, ImageError, decode_file, decode_grey, read_grey

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (20, 30)).astype(np.uint16)
WINDOW = {"WindowCenter": 2000, "WindowWidth": 1500}


def made(pixels: np.ndarray = DEEP, bits: int = 12, **elements: Any) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * pixels.itemsize, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    data["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def stored(data: Dataset) -> bytes:
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def table(first: int, entries: list[int], bits: int = 16) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, bits], entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def reference(data: Dataset, top: float | None = None) -> np.ndarray:
    """What pydicom shows, brought to 0 to 255; it gives windows over the span of the rescaled bits."""
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    shown = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data, index=0).astype(float)
    if top is not None:
        return shown / top * 255
    least = -(2 ** (data.BitsStored - 1)) if data.PixelRepresentation else 0
    low, span = least * slope + intercept, (2**data.BitsStored - 1) * slope
    return (shown - low) / span * 255


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -500}])
@pytest.mark.parametrize("kind", ["12", "16", "signed"])
def test_windows_agree_with_pydicom(function: str | None, rescale: dict[str, Any], kind: str) -> None:
    pixels = {"12": DEEP, "16": DEEP * 16, "signed": DEEP.astype(np.int16) - 2048}[kind]
    elements = {"WindowCenter": [900, 1], "WindowWidth": [1500, 9]} | rescale
    data = made(pixels, 12 if kind == "12" else 16, **elements | ({"VOILUTFunction": function} if function else {}))
    assert np.abs(decode_grey(stored(data), "x") - reference(data)).max() <= 0.51


def test_lookup_tables_agree_with_pydicom() -> None:
    ramp = [int(value) for value in np.linspace(0, 1, 4096) ** 2 * 65535]
    data = made(VOILUTSequence=Sequence([table(0, ramp)]), **WINDOW)
    assert np.abs(decode_grey(stored(data), "x") - reference(data, 65535)).max() <= 0.51
    data = made(ModalityLUTSequence=Sequence([table(0, ramp)]), WindowCenter=30000, WindowWidth=40000)
    values = apply_modality_lut(data.pixel_array, data).astype(float)
    wanted = np.clip((values - 29999.5) / 39999 + 0.5, 0, 1) * 255
    assert np.abs(decode_grey(stored(data), "x") - wanted).max() <= 0.51


def test_monochrome1_is_inverted_and_padding_is_darkest() -> None:
    plain, inverted = made(**WINDOW), made(PhotometricInterpretation="MONOCHROME1", **WINDOW)
    shown, turned = decode_grey(stored(plain), "x").astype(int), decode_grey(stored(inverted), "x").astype(int)
    assert np.abs(shown + turned - 255).max() <= 1 and shown.std() > 30
    padded = DEEP.copy()
    padded[:5] = 4000
    padded[5:7] = 4050
    padded[7:] = np.minimum(padded[7:], 3000)
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        data = made(padded, PhotometricInterpretation=kind, PixelPaddingValue=4000, **WINDOW)
        data["PixelPaddingValue"].VR = "US"
        assert not decode_grey(stored(data), "x")[:5].any()
        data.PixelPaddingRangeLimit = 4095
        data["PixelPaddingRangeLimit"].VR = "US"
        assert not decode_grey(stored(data), "x")[:7].any()


def test_an_explicit_window_is_in_rescaled_units_and_overrides() -> None:
    data = made(RescaleSlope=2, RescaleIntercept=-1000, **WINDOW)
    wanted = np.clip((DEEP * 2.0 - 1000) / 3000, 0, 1) * 255
    assert np.abs(decode_grey(stored(data), "x", window=(0, 3000)) - wanted).max() <= 0.5
    with pytest.raises(ImageError, match="must be under its second"):
        decode_grey(stored(data), "x", window=(3, 3))


def test_eight_bits_need_no_window(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
    (tmp_path / "picture.png").write_bytes(stored(made(pixels, 8)))
    for read in (read_grey, decode_file):
        assert np.array_equal(read(tmp_path / "picture.png"), pixels)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, RLELossless])
def test_compressed_pixels_are_those_that_were_stored(syntax: UID) -> None:
    data = made(**WINDOW)
    plain = decode_grey(stored(data), "x")
    content = stored(compressed(data, syntax))
    assert np.array_equal(decode_grey(content, "x"), plain)
    with pytest.raises(ImageError, match=r"x: .*(damaged|cut before)"):
        decode_grey(content[: len(content) - 300], "x")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_syntaxes(syntax: UID) -> None:
    data = made(**WINDOW)
    plain = decode_grey(stored(data), "x")
    data.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(decode_grey(stored(data), "x"), plain)


def compressed(data: Dataset, syntax: UID) -> Dataset:
    """By pydicom where it can, by gdcm otherwise."""
    if syntax == RLELossless:
        data.compress(syntax)
        return data
    import tempfile

    import gdcm
    from pydicom import dcmread

    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/a.dcm", f"{folder}/b.dcm"
        Path(source).write_bytes(stored(data))
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(source)
        assert reader.Read()
        kinds = {JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1}
        change.SetTransferSyntax(gdcm.TransferSyntax(kinds.get(syntax, gdcm.TransferSyntax.JPEG2000Lossless)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(target)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return dcmread(io.BytesIO(Path(target).read_bytes()))


def test_a_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = stored(compressed(made(**WINDOW), JPEGLosslessSV1))
    monkeypatch.setitem(sys.modules, "gdcm", None)
    with pytest.raises(ImageError, match=r"JPEG Lossless.*pip install '\.\[dicom\]'"):
        decode_grey(content, "x")


def without(name: str, **elements: Any) -> Dataset:
    data = made(**elements)
    delattr(data, name)
    return data


def floating() -> Dataset:
    data = without("PixelData", BitsAllocated=32)
    data.FloatPixelData = DEEP.astype(np.float32).tobytes()
    return data


BAD: dict[str, tuple[Dataset, str]] = {
    "no window": (made(), r"more than 8 bits \(values \d+ to \d+\) and no window.*set `window`"),
    "frames": (made(NumberOfFrames=2, **WINDOW), "2 frames, needed one"),
    "colour": (made(PhotometricInterpretation="RGB", SamplesPerPixel=3), "colour DICOM.*convert"),
    "palette": (made(PhotometricInterpretation="PALETTE COLOR"), "colour DICOM"),
    "float": (floating(), "float pixel data"),
    "no pixels": (without("PixelData"), "without pixels.*remove its row"),
    "no rows": (without("Rows", **WINDOW), "without Rows"),
    "short": (made(PixelData=DEEP.tobytes()[:-40], **WINDOW), "1,160 bytes of pixels, 1,200 needed"),
    "long": (made(PixelData=DEEP.tobytes() + bytes(40), **WINDOW), "1,240 bytes of pixels, 1,200 needed"),
    "too large": (made(Rows=60000, Columns=PIXEL_CAP // 60000 + 1, **WINDOW), "over the limit.*downsize"),
    "width": (made(WindowCenter=5, WindowWidth=0), "width 0.*set `window`"),
    "function": (made(VOILUTFunction="CUBIC", **WINDOW), "function CUBIC"),
    "bits": (made(BitsAllocated=32, **WINDOW), "bits stored in 32"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_shown_is_refused_by_name(fault: str) -> None:
    data, message = BAD[fault]
    with pytest.raises(ImageError, match=f"x: .*{message}"):
        decode_grey(stored(data), "x")


def test_any_cut_is_refused() -> None:
    content = stored(made(**WINDOW))
    for cut in range(132, len(content), 41):
        with pytest.raises(ImageError):
            decode_grey(content[:cut], "x")


def test_header_gives_what_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(stored(made(PatientID="P 7", ViewPosition="CC", ImageLaterality="L", PixelSpacing=[0.1, 0.2])))
    assert header(path) == DicomHeader("P 7", "CC", "L", (0.1, 0.2), (20, 30))
    path.write_bytes(stored(made(ImagerPixelSpacing=[0.07, 0.07], Laterality="R")))
    assert header(path) == DicomHeader(None, None, "R", (0.07, 0.07), (20, 30))
    path.write_bytes(stored(without("Rows")))
    with pytest.raises(ImageError, match="without an image"):
        header(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    with pytest.raises(ImageError, match="not a DICOM file"):
        header(path)
