"""A finished set that states groups and prompts was told them, as far as what it states is what was asked for."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.api import Generator, ImageSet, Label, Request
from bench.runtime.told import told
from generators.finished.folder import Folder
from generators.finished.parquet import Parquet
from tests.generators.finished.test_parquet import picture, save
from tests.toy import described, image_set, request

INFO = described(
    Label("level", "ordinal", (0, 1, 2)),
    Label("dense", "binary", (0, 1), ("no", "yes")),
    conditions=("level",),
    groups=("view", "dense"),
    attributes=("view", "age"),
    prompted=("level", "view"),
)
Table = dict[str, list[Any]]


def as_folder(folder: Path, table: Table) -> Generator:
    count = len(next(iter(table.values())))
    folder.mkdir()
    for i in range(count):
        Image.fromarray(picture(i)).save(folder / f"{i}.png")
    with (folder / "metadata.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["file_name", *table])
        lines.writerows(
            [f"{i}.png", *("" if cell is None else cell for cell in row)]
            for i, row in enumerate(zip(*table.values(), strict=True))
        )
    return Folder(str(folder))


def as_parquet(folder: Path, table: Table) -> Generator:
    return Parquet(str(save(folder, **table)))


Write = Callable[[Path, Table], Generator]
both = pytest.mark.parametrize("write", [as_folder, as_parquet])


@pytest.fixture(scope="module")
def train() -> ImageSet:
    known = {"labels": {"level": 0, "dense": 0}, "attributes": {"view": "AP", "age": "40"}}
    return image_set([picture(i) for i in range(4)], INFO, **known)


def asked(count: int) -> list[Request]:
    rng = np.random.default_rng(count)
    found = []
    for i in range(count):
        level, dense, view = int(rng.integers(3)), int(rng.integers(2)), ["AP", "PA", None][rng.integers(3)]
        plain = request(f"fidelity-{i}", prompt=f"level {level}, view {view}", level=level, dense=dense)
        found.append(replace(plain, attributes={"view": view, "age": str(20 + i)}))
    return found


def table_of(requests: Sequence[Request]) -> Table:
    """What an export of a generator that was told everything would say."""
    return {
        "request_id": [each.request_id for each in requests],
        "prompt": [each.prompt for each in requests],
        "level": [each.labels["level"] for each in requests],
        "dense": [each.labels["dense"] for each in requests],
        "view": [each.attributes["view"] for each in requests],
        "age": [each.attributes["age"] for each in requests],
    }


def planned(write: Write, table: Table, requests: Sequence[Request], train: ImageSet, folder: Path) -> Generator:
    generator = write(folder / "set", table)
    generator.fit(train, folder, 0)
    generator.plan(requests)
    return generator


@both
def test_an_export_of_what_was_told_everything_is_told_everything(
    write: Write, train: ImageSet, tmp_path: Path
) -> None:
    requests = asked(12)
    generator = planned(write, table_of(requests), requests[::-1], train, tmp_path)
    assert generator.uses == ("level", "view", "dense", "age", "prompt")
    assert told(INFO, generator.uses) == ["level", "dense", "view", "age"]
    shares = generator.facts["matched"]["fidelity"]
    assert set(shares) == {"level", "view", "dense"} and set(shares["view"]) == {"AP", "PA", "unknown"}
    assert {share for each in shares.values() for share in each.values()} == {1.0}


@both
def test_prompts_alone_tell_what_they_state(write: Write, train: ImageSet, tmp_path: Path) -> None:
    requests = asked(12)
    table = {name: cells for name, cells in table_of(requests).items() if name in ("request_id", "prompt")}
    generator = planned(write, table, requests, train, tmp_path)
    assert generator.uses == ("prompt",) and told(INFO, generator.uses) == ["level", "view"]


@both
@pytest.mark.parametrize("column", ["age", "prompt"])
def test_another_age_or_prompt_than_asked_for_was_not_told(
    write: Write, column: str, train: ImageSet, tmp_path: Path
) -> None:
    requests = asked(12)
    table = table_of(requests)
    table[column][3] = "another"
    assert column not in planned(write, table, requests, train, tmp_path).uses


@both
def test_another_group_than_asked_for_is_counted(write: Write, train: ImageSet, tmp_path: Path) -> None:
    requests = asked(40)
    table = table_of(requests)
    views = [each.attributes["view"] for each in requests]
    table["view"][views.index("PA")] = None
    generator = planned(write, table, requests, train, tmp_path)
    assert "view" in generator.uses
    assert generator.facts["matched"]["fidelity"]["view"] == {
        "AP": 1.0,
        "PA": 1 - 1 / views.count("PA"),
        "unknown": 1.0,
    }


@both
def test_without_ids_images_are_given_by_conditions_and_then_by_groups(
    write: Write, train: ImageSet, tmp_path: Path
) -> None:
    requests = asked(40)
    order = np.random.default_rng(0).permutation(40)
    table = {name: [cells[i] for i in order] for name, cells in table_of(requests).items() if name != "request_id"}
    generator = planned(write, table, requests, train, tmp_path)
    shares = generator.facts["matched"]["fidelity"]
    assert {share for each in shares.values() for share in each.values()} == {1.0}
    assert generator.uses == ("level", "view", "dense", "prompt"), "who is how old was left to chance"
    assert len(np.unique(generator.sample(requests), axis=0)) == 40


@both
def test_a_set_that_states_conditions_alone_was_told_no_group(write: Write, train: ImageSet, tmp_path: Path) -> None:
    requests = asked(12)
    table = {name: cells for name, cells in table_of(requests).items() if name in ("request_id", "level")}
    generator = planned(write, table | {"view": [None] * 12}, requests, train, tmp_path)
    assert generator.uses == ("level",) and set(generator.facts["matched"]["fidelity"]) == {"level"}


def test_other_labels_may_stand_in_labels_dict(train: ImageSet, tmp_path: Path) -> None:
    requests = asked(12)
    table = table_of(requests)
    dicts = [
        {"level": level, "dense": dense} for level, dense in zip(table.pop("level"), table.pop("dense"), strict=True)
    ]
    generator = planned(as_parquet, table | {"labels_dict": dicts}, requests, train, tmp_path)
    assert set(generator.uses) == {"level", "view", "dense", "age", "prompt"}
    assert generator.facts["matched"]["fidelity"]["dense"] == {"no": 1.0, "yes": 1.0}
