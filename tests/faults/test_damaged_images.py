"""Damaged and foreign images in every role: 0 accepted silently.

Each is put into a data set in the layout of ChestX-ray14, into one of one's own, and among finished images; whoever
reads it must refuse it by name.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError
from bench.datasets.imagefolder import ImageFolder
from bench.datasets.nih_cxr14 import NihCxr14
from generators.finished.folder import Folder
from tests.datasets import test_imagefolder as own
from tests.datasets.test_nih_cxr14 import official
from tests.generators.conftest import labelled, request
from tests.storage import test_dicom as dicom
from tests.storage import test_images, test_jpeg_scans
from tests.storage.test_image_reader_png import png, raw

GREY = np.random.default_rng(3).integers(0, 256, (40, 40), dtype=np.uint8)
LEAST = 79  # images
OTHERWISE = {"pickle by name", "weights by name"}  # bad by their path and not by their bytes
# whole images that a role may take: alpha that hides nothing, declared for the radiographs; blank images a model made
WHOLE = {"radiograph": {"opaque alpha"}, "own": set(), "finished": {"constant", "nearly constant"}}


def saved(kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, kind, **settings)
    return buffer.getvalue()


def damaged_pngs() -> dict[str, bytes]:
    whole = saved("PNG")
    rows = raw(whole)
    found = {f"png of {count} rows": png(40, 40, 8, 0, rows[: 41 * count]) for count in (0, 1, 20, 39)}
    found |= {f"png of {count} rows, interlaced": png(40, 40, 8, 0, rows[: 41 * count], 1) for count in (1, 20)}
    found |= {f"png cut at {share}": whole[: len(whole) * share // 100] for share in (5, 25, 50, 75, 95)}
    found |= {f"png flipped at {place}": flipped(whole, place) for place in (1, 12, 20, 30, 45, 400, len(whole) - 6)}
    return found | {"png of more rows": png(40, 40, 8, 0, rows + bytes(41))}


def damaged_jpegs() -> dict[str, bytes]:
    found = {}
    for kind, settings in test_jpeg_scans.KINDS.items():
        whole = test_jpeg_scans.coded(**settings)
        for share in (50, 80, 95):
            cut = whole[: len(whole) * share // 100]
            found |= {f"{kind} jpeg cut at {share}": cut, f"{kind} jpeg cut at {share} and closed": cut + b"\xff\xd9"}
        middle = len(whole) // 2
        found[f"{kind} jpeg with zeros"] = whole[:middle] + bytes(400) + whole[middle + 400 :]
    whole = test_jpeg_scans.coded(progressive=True)
    scans = [match.start() for match in re.finditer(b"\xff\xda", whole)][1:]
    return found | {f"progressive jpeg without scans from {n}": whole[:at] + b"\xff\xd9" for n, at in enumerate(scans)}


def damaged_others() -> dict[str, bytes]:
    tiff, whole = saved("TIFF"), dicom.saved(dicom.scan())
    found = {f"tiff cut at {share}": tiff[: len(tiff) * share // 100] for share in (10, 50, 95)}
    found |= {f"dicom cut at {share}": whole[: len(whole) * share // 100] for share in (20, 50, 95)}
    found |= {f"dicom: {name}": dicom.saved(data) for name, (data, _) in dicom.REFUSED.items()}
    return found | {
        "bytes": GREY.tobytes(),
        "header alone": b"\x89PNG\r\n\x1a\n",
        "numbers": struct.pack("40d", *GREY[0]),
    }


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


def listed() -> dict[str, bytes]:
    known = {name: content for name, (_, content, _) in test_images.BAD.items() if name not in OTHERWISE}
    return known | damaged_pngs() | damaged_jpegs() | damaged_others()


IMAGES = listed()
Role = tuple[Path, Callable[[], Any]]  # the file that is exchanged, and who reads it


def as_radiograph(folder: Path) -> Role:
    root = official(folder / "nih")
    return root / "images" / "00000003_000.png", lambda: NihCxr14(str(root), image_size=16).load(folder / "cache")


def as_own_image(folder: Path) -> Role:
    for part, start in (("train", 0), ("test", 20)):
        own.write(folder / "own" / part, own.rows(4, start))
    read = ImageFolder(str(folder / "own"), **own.SETTINGS)
    return folder / "own" / "train" / "002.png", lambda: read.load(folder / "cache")


def as_finished_image(folder: Path) -> Role:
    own.write(folder / "made", [{"file_name": f"{index}.png", "request_id": f"r{index}"} for index in range(3)])
    requests = [request(f"r{index}", level=1, side=0) for index in range(3)]
    train = labelled(8)

    def sample() -> Any:
        generator = Folder(str(folder / "made"), resize="pad")
        generator.fit(train, folder, 0)
        generator.plan(requests)
        return generator.sample(requests)

    return folder / "made" / "1.png", sample


ROLES: dict[str, Callable[[Path], Role]] = {
    "radiograph": as_radiograph,
    "own": as_own_image,
    "finished": as_finished_image,
}


def test_the_list_is_long_enough() -> None:
    assert len(set(IMAGES.values())) >= LEAST


@pytest.mark.parametrize("role", ROLES)
def test_no_damaged_image_is_accepted_silently(role: str, tmp_path: Path) -> None:
    path, read = ROLES[role](tmp_path)
    read()  # with the image it had
    accepted = []
    for name, content in IMAGES.items():
        path.write_bytes(content)
        try:
            read()
        except BenchError as refused:
            assert path.name in str(refused), (name, str(refused))
        else:
            accepted.append(name)
    assert [name for name in accepted if name not in WHOLE[role]] == []
