"""The ceiling: real images that no generator may learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from bench.api import Generator, Images, ImageSet, Part, Request
from bench.runtime.setting_types import Count
from generators.assignment import draw


class Holdout(Generator):
    """Gives every request a real holdout image, of the asked conditions where one is left.

    What it scores is what a perfect generator of unseen images of the same population would score.
    """

    learns_from: ClassVar[Part] = "holdout"
    control: ClassVar[Literal["ceiling"]] = "ceiling"
    shows_real: ClassVar[bool] = True

    def __init__(self, block: Count = 256) -> None:
        self.block = block
        self._rows: dict[str, int] = {}

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        self._images = train
        self.facts = {"own_size": train.own_size}
        self.uses = train.info.conditions

    def plan(self, requests: Sequence[Request]) -> None:
        self._rows = draw(requests, self._images)

    def sample(self, requests: Sequence[Request]) -> Images:
        return self._images.pixels([self._rows[each.request_id] for each in requests])
