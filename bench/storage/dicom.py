"""DICOM: what the header says of a picture, and its pixels as they are meant to be shown."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.storage.image_reader import BYTE_CAP, PIXEL_CAP, Grey, ImageError, read_content

Values = npt.NDArray[np.float64]  # (H, W)

_SHAPES = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_GREY = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True)
class DicomHeader:
    """What a DICOM file says of its picture; ``None`` is not stated.

    Attributes:
        spacing_mm: distance of pixel centres between rows and between columns, at the detector where the file does
            not correct it for magnification.
        size: rows and columns.
    """

    patient_id: str | None
    view: str | None
    laterality: str | None
    spacing_mm: tuple[float, float] | None
    size: tuple[int, int]


def header(path: Path) -> DicomHeader:
    """Read the header of one file; no pixel is read.

    Raises:
        ImageError: missing, not DICOM, damaged, or without an image.
        DiskError: the disk does not give it.
    """
    where = str(path)
    data = _parsed(read_content(path), where, pixels=False)
    try:
        size = int(data["Rows"].value), int(data["Columns"].value)
        return DicomHeader(
            _text(data, "PatientID"),
            _text(data, "ViewPosition"),
            _text(data, "ImageLaterality") or _text(data, "Laterality"),
            _spacing(data),
            size,
        )
    except KeyError:
        raise ImageError(f"{where}: a DICOM object without an image ({_class(data)}); remove its row") from None
    except (TypeError, ValueError) as error:
        raise ImageError(f"{where}: damaged DICOM header ({error}); copy it again from its source") from None


def decode_dicom(content: bytes, where: str, *, window: tuple[float, float] | None = None) -> Grey:
    """The picture of a DICOM file as it is meant to be shown: ``(H, W)`` uint8, black lowest.

    Modality LUT or rescale, then the VOI LUT or the first window of the file (LINEAR, LINEAR_EXACT or SIGMOID), then
    MONOCHROME1 is inverted. Pixel padding is shown as darkest. Without either, up to 8 stored bits are shown over their
    whole range, and more are refused.

    Args:
        where: what messages call the image.
        window: rescaled values shown as darkest and lightest (before MONOCHROME1 is inverted), instead of the file's.

    Raises:
        ImageError: damaged, truncated, over the size limits, several frames, colour, float pixels, no pixels,
            compressed in a way that needs or defeats the decoder, or nothing says how to show it.
    """
    data = _parsed(content, where, pixels=True)
    _check(data, where)
    stored = _pixels(data, where)
    try:
        values, padding = _modality(data, stored), _padding(data, stored)
        shown = _shown(data, values, padding, where, window)
    except ImageError:
        raise
    except Exception as error:  # a damaged element raises whatever it leads to
        raise ImageError(f"{where}: damaged DICOM header ({error}); copy it again from its source") from None
    if data.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    shown = np.where(padding, 0, shown)
    return np.rint(shown * 255).astype(np.uint8)


def _parsed(content: bytes, where: str, pixels: bool) -> Any:
    from pydicom import dcmread

    if content[128:132] != b"DICM":
        raise ImageError(f"{where}: not a DICOM file (no DICM at byte 128); name one, or read it as an image")
    try:
        data = dcmread(io.BytesIO(content), stop_before_pixels=not pixels)
        data.file_meta.TransferSyntaxUID  # noqa: B018 - is it there?
        return data
    except Exception as error:  # the parser raises whatever the damage leads it to
        raise ImageError(f"{where}: damaged or truncated DICOM ({error}); copy it again from its source") from None


def _text(data: Any, name: str) -> str | None:
    value = data.get(name)
    return (str(value).strip() or None) if value is not None else None


def _class(data: Any) -> str:
    uid = data.get("SOPClassUID")
    return str(getattr(uid, "name", uid) or "no SOP class")


def _spacing(data: Any) -> tuple[float, float] | None:
    stated = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    if not stated:
        return None
    row, column = (float(value) for value in stated)
    if not (0 < row < math.inf and 0 < column < math.inf):
        raise ValueError(f"pixel spacing {row:g} x {column:g} mm")
    return row, column


def _check(data: Any, where: str) -> None:
    """What the header tells, before any pixel is decoded."""
    if "FloatPixelData" in data or "DoubleFloatPixelData" in data:
        raise ImageError(f"{where}: DICOM with float pixel data; save it as 16-bit grey with a rescale")
    if "PixelData" not in data:
        raise ImageError(f"{where}: a DICOM object without pixels ({_class(data)}), or cut before them; copy it again")
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
    if missing := [name for name in needed if data.get(name) in (None, "")]:
        raise ImageError(f"{where}: DICOM without {', '.join(missing)}; export it again from its source")
    try:
        frames, rows, columns = (int(data.get(name) or 1) for name in ("NumberOfFrames", "Rows", "Columns"))
        samples, allocated, stored = (
            int(data.get(name) or 1) for name in ("SamplesPerPixel", "BitsAllocated", "BitsStored")
        )
    except (TypeError, ValueError) as error:
        raise ImageError(f"{where}: damaged DICOM header ({error}); copy it again from its source") from None
    if frames != 1:
        raise ImageError(f"{where}: holds {frames} frames, needed one; save the frame you mean on its own")
    if samples != 1 or data.PhotometricInterpretation not in _GREY:
        kind = data.PhotometricInterpretation
        raise ImageError(f"{where}: colour DICOM ({kind}, {samples} samples a pixel); convert it to grey yourself")
    if rows * columns > PIXEL_CAP or rows * columns * 2 > BYTE_CAP:
        raise ImageError(f"{where}: over the limit of {PIXEL_CAP:,} pixels ({columns} x {rows}); downsize it first")
    if allocated not in (8, 16) or not 0 < stored <= allocated:
        raise ImageError(f"{where}: {stored} bits stored in {allocated}, needed 1 to 16 in 8 or 16; save it as 16-bit")


def _pixels(data: Any, where: str) -> npt.NDArray[Any]:
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        _need_decoder(where, syntax)
    else:
        needed, got = data.Rows * data.Columns * data.BitsAllocated // 8, len(data.PixelData)
        if got not in (needed, needed + needed % 2):
            raise ImageError(
                f"{where}: truncated or damaged DICOM ({got:,} bytes of pixels, {needed:,} needed for "
                f"{data.Columns} x {data.Rows}); copy it again from its source"
            )
    try:
        pixels = np.asarray(data.pixel_array)
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise ImageError(
            f"{where}: damaged or unreadable pixels in DICOM of {syntax.name} ({error}); copy it again, or save it "
            "uncompressed"
        ) from None
    if pixels.shape != (data.Rows, data.Columns):
        raise ImageError(f"{where}: pixels of shape {pixels.shape}, but the header says {data.Rows, data.Columns}")
    return pixels


def _need_decoder(where: str, syntax: Any) -> None:
    from pydicom.uid import RLELossless

    if syntax == RLELossless:
        return  # pydicom decodes it itself
    try:
        import gdcm  # noqa: F401
    except ImportError:
        raise ImageError(
            f"{where}: compressed DICOM ({syntax.name}) needs python-gdcm: pip install '.[dicom]'"
        ) from None


def _modality(data: Any, stored: npt.NDArray[Any]) -> Values:
    from pydicom.pixels import apply_modality_lut

    values: Values = np.asarray(apply_modality_lut(stored, data), np.float64)
    if not np.isfinite(values).all():
        raise ValueError("its rescale gives values that are not finite")
    return values


def _padding(data: Any, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if data.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    ends = [int(data.PixelPaddingValue), int(data.get("PixelPaddingRangeLimit", data.PixelPaddingValue))]
    found: npt.NDArray[np.bool_] = (stored >= min(ends)) & (stored <= max(ends))
    return found


def _shown(
    data: Any, values: Values, padding: npt.NDArray[np.bool_], where: str, window: tuple[float, float] | None
) -> Values:
    """``values`` brought to 0 to 1."""
    if window is not None:
        low, high = window
        if not low < high:
            raise ImageError(f"{where}: window {tuple(window)} is empty; its first value must be under its second")
        return np.clip((values - low) / (high - low), 0, 1)
    if data.get("VOILUTSequence"):
        return _looked_up(data, values, where)
    if data.get("WindowCenter") is not None and data.get("WindowWidth") is not None:
        return _windowed(data, values, where)
    if data.BitsStored > 8:
        kept = values[~padding] if not padding.all() else values
        raise ImageError(
            f"{where}: more than 8 bits (values {kept.min():g} to {kept.max():g}) and no window in the file to show "
            "them in; set `window`, for example [0, 4095]"
        )
    least = -(2 ** (data.BitsStored - 1)) if data.PixelRepresentation else 0
    ends = _modality(data, np.array([[least, least + 2**data.BitsStored - 1]], np.int16))
    return np.clip((values - ends.min()) / (ends.max() - ends.min()), 0, 1)


def _looked_up(data: Any, values: Values, where: str) -> Values:
    from pydicom.pixels import apply_voi

    bits = int(data.VOILUTSequence[0].LUTDescriptor[2])
    if not 0 < bits <= 16:
        raise ImageError(f"{where}: VOI LUT of {bits} bits, needed 1 to 16; set `window`")
    looked: Values = np.asarray(apply_voi(np.rint(values).astype(np.int64), data, index=0), np.float64)
    return np.clip(looked / (2**bits - 1), 0, 1)


def _windowed(data: Any, values: Values, where: str) -> Values:
    """The first window of the file, by the formulas of DICOM PS3.3 C.11.2.1.2."""
    centre, width = (_first(data[name].value) for name in ("WindowCenter", "WindowWidth"))
    shape = _text(data, "VOILUTFunction") or "LINEAR"
    if shape not in _SHAPES:
        raise ImageError(f"{where}: VOI LUT function {shape}, needed one of {', '.join(_SHAPES)}; set `window`")
    if not (math.isfinite(centre) and math.isfinite(width)) or (width < 1 and shape == "LINEAR") or width <= 0:
        raise ImageError(f"{where}: window of centre {centre:g} and width {width:g} in the file; set `window`")
    if shape == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if shape == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _first(value: Any) -> float:
    return float(value if isinstance(value, (int, float, str)) else value[0])
