"""Finished sets as generators: by request, by conditions, and files of another size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError, Request
from generators.finished.joining import repeating
from generators.finished.parquet import Parquet


def picture(seed: int, size: tuple[int, int] = (16, 12), *, colour: bool = False) -> np.ndarray:
    grey = np.random.default_rng(seed).integers(0, 250, size).astype(np.uint8)
    return np.stack([grey, grey + 2, grey + 4], axis=-1) if colour else grey


def cell(image: np.ndarray) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def save(folder: Path, **columns: Sequence[Any]) -> Path:
    """A parquet set of as many pictures as the first column has values, in two row groups."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(columns.values())))
    images = columns.pop("image", [picture(i) for i in range(count)])
    rows = datasets.Dataset.from_dict({"image": [cell(image) for image in images], **columns})
    rows.cast_column("image", datasets.Image()).to_parquet(folder / "train-0.parquet", batch_size=max(2, count // 2))
    return folder


@pytest.fixture(scope="module")
def train(toy):
    return toy.labelled(8)


def sample(generator: Parquet, train, requests: Sequence[Request], folder: Path) -> np.ndarray:
    generator.fit(train, folder, 0)
    generator.plan(requests)
    return generator.sample(requests)


def which(made: np.ndarray, count: int) -> list[int]:
    """The pictures that were given."""
    known = {picture(i).tobytes(): i for i in range(count)}
    return [known[image.tobytes()] for image in made]


def test_each_request_gets_its_own_image(toy, train, tmp_path) -> None:
    requests = [toy.request(f"r{i}", level=i % 4, side=0) for i in range(6)]
    folder = save(tmp_path / "set", request_id=[f"r{5 - i}" for i in range(6)], level=[(5 - i) % 4 for i in range(6)])
    generator = Parquet(str(folder))
    assert which(sample(generator, train, requests, tmp_path), 6) == [5, 4, 3, 2, 1, 0]
    assert which(generator.sample(requests[4:1:-1] * 2), 6) == [1, 2, 3] * 2
    assert generator.uses == ("level",) and generator.facts["matched_by"] == "request_id"
    assert generator.reads == (str(folder),)


def test_an_id_with_other_labels_is_no_match(toy, train, tmp_path) -> None:
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(3)]
    folder = save(tmp_path / "set", request_id=["r0", "r1", "r2"], level=[0, 1, 3])
    with pytest.raises(BenchError, match=r"1 requests get an image of other conditions, tolerated are 0: r2"):
        sample(Parquet(str(folder)), train, requests, tmp_path)
    ids = save(tmp_path / "ids", request_id=["r0", "r1", "r7"])
    with pytest.raises(
        BenchError, match=r"1 requests have no image \(r2\), 1 images have no request \(r7\); export the"
    ):
        sample(Parquet(str(ids)), train, requests, tmp_path)
    twice = save(tmp_path / "twice", request_id=["r0", "r0", "r1"])
    with pytest.raises(BenchError, match="several images: r0"):
        sample(Parquet(str(twice)), train, requests, tmp_path)


@pytest.mark.parametrize("form", ["columns", "labels_dict"])
def test_images_are_given_by_conditions_once_within_a_purpose(form, toy, train, tmp_path) -> None:
    labels = [{"level": i % 3, "side": i % 2} for i in range(12)]
    columns = {name: [each[name] for each in labels] for name in ("level", "side")}
    folder = save(tmp_path / "set", **(columns if form == "columns" else {"labels_dict": labels}))
    requests = [
        toy.request(f"{purpose}{i}", purpose, level=i % 3, side=i % 2)
        for purpose in ("fidelity", "utility")
        for i in range(12)
    ]
    generator = Parquet(str(folder))
    got = which(sample(generator, train, requests, tmp_path), 12)
    assert sorted(got[:12]) == sorted(got[12:]) == list(range(12)) and got[:12] != got[12:]
    assert all(place % 6 == row % 6 for place, row in enumerate(got[:12]))
    assert generator.facts["other_conditions"] == generator.facts["repeats"] == 0
    assert which(sample(Parquet(str(folder)), train, requests[::-1], tmp_path), 12)[::-1] == got


def test_misses_and_repeats_are_counted_and_a_choice(toy, train, tmp_path) -> None:
    folder = save(tmp_path / "set", level=[0, 0, 1, 1])
    requests = [toy.request(f"r{i}", level=2 * (i == 5), side=0) for i in range(6)]
    with pytest.raises(BenchError, match=r"2 requests get an image of other .*other_conditions_tolerance=2"):
        sample(Parquet(str(folder)), train, requests, tmp_path)
    with pytest.raises(BenchError, match=r"2 requests get an image that another .*repeat_tolerance=2"):
        sample(Parquet(str(folder), other_conditions_tolerance=2), train, requests, tmp_path)
    with pytest.raises(BenchError, match=r"Ask for fewer \(at most requests.fidelity=4\), or .*; or, last, set gen"):
        sample(Parquet(str(folder), other_conditions_tolerance=2), train, requests, tmp_path)
    generator = Parquet(str(folder), other_conditions_tolerance=2, repeat_tolerance=2)
    assert len(sample(generator, train, requests, tmp_path)) == 6
    counted = [generator.facts[name] for name in ("other_conditions", "repeats", "images_used")]
    assert counted == [2, 2, 4]
    asked = [toy.request("a"), toy.request("b"), toy.request("c", "utility")]
    assert repeating({"a": 1, "b": 1, "c": 1}, asked) == ["b"]


def test_a_filtered_export_is_matched_by_conditions(toy, train, tmp_path) -> None:
    folder = save(tmp_path / "set", request_id=["r0", "r3"], level=[1, 1])
    requests = [toy.request(f"r{i}", level=1, side=0) for i in (1, 2)]
    with pytest.raises(BenchError, match=r"generator\.by=conditions"):
        sample(Parquet(str(folder)), train, requests, tmp_path)
    assert len(sample(Parquet(str(folder), by="conditions"), train, requests, tmp_path)) == 2
    plain = save(tmp_path / "plain", level=[1, 1])
    with pytest.raises(BenchError, match="has no column request_id"):
        sample(Parquet(str(plain), by="request_id"), train, requests, tmp_path)


def test_rows_are_cropped_off_pictures_of_the_published_size(toy, train, tmp_path) -> None:
    folder = save(tmp_path / "set", level=[0, 1, 2], image=[picture(i, (24, 12)) for i in range(3)])
    requests = [toy.request(f"r{i}", level=i, side=None) for i in range(3)]
    made = sample(Parquet(str(folder), crop_rows=[3, 5]), train, requests, tmp_path)
    assert [np.array_equal(image, picture(i, (24, 12))[3:19]) for i, image in enumerate(made)] == [True] * 3
    sizes = r"is 20 x 12, the data set is 16 x 12 .*; 'dataset\.image_size=\[20,12\]' .*generator\.resize=pad or crop"
    with pytest.raises(BenchError, match=sizes):
        sample(Parquet(str(folder), crop_rows=[2, 2]), train, requests, tmp_path)
    resized = sample(Parquet(str(folder), crop_rows=[2, 2], resize="crop"), train, requests, tmp_path)
    assert resized.shape == (3, 16, 12)
    with pytest.raises(BenchError, match=r"24 rows, generator\.crop_rows takes 24"):
        sample(Parquet(str(folder), crop_rows=[20, 4]), train, requests, tmp_path)


def test_rows_with_the_same_pixels_are_one_picture(toy, train, tmp_path) -> None:
    columns = {"request_id": ["r0", "r1", "r2", "utility-0"], "level": [0, 0, 0, 0]}
    folder = save(tmp_path / "set", **columns, image=[picture(i) for i in (0, 1, 0, 1)])
    requests = [toy.request(f"r{i}", level=0, side=0) for i in range(3)]
    requests.append(toy.request("utility-0", "utility", level=0, side=0))
    with pytest.raises(
        BenchError, match=r"1 requests get the picture of another .*row 0 = .*row 2.*repeat_tolerance=1"
    ):
        sample(Parquet(str(folder)), train, requests, tmp_path)
    generator = Parquet(str(folder), repeat_tolerance=1)
    sample(generator, train, requests, tmp_path)
    assert generator.facts["repeats"] == 1 and generator.facts["images_used"] == 4


def test_the_own_size_is_that_of_the_given_images_after_the_cut(toy, train, tmp_path) -> None:
    sizes = [(24, 12), (20, 30), (200, 300)]
    folder = save(tmp_path / "set", level=[0, 1, 2], image=[picture(i, size) for i, size in enumerate(sizes)])
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(2)]
    generator = Parquet(str(folder), crop_rows=[3, 1], resize="pad")
    assert sample(generator, train, requests, tmp_path).shape == (2, 16, 12)
    assert generator.facts["own_size"] == ((16, 12), (20, 30))
    generator.plan([toy.request("r", level=2, side=0)])
    assert generator.facts["own_size"] == ((196, 300),) * 2


