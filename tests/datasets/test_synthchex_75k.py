"""SynthCheX-75K: small parquet sets with its columns, and every fault planted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError
from bench.datasets.synthchex_75k import FINDINGS, Item, SynthCheX, divide


def png(seed: int, *, colour: bool = True) -> bytes:
    """A picture whose channels differ a little, as a decoder of latents leaves them."""
    pixels = np.random.default_rng(seed).integers(0, 250, (24, 20, 1)) + np.array([0, 2, 5] if colour else [0, 0, 0])
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "image": {"bytes": png(i), "path": None},
            "filename": f"SyntheticImg_{i:04d}.png",
            "prompt": f"Radiograph {i}.",
            "labels_dict": {name: int((i + place) % 3 == 0) for place, name in enumerate(FINDINGS)},
        }
        for i in range(count)
    ]


def save(root: Path, content: list[dict[str, Any]], *, text: bool = False) -> Path:
    """Two parquet files; ``text`` writes the labels as JSON."""
    labels: Any = datasets.Value("string") if text else dict.fromkeys(FINDINGS, datasets.Value("int64"))
    word = datasets.Value("string")
    kinds = {"image": datasets.Image(), "filename": word, "prompt": word, "labels_dict": labels}
    root.mkdir(exist_ok=True)
    half = len(content) // 2
    for name, part in (("train-0.parquet", content[:half]), ("train-1.parquet", content[half:])):
        columns = {key: [each[key] for each in part] for key in kinds}
        datasets.Dataset.from_dict(columns, datasets.Features(kinds)).to_parquet(root / name)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("synthchex") / "set", rows(60))


def test_every_image_is_in_one_part_with_prompt_and_labels(root: Path, tmp_path: Path) -> None:
    split = SynthCheX(str(root), image_size=[16, 16]).load(tmp_path)
    parts = (split.train, split.holdout, split.test)
    assert sum(map(len, parts)) == 60 and split.train.size == (16, 16)
    names = [name for part in parts for name in part.patients]
    assert sorted(names) == [f"SyntheticImg_{i:04d}.png" for i in range(60)]
    for part in parts:
        for place, name in enumerate(part.ids):
            i = int(name.removeprefix("SyntheticImg_"))
            assert part.column("prompt")[place] == f"Radiograph {i}."
            assert part.column("Edema")[place] == int((i + 3) % 3 == 0)
    again = SynthCheX(str(root), image_size=[16, 16]).load(tmp_path)
    assert again.digest == split.digest and len(list((tmp_path / "prepared").iterdir())) == 3


def test_colour_becomes_grey_by_its_luma_or_is_refused(root: Path, tmp_path: Path) -> None:
    part = SynthCheX(str(root), image_size=[24, 20]).load(tmp_path).train
    i = int(part.ids[0].removeprefix("SyntheticImg_"))
    colours = np.asarray(Image.open(io.BytesIO(png(i)))).astype(float)
    assert np.array_equal(part.pixels([0])[0], np.rint(colours @ [0.299, 0.587, 0.114]))
    with pytest.raises(BenchError, match=r"train-0\.parquet row \d+: colour image"):
        SynthCheX(str(root), colour="refuse").load(tmp_path)


def test_labels_as_json_are_the_same(root: Path, tmp_path: Path) -> None:
    content = [row | {"labels_dict": json.dumps(row["labels_dict"])} for row in rows(60)]
    split = SynthCheX(str(save(tmp_path / "text", content, text=True)), image_size=16).load(tmp_path)
    assert split.digest == SynthCheX(str(root), image_size=16).load(tmp_path).digest


def test_parts_do_not_move_when_images_are_added() -> None:
    items = [Item(i, f"{i}.png", None, {}) for i in range(2000)]
    few, many = divide(items[:500], 0.2, 0.1, 0), divide(items, 0.2, 0.1, 0)
    assert all(set(map(id, few[name])) <= set(map(id, many[name])) for name in few)
    assert [round(len(part) / 2000, 1) for part in many.values()] == [0.7, 0.2, 0.1]


def test_the_seed_moves_the_holdout_and_no_share() -> None:
    items = [Item(i, f"{i}.png", None, {}) for i in range(4000)]
    one, other = divide(items, 0.2, 0.5, 0), divide(items, 0.2, 0.5, 1)
    assert one["test"] == other["test"]
    for parts in (one, other):
        assert [len(part) / 4000 for part in parts.values()] == pytest.approx([0.3, 0.2, 0.5], abs=0.03)
    both = {item.row for item in one["holdout"]} & {item.row for item in other["holdout"]}
    assert len(both) / len(one["holdout"]) == pytest.approx(0.4, abs=0.06), "the two choices must be independent"


def test_uncertain_labels_are_unknown_if_so_declared(tmp_path: Path) -> None:
    content = rows(40)
    content[3]["labels_dict"]["Edema"] = -1
    content[4]["labels_dict"]["Edema"] = None
    folder = str(save(tmp_path / "set", content))
    split = SynthCheX(folder, image_size=16).load(tmp_path)
    values = {
        name: value
        for part in (split.train, split.holdout, split.test)
        for name, value in zip(part.ids, part.column("Edema"), strict=True)
    }
    assert values["SyntheticImg_0003"] is None and values["SyntheticImg_0004"] is None
    with pytest.raises(BenchError, match=r"row 3, label 'Edema': got -1, needed one of \[0, 1\].*dataset\.unknown"):
        SynthCheX(folder, unknown=[]).load(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": {"bytes": png(1)[:-20], "path": None}}, r"train-1\.parquet row 1: damaged or truncated"),
        ({"image": {"bytes": b"GIF89a", "path": None}}, r"train-1\.parquet row 1: .*not a PNG|damaged"),
        ({"image": None}, r"train-1\.parquet row 1: column 'image' holds no image file"),
        (
            {"filename": "SyntheticImg_0002.png"},
            r"row 1: filename is 'SyntheticImg_0002\.png', as train-0\.parquet row 2",
        ),
        ({"filename": ""}, r"train-1\.parquet row 1: filename is ''"),
    ],
)
def test_bad_rows_are_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = rows(40)
    content[21] |= row
    with pytest.raises(BenchError, match=message):
        SynthCheX(str(save(tmp_path / "set", content))).load(tmp_path)


def test_blank_images_are_named(tmp_path: Path) -> None:
    content = rows(40)
    stream = io.BytesIO()
    Image.new("L", (20, 24), 7).save(stream, "PNG")
    content[0]["image"] = {"bytes": stream.getvalue(), "path": None}
    with pytest.raises(BenchError, match=r"train-0\.parquet row 0: blank image"):
        SynthCheX(str(save(tmp_path / "set", content))).load(tmp_path)


def test_bad_files_and_settings_are_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTHCHEX_75K_ROOT", raising=False)
    with pytest.raises(BenchError, match=r"huggingface\.co/datasets/raman07/SynthCheX-75K.*dataset\.root="):
        SynthCheX().load(tmp_path)
    monkeypatch.setenv("SYNTHCHEX_75K_ROOT", str(tmp_path))
    with pytest.raises(BenchError, match="has no parquet file"):
        SynthCheX().load(tmp_path)
    with pytest.raises(BenchError, match="targets"):
        SynthCheX(targets=["Cold"])
    with pytest.raises(BenchError, match="fractions"):
        SynthCheX(fractions=[0.5, 0.5])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(BenchError, match=r"bad\.parquet is not a whole parquet file"):
        SynthCheX(str(tmp_path)).load(tmp_path)
    datasets.Dataset.from_dict({"image": ["x"]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(BenchError, match=r"lacks the columns \['filename', 'prompt', 'labels_dict'\]"):
        SynthCheX(str(tmp_path)).load(tmp_path)
