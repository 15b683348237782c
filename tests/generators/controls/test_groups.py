"""Controls that give back real images give those of the asked groups, after the asked conditions, and say how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import ImageSet, Label, Purpose, Request, Split
from bench.datasets.nih_cxr14 import NihCxr14
from bench.pipeline.requests import make_requests
from generators.assignment import Conditions, assign, draw, shares_met, value_of_request
from generators.controls.copy import Copy
from generators.controls.holdout import Holdout
from generators.controls.real_images import RealImages
from tests.toy import described, image_set, request

INFO = described(
    Label("finding", "binary", (0, 1), ("absent", "present")),
    Label("dense", "binary", (0, 1), ("no", "yes")),
    conditions=("finding",),
    groups=("view", "sex", "finding", "dense"),
    attributes=("view", "sex"),
)
GROUPS = ("view", "sex", "finding", "dense")


def people(count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "labels": {"finding": int(rng.integers(2)), "dense": int(rng.integers(2))},
            "attributes": {"view": "AP" if rng.random() < 0.6 else "PA", "sex": ("F", "M", None)[rng.integers(3)]},
        }
        for _ in range(count)
    ]


def pool(count: int, seed: int = 0, **columns: Any) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8)).astype(np.uint8)
    known = people(count, seed)
    rows = {name: [each[name] for each in known] for name in ("labels", "attributes")}
    return image_set(list(pixels), INFO, name="i", **rows | columns)


def asked(people: Sequence[dict[str, Any]], purpose: Purpose = "fidelity") -> list[Request]:
    return [
        replace(request(f"{purpose}-{i}", purpose, **each["labels"]), attributes=each["attributes"])
        for i, each in enumerate(people)
    ]


def test_the_asked_groups_are_given_where_there_are_enough() -> None:
    """Sex and view are attributes, ``dense`` a label that is no condition: by chance half of each would be met."""
    requests, images = asked(people(100, 1)), pool(600)
    shares = shares_met(requests, images, draw(requests, images))["fidelity"]
    assert set(shares) == set(GROUPS)
    for name in GROUPS:
        assert set(shares[name].values()) == {1.0}, name


@pytest.mark.parametrize(("requests", "rows"), [(40, 40), (40, 60), (40, 400), (90, 40)])
def test_conditions_come_before_groups(requests: int, rows: int) -> None:
    """As many requests as can be get the same conditions, and as many as can be the same groups with them."""
    rng = np.random.default_rng(requests + rows)
    want, have = (rng.integers(0, 3, (count, 4)).astype(np.int32) for count in (requests, rows))
    got = assign(want, have, np.random.default_rng(0), groups=2)
    first = got[: min(requests, rows)] if requests <= rows else got
    conditions, everything = (alike(want[: len(first)], have[first], columns) for columns in (2, 4))
    if requests <= rows:
        assert len(set(got.tolist())) == requests
        assert (conditions, everything) == (most(want, have, 2), most(want, have, 4))
    else:
        assert set(Counter(got.tolist()).values()) <= {2, 3}, "a new round starts when every row has been used"


def alike(want: Conditions, have: Conditions, columns: int) -> int:
    return int((want[:, :columns] == have[:, :columns]).all(axis=1).sum())


def most(want: Conditions, have: Conditions, columns: int) -> int:
    """As many as there can be, without replacement."""
    one, other = (Counter(map(bytes, np.ascontiguousarray(table[:, :columns]))) for table in (want, have))
    return sum((one & other).values())


def test_the_order_of_matching() -> None:
    """Each row: one condition, two groups. One request after the other is left with less."""
    have = np.array([[1, 5, 5], [1, 5, 6], [1, 6, 6], [2, 5, 5], [3, 6, 6]], np.int32)
    want = np.array([[1, 5, 5]] * 5, np.int32)
    assert assign(want, have, np.random.default_rng(0), groups=2).tolist() == [0, 1, 2, 3, 4]
    # who can have one group comes before who can have none, whatever the order of the requests
    have, want = np.array([[1, 5, 6]], np.int32), np.array([[1, 6, 5], [1, 5, 5]], np.int32)
    rows = assign(want, np.concatenate([have, [[1, 7, 7]]]).astype(np.int32), np.random.default_rng(0), groups=2)
    assert rows.tolist() == [1, 0]


def test_a_drawing_is_decided_by_the_seeds_and_by_its_own_purpose() -> None:
    images = pool(80)
    one, other = asked(people(60, 1)), asked(people(50, 2), "utility")
    alone, both = draw(one, images), draw([*other, *one[::-1]], images)
    assert {name: both[name] for name in alone} == alone
    again = [replace(each, seed=each.seed + 1) for each in one]
    assert draw(again, images) != alone


def test_the_shares_are_those_of_each_value() -> None:
    """Three of AP are asked for and two are there; sex is met in two of three."""
    sexes = [{"view": "AP", "sex": "F"}, {"view": "AP", "sex": None}, {"view": "PA", "sex": "F"}]
    images = pool(3, labels={"finding": 1, "dense": 1}, attributes=sexes)
    requests = asked([{"labels": {"finding": 1, "dense": 1}, "attributes": {"view": "AP", "sex": "F"}}] * 3)
    shares = shares_met(requests, images, draw(requests, images))
    assert shares == {
        "fidelity": {
            "finding": {"present": 1.0},
            "view": {"AP": 2 / 3},
            "sex": {"F": 2 / 3},
            "dense": {"yes": 1.0},
        }
    }
    assert value_of_request(INFO, replace(requests[0], attributes={"view": None}), "view") == "unknown"


@pytest.mark.parametrize("make", [Holdout, Copy])
def test_a_control_says_what_it_was_told_what_it_met_and_whose_images_it_gives(
    make: type[RealImages], tmp_path: Path
) -> None:
    images = pool(90, patient_id=[f"p{i % 40}" for i in range(90)])
    requests, control = asked(people(50, 1)), make()
    control.fit(images, tmp_path, 0)
    control.plan(requests)
    assert control.uses == ("finding", "view", "sex", "dense")
    assert control.facts["matched"] == shares_met(requests, images, draw(requests, images))
    owner = {image.tobytes(): patient for image, patient in zip(images.pixels(), images.patients, strict=True)}
    assert control.patients(requests) == [owner[image.tobytes()] for image in control.sample(requests)]


@pytest.fixture(scope="module")
def radiographs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Split:
    """The real sample, half of the training patients held out."""
    settings = {"image_size": 16, "holdout_fraction": 0.5}
    return NihCxr14(str(shared_data / "nih_cxr14"), **settings).load(tmp_path_factory.mktemp("nih"))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["holdout", "train"])
def test_radiographs_of_the_asked_view_and_sex_are_given_where_the_pool_has_them(part: str, radiographs: Split) -> None:
    """Neither is a condition of ``nih_cxr14``. A request is counted if the pool has at least as many images of its
    conditions, view and sex as are asked for: by conditions alone, half of these would get the other view."""
    images: ImageSet = getattr(radiographs, part)
    requests = make_requests(radiographs, 0, {}, ["fidelity"])
    rows = draw(requests, images)
    names = (*images.info.conditions, *images.info.groups)
    held = list(zip(*(images.group(name) for name in names), strict=True))
    want = [tuple(value_of_request(images.info, each, name) for name in names) for each in requests]
    enough = {kind for kind, count in Counter(want).items() if Counter(held)[kind] >= count}
    pairs = [(kind, held[rows[each.request_id]]) for each, kind in zip(requests, want, strict=True) if kind in enough]
    assert len(pairs) > 60
    for name in images.info.groups:
        place = names.index(name)
        assert np.mean([one[place] == other[place] for one, other in pairs]) >= 0.95, name