def test_colour_is_an_error_unless_luma_is_asked_for(toy, train, tmp_path) -> None:
    image = picture(0, colour=True)
    folder = save(tmp_path / "set", level=[0], image=[image])
    requests = [toy.request("r", level=0, side=0)]
    with pytest.raises(BenchError, match="row 0: colour image"):
        sample(Parquet(str(folder)), train, requests, tmp_path)
    made = sample(Parquet(str(folder), colour="luma"), train, requests, tmp_path)
    assert np.array_equal(made[0], np.rint(image.astype(float) @ [0.299, 0.587, 0.114]))


def test_bad_values_and_damage_are_named(toy, train, tmp_path) -> None:
    requests = [toy.request(f"r{i}", level=0, side=0) for i in range(2)]
    folder = save(tmp_path / "set", level=[0, -1])
    with pytest.raises(
        BenchError, match=r"row 1, label 'level': got -1, needed one of \[0, 1, 2, 3\]; .*generator.unknown"
    ):
        Parquet(str(folder)).fit(train, tmp_path, 0)
    generator = Parquet(str(folder), unknown=[-1], other_conditions_tolerance=1)
    assert len(sample(generator, train, requests, tmp_path)) == 2
    broken = cell(picture(0))["bytes"][:-6]
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": broken, "path": None}] * 2}, datasets.Features({"image": datasets.Image()})
    )
    (tmp_path / "broken").mkdir()
    rows.to_parquet(tmp_path / "broken" / "a.parquet")
    with pytest.raises(BenchError, match=r"a\.parquet row [01]: (truncated|damaged)"):
        sample(Parquet(str(tmp_path / "broken")), train, requests, tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "path is not set"),
        ({"path": "/no/such/place"}, "does not exist"),
        ({"by": "luck"}, "by is 'luck'"),
        ({"resize": "squash"}, "resize is 'squash'"),
        ({"colour": "sepia"}, "colour is 'sepia'"),
        ({"crop_rows": [-1, 0]}, "crop_rows"),
    ],
)
def test_bad_settings_are_named(settings, message, train, tmp_path) -> None:
    with pytest.raises(BenchError, match=message):
        Parquet(**settings).fit(train, tmp_path, 0)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    with pytest.raises(BenchError, match=f"has no parquet files.* generator=folder generator.path={tmp_path}$"):
        Parquet(str(tmp_path)).fit(train, tmp_path, 0)


