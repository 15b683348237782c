"""DICOM images as grey pictures, and what their headers tell."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.storage.image_reader import PIXEL_CAP, Grey, ImageError

EXTRA = "pip install 'medical-image-bench[dicom]'"
GREY = ("MONOCHROME1", "MONOCHROME2")
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """What a file says beside its pixels; ``None`` where it says nothing.

    Attributes:
        spacing_mm: of pixels at the imager or in the patient: between rows, between columns.
        size: height and width in pixels.
        bits: of a stored value.
    """

    patient_id: str | None
    view: str | None
    laterality: str | None
    spacing_mm: tuple[float, float] | None
    size: tuple[int, int]
    bits: int


def header(path: Path) -> DicomHeader:
    """Read the header of a file; the pixels are left aside.

    Raises:
        ImageError: no DICOM file, or one without the size of an image.
    """
    import pydicom

    with _understood(str(path)):
        found = pydicom.dcmread(path, stop_before_pixels=True)
        return DicomHeader(
            patient_id=_text(found, "PatientID"),
            view=_text(found, "ViewPosition"),
            laterality=_text(found, "ImageLaterality") or _text(found, "Laterality"),
            spacing_mm=_spacing(found),
            size=(int(found.Rows), int(found.Columns)),
            bits=int(found.BitsStored),
        )


def decode_dicom(content: bytes, where: str, window: tuple[float, float] | None) -> Grey:
    """The one grey frame of a file as ``(H, W)`` uint8, black to white as a reading room shows it.

    Stored values become those of the modality (rescale or lookup table), and these grey levels: by ``window`` where it
    is given, in the units of the modality, else by the file's own lookup table or its first window (linear, linear
    exact or sigmoid), else, where 8 bits or fewer are stored and nothing is rescaled, as they are. ``MONOCHROME1`` is
    inverted; padding is black.

    Raises:
        ImageError: no image, several frames, colour, floating point, over ``PIXEL_CAP``, pixel data that are cut or
            that nothing here decodes, or more than 8 bits without a window.
    """
    import pydicom

    with _understood(where):
        found = pydicom.dcmread(io.BytesIO(content))
        _check(found, where)
        stored = _stored(found, where)
        shares = _shares(found, _modality(stored, found), where, window)
        if found.PhotometricInterpretation == "MONOCHROME1":
            shares = 1 - shares
        shares[_padding(stored, found)] = 0
        return np.clip(np.rint(shares * 255), 0, 255).astype(np.uint8)


@contextmanager
def _understood(where: str) -> Iterator[None]:
    """Errors of the reader as ours; what it warns of beside the pixels is left aside."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ImageError, OSError):
        raise
    except Exception as error:  # readers raise whatever the damage leads them to
        raise ImageError(f"{where}: damaged or unusual DICOM file ({error}); copy it again from its source") from None


