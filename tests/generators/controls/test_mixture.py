"""A generator that leaks in part: how many copies, of whom, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Images, ImageSet, Purpose, Request, Split
from bench.storage.picture_changes import TRANSFORMS
from generators.controls.holdout import Holdout
from generators.controls.mixture import Mixture
from generators.controls.noise import Noise
from generators.controls.pca import Pca


@pytest.fixture(scope="module")
def images(toy: Any) -> ImageSet:
    found: ImageSet = toy.labelled(96)
    return found


def made(control: Any, images: ImageSet, folder: Path, requests: list[Request], block: int = 96) -> Images:
    control.fit(images, folder, 0)
    control.plan(requests)
    return np.concatenate([control.sample(requests[start : start + block]) for start in range(0, len(requests), block)])


def copies(found: Images, images: ImageSet) -> list[int | None]:
    place = {image.tobytes(): row for row, image in enumerate(images.pixels())}
    return [place.get(image.tobytes()) for image in found]


@pytest.mark.parametrize(("share", "count"), [(0.1, 10), (0.5, 48), (1.0, 96)])
def test_the_share_is_kept_and_no_image_is_copied_twice(
    toy: Any, images: ImageSet, tmp_path: Path, share: float, count: int
) -> None:
    requests = toy.requests_like(images, "privacy")
    found = copies(made(Mixture(Noise(), share), images, tmp_path, requests), images)
    copied = [row for row in found if row is not None]
    assert len(copied) == len(set(copied)) == count


def test_the_other_images_are_those_of_the_base_and_the_block_changes_nothing(
    toy: Any, images: ImageSet, tmp_path: Path
) -> None:
    requests = toy.requests_like(images, "privacy")
    alone = made(Pca(components=8), images, tmp_path / "alone", requests)
    mixed = made(Mixture(Pca(components=8), 0.25), images, tmp_path / "mixed", requests)
    own = np.array([row is None for row in copies(mixed, images)])
    assert own.sum() == 72 and np.array_equal(mixed[own], alone[own])
    order = np.random.default_rng(0).permutation(96)
    turned = made(Mixture(Pca(components=8), 0.25), images, tmp_path / "m", [requests[i] for i in order], block=7)
    assert np.array_equal(turned, mixed[order])


@pytest.mark.parametrize("name", ["flip", "blend70", "patch"])
def test_copies_are_changed_and_blended_with_another_patient(
    toy: Any, images: ImageSet, tmp_path: Path, name: str
) -> None:
    requests = toy.requests_like(images, "privacy")[:30]
    control = Mixture(Noise(), 1.0, name)
    found = made(control, images, tmp_path, requests)
    owners = images.patients
    for image, each in zip(found, requests, strict=True):
        row, other = control._copied[each.request_id], control._others[each.request_id]
        pictures = [images.pixels([place]) for place in (row, other)]
        assert np.array_equal(TRANSFORMS[name](*pictures)[0], image)
        assert (owners[row] == owners[other]) != TRANSFORMS[name].needs_other
    assert control.patients(requests) == [f"train {owners[control._copied[each.request_id]]}" for each in requests]


def test_what_is_copied_for_one_purpose_does_not_depend_on_the_others(
    toy: Any, images: ImageSet, tmp_path: Path
) -> None:
    def asked(*purposes: Purpose) -> list[Request]:
        return [each for purpose in purposes for each in toy.requests_like(images, purpose)]

    alone = made(Mixture(Noise()), images, tmp_path, asked("privacy"))
    both = made(Mixture(Noise()), images, tmp_path, asked("fidelity", "privacy"))
    assert np.array_equal(both[96:], alone)


def test_copies_are_of_the_asked_conditions(toy: Any, images: ImageSet, tmp_path: Path) -> None:
    requests = toy.requests_like(images, "privacy")
    control = Mixture(Noise(), 1.0)
    made(control, images, tmp_path, requests)
    levels = images.column("level")
    assert [levels[control._copied[each.request_id]] for each in requests] == [
        each.labels["level"] for each in requests
    ]


def test_settings_that_mean_nothing_are_refused(toy: Any, tmp_path: Path, tiny_split: Split) -> None:
    with pytest.raises(BenchError, match=r"transform is 'blur'; needed one of identity, jpeg50"):
        Mixture(Noise(), transform="blur")
    with pytest.raises(BenchError, match=r"share is 0; needed a share"):
        Mixture(Noise(), 0)
    with pytest.raises(BenchError, match=r"base is Holdout, which reads the holdout part; needed one that"):
        Mixture(Holdout())
    one = toy.labelled(4)
    alone = ImageSet(one.rows.remove_columns("patient_id").add_column("patient_id", ["p"] * 4), one.info)
    with pytest.raises(BenchError, match=r"blend50 mixes images of two patients, and all 4 training images are of one"):
        made(Mixture(Noise(), 1.0, "blend50"), alone, tmp_path, toy.requests_like(alone, "privacy"))
    assert Mixture(Noise()).learned_from(tiny_split) == "train" and Mixture.shows_real


def test_what_a_person_states_of_the_base_is_recorded_as_stated(tiny_split: Split) -> None:
    base = Noise()
    base.reads, base.trained_on = ("weights",), "train"
    mixed = Mixture(base)
    assert mixed.learned_from(tiny_split) == "train" and mixed.from_elsewhere
    assert mixed.trained_on == "train"  # without it the record would say that the bench knows
