"""At which of a run's steps something happens: evenly over all of them, or at every one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.faults.places import kinds

EVERY = "FAULT_EVERY_STEP"  # environment variable: any value asks for every step
MOST = 600  # steps, more than any run here takes; what is over is skipped


@dataclass(frozen=True)
class Point:
    """The ``number``-th of ``count`` points, from 0."""

    number: int
    count: int

    def step(self, steps: Sequence[str]) -> int:
        """The step of this point, from 1.

        A tenth of the points falls to drawing the phantoms, whose steps are many and alike.
        """
        if self.count == MOST:
            if self.number >= len(steps):
                pytest.skip(f"the run has {len(steps)} steps")
            return self.number + 1
        sorts = kinds(steps)
        phantoms = sorts.pop("cache/phantom")
        others = sorted(step for each in sorts.values() for step in each)
        few = self.count // 10
        if self.number < few:
            return phantoms[self.number * len(phantoms) // few]
        return others[(self.number - few) * len(others) // (self.count - few)]


def everywhere(count: int) -> pytest.MarkDecorator:
    """Parametrizes a test with ``point``: ``count`` of them, or every step if the environment asks for that."""
    count = MOST if os.environ.get(EVERY) else count
    return pytest.mark.parametrize(
        "point", [Point(number, count) for number in range(count)], ids=lambda point: str(point.number)
    )
