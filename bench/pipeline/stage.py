"""A stage of a run, and the one rule of what is done again.

A stage has a key: all that decides its result. When it is made, its mark is written last: the key, a digest of every
file it left, and what it cost. Made again is what has no mark, a mark of another key, or a file that is not the one
that was left.
"""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from bench.runtime.processes import ALONE, Team
from bench.runtime.publication import Publication
from bench.storage.differences import differences
from bench.storage.files import Damaged, altered, canonical, file_digest, read_checked, write_checked

Result = TypeVar("Result")
log = logging.getLogger(__name__)
MARKS = "stages"  # folder of the marks


@dataclass(frozen=True)
class Mark:
    """What is known of a stage that was begun, and of one that was made.

    Attributes:
        files: SHA-256 of every file it left, by path below the stage's folder.
        note: what else its result consists of, as JSON.
        kind: stages of one kind cost alike for equally many images.
        seconds: what making it took.
        size: bytes of its files.
        units: images it handled.
    """

    key: Mapping[str, Any]
    kind: str = ""
    made: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    size: int = 0
    units: int = 0


@dataclass(frozen=True)
class Made:
    """What making a stage left: files below its folder, what else its result consists of, and the seconds it took,
    where that is not simply the time that has passed in the main process."""

    files: Iterable[str] = ()
    note: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


class Stage(ABC, Generic[Result]):
    """One step of a run.

    Attributes:
        name: what it does, and the name of its mark.
        folder: where it leaves its files.
        key: all that decides its result, as JSON.
        units: images it handles.
        together: whether every process takes part in making it; otherwise the main one makes it and the others wait.
        contended: whether another run may make the same at the same time.
        publication: what may be said of it in its mark.
    """

    name: str
    folder: Path
    key: Mapping[str, Any]
    units: int = 0
    together: ClassVar[bool] = False
    contended: ClassVar[bool] = False
    publication: Publication = Publication()

    @abstractmethod
    def make(self, team: Team) -> Made:
        """Do it, or what is left of it: it may be killed at any point. Called in every process if ``together``; what
        the main one returns counts."""

    @abstractmethod
    def load(self, mark: Mark) -> Result:
        """The result, from files that were found to be what was left."""

    def alone(self) -> AbstractContextManager[None]:
        """Inside, nobody else makes it; entered by the main process, until the mark is written."""
        return nullcontext()

    @property
    def kind(self) -> str:
        """See ``Mark``."""
        return self.name

    @property
    def mark(self) -> Path:
        return self.folder / MARKS / f"{self.name}.json"

    def find(self) -> Mark | None:
        """The mark of a result that is there and true, else ``None``; a damaged file is named in a warning."""
        mark = self.begun()
        if mark is None or not mark.made:
            return None
        if not same(mark.key, self.key):
            self.superseded(mark)
            return None
        fault = altered(self.folder, mark.files)
        if fault is not None:
            log.warning("%s: %s since it was made; making it again", self.name, fault)
        return None if fault else mark

    def begun(self) -> Mark | None:
        """The mark that is there, whatever it is of."""
        try:
            found = read_checked(self.mark)
            return None if found is None else Mark(**found)
        except (Damaged, TypeError) as error:
            log.warning("%s: %s; making it again", self.name, error)
            return None

    def superseded(self, mark: Mark) -> None:
        """Say that what is there is of another key; to raise ``BenchError`` where it is too dear to be replaced."""
        log.info("%s: made again, for it was made with others:\n%s", self.name, listed(mark.key, self.key))

    def put(self, mark: Mark) -> None:
        """Write the mark."""
        write_checked(self.mark, asdict(mark))


def result(stage: Stage[Result], team: Team = ALONE) -> Result:
    """The stage's result: loaded if it is there and true, else made; every process of ``team`` calls this alike.

    Raises:
        BenchError: it cannot be made, or what is there is of another key and too dear to be replaced.
    """
    found = _looked_for(stage, team)
    if found is None:
        with stage.alone() if team.is_main else nullcontext():
            # another run may have finished it before this one was alone with it
            found = _looked_for(stage, team) if stage.contended else None
            found = found or _made(stage, team)
    else:
        log.info("%s: found", stage.name)
    return stage.load(found)


def _looked_for(stage: Stage[Result], team: Team) -> Mark | None:
    """What the main process finds."""
    found: Mark | None = team.meet(f"looking for {stage.name}", stage.find() if team.is_main else None)[0]
    return found


def _made(stage: Stage[Result], team: Team) -> Mark:
    begin = time.perf_counter()
    if team.is_main:
        log.info("%s: making", stage.name)
        _begin(stage)
    made = stage.make(team) if stage.together or team.is_main else None
    mark = None
    if team.is_main:
        assert made is not None
        files = {name: file_digest(stage.folder / name) for name in sorted(made.files)}
        size = sum((stage.folder / name).stat().st_size for name in files)
        seconds = round(time.perf_counter() - begin if made.seconds is None else made.seconds, 2)
        note = stage.publication.value(_plain(made.note))
        mark = Mark(_plain(stage.key), stage.kind, True, files, note, seconds, size, stage.units)
        stage.put(mark)
    found: Mark = team.meet(stage.name, mark)[0]
    return found


def _begin(stage: Stage[Result]) -> None:
    """Leave word of the key, so that what a kill leaves half is not taken for the work of other settings.

    A finished result of other settings keeps its mark until this one is finished too.
    """
    old = stage.begun()
    if old is not None and old.made:
        return
    if old is not None and not same(old.key, stage.key):
        stage.superseded(old)
    stage.put(Mark(_plain(stage.key)))


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; a tuple is a list."""
    return canonical(one) == canonical(other)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read back."""
    return dict(json.loads(canonical(value)))


def listed(there: Any, here: Any) -> str:
    """One line for every setting that differs."""
    return "\n".join(f"  {each.path}: {each.there} there, {each.here} now" for each in differences(here, there))
