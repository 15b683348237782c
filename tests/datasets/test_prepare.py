"""Preparation reads once, keeps, and refuses what would spoil a comparison."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError, ImageSet, Label
from bench.datasets import prepare as module
from bench.datasets.prepare import Shape, Source, checked, prepare, refuse_shared_patients, size_of, take_holdout
from tests.toy import described, image_set

INFO = described(Label("finding", "binary", (0, 1)), targets=("finding",))
SHAPE = Shape((16, 16), "pad")


def sources(folder: Path, count: int, patients: int = 1000) -> list[Source]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index in range(count):
        path = folder / f"{index}.png"
        pixels = np.random.default_rng([index, *folder.name.encode()]).integers(0, 256, (20, 30), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        patient = f"{folder.name}{index % patients}"
        labels: dict[str, int | None] = {"finding": index % 2}
        found.append(Source(f"{folder.name}-{index}", patient, path, f"t.csv line {index + 2}", labels, {}, None))
    return found


def prepared(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "prepared").glob("[!.]*"))


def test_every_image_is_resized_in_order_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = sources(tmp_path / "a", 150)
    first = prepare(given, INFO, SHAPE, tmp_path)
    assert first.pixels().shape == (150, 16, 16)
    assert first.ids == [source.image_id for source in given]
    assert first.column("finding") == [0, 1] * 75
    monkeypatch.setattr(module, "read_grey", lambda *_, **__: pytest.fail("read again"))
    assert prepare(given, INFO, SHAPE, tmp_path).digest == first.digest
    assert len(prepared(tmp_path)) == 1


def test_anything_that_matters_makes_another_key(tmp_path: Path) -> None:
    given = sources(tmp_path / "a", 3)
    prepare(given, INFO, SHAPE, tmp_path)
    changed = [
        ([*given[:2], replace(given[2], labels={"finding": None})], INFO, SHAPE),
        ([*given[:2], replace(given[2], patient_id="other")], INFO, SHAPE),
        ([*given[:2], replace(given[2], prompt="text")], INFO, SHAPE),
        (given[::-1], INFO, SHAPE),
        (given, replace(INFO, attributes=("view",)), SHAPE),
        (given, INFO, Shape((16, 16), "crop")),
        (given, INFO, Shape((16, 17), "pad")),
    ]
    for count, (rows, info, shape) in enumerate(changed, start=2):
        prepare(rows, info, shape, tmp_path)
        assert len(prepared(tmp_path)) == count
    os.utime(given[0].path, ns=(1, 1))
    prepare(given, INFO, SHAPE, tmp_path)
    assert len(prepared(tmp_path)) == len(changed) + 2


def test_damaged_cache_is_made_again_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = sources(tmp_path / "a", 5)
    digest = prepare(given, INFO, SHAPE, tmp_path).digest
    stored = tmp_path / "prepared" / prepared(tmp_path)[0] / "images.arrow"
    stored.write_bytes(stored.read_bytes()[:-100])
    assert prepare(given, INFO, SHAPE, tmp_path).digest == digest
    assert "changed since it was written" in caplog.text
    assert len(prepared(tmp_path)) == 1


def test_the_size_before_resizing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = sources(tmp_path / "a", 4)
    Image.open(given[1].path).resize((25, 41)).save(given[1].path)
    own_size = ((20, 25), (41, 30))
    assert prepare(given, INFO, SHAPE, tmp_path).own_size == own_size
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_grey", lambda *_, **__: pytest.fail("read again"))
        images = prepare(given, INFO, SHAPE, tmp_path)
    assert images.own_size == images.select([0]).own_size == own_size
    other = [part(tmp_path, name) for name in ("holdout", "test")]
    assert checked(images, *other).train.own_size == own_size and other[0].own_size is None
    manifest = tmp_path / "prepared" / prepared(tmp_path)[0] / "manifest.json"
    manifest.write_text(json.dumps({"sha256": json.loads(manifest.read_text())["sha256"]}))
    again = prepare(given, INFO, SHAPE, tmp_path)
    assert again.own_size == own_size and again.digest == images.digest


def test_bad_images_are_listed_together_with_their_rows(tmp_path: Path) -> None:
    given = sources(tmp_path / "a", 30)
    given[3].path.write_bytes(b"")
    given[7].path.unlink()
    with pytest.raises(BenchError) as caught:
        prepare(given, INFO, SHAPE, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 30 images cannot be used:"
    assert lines[1].strip() == f"t.csv line 5: {given[3].path}: empty file (0 bytes); copy it again from its source"
    assert lines[2].strip().startswith(f"t.csv line 9: {given[7].path}: no such file")
    assert prepared(tmp_path) == []
    for source in given[10:25]:
        source.path.write_bytes(b"")
    with pytest.raises(BenchError, match=r"10 images cannot be used \(stopped looking here\)"):
        prepare(given, INFO, SHAPE, tmp_path)


def test_two_rows_of_one_id_or_file_are_named(tmp_path: Path) -> None:
    given = sources(tmp_path / "a", 4)
    with pytest.raises(BenchError, match=r"image_id 'a-0': t\.csv line 2 and t\.csv line 5"):
        prepare([*given[:3], replace(given[3], image_id="a-0")], INFO, SHAPE, tmp_path)
    with pytest.raises(BenchError, match=r"path '.*1\.png': t\.csv line 3 and t\.csv line 5"):
        prepare([*given[:3], replace(given[3], path=given[1].path)], INFO, SHAPE, tmp_path)
    with pytest.raises(BenchError, match="no images, needed at least one"):
        prepare([], INFO, SHAPE, tmp_path)


def test_same_pixels_within_a_part_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = sources(tmp_path / "a", 4)
    given[2].path.write_bytes(given[0].path.read_bytes())
    with caplog.at_level(logging.WARNING):
        prepare(given, INFO, SHAPE, tmp_path)
    assert "1 groups of ids have the same pixels:\n  a-0 = a-2" in caplog.text


@pytest.mark.parametrize("count", [2, 5, 40])
def test_holdout_divides_patients_whatever_the_order(tmp_path: Path, count: int) -> None:
    given = sources(tmp_path / "a", 80, patients=count)
    train, holdout = take_holdout(given, 0.25, 3)
    kept, held = ({source.patient_id for source in part} for part in (train, holdout))
    assert not kept & held
    assert len(held) == max(1, round(count / 4))
    assert sorted(train + holdout, key=given.index) == given
    assert {source.patient_id for source in take_holdout(given[::-1], 0.25, 3)[1]} == held
    if count == 40:
        assert {source.patient_id for source in take_holdout(given, 0.25, 4)[1]} != held


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 3])
def test_impossible_holdouts_are_refused(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(BenchError, match="needed a number between 0 and 1"):
        take_holdout(sources(tmp_path / "a", 4), fraction, 0)
    with pytest.raises(BenchError, match="1 training patients, needed at least 2"):
        take_holdout(sources(tmp_path / "a", 4, patients=1), 0.5, 0)


def test_shared_patients_are_named_by_both_rows(tmp_path: Path) -> None:
    first, second = sources(tmp_path / "a", 3), sources(tmp_path / "b", 3)
    refuse_shared_patients(first, second)
    second[1] = replace(second[1], patient_id="a2", where="u.csv line 9")
    with pytest.raises(BenchError, match=r"patient 'a2': t\.csv line 4 and u\.csv line 9"):
        refuse_shared_patients(first, second)


def part(folder: Path, name: str, shared: dict[str, str] | None = None, seed: int | None = None) -> ImageSet:
    """Three images; in the second, ``shared`` ids are another part's and so are the pixels of the same ``seed``."""
    states = [[index, *name.encode()] for index in range(3)]
    if seed is not None:
        states[1] = [seed, 1]
    ids = {"image_id": [f"{name}{i}" for i in range(3)], "patient_id": [f"patient-{name}{i}" for i in range(3)]}
    for column, value in (shared or {}).items():
        ids[column][1] = value
    images = [np.random.default_rng(state).integers(0, 256, (8, 8), dtype=np.uint8) for state in states]
    return image_set(images, INFO, folder / name, **ids)


