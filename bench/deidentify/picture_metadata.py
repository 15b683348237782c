"""What a picture file holds beside its pixels: text, Exif, XMP, IPTC, profiles, small pictures, more bytes."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

from bench.deidentify.finding import masked
from bench.deidentify.suspicions import suspicions

LOOK = "what picture files hold beside pixels"
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER = (b"BM", b"GIF8", b"RIFF")

_PLAIN_CHUNKS = frozenset(b"IHDR PLTE IDAT IEND tRNS cHRM gAMA sBIT sRGB cICP bKGD hIST pHYs sPLT".split())
_KEYWORDS = frozenset(
    {"Title", "Author", "Description", "Copyright", "Disclaimer", "Warning", "Source", "Comment", "Software"}
    | {"Creation Time", "XML:com.adobe.xmp", "parameters"}
    | {"Raw profile type exif", "Raw profile type iptc", "Raw profile type xmp"}
)
_INFLATED = 2**20  # bytes of a packed text that are unpacked, for its length and its form
# tags that say how pixels are stored; all others are told
_PLAIN_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 290}
    | {291, 292, 293, 296, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 332, 334, 336, 338, 339, 340, 341, 347}
    | {512, 513, 514, 519, 520, 521, 529, 530, 531, 532, 40961, 40962, 40963}
)
_EXIF, _GPS, _XMP, _IPTC, _PHOTOSHOP, _PROFILE, _INTEROP = 34665, 34853, 700, 33723, 34377, 34675, 40965
_BLOCKS = {_XMP: "XMP", _IPTC: "IPTC", _PHOTOSHOP: "Photoshop resources", _PROFILE: "a colour profile"}

Seen = tuple[str, str]  # what, and how its value may be told


def is_picture(start: bytes) -> bool:
    """Whether a file that begins so is a picture that is looked at."""
    return start.startswith((PNG, JPEG, *TIFF, *OTHER))


def sightings(content: bytes) -> Iterator[Seen]:
    """What the bytes of a picture file hold beside pixels.

    Raises:
        Exception: whatever a damaged file makes the library raise.
    """
    if content.startswith(PNG):
        yield from _png(content)
    elif content.startswith(JPEG):
        yield from _jpeg(content)
    yield from _by_library(content)


def _text(what: str, value: str) -> Iterator[Seen]:
    kinds = list(dict.fromkeys(each.kind for each in suspicions(value)))
    yield what, masked(value) + (f"; holds {', '.join(kinds)}" if kinds else "")


def _png(content: bytes) -> Iterator[Seen]:
    place = len(PNG)
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        name, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length
        yield from _chunk(name, body)
        if name == b"IEND":
            yield from _after(len(content) - place)
            return
    raise ValueError("no end chunk")


def _chunk(name: bytes, body: bytes) -> Iterator[Seen]:
    shown = name.decode("latin-1")
    if name in (b"tEXt", b"zTXt", b"iTXt"):
        keyword, _, rest = body.partition(b"\0")
        key = keyword.decode("latin-1")
        key = key if key in _KEYWORDS else f"keyword {masked(key)}"
        yield from _text(f"PNG text {shown} ({key})", _chunk_text(name, rest))
    elif name == b"tIME":
        yield "PNG time of last change (tIME)", f"{len(body)} bytes"
    elif name == b"eXIf":
        yield "PNG holds Exif (eXIf)", f"{len(body)} bytes"
    elif name == b"iCCP":
        yield from _text("name of the colour profile", body.partition(b"\0")[0].decode("latin-1"))
    elif name not in _PLAIN_CHUNKS:
        yield "a PNG chunk that is neither picture nor text", f"{len(body)} bytes"


def _chunk_text(name: bytes, rest: bytes) -> str:
    if name == b"tEXt":
        return rest.decode("latin-1")
    if name == b"zTXt":
        return _inflated(rest[1:]).decode("latin-1")
    packed, value = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    return (_inflated(value) if packed else value).decode("utf-8", "replace")


def _inflated(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, _INFLATED)


def _after(extra: int) -> Iterator[Seen]:
    if extra > 0:
        yield "bytes after the end of the picture", f"{extra} bytes"


def _jpeg(content: bytes) -> Iterator[Seen]:
    """Walk the segments; within picture data a marker follows FF, and FF00 and FFD0 to FFD7 are none."""
    place = 2
    while place + 2 <= len(content):
        place = content.find(b"\xff", place)
        if place < 0 or place + 1 >= len(content):
            break
        kind = content[place + 1]
        if kind in (0x00, 0x01, 0xFF) or 0xD0 <= kind <= 0xD7:
            place += 1 if kind == 0xFF else 2
        elif kind == 0xD9:
            yield from _after(len(content) - place - 2)
            return
        else:
            length = int.from_bytes(content[place + 2 : place + 4], "big")
            yield from _segment(kind, content[place + 4 : place + 2 + length])
            place += 2 + max(length, 2)
    raise ValueError("no end marker")


def _segment(kind: int, body: bytes) -> Iterator[Seen]:
    if kind == 0xFE:
        yield from _text("JPEG comment", body.decode("latin-1"))
    elif kind == 0xE0 and body.startswith(b"JFIF\0"):
        if len(body) > 13 and body[12] and body[13]:
            yield "a small picture of the picture (JFIF)", f"{body[12]} x {body[13]} pixels"
    elif kind == 0xE1 and body.startswith(b"http://ns.adobe.com/"):
        yield from _text("XMP", body.partition(b"\0")[2].decode("utf-8", "replace"))
    elif kind == 0xE1 and body.startswith(b"Exif\0"):
        yield "Exif", f"{len(body)} bytes"
    elif kind == 0xED:
        yield "IPTC or Photoshop resources", f"{len(body)} bytes"
    elif 0xE0 <= kind <= 0xEF and not (kind == 0xEE and body.startswith(b"Adobe")) and kind != 0xE2:
        yield f"JPEG application data (APP{kind - 0xE0})", f"{len(body)} bytes"
    elif kind == 0xE2 and not body.startswith(b"ICC_PROFILE\0"):
        yield "JPEG application data (APP2)", f"{len(body)} bytes"


def _by_library(content: bytes) -> Iterator[Seen]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as picture:
            frames = getattr(picture, "n_frames", 1)
            for frame in range(frames):
                picture.seek(frame)
                yield from _tags(picture, content)
            if picture.info.get("icc_profile"):
                yield from _profile(picture.info["icc_profile"])
            comment = picture.info.get("comment")
            if comment and picture.format == "GIF":
                yield from _text("GIF comment", bytes(comment).decode("latin-1"))


def _tags(picture: Any, content: bytes) -> Iterator[Seen]:
    from PIL import ExifTags

    exif = picture.getexif()
    tags = dict(getattr(picture, "tag_v2", None) or exif)
    where = "TIFF" if content.startswith(TIFF) else "Exif"
    if where == "Exif":
        tags |= exif.get_ifd(_EXIF)
        yield from _thumbnail(exif)
    elif _EXIF in tags:
        tags |= exif.get_ifd(_EXIF)
    if exif.get_ifd(_GPS):
        yield f"a place (GPS, {where})", f"{len(exif.get_ifd(_GPS))} values"
    for tag, value in sorted(tags.items()):
        if tag in _PLAIN_TAGS or tag in (_EXIF, _GPS, _INTEROP):
            continue
        if tag in _BLOCKS:
            yield f"{_BLOCKS[tag]} ({where} tag {tag})", f"{len(value) if isinstance(value, bytes | str) else 1} bytes"
        else:
            yield from _tag(where, tag, ExifTags.TAGS.get(tag, "of no standard name"), value)


def _tag(where: str, tag: int, name: str, value: Any) -> Iterator[Seen]:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    yield from _text(f"{where} tag {tag} ({name})", text.rstrip("\0"))


def _thumbnail(exif: Any) -> Iterator[Seen]:
    from PIL import ExifTags

    if 513 in exif.get_ifd(ExifTags.IFD.IFD1):
        yield "a small picture of the picture (Exif)", "it may show what the picture no longer does"


def _profile(profile: bytes) -> Iterator[Seen]:
    from PIL import ImageCms

    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        yield "a colour profile that cannot be read", f"{len(profile)} bytes"
        return
    yield from _text("description of the colour profile", description.strip())
