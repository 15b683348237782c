"""What generators are asked for."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest

from bench.api import BenchError, ImageSet, Split
from bench.pipeline.requests import PURPOSES, asked_for, make_requests, requests_digest, write_requests
from evaluators.privacy.blind_gate import column_auc
from evaluators.privacy.closeness import closest_by_patient, pool_of
from tests.toy import described

NO_LIMITS = {"fidelity": None, "utility": None, "privacy": None}


def privacy(split: Split, limit: int | None = None) -> list[str]:
    """Ids of the images whose conditions are asked for."""
    return [each.source for each in make_requests(split, 0, {"privacy": limit}, ["privacy"])]


def divided(patients: Sequence[str], share: float, seed: int) -> Split:
    """One imageless row for each of ``patients``, a random ``share`` of the patients in the train part."""
    names = sorted(set(patients))
    learned = set(np.random.default_rng(seed).permutation(names)[: round(share * len(names))])
    rows = [{"image_id": f"image{i}", "patient_id": who, "prompt": None} for i, who in enumerate(patients)]
    parts = [[row for row in rows if (row["patient_id"] in learned) == member] for member in (True, False)]
    return Split(*(ImageSet(datasets.Dataset.from_list(part), described()) for part in (*parts, rows[:1])))


def attacked(split: Split, limit: int | None, seed: int) -> float:
    """How well distances to what an obedient generator makes tell the training patients from the others."""
    rng = np.random.default_rng([seed, 1])
    ids = [*split.train.ids, *split.holdout.ids]
    real = dict(zip(ids, rng.normal(size=(len(ids), 4)), strict=True))
    made = np.stack([real[source] for source in privacy(split, limit)])
    made += 0.1 * rng.normal(size=made.shape)
    pool = pool_of(split)
    pooled = np.stack(list(real.values()))[pool.order]
    least = closest_by_patient(pooled, made, pool.owners, pool.patients)
    return float(column_auc(-least[:, None], pool.member[:, None])[0])


def test_purposes_ask_for_the_conditions_of_their_part(tiny_split: Split) -> None:
    requests = make_requests(tiny_split, 0, NO_LIMITS)
    counts = Counter(each.purpose for each in requests)
    assert counts == {"fidelity": 24, "utility": 48, "privacy": 1000}
    test = [each for each in requests if each.purpose == "fidelity"]
    assert [each.labels["level"] for each in test] == tiny_split.test.column("level")
    assert [each.source for each in test] == tiny_split.test.ids


def test_every_patient_of_the_pool_is_asked_for_equally_often(tiny_split: Split) -> None:
    pool = [*tiny_split.train.ids, *tiny_split.holdout.ids]
    for limit, times in ((None, {13, 14}), (150, {2, 3}), (len(pool), {1}), (40, {1})):
        asked = privacy(tiny_split, limit)
        assert set(Counter(asked).values()) == times and set(asked) <= set(pool)
        assert len(asked) == (limit or 1000)
        assert asked == privacy(tiny_split)[: len(asked)]


def test_asking_again_makes_another_image(tiny_split: Split) -> None:
    asked = [each for each in make_requests(tiny_split, 0, NO_LIMITS) if each.purpose == "privacy"]
    assert len({each.seed for each in asked}) == 1000


def test_the_images_of_a_patient_are_asked_for_in_turn() -> None:
    images = {f"patient{i}": i % 4 + 1 for i in range(40)}  # 100 images
    split = divided([name for name, count in images.items() for _ in range(count)], share=0.5, seed=0)
    owner = {
        each: who for part in (split.train, split.holdout) for each, who in zip(part.ids, part.patients, strict=True)
    }
    once, twice, often = (privacy(split, limit) for limit in (40, 80, 40 * 12))
    assert Counter(map(owner.__getitem__, once)) == dict.fromkeys(images, 1)
    assert Counter(map(owner.__getitem__, twice)) == dict.fromkeys(images, 2)
    assert len(set(twice)) == 40 + sum(count > 1 for count in images.values())
    assert Counter(often) == {each: 12 // images[who] for each, who in owner.items()}


@pytest.mark.parametrize("limit", [None, 30, 77])
def test_who_is_asked_for_says_nothing_of_the_parts(limit: int | None) -> None:
    """With the same patients in other parts the same requests are made, in the same order."""
    patients = [f"patient{i // 3}" for i in range(150)]
    found = [privacy(divided(patients, share=0.7, seed=seed), limit) for seed in range(4)]
    assert found.count(found[0]) == 4
    assert found[0] != sorted(found[0])


@pytest.mark.parametrize(("share", "asked"), [(0.5, 3000), (0.75, 1500), (0.9, 1000)])
def test_twice_the_smaller_part_is_asked_for_and_a_thousand_at_least(share: float, asked: int) -> None:
    split = divided([f"patient{i:05d}" for i in range(3000)], share, seed=0)
    assert len(privacy(split)) == asked == max(1000, 2 * min(len(split.train), len(split.holdout)))


@pytest.mark.parametrize("limit", [None, 120])
@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_a_generator_that_obeys_its_conditions_gives_nobody_away(share: float, limit: int | None) -> None:
    """Its image is the patient that was asked for and noise: it knows no part, so an attacker is right by chance."""
    patients = [f"patient{i}" for i in range(150) for _ in range(1 + i % 2)]
    areas = np.array([attacked(divided(patients, share, seed), limit, seed) for seed in range(30)])
    assert abs(areas.mean() - 0.5) <= 3 * areas.std(ddof=1) / np.sqrt(len(areas))


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
    assert asked_for(free, ("fidelity",)) != asked_for(capped, ("fidelity",)) == {"rule": 1, "fidelity": 5}
    assert asked_for(free, ("privacy",)) == {"rule": 2, "privacy": 1000}
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
    with pytest.raises(BenchError, match=r"requests\.privacy=0: no image is left to ask for"):
        make_requests(tiny_split, 0, {"privacy": 0}, ["privacy"])


def test_the_order_of_rows_is_no_part_of_what_is_compared(tiny_split: Split) -> None:
    def shuffled(part: ImageSet) -> ImageSet:
        return part.select(np.random.default_rng(0).permutation(len(part)))

    other = Split(shuffled(tiny_split.train), shuffled(tiny_split.holdout), shuffled(tiny_split.test))
    assert other.digest == tiny_split.digest and other.test.digest != tiny_split.test.digest
    first, second = (make_requests(split, 0, NO_LIMITS) for split in (tiny_split, other))
    assert first != second and asked_for(first, PURPOSES) == asked_for(second, PURPOSES)
    fewer = Split(tiny_split.train, tiny_split.holdout, tiny_split.test.select(range(23)))
    assert fewer.digest != tiny_split.digest
