"""The one strict image reader, the one resize, and pictures as files."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.api import BenchError, Images, OwnSize
from bench.storage.disk_errors import explained
from bench.storage.jpeg_scans import jpeg_fault

Grey = npt.NDArray[np.uint8]  # (H, W)
Aspect = Literal["pad", "crop"]
Alpha = Literal["refuse", "opaque"]

READER_VERSION = "3"  # changes whenever the same file would give other pixels, or more is kept of it
PIXEL_CAP = 32_000_000
BYTE_CAP = 512 * 2**20
BLANK_SPREAD = 1.0  # standard deviation in grey levels under which an image shows nothing

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm"})  # of image files, in small letters
_FORMATS = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_CODE_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".pt2", ".ckpt", ".npy", ".npz", ".joblib", ".dill", ".bin"}
_CODE_MAGIC = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_ORIENTATION, _BITS, _PHOTOMETRIC = 274, 258, 262  # Exif and TIFF tags


class ImageError(BenchError):
    """A file that is not the image it should be; the message names the file and the remedy."""


def is_dicom(start: bytes) -> bool:
    """Whether a file that begins so, with 132 bytes or more, says that it is a DICOM file."""
    return start[128:132] == b"DICM"


def image_files(folder: Path) -> list[Path]:
    """What is called an image file below ``folder``, hidden names left out, in the order of the paths."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    return [path for path in found if not path.name.startswith(".")]


def read_grey(path: Path, *, window: tuple[float, float] | None = None, alpha: Alpha = "refuse") -> Grey:
    """Read one real image: ``decode_file``, and refuse one that shows nothing.

    Raises:
        ImageError: as ``decode_file``; or the standard deviation is under ``BLANK_SPREAD`` grey levels.
    """
    image = decode_file(path, window=window, alpha=alpha)
    if float(image.std()) < BLANK_SPREAD:
        raise ImageError(
            f"{path}: blank image (grey levels {image.min()} to {image.max()}, standard deviation {image.std():.2f}, "
            f"needed {BLANK_SPREAD}); remove its row, or correct the window if it has one"
        )
    return image


def decode_file(path: Path, *, window: tuple[float, float] | None = None, alpha: Alpha = "refuse") -> Grey:
    """``decode_grey`` of a file.

    Raises:
        ImageError: as ``decode_grey``; or missing, not to be read, or named as an object with code.
        DiskError: the disk does not give it.
    """
    return decode_grey(_content(path), str(path), window=window, alpha=alpha)


def decode_grey(
    content: bytes, where: str, *, window: tuple[float, float] | None = None, alpha: Alpha = "refuse"
) -> Grey:
    """Decode the bytes of a PNG, JPEG, TIFF or DICOM file in full into ``(H, W)`` uint8, or say what is wrong.

    Args:
        where: what messages call the image: its path, or its place in a table.
        window: values shown as 0 and 255, linear between, for images of more than 8 bits; those are refused
            without it, for clipping them to 8 bits would whiten most of the picture. A DICOM file brings its own,
            which this one replaces, in the units of the modality; see ``bench.storage.dicom.decode_dicom``.
        alpha: ``opaque`` accepts an alpha channel that hides nothing (every value at its maximum).

    Raises:
        ImageError: empty, over ``BYTE_CAP``, a web page, a Git LFS pointer, an object with code, not PNG, JPEG or TIFF,
            over ``PIXEL_CAP``, truncated, or damaged as far as can be seen, several frames, turned by Exif, with
            palette, transparency, colour, or non-finite values, or with a bit depth that disagrees with ``window``.

    What cannot be seen: bytes of a JPEG, or of pixels in a TIFF or DICOM file, that were changed into others which
    decode as well. A PNG has checksums of all its bytes.
    """
    _check_length(len(content), where)
    if is_dicom(content):
        from bench.storage.dicom import decode_dicom

        return decode_dicom(content, where, window)
    kind = _kind(where, content)
    try:
        if kind == "PNG":
            _check_png(where, content)
        if kind == "JPEG" and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
            raise ImageError(f"{where}: truncated JPEG (no end marker in {len(content):,} bytes); copy it again")
        with Image.open(io.BytesIO(content), formats=[kind]) as picture:
            _check_picture(where, picture)
            picture.load()
            grey = _grey(where, picture, window, alpha)
        if kind == "JPEG" and (fault := jpeg_fault(content)):
            raise ImageError(f"{where}: damaged JPEG ({fault}); copy it again from its source")
        return grey
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(_too_large(where)) from None
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise ImageError(f"{where}: damaged or truncated {kind} ({error}); copy it again from its source") from None


