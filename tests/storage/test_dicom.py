"""DICOM files as a reading room shows them, beside pydicom's own windows; what is no grey picture is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from bench.storage import dicom
from bench.storage.dicom import header
from bench.storage.image_reader import ImageError, decode_file, decode_grey, read_grey

RNG = np.random.default_rng(0)
VALUES = (np.add.outer(np.arange(24) * 100, np.arange(30) * 40) + RNG.integers(0, 50, (24, 30))).astype(np.uint16)


def scan(values: np.ndarray = VALUES, bits: int = 12, **changed: Any) -> Dataset:
    """One grey frame of ``bits`` stored bits, seen through a window over 12 bits unless ``changed`` says otherwise."""
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = CTImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = generate_uid(entropy_srcs=["x"])
    found.PatientID, found.Modality = "P7", "DX"
    found.Rows, found.Columns = values.shape[-2:] if values.ndim == 2 else values.shape[:2]
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated, found.BitsStored, found.HighBit = values.dtype.itemsize * 8, bits, bits - 1
    found.PixelRepresentation = int(values.dtype.kind == "i")
    found.WindowCenter, found.WindowWidth = 2048, 4096
    found.PixelData = values.tobytes()
    for name, value in changed.items():
        if value is None:
            delattr(found, name)
        else:
            setattr(found, name, value)
    return found


def saved(found: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, found, enforce_file_format=True)
    return buffer.getvalue()


def shown(found: Dataset, **options: Any) -> np.ndarray:
    return decode_grey(saved(found), "x.dcm", **options)


def as_pydicom_shows(found: Dataset) -> np.ndarray:
    """Its own window functions, whose output spans what the stored bits can hold after rescaling."""
    found = pydicom.dcmread(io.BytesIO(saved(found)))
    values = apply_voi_lut(apply_modality_lut(found.pixel_array, found), found, index=0)
    signed = found.PixelRepresentation == 1
    ends = np.array([-(2 ** (found.BitsStored - 1)), 2 ** (found.BitsStored - 1) - 1]) if signed else None
    ends = np.array([0, 2**found.BitsStored - 1]) if ends is None else ends
    ends = ends * float(found.get("RescaleSlope", 1)) + float(found.get("RescaleIntercept", 0))
    return np.clip(np.rint((values - ends[0]) / (ends[1] - ends[0]) * 255), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1000, 400), (300, 2), (-100, 900)])
@pytest.mark.parametrize("rescale", [(1, 0), (0.5, -200)])
def test_windows_are_those_of_the_standard(
    function: str, centre: float, width: float, rescale: tuple[float, float]
) -> None:
    found = scan(WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)
    found.RescaleSlope, found.RescaleIntercept = rescale
    difference = shown(found).astype(int) - as_pydicom_shows(found)
    assert np.abs(difference).max() <= 1  # a rounding of a half


def test_signed_values_are_rescaled_first() -> None:
    hounsfield = (VALUES.astype(np.int16) - 1024).astype(np.int16)
    found = scan(hounsfield, 16, WindowCenter=40, WindowWidth=400, RescaleSlope=1, RescaleIntercept=0)
    assert np.abs(shown(found).astype(int) - as_pydicom_shows(found)).max() <= 1


def test_the_first_of_several_windows_is_taken() -> None:
    several = scan(WindowCenter=[500, 3000], WindowWidth=[800, 10])
    assert np.array_equal(shown(several), shown(scan(WindowCenter=500, WindowWidth=800)))


def test_a_window_of_ones_own_goes_before_that_of_the_file_in_rescaled_units() -> None:
    found = scan(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=5, WindowWidth=2)
    wanted = np.clip(np.rint((VALUES * 2.0 - 100 - 900) / 3000 * 255), 0, 255)
    assert np.array_equal(shown(found, window=(900, 3900)), wanted)
    with pytest.raises(ImageError, match=r"window .* is empty"):
        shown(found, window=(5, 5))


def test_monochrome1_is_inverted_after_the_window() -> None:
    assert np.abs(shown(scan(PhotometricInterpretation="MONOCHROME1")).astype(int) + shown(scan()) - 255).max() <= 1


@pytest.mark.parametrize(("bits", "packed"), [(8, np.uint8), (8, np.uint16), (12, np.uint16), (16, np.uint16)])
@pytest.mark.parametrize("first", [0, 500])
def test_a_lookup_table_of_the_file_goes_before_its_window(bits: int, packed: Any, first: int) -> None:
    entries = np.minimum(2**bits - 1, np.arange(3000) * 2**bits // 2048)
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [3000, first, bits], entries.astype(packed).tobytes()
    found = scan(VOILUTSequence=Sequence([item]))
    wanted = entries[np.clip(VALUES.astype(int) - first, 0, 2999)] / (2**bits - 1) * 255
    assert np.array_equal(shown(found), np.rint(wanted))


def test_a_lookup_table_of_the_modality_is_applied() -> None:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "US"
    item.LUTData = (np.arange(4096, dtype=np.uint16) * 2).tobytes()
    found = scan(ModalityLUTSequence=Sequence([item]), WindowCenter=4096, WindowWidth=8192)
    assert np.abs(shown(found).astype(int) - shown(scan())).max() <= 1


def test_padding_is_black_whatever_the_interpretation() -> None:
    values = VALUES.copy()
    values[:5] = 4000
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        found = scan(values, PixelPaddingValue=4000, PhotometricInterpretation=kind)
        assert not shown(found)[:5].any()
        assert np.array_equal(shown(found)[5:], shown(scan(values, PhotometricInterpretation=kind))[5:])
    ranged = scan(values, PixelPaddingValue=4000, PixelPaddingRangeLimit=3990)
    assert not shown(ranged)[:5].any()


def test_eight_bits_without_a_window_are_as_they_are() -> None:
    values = (VALUES // 16).astype(np.uint8)
    found = scan(values, 8, WindowCenter=None, WindowWidth=None)
    assert np.array_equal(shown(found), values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
def test_compressed_pixels_are_those_that_were_compressed(syntax: Any, tmp_path: Path) -> None:
    plain = tmp_path / "plain.dcm"
    plain.write_bytes(saved(scan()))
    packed = _transcoded(plain, syntax, tmp_path / "packed.dcm")
    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(decode_file(packed), decode_file(plain))


def _transcoded(source: Path, syntax: Any, target: Path) -> Path:
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


def test_what_nothing_here_decodes_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tmp_path / "plain.dcm"
    plain.write_bytes(saved(scan()))
    packed = _transcoded(plain, JPEGLSLossless, tmp_path / "packed.dcm")

    def without(self: Any) -> Any:
        raise RuntimeError("Unable to decompress 'JPEG-LS' pixel data because all plugins are missing dependencies")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(without))
    with pytest.raises(ImageError, match=r"packed\.dcm: compressed DICOM \(JPEG-LS.*pip install .*\[dicom\]"):
        decode_file(packed)


FLOATS = VALUES.astype(np.float32)
REFUSED: dict[str, tuple[Dataset, str]] = {
    "several frames": (scan(NumberOfFrames=2, PixelData=VALUES.tobytes() * 2), "DICOM of 2 frames, needed one"),
    "colour": (
        scan(
            np.zeros((24, 30, 3), np.uint8),
            8,
            SamplesPerPixel=3,
            PhotometricInterpretation="RGB",
            PlanarConfiguration=0,
        ),
        r"DICOM in RGB \(3 samples a pixel\)",
    ),
    "palette": (scan(PhotometricInterpretation="PALETTE COLOR"), "DICOM in PALETTE COLOR"),
    "no pixels": (scan(PixelData=None, Modality="SR"), r"without an image \(SR\)"),
    "cut pixels": (scan(PixelData=VALUES.tobytes()[:700]), "damaged or unusual DICOM"),
    "no window": (
        scan(WindowCenter=None, WindowWidth=None),
        r"12 bits \(values \d+ to \d+\) and no window; set `window`",
    ),
    "empty window": (scan(WindowWidth=0), "window of width 0, LINEAR"),
    "strange window": (scan(VOILUTFunction="CUBIC"), "CUBIC"),
    "8 bits rescaled": (
        scan(
            (VALUES // 16).astype(np.uint8), 8, WindowCenter=None, WindowWidth=None, RescaleSlope=2, RescaleIntercept=0
        ),
        "and no window",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_grey_picture_is_refused_by_name(case: str) -> None:
    found, message = REFUSED[case]
    with pytest.raises(ImageError, match=f"^x.dcm: .*{message}"):
        shown(found)


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "PIXEL_CAP", 100)
    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(lambda self: pytest.fail("decoded")))
    with pytest.raises(ImageError, match="over the limit of 100 pixels"):
        shown(scan())


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    content = saved(scan())
    for place in range(140, len(content) - 2, 97):
        with pytest.raises(ImageError):
            decode_grey(content[:place], "x.dcm")


def test_the_suffix_does_not_matter_and_blank_is_blank(tmp_path: Path) -> None:
    for name in ("a.dcm", "a.png", "a"):
        (tmp_path / name).write_bytes(saved(scan()))
        assert np.array_equal(read_grey(tmp_path / name), shown(scan()))
    (tmp_path / "b.dcm").write_bytes(saved(scan(np.full((24, 30), 7, np.uint16))))
    with pytest.raises(ImageError, match="blank image"):
        read_grey(tmp_path / "b.dcm")


def test_the_header_tells_whose_and_what(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    found = scan(ViewPosition="PA", ImageLaterality="L", ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=[9, 9])
    path.write_bytes(saved(found))
    told = header(path)
    assert (told.patient_id, told.view, told.laterality) == ("P7", "PA", "L")
    assert told.spacing_mm == (0.2, 0.1) and told.size == (24, 30)
    path.write_bytes(saved(scan(PatientID="", Laterality="R")))
    told = header(path)
    assert (told.patient_id, told.view, told.laterality, told.spacing_mm) == (None, None, "R", None)
    path.write_bytes(b"no DICOM")
    with pytest.raises(ImageError, match=r"a\.dcm: damaged or unusual DICOM"):
        header(path)