def _check(found: Any, where: str) -> None:
    """What the header tells, before any pixel is decoded."""
    if "FloatPixelData" in found or "DoubleFloatPixelData" in found:
        raise ImageError(f"{where}: DICOM of floating point values; save it as 16-bit grey with a window")
    if "PixelData" not in found:
        kind = _text(found, "Modality") or "no modality"
        raise ImageError(f"{where}: DICOM object without an image ({kind}); remove its row")
    frames = int(found.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise ImageError(f"{where}: DICOM of {frames} frames, needed one; save the frame you mean on its own")
    colours, kind = int(found.SamplesPerPixel), str(found.PhotometricInterpretation)
    if colours != 1 or kind not in GREY:
        raise ImageError(f"{where}: DICOM in {kind} ({colours} samples a pixel), needed MONOCHROME1 or MONOCHROME2")
    if int(found.Rows) * int(found.Columns) > PIXEL_CAP:
        size = f"{found.Rows} x {found.Columns}"
        raise ImageError(f"{where}: over the limit of {PIXEL_CAP:,} pixels ({size}); downsize it first")


def _stored(found: Any, where: str) -> npt.NDArray[Any]:
    """The stored values ``(H, W)``."""
    syntax = found.file_meta.TransferSyntaxUID
    try:
        return np.asarray(found.pixel_array)
    except (RuntimeError, NotImplementedError) as error:
        if syntax.is_compressed and "missing" in str(error):
            raise ImageError(f"{where}: compressed DICOM ({syntax.name}); to read it: {EXTRA}") from None
        raise


def _modality(stored: npt.NDArray[Any], found: Any) -> Values:
    from pydicom.pixels import apply_modality_lut

    return np.asarray(apply_modality_lut(stored, found), np.float64)


def _shares(found: Any, values: Values, where: str, window: tuple[float, float] | None) -> Values:
    """Grey levels from 0, black, to 1, white."""
    if window is not None:
        low, high = window
        if not low < high:
            raise ImageError(f"{where}: window {tuple(window)} is empty; its first value must be under its second")
        return np.clip((values - low) / (high - low), 0, 1)
    if found.get("VOILUTSequence"):
        return _looked_up(found, values)
    if found.get("WindowCenter") is not None and found.get("WindowWidth") is not None:
        centre, width = (_first(found[name].value) for name in ("WindowCenter", "WindowWidth"))
        return windowed(values, centre, width, str(found.get("VOILUTFunction") or "LINEAR"), where)
    plain = found.PixelRepresentation == 0 and not (found.get("ModalityLUTSequence") or _rescaled(found))
    if int(found.BitsStored) > 8 or not plain:
        raise ImageError(
            f"{where}: DICOM of {found.BitsStored} bits (values {values.min():g} to {values.max():g}) and no window; "
            "set `window` to the values shown as black and white, for example [0, 4095]"
        )
    return values / (2 ** int(found.BitsStored) - 1)


def windowed(values: Values, centre: float, width: float, function: str, where: str) -> Values:
    """Values by a window, from 0 to 1, as PS3.3 C.11.2.1.2 and C.11.2.1.3 of the standard define it.

    Raises:
        ImageError: a width that the function does not allow, or another function.
    """
    if function == "LINEAR" and width >= 1:
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    if function == "LINEAR_EXACT" and width > 0:
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if function == "SIGMOID" and width > 0:
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    raise ImageError(f"{where}: DICOM window of width {width:g}, {function}, which shows nothing; set `window`")


def _looked_up(found: Any, values: Values) -> Values:
    """Values by the first lookup table: those under its first entry are that entry, those over its last the last.

    Done here because pydicom counts the entries of a table of 8 bits in 8 bits.
    """
    item = found.VOILUTSequence[0]
    entries, first, bits = (int(each) for each in item.LUTDescriptor)
    entries = entries or 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        # of 8 bits, one entry a byte or one a word
        data = np.frombuffer(data, np.uint8 if len(data) < 2 * entries else "<u2")
    table = np.asarray(data, np.float64)[:entries]
    return table[np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)] / (2**bits - 1)


def _padding(stored: npt.NDArray[Any], found: Any) -> npt.NDArray[np.bool_]:
    """Where the file has padding and no picture."""
    first = found.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, bool)
    last = found.get("PixelPaddingRangeLimit", first)
    low, high = sorted((int(first), int(last)))
    return np.asarray((stored >= low) & (stored <= high))


def _rescaled(found: Any) -> bool:
    return float(found.get("RescaleSlope", 1) or 1) != 1 or float(found.get("RescaleIntercept", 0) or 0) != 0


def _first(value: Any) -> float:
    """The first of several windows."""
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _text(found: Any, name: str) -> str | None:
    return str(found.get(name) or "").strip() or None


def _spacing(found: Any) -> tuple[float, float] | None:
    values = found.get("ImagerPixelSpacing") or found.get("PixelSpacing")
    if values is None or len(values) != 2:
        return None
    return float(values[0]), float(values[1])
