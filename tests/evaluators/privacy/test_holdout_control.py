from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bench.api import Images, ImageSet
from evaluators.privacy.holdout_control import VOID_LEVEL, exceedance_p, plain_leak, repeated, void_control
from evaluators.privacy.near_duplicates import NearCopies, fingerprints, near_copies
from tests.evaluators.privacy.test_near_duplicates import jpeg, pictures
from tests.toy import described, image_set

TRAIN, HOLDOUT, HONEST = pictures(20, 150), pictures(21, 50), pictures(22, 100)


def compressed(images: Images) -> Images:
    return np.stack([jpeg(each) for each in images])


def smoothed(images: Images, sigma: float) -> Images:
    return np.stack([gaussian_filter(each, sigma) for each in images])


def judged(made: Images, folder: Path, train: Images = TRAIN) -> str | None:
    sets: list[ImageSet] = [
        image_set(images, described(), folder / name) for name, images in (("m", made), ("t", train), ("h", HOLDOUT))
    ]
    real = sets[1:]
    patients = [f"{number} {place}" for number, each in enumerate(real) for place in range(len(each))]
    found = near_copies(fingerprints(sets[0]), fingerprints(*real), patients)
    return void_control(*sets, found)


def planted(copies: Images) -> Images:
    return np.concatenate([HONEST[: len(HONEST) - len(copies)], copies])


VOID = {
    "17% with noise": planted((HOLDOUT[:17] + np.random.default_rng(0).normal(0, 3, (17, 64, 64))).astype(np.uint8)),
    "5% mirrored": planted(HOLDOUT[:5, :, ::-1]),
    "5% compressed": planted(compressed(HOLDOUT[:5])),
    "20% of all that is real": planted(compressed(np.concatenate([TRAIN[:15], HOLDOUT[:5]]))),
}
UNTOUCHED = {
    "honest": HONEST,
    "copies of train": planted(compressed(TRAIN[:50])),
    "one likeness": planted(compressed(HOLDOUT[:1])),
    "one holdout picture again and again": planted(np.repeat(compressed(HOLDOUT[:1]), 60, axis=0)),
    "blurred": smoothed(HONEST, 2),
    "very blurred": smoothed(HONEST, 6),
    "the mean of train": np.repeat(TRAIN.mean(axis=0).astype(np.uint8)[None], 100, axis=0),
    "constant": np.full((60, 64, 64), 7, np.uint8),
}


@pytest.mark.parametrize("made", VOID)
def test_near_copies_of_the_holdout_void_the_control(made: str, tmp_path: Path) -> None:
    reason = judged(VOID[made], tmp_path)
    assert reason is not None
    assert "near copies" in reason
    assert "by chance" in reason


@pytest.mark.parametrize("made", UNTOUCHED)
def test_what_has_not_seen_the_holdout_leaves_it_a_control(made: str, tmp_path: Path) -> None:
    assert judged(UNTOUCHED[made], tmp_path) is None


def test_one_exact_copy_is_enough_and_is_named(tmp_path: Path) -> None:
    made = np.concatenate([HONEST, HOLDOUT[7:8]])
    reason = judged(made, tmp_path)
    assert reason is not None
    assert "1 of 101 synthetic images have exactly the pixels of a holdout image" in reason
    assert "synthetic 100 and holdout 7" in reason


def test_a_holdout_picture_that_is_also_a_training_picture_proves_nothing(tmp_path: Path) -> None:
    made = np.concatenate([HONEST, HOLDOUT[7:8]])
    assert judged(made, tmp_path, np.concatenate([TRAIN, HOLDOUT[7:8]])) is None


def test_chance_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(0)
    made, real, share, reached = 30, 40, 0.25, 0
    for _ in range(4000):
        values = rng.random(made + real)
        beyond = values[:made] > values[made:].max()
        reached += (beyond & (rng.random(made) < share)).sum() >= 2
    assert exceedance_p(2, made, real, share) == pytest.approx(reached / 4000, abs=0.008)
    assert exceedance_p(0, made, real, share) == pytest.approx(1)
    assert exceedance_p(4, 1024, 2048, 0.25) < VOID_LEVEL < exceedance_p(3, 1024, 2048, 0.25)


def near(made: Images) -> NearCopies:
    patients = [str(number) for number in range(len(TRAIN) + len(HOLDOUT))]
    sets = [image_set(each, described()) for each in (made, TRAIN, HOLDOUT)]
    return near_copies(fingerprints(sets[0]), fingerprints(*sets[1:]), patients)


def leaked(made: Images, exact: int = 0) -> str | None:
    return plain_leak(exact, near(made), len(TRAIN))


def test_near_copies_of_many_training_pictures_are_a_leak_whatever_the_holdout_is() -> None:
    copied = compressed(TRAIN[:20])
    assert str(leaked(planted(copied))).startswith("20 of 100 synthetic images are near copies of 20 training images (")
    assert leaked(HONEST, 1) == "1 exact copy of training images"
    assert leaked(HONEST, 3) == "3 exact copies of training images"
    both = planted(np.concatenate([copied, compressed(HOLDOUT[:10])]))
    assert str(leaked(both)).startswith("20 of 100 synthetic images are near copies of 20 training images (")


@pytest.mark.parametrize("made", ["honest", "one likeness", "blurred", "very blurred", "the mean of train", "constant"])
def test_what_is_no_near_copy_of_training_pictures_is_no_plain_leak(made: str) -> None:
    assert leaked(UNTOUCHED[made]) is None


def test_one_picture_copied_often_is_no_leak_by_itself_and_clears_nothing() -> None:
    often = near(planted(compressed(np.repeat(TRAIN[:1], 30, axis=0))))
    assert plain_leak(0, often, len(TRAIN)) is None
    assert repeated(often, len(TRAIN)) == (
        "30 of 100 synthetic images are near copies of 1 training image, and none of 200 real images is one of another "
        "patient's"
    )


@pytest.mark.parametrize("made", ["honest", "one likeness", "blurred", "very blurred", "the mean of train", "constant"])
def test_what_is_no_near_copy_of_training_pictures_raises_no_doubt(made: str) -> None:
    assert repeated(near(UNTOUCHED[made]), len(TRAIN)) is None
