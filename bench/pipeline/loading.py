"""Loading: the real images, read, checked and prepared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.api import Dataset, Split
from bench.pipeline.stage import Made, Mark, Stage
from bench.runtime.processes import Team
from bench.storage.files import WouldWrite, only_reading


@dataclass
class Loading(Stage[Split]):
    """Has a data set read in the main process first, which prepares what the others then find.

    It has no mark: a data set keeps what it prepared under digests of its own, and is found prepared when it can be
    loaded without anything being written.
    """

    dataset: Dataset
    folder: Path
    key: Mapping[str, Any] = field(default_factory=dict)
    name: str = "loading"
    _split: Split | None = None

    @property
    def kind(self) -> str:
        return f"loading {type(self.dataset).__name__}"

    def find(self) -> Mark | None:
        try:
            with only_reading():
                self._split = self.dataset.load(self.folder)
        except WouldWrite:
            return None
        return Mark({}, made=True)

    def make(self, team: Team) -> Made:
        self._split = self.dataset.load(self.folder)
        return Made()

    def put(self, mark: Mark) -> None:
        """Nothing: see above."""

    def load(self, mark: Mark) -> Split:
        return self._split or self.dataset.load(self.folder)
