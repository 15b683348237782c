"""What the controls that give back real images have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.api import Generator, Images, ImageSet, Request
from bench.runtime.setting_types import Count
from generators.assignment import asked_columns, draw, shares_met


class RealImages(Generator):
    """Gives every request a real image of the part it reads, none twice within a purpose until all are used.

    The asked conditions are matched first, then the asked groups; ``generators.assignment.assign`` says in which
    order. ``facts["matched"]`` is, by purpose, column and asked value, the share of requests that got that value.
    """

    shows_real: ClassVar[bool] = True

    def __init__(self, block: Count = 256) -> None:
        self.block = block
        self.facts: dict[str, Any] = {}
        self._rows: dict[str, int] = {}

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        self._images = train
        self.facts = {"own_size": train.own_size}
        self.uses = asked_columns(train.info)

    def plan(self, requests: Sequence[Request]) -> None:
        self._rows = draw(requests, self._images)
        self.facts["matched"] = shares_met(requests, self._images, self._rows)

    def patients(self, requests: Sequence[Request]) -> Sequence[str]:
        owners = self._images.patients
        return [owners[self._rows[each.request_id]] for each in requests]

    def sample(self, requests: Sequence[Request]) -> Images:
        return self._images.pixels([self._rows[each.request_id] for each in requests])
