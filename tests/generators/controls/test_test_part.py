"""The null of privacy: every image of the test part once at most, by chance alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, ImageSet, Split
from generators.controls.holdout import Holdout
from generators.controls.test_part import TestPart


@pytest.fixture(scope="module")
def images(toy: Any) -> ImageSet:
    found: ImageSet = toy.labelled(96)
    return found


def ready(images: ImageSet, folder: Path, requests: list) -> TestPart:
    control = TestPart()
    control.fit(images, folder, 0)
    control.plan(requests)
    return control


def rows(control: TestPart, images: ImageSet, requests: list) -> list[int]:
    place = {image.tobytes(): row for row, image in enumerate(images.pixels())}
    return [place[image.tobytes()] for image in control.sample(requests)]


def test_each_image_of_the_test_part_is_given_once_whatever_the_order_and_the_block(
    toy: Any, images: ImageSet, tmp_path: Path
) -> None:
    requests = toy.requests_like(images, "privacy")
    found = rows(ready(images, tmp_path, requests), images, requests)
    assert sorted(found) == list(range(96)) and found != sorted(found)
    turned = ready(images, tmp_path, requests[::-1])
    assert [row for start in range(0, 96, 7) for row in rows(turned, images, requests[start : start + 7])] == found
    some = requests[:40]
    assert len(set(rows(ready(images, tmp_path, some), images, some))) == 40
    again = toy.requests_like(images, "privacy", run=1)
    assert rows(ready(images, tmp_path, again), images, again) != found
    control = ready(images, tmp_path, requests)
    assert control.patients(requests) == [images.patients[row] for row in found]


def test_each_image_has_the_same_chance_whatever_is_asked_for(toy: Any, images: ImageSet, tmp_path: Path) -> None:
    """All requests ask for one level: a drawing by condition would give its images first."""
    counts: Counter[int] = Counter()
    control = TestPart()
    control.fit(images, tmp_path, 0)
    for run in range(100):
        requests = [toy.request(f"privacy-{i}", "privacy", run=run, level=1, side=0) for i in range(24)]
        control.plan(requests)
        counts.update(control._rows.values())
    expected = 100 * 24 / 96
    assert sum((counts[row] - expected) ** 2 / expected for row in range(96)) < 96 + 5 * (2 * 96) ** 0.5


def test_no_more_than_there_are(toy: Any, images: ImageSet, tiny_split: Split, tmp_path: Path) -> None:
    assert TestPart().most(tiny_split) == len(tiny_split.test)
    requests = toy.requests_like(images, "privacy")
    with pytest.raises(BenchError, match=r"96 images for privacy, and the test part has 50; .*requests\.privacy=50"):
        ready(images.select(np.arange(50)), tmp_path, requests)


def test_it_claims_no_training_and_answers_privacy_alone(tiny_split: Split) -> None:
    control = TestPart()
    assert control.learned_from(tiny_split) == control.reads_part == "test"
    assert control.control == "null" and control.shows_real and control.uses == ()
    assert set(control.refuses) == {"fidelity", "utility"} and set(Holdout.refuses) == {"privacy"}