def test_parts_share_nothing(tmp_path: Path) -> None:
    train, holdout, test = (part(tmp_path, name) for name in ("train", "holdout", "test"))
    assert checked(train, holdout, test).digest == checked(train, holdout, test).digest
    for shared, message in (
        (
            {"patient_id": "patient-train2"},
            r"patient_id 'patient-train2': train row 2 \(image 'train2'\) and test row 1",
        ),
        (
            {"image_id": "train2"},
            r"image_id 'train2': train row 2 \(image 'train2'\) and test row 1 \(image 'train2'\)",
        ),
    ):
        with pytest.raises(BenchError, match=message):
            checked(train, holdout, part(tmp_path / "other", "test", shared))
    same = [part(tmp_path / "same", name, seed=5) for name in ("holdout", "test")]
    with pytest.raises(BenchError, match=r"pixel_hash .*: holdout row 1 \(image 'holdout1'\) and test row 1 .*'test1'"):
        checked(train, *same)


def test_impossible_shapes_are_refused() -> None:
    assert size_of(64) == (64, 64)
    assert size_of([32, 48]) == (32, 48)
    for bad in ([1, 2, 3], []):
        with pytest.raises(BenchError, match="needed one whole number"):
            size_of(bad)
    for small in (15, [15, 64], [64, 16.0], "64"):
        with pytest.raises(BenchError, match=r"at least 16 .*correct dataset\.image_size"):
            size_of(small, 16)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match="from 8 to 4096"):
        Shape((4, 4), "pad")
    with pytest.raises(BenchError, match=r"aspect = 'stretch', needed one of \['pad', 'crop'\]"):
        Shape((64, 64), "stretch")  # type: ignore[arg-type]
