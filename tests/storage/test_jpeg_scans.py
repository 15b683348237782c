"""JPEG files that decode without a word although part of the picture is not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.storage.image_reader import ImageError, decode_grey
from bench.storage.jpeg_scans import LOST, jpeg_fault

END = b"\xff\xd9"
SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
RAMP = np.clip(np.add.outer(np.arange(160), np.arange(144)) * 0.8 + RNG.normal(0, 12, (160, 144)), 0, 255)
GREY = RAMP.astype(np.uint8)
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "fine": {"quality": 100},
    "coarse": {"quality": 5},
}


def coded(pixels: np.ndarray = GREY, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **({"quality": 90} | options))
    return buffer.getvalue()


def refused(content: bytes) -> None:
    """Pillow takes it for a picture, and the reader does not."""
    Image.open(io.BytesIO(content)).load()
    with pytest.raises(ImageError, match=r"x.jpg: damaged JPEG .*; copy it again"):
        decode_grey(content, "x.jpg")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(160, 144), (1, 1), (7, 300), (64, 64)])
def test_whole_files_pass(kind: str, shape: tuple[int, int]) -> None:
    for pixels in (GREY[: shape[0], : shape[1]], np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        content = coded(pixels, **KINDS[kind])
        assert jpeg_fault(content) is None
        assert np.array_equal(decode_grey(content, "x"), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_grey_pictures_in_three_channels_pass(kind: str, sampling: int) -> None:
    content = coded(np.repeat(GREY[..., None], 3, axis=2), subsampling=sampling, **KINDS[kind])
    assert jpeg_fault(content) is None


@pytest.mark.parametrize("kind", ["baseline", "optimised", "restarts"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.95])
def test_a_file_that_was_cut_and_closed_again_is_refused(kind: str, share: float) -> None:
    content = coded(**KINDS[kind])
    refused(content[: int(share * len(content))] + END)


def test_a_progressive_file_that_was_cut_anywhere_is_refused() -> None:
    content = coded(progressive=True)
    starts = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]
    assert len(starts) >= 5
    for place in [*starts[1:], *range(starts[0] + 40, len(content) - 2, 211)]:
        refused(content[:place] + END)


def test_a_lost_stretch_of_bytes_is_refused() -> None:
    content = coded()
    start = content.index(b"\xff\xda") + 20
    for place in range(start, len(content) - 420, 301):
        damaged = content[:place] + bytes(400) + content[place + 400 :]
        with pytest.raises(ImageError):
            decode_grey(damaged, "x.jpg")


def test_long_runs_of_zeros_are_no_damage_where_black_is_coded_so() -> None:
    black = np.zeros((1200, 1200), np.uint8)
    black[:8, :8] = GREY[:8, :8]
    content = coded(black, optimize=True)
    assert bytes(LOST) in content
    assert jpeg_fault(content) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_share_of_changed_bytes_that_is_seen_is_not_claimed_to_be_more(kind: str) -> None:
    content = coded(**KINDS[kind])
    start = content.index(b"\xff\xda") + 20
    places = np.linspace(start, len(content) - 3, 60).astype(int)
    seen = 0
    for turn, place in enumerate(places.tolist()):
        damaged = bytearray(content)
        damaged[place] ^= 1 << turn % 8
        seen += jpeg_fault(bytes(damaged)) is not None
    # most changes are not seen; a checksum beside the file would
    assert 0 < seen < 60


def test_radiographs_as_they_are_pass(tmp_path: Path) -> None:
    found = sorted(SAMPLE.rglob("*.png"))[:40]
    if not found:
        pytest.skip(f"no radiographs under {SAMPLE.name}")
    for path in found:
        for options in KINDS.values():
            assert jpeg_fault(coded(np.asarray(Image.open(path).convert("L")), **options)) is None
