"""A folder of one's own is judged at its own size where nothing else is said."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError
from bench.datasets import own_sizes
from bench.datasets.imagefolder import ImageFolder
from bench.datasets.own_sizes import followed_size
from tests.datasets.test_imagefolder import rows, write


def pictures(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{index:02d}.png" for index in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
    return paths


CASES = {
    "as it is": ([(200, 256)], (200, 256)),
    "the most common": ([(100, 90), (40, 30), (40, 30)], (40, 30)),
    "of equally common ones the largest": ([(40, 30), (100, 90)], (100, 90)),
    "scaled down": ([(632, 512)], (256, 207)),
    "a square": ([(1024, 1024)], (256, 256)),
    "very long": ([(4000, 100)], (256, 8)),
}


@pytest.mark.parametrize("case", CASES)
def test_working_size_follows_the_files(case: str, tmp_path: Path) -> None:
    sizes, wanted = CASES[case]
    assert followed_size("mine", pictures(tmp_path, sizes)) == wanted


def test_nothing_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    paths = pictures(tmp_path, [(20, 30)] * 3)
    monkeypatch.setattr(own_sizes, "decode_file", refuse)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
    assert followed_size("mine", paths) == (20, 30)


def test_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BenchError, match="mine: none of 1 files is an image"):
        followed_size("mine", [tmp_path / "a.png"])


def test_a_folder_without_a_size_is_judged_at_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "data" / "train", rows(12))
    write(tmp_path / "data" / "test", rows(4, 20))
    data = ImageFolder(str(tmp_path / "data"), name="mine")
    with caplog.at_level(logging.INFO):
        split = data.load(tmp_path)
        data.load(tmp_path)
    assert split.train.size == split.test.size == (20, 20)
    said = [text for text in caplog.messages if "judged at" in text]
    assert said == [
        "mine: judged at 20 x 20 pixels (height x width): all have 20 x 20; dataset.image_size names another"
    ]
    assert ImageFolder(str(tmp_path / "data"), image_size=16).load(tmp_path).train.size == (16, 16)
