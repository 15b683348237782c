"""A JPEG that was damaged and closed again is no picture."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.storage.image_reader import ImageError, decode_grey

ROWS, COLUMNS = np.mgrid[:160, :200]
GREY = np.clip(
    120 + 80 * np.sin(COLUMNS / 17) * np.cos(ROWS / 23) + np.random.default_rng(0).normal(0, 5, ROWS.shape), 0, 255
).astype(np.uint8)
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_rows": 2},
    "best": {"quality": 100},
    "coarse": {"quality": 20},
}
END = b"\xff\xd9"


def jpeg(pixels: np.ndarray = GREY, mode: str = "L", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_whole_files_pass(kind: str, mode: str) -> None:
    for pixels in (GREY, np.zeros_like(GREY), np.where(COLUMNS < 150, 0, GREY).astype(np.uint8)):
        content = jpeg(pixels, mode, **KINDS[kind])
        with Image.open(io.BytesIO(content)) as picture:
            assert np.array_equal(decode_grey(content, "x"), np.asarray(picture.convert("L")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_cut_and_closed_is_refused(kind: str, share: float) -> None:
    content = jpeg(**KINDS[kind])
    with pytest.raises(ImageError, match=r"damaged or truncated JPEG.*copy it again"):
        decode_grey(content[: int(len(content) * share)] + END, "x")


def test_a_progressive_file_cut_between_scans_is_refused() -> None:
    content = jpeg(progressive=True)
    scans = [found.start() for found in re.finditer(b"\xff\xda", content)]
    assert len(scans) > 4
    for start in scans[1:]:
        end = content.rfind(b"\xff\xc4", 0, start)  # its own tables go with it
        for cut in (start, end):
            with pytest.raises(ImageError, match="damaged or truncated JPEG"):
                decode_grey(content[:cut] + END, "x")


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_over_the_middle_of_a_scan_are_refused(kind: str) -> None:
    content = jpeg(**KINDS[kind])
    middle = len(content) // 2
    with pytest.raises(ImageError, match="damaged or truncated JPEG"):
        decode_grey(content[:middle] + bytes(400) + content[middle + 400 :], "x")


def test_bytes_after_the_coded_data_are_refused() -> None:
    content = jpeg()
    with pytest.raises(ImageError, match="damaged or truncated JPEG"):
        decode_grey(content[:-2] + bytes(range(1, 90)) + END, "x")