def test_an_export_read_back_is_the_same_images(tmp_path) -> None:
    from bench.export.images import export
    from tests.pipeline.test_run import configure, start

    small = ["evaluator=[]", "encoder=[pixels]", "dataset.n_train=60", "dataset.n_test=24"]
    first = start(configure(tmp_path / "cache", "generator=pca", *small), tmp_path / "first")
    export(tmp_path / "first", tmp_path / "out")
    back = ["generator=parquet", f"generator.path={tmp_path / 'out'}"]
    second = start(configure(tmp_path / "cache", *back, *small), tmp_path / "second")
    assert second.record.digests == first.record.digests
    assert second.record.facts["matched_by"] == "request_id"


def test_a_set_may_say_which_images_are_of_one_patient(toy, train, tmp_path) -> None:
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(3)]
    columns = {"request_id": ["r0", "r1", "r2"], "level": [0, 1, 2]}
    given = ([7, None, 7], ["7", None, "7"]), (["a", "", "a"], ["a", None, "a"]), (None, [None] * 3)
    for owners, expected in (*given, ([7.0, float("nan"), 7.0], ["7.0", None, "7.0"])):
        told = columns | ({"patient_id": owners} if owners else {})
        generator = Parquet(str(save(tmp_path / str(owners), **told)))
        sample(generator, train, requests, tmp_path)
        assert generator.patients(requests) == expected
