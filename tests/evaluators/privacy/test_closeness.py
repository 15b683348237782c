"""The nearest real images of synthetic ones: margins by brute force, and a pool in whose order no label counts."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import Split
from evaluators.privacy.closeness import LISTED, Pool, closeness, closest_by_patient, pool_of, together
from tests.evaluators.privacy.gaussian import people, singles
from tests.toy import described, image_set

INFO = described()


def brute_margin(row: np.ndarray, pooled: np.ndarray, owners: np.ndarray) -> float:
    """One minus the distance to the nearest over that to the nearest of another patient, among the listed."""
    away = np.sqrt(((pooled.astype(np.float64) - row.astype(np.float64)) ** 2).sum(axis=1))
    order = np.argsort(away, kind="stable")[:LISTED]
    others = [away[each] for each in order if owners[each] != owners[order[0]]]
    second = others[0] if others else away[order[-1]]
    return float(1 - away[order[0]] / second) if second > 0 else 0.0


@pytest.mark.parametrize("most", [1, 4, 30])
def test_margin_by_brute_force_where_patients_have_several_images(most: int) -> None:
    rng = np.random.default_rng(most)
    world = people(20, rng, columns=4, most=most)
    rows = np.concatenate([world.honest(40, rng), world.copies(rng.integers(0, len(world.rows), 40), 0.1, rng)])
    found = world.close(rows)
    for row, margin in zip(rows, found.margins, strict=True):
        assert margin == pytest.approx(brute_margin(row, world.rows, world.owners), abs=1e-6)
    assert ((found.margins >= 0) & (found.margins <= 1)).all()
    assert (found.owner == world.owners[found.places]).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()


def test_a_patient_who_fills_the_list_stands_out_less_than_he_does() -> None:
    pooled = singles([[0.01 * (1 + each)] for each in range(LISTED + 4)] + [[9.0]])
    owners = np.r_[np.zeros(LISTED + 4, np.int64), 1]
    found = closeness(singles([[0.0]]), pooled, owners)
    assert found.margins[0] == pytest.approx(1 - 1 / LISTED)
    assert found.margins[0] < brute_margin(np.zeros(1), pooled[[0, -1]], owners[[0, -1]])


@pytest.mark.parametrize(("other", "margin"), [(5.0, 1.0), (0.0, 0.0)], ids=["copy of one", "copy of two patients"])
def test_exact_copies(other: float, margin: float) -> None:
    """At distance 0 from one patient a copy stands out wholly; at 0 from two, 0 / 0, it stands out next to neither."""
    found = closeness(singles([[0.0, 0.0]]), singles([[0, 0], [0, other], [7, 7]]), np.array([0, 1, 2]))
    assert found.margins.tolist() == [margin]


def test_a_tie_between_two_patients_has_no_margin() -> None:
    found = closeness(singles([[0.0]]), singles([[1.0], [-1.0], [3.0]]), np.array([0, 1, 2]))
    assert found.margins.tolist() == [0.0]


def test_a_pool_smaller_than_the_list() -> None:
    found = closeness(singles([[0.0]]), singles([[1.0], [2.0]]), np.array([1, 0]))
    assert found.margins.tolist() == [0.5]
    assert found.owners.tolist() == [[1, 0]]


def test_selected_and_joined_again() -> None:
    rng = np.random.default_rng(0)
    world = people(30, rng)
    found = world.close(world.honest(12, rng))
    whole = together(found.select(np.arange(5)), found.select(np.arange(5, 12)))
    assert len(whole) == 12
    for name in ("distances", "owners", "margins", "places"):
        assert (getattr(whole, name) == getattr(found, name)).all()


def split_of(train: list[int], holdout: list[int]) -> Split:
    """Images of one grey level each, by which they are known again; two of them to a patient."""

    def part(levels: list[int]) -> object:
        pictures = [np.full((4, 4), level, np.uint8) for level in levels]
        names, patients = [f"i{level:02d}" for level in levels], [f"p{level // 2}" for level in levels]
        return image_set(pictures, INFO, image_id=names, patient_id=patients)

    train_set, holdout_set = part(train), part(holdout)
    return Split(train_set, holdout_set, holdout_set)  # type: ignore[arg-type]


def described_pool(pool: Pool, split: Split) -> list[tuple[int, str]]:
    """Grey level and patient of every pooled image in the order of the pool."""
    found = []
    for place, owner in enumerate(pool.owners.tolist()):
        part, own = pool.image(split, place)
        assert part.patients[own] == pool.names[owner]
        found.append((int(part.pixels([own])[0, 0, 0]), pool.names[owner]))
    return found


def test_order_of_the_pool_is_the_same_whoever_is_in_which_part() -> None:
    one, other = split_of([7, 6, 2, 3], [0, 1, 5, 4]), split_of([0, 1, 4, 5, 6, 7], [3, 2])
    pools = pool_of(one), pool_of(other)
    assert described_pool(pools[0], one) == described_pool(pools[1], other)
    assert pools[0].names == pools[1].names == ("p0", "p1", "p2", "p3")
    assert pools[0].member.tolist() == [False, True, False, True]
    assert pools[1].member.tolist() == [True, False, True, True]
    assert (pools[0].share, pools[1].share) == (0.5, 0.75)
    rows = [np.arange(8.0)[:, None], np.arange(8.0)[:, None]]
    assert pools[0].rows(rows[0][[7, 6, 2, 3]], rows[0][[0, 1, 5, 4]]).ravel().tolist() == list(range(8))
    assert pools[1].rows(rows[1][[0, 1, 4, 5, 6, 7]], rows[1][[3, 2]]).ravel().tolist() == list(range(8))


def test_closest_by_patient_by_brute_force() -> None:
    rng = np.random.default_rng(1)
    world = people(15, rng, columns=5, most=3)
    made = world.honest(25, rng)
    away = np.sqrt(((world.rows[:, None].astype(np.float64) - made[None]) ** 2).sum(axis=2))
    expected = [away[world.owners == each].min() for each in range(world.patients)]
    assert closest_by_patient(world.rows, made, world.owners, world.patients) == pytest.approx(expected, rel=1e-6)
