"""What generators are asked for."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.api import BenchError, ImageSet, Split
from bench.pipeline.requests import PURPOSES, RULE, asked_for, make_requests, requests_digest, write_requests

NO_LIMITS = {"fidelity": None, "utility": None, "privacy": None}


def test_purposes_ask_for_the_conditions_of_their_part(tiny_split: Split) -> None:
    requests = make_requests(tiny_split, 0, NO_LIMITS)
    counts = Counter(each.purpose for each in requests)
    assert counts == {"fidelity": 24, "utility": 48, "privacy": 1000}
    test = [each for each in requests if each.purpose == "fidelity"]
    assert [each.labels["level"] for each in test] == tiny_split.test.column("level")
    assert [each.source for each in test] == tiny_split.test.ids


def test_privacy_favours_neither_side(tiny_split: Split) -> None:
    for limit, share in ((None, 500), (40, 20)):
        requests = make_requests(tiny_split, 0, {**NO_LIMITS, "privacy": limit})
        asked = [each.source for each in requests if each.purpose == "privacy"]
        train, holdout = set(tiny_split.train.ids), set(tiny_split.holdout.ids)
        assert sum(each in train for each in asked) == sum(each in holdout for each in asked) == share


def test_a_small_part_is_asked_for_evenly_over_and_over(tiny_split: Split) -> None:
    asked = [each for each in make_requests(tiny_split, 0, NO_LIMITS) if each.purpose == "privacy"]
    holdout = set(tiny_split.holdout.ids)
    times = Counter(each.source for each in asked if each.source in holdout)
    assert set(times.values()) == {20, 21} and len({each.seed for each in asked}) == 1000


def test_seed_changes_the_noise_and_nothing_that_is_compared(tiny_split: Split) -> None:
    limits = {"fidelity": 10, "utility": 5, "privacy": 8}
    first, second = (make_requests(tiny_split, seed, limits) for seed in (0, 1))
    assert requests_digest(first) != requests_digest(second)
    assert asked_for(first, PURPOSES) == asked_for(second, PURPOSES)
    assert [replace(each, seed=0) for each in first] == [replace(each, seed=0) for each in second]
    assert not {each.seed for each in first} & {each.seed for each in second}
    assert len({each.seed for each in first}) == len(first) == 23


def test_the_table_can_be_read_back(tiny_split: Split, tmp_path: Path) -> None:
    requests = make_requests(tiny_split, 3, NO_LIMITS)
    write_requests(requests, tmp_path / "requests.csv")
    with (tmp_path / "requests.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["request_id"] for row in rows] == [each.request_id for each in requests]
    assert [int(row["seed"]) for row in rows] == [each.seed for each in requests]
    assert rows[0]["level"] == str(requests[0].labels["level"])


def test_a_cap_on_one_purpose_changes_no_other(tiny_split: Split) -> None:
    free = make_requests(tiny_split, 0, NO_LIMITS)
    capped = make_requests(tiny_split, 0, {**NO_LIMITS, "fidelity": 5})
    assert asked_for(free, ("utility", "privacy")) == asked_for(capped, ("utility", "privacy"))
    assert asked_for(free, ("fidelity",)) != asked_for(capped, ("fidelity",)) == {"rule": RULE, "fidelity": 5}
    others = [[each for each in asked if each.purpose != "fidelity"] for asked in (free, capped)]
    assert others[0] == others[1]


def test_what_is_asked_for_one_purpose_does_not_depend_on_the_others(tiny_split: Split) -> None:
    limits = {"fidelity": 9, "utility": 11, "privacy": 30}
    whole = make_requests(tiny_split, 0, limits)
    for purpose in PURPOSES:
        assert make_requests(tiny_split, 0, limits, [purpose]) == [each for each in whole if each.purpose == purpose]
    assert make_requests(tiny_split, 0, limits, ["privacy", "fidelity"]) == [
        each for each in whole if each.purpose != "utility"
    ]


def test_nothing_to_ask_for_is_an_error(tiny_split: Split) -> None:
    with pytest.raises(BenchError, match=r"requests\.privacy=1: no image is left to ask for"):
        make_requests(tiny_split, 0, {"privacy": 1}, ["privacy"])


def test_the_order_of_rows_is_no_part_of_what_is_compared(tiny_split: Split) -> None:
    def shuffled(part: ImageSet) -> ImageSet:
        return part.select(np.random.default_rng(0).permutation(len(part)))

    other = Split(shuffled(tiny_split.train), shuffled(tiny_split.holdout), shuffled(tiny_split.test))
    assert other.digest == tiny_split.digest and other.test.digest != tiny_split.test.digest
    first, second = (make_requests(split, 0, NO_LIMITS) for split in (tiny_split, other))
    assert first != second and asked_for(first, PURPOSES) == asked_for(second, PURPOSES)
    fewer = Split(tiny_split.train, tiny_split.holdout, tiny_split.test.select(range(23)))
    assert fewer.digest != tiny_split.digest