def _content(path: Path) -> bytes:
    if path.suffix.lower() in _CODE_SUFFIXES:
        raise ImageError(f"{path}: {path.suffix} files can carry code and are never opened; export it as PNG")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImageError(f"{path}: not a regular file; name an image file")
        _check_length(size, str(path))  # before so much is read
        return path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise ImageError(
                f"{path}: is a link to {path.readlink()}, which does not exist; put the image there or remove its row"
            ) from None
        raise ImageError(f"{path}: no such file{_other_case(path)}; put it there or remove its row") from None
    except PermissionError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); make it a readable file") from None
    except OSError as error:
        # a broken disk is no broken image
        refused = explained(error, "reading", path)
        raise refused or ImageError(f"{path}: cannot be read ({error.strerror}); make it a readable file") from None


def _check_length(size: int, where: str) -> None:
    if size > BYTE_CAP:
        raise ImageError(f"{where}: {size:,} bytes, over the limit of {BYTE_CAP:,}; save it compressed as PNG")
    if not size:
        raise ImageError(f"{where}: empty file (0 bytes); copy it again from its source")


def _other_case(path: Path) -> str:
    if not path.parent.is_dir():
        return " and no such folder"
    alike = [other.name for other in path.parent.iterdir() if other.name.lower() == path.name.lower()]
    return f", but {alike[0]!r} is there: capitals matter" if alike else ""


def _kind(where: str, content: bytes) -> str:
    for kind, magic in _FORMATS.items():
        if content.startswith(magic):
            return kind
    start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ImageError(f"{where}: a web page (HTML) and not an image; download it again while signed in")
    if start.startswith(b"version https://git-lfs"):
        raise ImageError(f"{where}: a Git LFS pointer and not the image itself; run `git lfs pull`")
    if content.startswith(_CODE_MAGIC):
        raise ImageError(f"{where}: a pickle, archive or array file under an image name; export it as PNG")
    raise ImageError(
        f"{where}: not a PNG, JPEG, TIFF or DICOM file (it starts with {content[:8]!r}); save it as grey PNG"
    )


def _check_png(where: str, content: bytes) -> None:
    """Walk the chunks: decoders skip checksums and the end, and fill missing rows, so that damage passes as picture."""
    place = 8
    head, packed = b"", bytearray()
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        name, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        check = content[place + 8 + length : place + 12 + length]
        if len(check) < 4:
            break
        if zlib.crc32(name + body) != int.from_bytes(check, "big"):
            raise ImageError(f"{where}: damaged PNG (checksum of {name!r} at byte {place}); copy it again")
        if name == b"IHDR" and body[8] == 16 and body[9] != 0:
            raise ImageError(f"{where}: 16 bits a channel in colour or with alpha; save it as 16-bit grey PNG")
        if name == b"tRNS":
            raise ImageError(f"{where}: has transparent grey levels; save it without transparency")
        if name == b"IHDR":
            head = body
        if name == b"IDAT":
            packed += body
        if name == b"IEND":
            _check_rows(where, head, bytes(packed))
            return
        place += 12 + length
    raise ImageError(f"{where}: truncated PNG (no end chunk in {len(content):,} bytes); copy it again from its source")


