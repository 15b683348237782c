"""A PNG holds the rows its header states."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bench.storage.image_reader import ImageError, decode_grey

RNG = np.random.default_rng(0)
LAYOUTS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8)]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    palette = chunk(b"PLTE", bytes(3 * 2**bits)) if colour == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + pixels + chunk(b"IEND", b"")


def raw(content: bytes) -> bytes:
    """The unpacked pixels of a PNG of one IDAT chunk or several."""
    place, packed = 8, b""
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"IDAT":
            packed += content[place + 8 : place + 8 + length]
        place += 12 + length
    return zlib.decompress(packed)


@pytest.mark.parametrize(("colour", "bits"), LAYOUTS)
@pytest.mark.parametrize("width", [1, 7, 9])
def test_missing_and_surplus_bytes_are_named_in_every_layout(colour: int, bits: int, width: int) -> None:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + (width * bits * channels + 7) // 8)
    for rows in (row * 5, row * 9, row * 10 + b"x", row * 10 + row, b""):
        with pytest.raises(ImageError, match=r"damaged PNG|16 bits a channel"):
            decode_grey(png(width, 10, bits, colour, rows), "x")
    try:
        decode_grey(png(width, 10, bits, colour, row * 10), "x", window=(0, 9))
    except ImageError as error:  # for its kind or the window alone
        assert "truncated" not in str(error)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (8, 8), (9, 17)])
def test_interlaced_files_are_measured_pass_by_pass(size: tuple[int, int]) -> None:
    image = RNG.integers(0, 256, size, dtype=np.uint8)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = (image[y::down, x::across] for x, y, across, down in passes)
    rows = b"".join(b"\0" + line.tobytes() for part in parts for line in part if line.size)
    content = png(size[1], size[0], 8, 0, rows, interlace=1)
    assert np.array_equal(decode_grey(content, "x"), image)
    with pytest.raises(ImageError, match="damaged PNG"):
        decode_grey(png(size[1], size[0], 8, 0, rows[:-1], interlace=1), "x")


def test_half_the_rows_with_right_checksums_are_no_picture() -> None:
    image = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "PNG")
    rows = raw(stored.getvalue())
    assert np.array_equal(decode_grey(png(30, 40, 8, 0, rows), "x"), image)
    with pytest.raises(ImageError, match=r"its rows take 1,240 bytes, it holds 620\); copy it again"):
        decode_grey(png(30, 40, 8, 0, rows[: len(rows) // 2]), "x")
