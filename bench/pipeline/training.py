"""Training: a generator fitted once, in a folder of its own that other runs find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bench.api import BenchError, Generator, Split
from bench.pipeline.stage import MARKS, Made, Mark, Stage
from bench.runtime.processes import Team
from bench.storage.files import alone, remove_drafts
from bench.tracking.follower import SENT, FollowedTraining, followed

SHOWN = (".png", ".csv")  # pictures and tables of a training


@dataclass(frozen=True)
class Trained:
    """A generator that is ready to sample, and what its training took."""

    generator: Generator
    seconds: float


@dataclass
class Training(Stage[Trained]):
    """Fits the generator, together in all processes if it is made for that, else in the main one.

    Attributes:
        folder: where the generator keeps what it learned.
        key: all that decides what it learns.
        home: folder of the run that trains.
        tracking: settings of Weights & Biases.
        config: the configuration of the run, in which nothing is that must not be passed on.
    """

    folder: Path
    key: Mapping[str, Any]
    generator: Generator
    split: Split
    seed: int
    home: Path
    tracking: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = "training"
    contended: ClassVar[bool] = True
    _fitted: bool = False

    @property
    def together(self) -> bool:  # type: ignore[override]
        return self.generator.processes > 1

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self._part)

    @property
    def kind(self) -> str:
        return f"training {type(self.generator).__name__}"

    @property
    def _part(self) -> Any:
        return getattr(self.split, self.generator.reads_part)

    def make(self, team: Team) -> Made:
        wanted = self.generator.processes
        if wanted > 1 and wanted != team.count:
            raise BenchError(
                f"generator.processes={wanted}, but this launch has {team.count} and the training is "
                f"not finished; start {wanted} processes (torchrun or accelerate launch), or set "
                f"generator.processes={team.count}, which trains another model"
            )
        if not team.is_main:
            team.meet("starting to train")
            self._fit_together(team)
            return Made()
        info, digests = self.split.info, {"split": self.split.digest, "train": self.split.train.digest}
        config = {**self.config, "digests": digests}
        training = FollowedTraining(self.folder, self.home, info.name, info.redistributable, config)
        with followed(training, self.tracking):
            self._clear()
            if self.together:
                # nobody else trains it: the others may enter the folder
                team.meet("starting to train")
                self._fit_together(team)
            else:
                self._fit()
            return Made(sorted(self._left()))

    def alone(self) -> AbstractContextManager[None]:
        return alone(self.folder)

    def load(self, mark: Mark) -> Trained:
        if not self._fitted:
            self._fit()
        return Trained(self.generator, mark.seconds)

    def _fit(self) -> None:
        self.generator.fit(self._part, self.folder, self.seed)
        self._fitted = True

    def _fit_together(self, team: Team) -> None:
        try:
            self._fit()
        except BaseException:
            # the others wait for gradients and hear no note: ending at once is what tells them
            team.part()
            raise

    def _clear(self) -> None:
        """Remove drafts that a kill left, and a finished training of which a file is damaged."""
        remove_drafts(self.folder)
        old = self.begun()
        if old is not None and old.made:
            for name in old.files:
                (self.folder / name).unlink(missing_ok=True)
            # from here on it is a training that was begun, which a kill may interrupt
            self.put(Mark(old.key))

    def _left(self) -> Iterator[str]:
        """What the generator keeps, without what only shows how the training went."""
        for path in self.folder.rglob("*"):
            place = path.relative_to(self.folder)
            passing = place.parts[0] == MARKS or path.name == SENT or path.name[0] == "." or path.suffix in SHOWN
            if path.is_file() and not passing:
                yield str(place)