def _check_rows(where: str, head: bytes, packed: bytes) -> None:
    """Whether as much is packed as the header says that the rows take."""
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    if width * height > PIXEL_CAP:
        raise ImageError(_too_large(where, f" ({width} x {height})"))
    bits = head[8] * _PNG_CHANNELS[head[9]]
    passes = _ADAM7 if head[12] else ((0, 0, 1, 1),)
    needed = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            needed += rows * (1 + -(-columns * bits // 8))
    # one byte more is asked for, so that what is too long is seen without being unpacked
    found = len(zlib.decompressobj().decompress(packed, needed + 1))
    if found != needed:
        holds = f"{found:,}" if found < needed else "more"
        raise ImageError(f"{where}: damaged PNG (its rows take {needed:,} bytes, it holds {holds}); copy it again")


def _check_picture(where: str, picture: Image.Image) -> None:
    """What the header tells, before any pixel is decoded."""
    if picture.width * picture.height > PIXEL_CAP:
        raise ImageError(_too_large(where, f" ({picture.width} x {picture.height})"))
    frames = getattr(picture, "n_frames", 1)
    if frames != 1:
        raise ImageError(f"{where}: holds {frames} frames, needed one; save the frame you mean on its own")
    orientation = picture.getexif().get(_ORIENTATION, 1)
    if orientation != 1:
        raise ImageError(f"{where}: Exif orientation {orientation}, needed 1; turn the pixels and drop the tag")
    tags = getattr(picture, "tag_v2", {})
    deep = max(tags.get(_BITS, (8,)), default=8) > 8
    if deep and len(picture.getbands()) > 1:
        raise ImageError(f"{where}: over 8 bits a channel in colour; save it as 16-bit grey")
    if deep and tags.get(_PHOTOMETRIC) == 0:
        raise ImageError(f"{where}: white is zero in over 8 bits; invert it and save it with black as zero")


def _too_large(where: str, size: str = "") -> str:
    return f"{where}: over the limit of {PIXEL_CAP:,} pixels{size}; downsize it first"


def _grey(where: str, picture: Image.Image, window: tuple[float, float] | None, alpha: Alpha) -> Grey:
    bands = picture.getbands()
    if picture.mode in ("LA", "RGBA"):
        shown = np.asarray(picture.getchannel("A"))
        if alpha == "refuse":
            raise ImageError(f"{where}: has an alpha channel (mode {picture.mode}); save it as grey without alpha")
        if shown.min() < 255:
            raise ImageError(f"{where}: partly transparent (alpha down to {shown.min()}); save it without alpha")
    elif picture.mode not in ("L", "RGB", "I", "F") and not picture.mode.startswith("I;16"):
        raise ImageError(f"{where}: mode {picture.mode} (palette, CMYK, 1-bit or the like); save it as 8-bit grey")
    pixels = np.asarray(picture)
    if bands[0] not in "LR":
        return _windowed(where, pixels, window)
    if window is not None:
        raise ImageError(
            f"{where}: 8-bit image, but the window {tuple(window)} is meant for more bits; drop the window"
        )
    if bands[0] == "L":
        return np.array(pixels if pixels.ndim == 2 else pixels[..., 0])
    red, green, blue = (pixels[..., channel] for channel in range(3))
    unequal = int(((red != green) | (red != blue)).sum())
    if unequal:
        raise ImageError(f"{where}: colour image ({unequal:,} pixels are not grey); convert it to grey yourself")
    return np.array(red)


def _windowed(where: str, pixels: npt.NDArray[Any], window: tuple[float, float] | None) -> Grey:
    values = pixels.astype(np.float64)
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise ImageError(f"{where}: {wrong:,} values are not finite; replace them before saving")
    if window is None:
        raise ImageError(
            f"{where}: more than 8 bits (values {values.min():g} to {values.max():g}) and no window to show them in; "
            "set `window`, for example [0, 4095], or save it as 8-bit grey"
        )
    low, high = window
    if not low < high:
        raise ImageError(f"{where}: window {tuple(window)} is empty; its first value must be under its second")
    return _rounded((values - low) / (high - low) * 255)


def _rounded(values: npt.NDArray[Any]) -> Grey:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def resize(image: Grey, size: tuple[int, int], aspect: Aspect) -> Grey:
    """Resample to ``size`` (height, width) with an antialiasing Lanczos filter, computed in float, rounded once.

    ``pad`` keeps the whole picture, centred on black; ``crop`` fills the frame and cuts the overhang off both
    sides alike. An image that has the size already is returned unchanged.
    """
    height, width = size
    rows, columns = image.shape
    if (rows, columns) == (height, width):
        return image.copy()
    source = Image.fromarray(image.astype(np.float32))
    if aspect == "crop":
        cut = min(rows / height, columns / width)
        top, left = (rows - cut * height) / 2, (columns - cut * width) / 2
        box = (left, top, left + cut * width, top + cut * height)
        return _rounded(np.asarray(source.resize((width, height), Image.Resampling.LANCZOS, box=box)))
    scale = min(height / rows, width / columns)
    inner = max(1, round(rows * scale)), max(1, round(columns * scale))
    scaled = _rounded(np.asarray(source.resize(inner[::-1], Image.Resampling.LANCZOS)))
    framed = np.zeros(size, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    framed[top : top + inner[0], left : left + inner[1]] = scaled
    return framed


def enlargement(size: tuple[int, int], wanted: tuple[int, int], aspect: Aspect) -> float:
    """How many times as long a side becomes when ``resize`` brings (height, width) ``size`` to ``wanted``."""
    ratios = [new / old for new, old in zip(wanted, size, strict=True)]
    return min(ratios) if aspect == "pad" else max(ratios)


def size_span(sizes: Iterable[tuple[int, int]]) -> OwnSize:
    """The least and the greatest (height, width) of at least one size, each side on its own."""
    heights, widths = zip(*sizes, strict=True)
    return (min(heights), min(widths)), (max(heights), max(widths))


def pixel_hash(image: Grey) -> str:
    """SHA-256, in hex, of shape, type and pixels."""
    shape = f"{image.shape} {image.dtype}".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).hexdigest()


def encode_png(image: Grey, effort: int = -1) -> bytes:
    """``(H, W)`` uint8 as an 8-bit grey PNG file; ``effort`` is zlib's, 1 to 9, -1 its usual one."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=effort)
    return buffer.getvalue()


def contact_sheet(images: Images, columns: int = 8) -> bytes:
    """``(N, H, W)`` uint8 as one PNG file, ``columns`` in a row with a white pixel between."""
    count, height, width = images.shape
    sheet = np.full((-(-count // columns) * (height + 1) - 1, min(columns, count) * (width + 1) - 1), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    return encode_png(sheet)


def as_own_size(own_size: Any) -> OwnSize | None:
    """``[[height, width], [height, width]]``, as JSON has it, least and greatest; ``None`` is unknown.

    Raises:
        TypeError, ValueError: it is something else.
    """
    if own_size is None:
        return None
    (least_height, least_width), (greatest_height, greatest_width) = own_size
    return (int(least_height), int(least_width)), (int(greatest_height), int(greatest_width))
