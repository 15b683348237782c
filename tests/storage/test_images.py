"""The reader refuses every kind of bad file by name and remedy, and no good one."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from bench.api import BenchError, ImageSet, Label
from bench.storage.disk_errors import DiskError
from bench.storage.image_reader import (
    PIXEL_CAP,
    ImageError,
    contact_sheet,
    decode_file,
    decode_grey,
    encode_png,
    pixel_hash,
    read_grey,
    resize,
)
from bench.storage.image_sets import load_set, write_set
from tests import toy

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
DEEP = RNG.integers(0, 4096, (40, 30), dtype=np.uint16)
INFO = toy.described(
    Label("finding", "binary", (0, 1), ("absent", "present")),
    targets=("finding",),
    groups=("finding", "view"),
    attributes=("view",),
)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    return saved(Image.fromarray(pixels), kind, **options)


def flipped(content: bytes) -> bytes:
    place = content.index(b"IDAT") + 20
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


def turned() -> bytes:
    tags = Image.Exif()
    tags[274] = 6
    return picture(GREY, "JPEG", exif=tags)


def transparent() -> Image.Image:
    image = Image.fromarray(GREY).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 7))
    return image


def not_finite() -> bytes:
    pixels = GREY.astype(np.float32)
    pixels[3, 4] = np.nan
    return picture(pixels, "TIFF")


def deep_colour() -> bytes:
    """A 16-bit RGB PNG, which decoders quietly cut to 8 bits."""
    grey = picture(GREY)
    head = bytearray(grey[16:29])
    head[8:10] = bytes([16, 2])
    import zlib

    return grey[:16] + bytes(head) + zlib.crc32(b"IHDR" + bytes(head)).to_bytes(4, "big") + grey[33:]


FRAMES = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
BAD: dict[str, tuple[str, bytes, str]] = {
    "zero bytes": ("a.png", b"", "0 bytes.*copy it again"),
    "web page": ("a.png", b"\n<!DOCTYPE html><html>Sign in</html>", "web page.*download it again"),
    "git lfs": ("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer.*git lfs pull"),
    "half png": ("a.png", picture(GREY)[:600], "truncated PNG.*copy it again"),
    "png without end": ("a.png", picture(GREY)[:-12], "truncated PNG.*copy it again"),
    "half jpeg": ("a.jpg", picture(GREY, "JPEG")[:600], "truncated JPEG.*copy it again"),
    "half tiff": ("a.tif", picture(GREY, "TIFF")[:600], "truncated TIFF.*copy it again"),
    "flipped bit": ("a.png", flipped(picture(GREY)), "checksum.*copy it again"),
    "noise": ("a.png", b"neither this nor that", "not a PNG, JPEG, TIFF or DICOM.*save it as"),
    "header only": ("a.jpg", b"\xff\xd8\xff\xe0\xff\xda\xff\xd9", "damaged or truncated JPEG.*copy it again"),
    "constant": ("a.png", picture(np.full((40, 30), 7, np.uint8)), "blank image.*remove its row"),
    "nearly constant": ("a.png", picture(np.eye(40, dtype=np.uint8)), "blank image.*remove its row"),
    "opaque alpha": ("a.png", saved(Image.fromarray(GREY).convert("RGBA")), "alpha channel.*without alpha"),
    "grey with alpha": ("a.png", saved(transparent().convert("LA")), "alpha channel.*without alpha"),
    "transparent grey": ("a.png", picture(GREY, transparency=3), "transparent.*save it"),
    "palette": ("a.png", saved(Image.fromarray(GREY).convert("P")), "mode P.*save it"),
    "one bit": ("a.png", saved(Image.fromarray(GREY).convert("1")), "mode 1.*save it"),
    "cmyk": ("a.jpg", saved(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "mode CMYK.*save it"),
    "two pages": ("a.tif", saved(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "2 frames.*save"),
    "animated": ("a.png", saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "2 frames.*save"),
    "gif": ("a.png", saved(FRAMES[0], "GIF"), "not a PNG, JPEG, TIFF or DICOM.*save it as"),
    "turned": ("a.jpg", turned(), "orientation 6.*turn the pixels"),
    "not finite": ("a.tif", not_finite(), "1 values are not finite.*replace"),
    "float": ("a.tif", picture(GREY.astype(np.float32), "TIFF"), "no window.*set `window`"),
    "16 bits": ("a.png", picture(DEEP), "no window.*set `window`"),
    "16-bit tiff": ("a.tif", picture(DEEP, "TIFF"), "no window.*set `window`"),
    "16-bit colour": ("a.png", deep_colour(), "16 bits a channel.*save it as"),
    "colour": ("a.png", saved(Image.merge("RGB", [*FRAMES, FRAMES[0]])), "colour image.*convert it"),
    "too large": ("a.png", saved(Image.new("1", (8000, PIXEL_CAP // 8000 + 1))), "over the limit.*downsize"),
    "bomb": ("a.png", saved(Image.new("1", (14000, 14000))), "over the limit.*downsize"),
    "pickle by name": ("a.pkl", picture(GREY), "carry code.*export it as PNG"),
    "weights by name": ("a.pt", picture(GREY), "carry code.*export it as PNG"),
    "pickle by content": ("a.png", pickle.dumps({"a": 1}), "pickle.*export it as PNG"),
    "archive by content": ("a.png", b"PK\x03\x04" + bytes(60), "archive.*export it as PNG"),
    "array by content": ("a.png", b"\x93NUMPY\x01\x00" + bytes(60), "array.*export it as PNG"),
    "dicom": ("a.png", bytes(128) + b"DICM" + bytes(60), "DICOM.*(copy|remove|export) it"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_file_is_named_with_its_remedy(fault: str, tmp_path: Path) -> None:
    name, content, message = BAD[fault]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"(?s){tmp_path / name}.*{message}"):
        read_grey(tmp_path / name)


def test_missing_file_tells_another_spelling(tmp_path: Path) -> None:
    (tmp_path / "Scan.PNG").write_bytes(picture(GREY))
    with pytest.raises(ImageError, match=r"scan\.png: no such file, but 'Scan\.PNG' is there"):
        read_grey(tmp_path / "scan.png")
    with pytest.raises(ImageError, match="no such folder"):
        read_grey(tmp_path / "none" / "scan.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_grey(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_grey(tmp_path / "pipe.png")


def test_a_link_to_nothing_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=rf"x\.png: is a link to {tmp_path}/gone\.png, which does not exist; put the"):
        read_grey(tmp_path / "x.png")


def test_a_broken_disk_is_no_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    (tmp_path / "x.png").write_bytes(picture(GREY))
    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(DiskError, match=rf"reading {tmp_path}/x\.png: the disk reports an input/output error"):
        read_grey(tmp_path / "x.png")


GOOD: dict[str, Callable[[], bytes]] = {
    "png": lambda: picture(GREY),
    "tiff": lambda: picture(GREY, "TIFF"),
    "compressed tiff": lambda: picture(GREY, "TIFF", compression="tiff_lzw"),
    "equal channels": lambda: saved(Image.fromarray(GREY).convert("RGB")),
    "interlaced": lambda: picture(GREY, interlace=True),
}


@pytest.mark.parametrize("kind", GOOD)
def test_good_file_is_read_exactly(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(GOOD[kind]())
    read = read_grey(tmp_path / "a.png")
    assert read.dtype == np.uint8
    assert np.array_equal(read, GREY)


def test_fifty_good_images_are_all_accepted(tmp_path: Path) -> None:
    for index in range(50):
        rng = np.random.default_rng(index)
        shape = tuple(rng.integers(8, 90, 2))
        smooth = np.add.outer(np.linspace(0, rng.integers(30, 200), shape[0]), np.linspace(0, 55, shape[1]))
        pixels = (smooth * (rng.random(shape) > 0.9) if index % 5 == 0 else smooth).astype(np.uint8)
        kind = ("PNG", "JPEG", "TIFF")[index % 3]
        path = tmp_path / f"{index}.{kind.lower()}"
        path.write_bytes(picture(pixels, kind))
        assert abs(read_grey(path).astype(int) - pixels).mean() < 12, path


def test_window_maps_its_ends_to_black_and_white(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000, 1500], [2000, 3000, 65535]], np.uint16)
    for name, content in {"a.png": picture(pixels), "a.tif": picture(pixels, "TIFF")}.items():
        (tmp_path / name).write_bytes(content)
        assert read_grey(tmp_path / name, window=(1000, 2000)).tolist() == [[0, 0, 128], [255, 255, 255]]
    with pytest.raises(ImageError, match="must be under its second"):
        read_grey(tmp_path / "a.png", window=(5, 5))
    (tmp_path / "b.png").write_bytes(picture(GREY))
    with pytest.raises(ImageError, match=r"8-bit image.*drop the window"):
        read_grey(tmp_path / "b.png", window=(0, 4095))


def test_declared_alpha_must_hide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(GREY).convert("RGBA")))
    assert np.array_equal(read_grey(path, alpha="opaque"), GREY)
    path.write_bytes(saved(transparent()))
    with pytest.raises(ImageError, match="partly transparent"):
        read_grey(path, alpha="opaque")


def test_blank_image_can_be_decoded_for_counting(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(np.zeros((9, 9), np.uint8)))
    assert not decode_file(tmp_path / "a.png").any()


@settings(max_examples=150, deadline=None)
@given(place=some.integers(0, 10_000), value=some.integers(0, 255), cut=some.integers(0, 10_000))
def test_any_damage_to_a_png_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, cut: int
) -> None:
    whole = picture(GREY)
    damaged = bytearray(whole)
    damaged[place % len(whole)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    for content in (bytes(damaged), whole[: cut % len(whole)]):
        path.write_bytes(content)
        if content == whole:
            assert np.array_equal(read_grey(path), GREY)
        else:
            with pytest.raises(ImageError):
                read_grey(path)


def test_resize_keeps_size_mean_and_range() -> None:
    image = RNG.integers(0, 256, (200, 200), dtype=np.uint8)
    assert np.array_equal(resize(image, (200, 200), "pad"), image)
    small = resize(image, (20, 20), "crop")
    blocks = image.reshape(20, 10, 20, 10).mean((1, 3))
    assert small.shape == (20, 20)
    assert abs(small - blocks).mean() < 4  # without antialiasing this is about 60
    step = np.zeros((64, 64), np.uint8)
    step[:, 32:] = 255
    assert resize(step, (16, 16), "pad")[:, [0, -1]].tolist() == [[0, 255]] * 16


def test_resize_pads_with_black_in_the_centre_and_crops_the_centre() -> None:
    wide = np.full((20, 40), 200, np.uint8)
    wide[:, :10] = wide[:, 30:] = 50
    padded, cropped = resize(wide, (40, 40), "pad"), resize(wide, (10, 10), "crop")
    assert not padded[:10].any()
    assert not padded[30:].any()
    assert padded[10:30].min() == 50
    assert cropped.min() > 190
    tall = resize(wide.T.copy(), (30, 20), "pad")
    assert tall.shape == (30, 20)
    assert tall[:, 0].max() == 0
    assert resize(np.full((1, 500), 9, np.uint8), (8, 8), "pad").shape == (8, 8)


def rows(count: int, size: tuple[int, int] = (12, 10)) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return toy.rows(
        [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(count)],
        "00",
        patient_id=[f"p{i // 2}" for i in range(count)],
        prompt=[None if i else "a prompt" for i in range(count)],
        labels=[{"finding": (0, 1, None)[i % 3]} for i in range(count)],
        attributes=[{"view": ("AP", None)[i % 2]} for i in range(count)],
    )


def test_hash_tells_the_same_bytes_in_other_shapes_apart() -> None:
    assert len({pixel_hash(np.arange(16, dtype=np.uint8).reshape(shape)) for shape in ((4, 4), (2, 8), (8, 2))}) == 3


def test_set_comes_back_as_written(tmp_path: Path) -> None:
    given_rows = rows(600)
    written = write_set(iter(given_rows), INFO, tmp_path / "set")
    for images in (written, load_set(tmp_path / "set", INFO)):
        assert np.array_equal(images.pixels(), np.stack([row["image"] for row in given_rows]))
        assert images.ids[:2] == ["000", "001"]
        assert images.column("prompt")[:2] == ["a prompt", None]
        assert images.group("finding")[:3] == ["absent", "present", "unknown"]
        assert images.group("view")[:2] == ["AP", "unknown"]
        assert images.column("pixel_hash")[5] == pixel_hash(given_rows[5]["image"])
        assert images.size == (12, 10)
        assert images.digest == written.digest
    order = np.random.default_rng(2).permutation(600)
    chosen = written.select(order)
    assert np.array_equal(chosen.pixels([7, 0]), written.pixels([int(order[7]), int(order[0])]))
    assert chosen.ids == [given_rows[index]["image_id"] for index in order]
    assert chosen.digest != written.digest
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_set_of_png_bytes_equals_set_of_arrays(tmp_path: Path) -> None:
    arrays = write_set(rows(3), INFO, tmp_path / "a")
    encoded = [row | {"image": encode_png(row["image"])} for row in rows(3)]
    assert write_set(encoded, INFO, tmp_path / "b").digest == arrays.digest
    generated = write_set([row | {"purpose": "utility"} for row in rows(3)], INFO, tmp_path / "c")
    assert generated.column("purpose") == ["utility"] * 3


def test_the_files_own_size_is_kept_beside_the_rows(tmp_path: Path) -> None:
    plain = write_set(rows(3), INFO, tmp_path / "plain")
    sizes = [(1024, 800), (1000, 1024), (1023, 1023)]
    sized = [row | {"own_size": size} for row, size in zip(rows(3), sizes, strict=True)]
    written = write_set(sized, INFO, tmp_path / "set")
    for images in (written, load_set(tmp_path / "set", INFO), written.select([1])):
        assert images.own_size == ((1000, 800), (1024, 1024))
    assert written.digest == plain.digest
    assert plain.own_size is None and load_set(tmp_path / "plain", INFO).own_size is None
    assert write_set([*sized[:2], rows(3)[2]], INFO, tmp_path / "part").own_size is None


@pytest.mark.parametrize("own_size", [64, [[1, 2], [3, 4]]])
def test_a_manifest_that_was_edited_is_damaged(own_size: Any, tmp_path: Path) -> None:
    write_set(rows(3), INFO, tmp_path / "set")
    manifest = tmp_path / "set" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"own_size": own_size}))
    with pytest.raises(BenchError, match=r"manifest\.json is damaged .*; remove the folder"):
        load_set(tmp_path / "set", INFO)


def test_failed_writing_leaves_what_was_there(tmp_path: Path) -> None:
    before = write_set(rows(3), INFO, tmp_path / "set").digest
    other = rows(3)
    other[2]["image"] = np.zeros((9, 9), np.uint8)
    with pytest.raises(BenchError, match=r"image '002'.*\(9, 9\), needed uint8 \(height, width\) \(12, 10\)"):
        write_set(other, INFO, tmp_path / "set")
    assert load_set(tmp_path / "set", INFO).digest == before
    assert len(write_set(rows(5), INFO, tmp_path / "set")) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)])
def test_only_grey_bytes_are_stored(pixels: Any, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"image '000': got .*needed uint8"):
        write_set([rows(1)[0] | {"image": encode_png(pixels) if pixels.ndim == 3 else pixels}], INFO, tmp_path / "s")


def test_unusable_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no images to write"):
        write_set([], INFO, tmp_path / "set")
    with pytest.raises(BenchError, match="no image set there"):
        load_set(tmp_path / "set", INFO)
    with pytest.raises(BenchError, match="columns \\['prompt'\\] are taken"):
        write_set(rows(1), replace(INFO, attributes=("prompt",)), tmp_path / "set")
    write_set(rows(3), INFO, tmp_path / "set")
    with pytest.raises(BenchError, match=r"lacks the columns \['dose'\]"):
        load_set(tmp_path / "set", replace(INFO, attributes=("view", "dose")))
    stored = tmp_path / "set" / "images.arrow"
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BenchError, match="changed since it was written; remove the folder"):
        load_set(tmp_path / "set", INFO)


def test_set_is_mapped_and_not_read(tmp_path: Path) -> None:
    images: ImageSet = write_set(rows(40), INFO, tmp_path / "set")
    assert images.rows.cache_files[0]["filename"] == str(tmp_path / "set" / "images.arrow")
    assert images.rows.data.nbytes > 40 * 100


def test_contact_sheet_shows_every_image(tmp_path: Path) -> None:
    images = np.stack([np.full((4, 6), 20 * index, np.uint8) for index in range(5)])
    (tmp_path / "sheet.png").write_bytes(contact_sheet(images, columns=3))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (9, 20)
    assert sheet[0, [0, 7, 14]].tolist() == [0, 20, 40]
    assert sheet[5, [0, 7, 14]].tolist() == [60, 80, 255]


def test_bytes_are_read_as_strictly_as_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(np.arange(64, dtype=np.uint8).reshape(8, 8)))
    whole = path.read_bytes()
    assert np.array_equal(decode_grey(whole, "row 3"), decode_file(path))
    for content in (b"", whole[:-4], whole[:40] + b"x" + whole[41:], b"<html>", b"\x80\x04", b"\xff\xd8\xff\xda"):
        path.write_bytes(content)
        said = []
        for read in (lambda: decode_grey(path.read_bytes(), "row 3"), lambda: decode_file(path)):
            with pytest.raises(ImageError) as error:
                read()
            said.append(str(error.value))
        assert said[0].startswith("row 3: ") and said[1] == said[0].replace("row 3", str(path))
