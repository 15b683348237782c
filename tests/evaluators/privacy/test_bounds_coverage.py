"""Upper limits of copies against the planted truth: at all shares, for copies that stand out, hardly do, or repeat."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pytest

from bench.statistics.arrays import Indices, Mask
from evaluators.privacy import bounds
from evaluators.privacy.bounds import limit, relabelled
from evaluators.privacy.shuffled_labels import tail_size
from tests.evaluators.privacy.gaussian import People, people

log = logging.getLogger(__name__)
IMAGES = 500
SHARES = (0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 1.0)
TRAINED = (0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Kind:
    """Copies moved by ``noise``, of any training patient or of ``sources`` of them, whose copies are then alike."""

    noise: float
    most: int = 1
    sources: int | None = None
    hubs: int = 4

    def places(self, world: People, member: Mask, count: int, rng: np.random.Generator) -> Indices:
        if self.sources is None:
            return world.copied(member, count, rng)
        chosen = rng.permutation(np.flatnonzero(member))[: self.sources]
        return rng.choice(np.flatnonzero(np.isin(world.owners, chosen)), count)

    def most_and_cap(self, trained: float, share: float, rng: np.random.Generator) -> tuple[float, float]:
        """The limit in one split, and the share that the first tail is."""
        world = people(400, rng, most=self.most, hubs=self.hubs)
        member = world.labels(trained, rng)
        places = self.places(world, member, round(share * IMAGES), rng)
        copies = world.copies(places, self.noise, rng)
        if self.sources:
            _, first, again = np.unique(places, return_index=True, return_inverse=True)
            copies = copies[first[again]]
        close = world.close(np.concatenate([world.honest(IMAGES - len(copies), rng), copies]))
        found = limit({"a": close}, {"a": world.planted(self.noise, rng)}, member, relabelled(member, rng), rng)
        return (found.most if found else 1.0), tail_size(IMAGES, trained) / IMAGES


KINDS = {
    "near exact": Kind(0.05),
    "three in ten are next to their source": Kind(1.4),
    "patients with several images, some copied again and again": Kind(0.05, most=4, sources=20),
    "the same, hardly standing out, at hub points": Kind(1.0, most=4, sources=40, hubs=40),
}


@pytest.fixture(autouse=True)
def _limits_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "found_from", lambda *_: None)
    monkeypatch.setattr(bounds, "TRIALS", 1)
    monkeypatch.setattr(bounds, "SHUFFLES", 1)


def covered(kind: Kind, trained: float, share: float, splits: int) -> tuple[float, float]:
    """Share of splits in which the limit, and one that ends with the first tail, is not below the truth."""
    cells = [
        kind.most_and_cap(trained, share, np.random.default_rng([seed, int(1000 * share), int(100 * trained)]))
        for seed in range(splits)
    ]
    held = np.array([(most >= share - 1e-9, min(most, cap) >= share - 1e-9) for most, cap in cells])
    return float(held[:, 0].mean()), float(held[:, 1].mean())


@pytest.mark.parametrize("kind", list(KINDS))
def test_limit_is_not_below_the_truth(kind: str) -> None:
    cells = [covered(KINDS[kind], trained, share, 3) for trained in TRAINED for share in SHARES]
    held, capped = np.mean(cells, axis=0)
    assert held >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / (3 * len(cells)))
    assert capped < 0.75, "a limit that cannot exceed the first tail is below the truth"


def test_copies_of_a_few_patients_are_as_few_draws() -> None:
    """Twenty pictures copied again and again stand out, or not, together: they are no five hundred chances."""
    kind = KINDS["patients with several images, some copied again and again"]
    held = [covered(kind, 0.9, share, 20)[0] for share in (0.5, 1.0)]
    assert np.mean(held) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_limit_is_not_below_the_truth_at_any_share(kind: str) -> None:
    for trained in TRAINED:
        for share in SHARES:
            held, capped = covered(KINDS[kind], trained, share, 200)
            log.info("%s, %s trained, %s copies: %.3f covered, %.3f if capped", kind, trained, share, held, capped)
            assert held >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 200)
