"""The excess among images that stand out: its interval on planted copies, and what it can never exceed."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.privacy.excess import copied_share, excess_copies
from evaluators.privacy.shuffled_labels import closest_first, tail_size
from tests.evaluators.privacy.gaussian import people

IMAGES = 500


@pytest.mark.parametrize("copies", [0.0, 0.02, 0.05, 0.3, 1.0])
def test_interval_covers_the_planted_share_of_copies_that_stand_out(copies: float) -> None:
    covered, values = 0, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        world = people(600, rng, columns=32)
        member = world.labels(0.5, rng)
        count = round(copies * IMAGES)
        made = [world.honest(IMAGES - count, rng), world.copies(world.copied(member, count, rng), 0.1, rng)]
        close = world.close(np.concatenate(made))
        ordered = close.owner[closest_first(-close.margins, rng)]
        estimate = excess_copies(ordered, member, tail_size(IMAGES, 0.5))
        covered += estimate.low <= copies <= estimate.high
        values.append(estimate.value)
    assert covered >= 10
    assert np.mean(values) == pytest.approx(copies, abs=0.01 + 0.25 * copies * (1 - copies))


def test_images_of_one_patient_count_as_one_piece_of_evidence() -> None:
    member = np.arange(60) < 30
    one, many = copied_share(np.zeros(10, np.int64), member, 100), copied_share(np.arange(10), member, 100)
    assert one.value == many.value == pytest.approx(0.1)
    assert one.low < many.low


def test_value_and_interval_by_hand() -> None:
    member = np.arange(40) < 20
    estimate = copied_share(np.r_[np.arange(8), 30, 31], member, 200)
    low, high = 0.4439045, 0.9747893  # Clopper and Pearson's of 8 of 10
    assert estimate.tail == 10
    assert estimate.value == pytest.approx(10 * (0.8 - 0.5) / 0.5 / 200)
    assert estimate.low == pytest.approx(10 * (low - 0.5) / 0.5 / 200, abs=1e-6)
    assert estimate.high == pytest.approx(10 * (high - 0.5) / 0.5 / 200, abs=1e-6)


def test_tail_is_doubled_only_while_it_shows_copies() -> None:
    member = np.arange(400) < 200
    honest = np.arange(400).reshape(2, 200).T.ravel()
    assert excess_copies(honest, member, 10).tail == 10
    copied = np.r_[np.arange(60), honest[120:]]
    assert excess_copies(copied, member, 10).tail > 60
    assert excess_copies(np.arange(200), member, 10).tail == 200


def test_upper_end_never_exceeds_the_tail_whatever_was_copied() -> None:
    """Why the interval is no bound on copies: a tenth of them, all beyond the tail."""
    member = np.arange(400) < 200
    honest, copies = np.arange(400).reshape(2, 200).T.ravel()[:360], np.arange(40)
    estimate = excess_copies(np.r_[honest, copies], member, 10)
    assert estimate.high <= 10 / 400 < 40 / 400
