"""A training at Weights & Biases as it goes on.

``followed`` starts a child beside a training, which sends what grows in the training's folder and is never waited for.
"""

from __future__ import annotations

import logging
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from bench.storage.files import file_digest, read_json, write_json
from bench.tracking.child import command, handed
from bench.tracking.client import Destination, RunIdentity, define_curves, history, opened
from bench.tracking.ledger import harmless, identified

log = logging.getLogger(__name__)
PACE = 10.0  # seconds between two looks at a training
SENT = "tracking.json"  # in the training's folder: what was sent of it
ENDS = {"finished": 0, "failed": 1, "interrupted": 1}  # how a training may end, with the exit code W&B is told


@dataclass(frozen=True)
class FollowedTraining:
    """A training to follow.

    Attributes:
        folder: where the generator keeps it: ``history.csv`` (stage, step, term, value) and pictures.
        home: folder of the run that trains, where the client keeps its files.
        dataset: name of the data set.
        pictures: whether its pictures may be sent.
        config: what is said of it: the configuration of the run that trains, in which nothing is that must not be
            passed on.
    """

    folder: Path
    home: Path
    dataset: str
    pictures: bool
    config: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def followed(training: FollowedTraining, settings: Mapping[str, Any]) -> Iterator[None]:
    """Have a child send what grows in ``training.folder`` while inside, unless disabled.

    The child ends by itself ``settings.timeout_seconds`` after the end at the latest, also where this process dies.
    """
    child = None
    if settings["mode"] != "disabled":
        with harmless():
            child = _begin(training, settings)
    end = "interrupted"
    try:
        yield
        end = "finished"
    except Exception:
        end = "failed"
        raise
    finally:
        if child is not None:
            with harmless():
                child.end(end)


def training_run(folder: Path) -> str | None:
    """The id of the W&B run of the training in ``folder``; ``None`` if none was followed or nothing was to be sent."""
    something = (folder / "history.csv").exists() or any(folder.glob("*.png"))
    return _id(folder) if something and (folder / SENT).exists() else None


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    said: IO[str]

    def end(self, word: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word.encode())
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before; _outcome says why
        threading.Thread(target=self._outcome, daemon=True).start()

    def _outcome(self) -> None:
        if self.process.wait():
            self.said.seek(0)
            last = self.said.read().strip().splitlines()[-1:] or ["no message"]
            log.warning("W&B did not follow the training to its end (%s); the training is not affected", last[0])
        self.said.close()


def _begin(training: FollowedTraining, settings: Mapping[str, Any]) -> _Child:
    if not (training.folder / SENT).exists():
        # that it is followed is known at once, what was sent when it is sent
        write_json(training.folder / SENT, {"steps": {}, "pictures": {}})
    book = identified(training.home)
    links = {f"scoring_{what}": book[name] for what, name in (("run", "id"), ("sweep", "sweep")) if name in book}
    about = {name: value for name, value in asdict(training).items() if name != "folder"}
    about |= {"home": str(training.home), "config": {**training.config, **links}}
    about["timeout"] = settings["timeout_seconds"]
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the child has ended
    with handed(about) as (words, options):
        # a session of its own: what stops this process leaves the child time to send the rest
        process = subprocess.Popen(
            [*command(training.folder, settings), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
            **options,
        )
    return _Child(process, said)


def _id(folder: Path) -> str:
    return f"training-{re.sub(r'[^A-Za-z0-9_-]', '-', folder.name)}"


class Follower:
    """Sends each point of ``history.csv`` and each state of a picture once, however often it is started anew."""

    def __init__(self, training: FollowedTraining, destination: Destination) -> None:
        self._training, self._destination = training, destination
        self._sent: dict[str, Any] = read_json(training.folder / SENT) or {"steps": {}, "pictures": {}}
        self._held = ExitStack()
        self._stages: set[str] = set()

    @cached_property
    def _run(self) -> Any:
        """The training's W&B run, opened when there is something to send."""
        training = self._training
        identity = RunIdentity(
            id=_id(training.folder),
            name=f"training {training.folder.name}",
            kind="training",
            dataset=training.dataset,
            generator=str(training.config.get("name", "")),
            group=str(training.config.get("sweep") or training.config.get("scoring_sweep") or training.dataset),
            grows=True,
        )
        return self._held.enter_context(opened(training.home, self._destination, identity, training.config))

    def look(self) -> None:
        """Send what is new."""
        new = [*self._points(), *self._pictures()]
        for content in new:
            self._run.log(content)
        if new:
            write_json(self._training.folder / SENT, self._sent)

    def finish(self, end: str) -> None:
        """Send what is new and close the W&B run, if it was opened, as one of ``ENDS``."""
        with self._held:
            self.look()
            if "_run" in self.__dict__:
                self._run.summary["status"] = end
                self._run.finish(exit_code=ENDS[end])

    def _points(self) -> Iterator[dict[str, float]]:
        found: dict[tuple[str, int], dict[str, float]] = {}
        for row in history(self._training.folder):
            stage, step = row["stage"], int(row["step"])
            if step > self._sent["steps"].get(stage, 0):
                found.setdefault((stage, step), {f"{stage}/step": step})[f"{stage}/{row['term']}"] = float(row["value"])
        for (stage, step), point in found.items():
            if stage not in self._stages:
                define_curves(self._run, stage)
                self._stages.add(stage)
            self._sent["steps"][stage] = step
            yield point

    def _pictures(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._training.folder.glob("*.png")) if self._training.pictures else ():
            digest = file_digest(path)
            if self._sent["pictures"].get(path.name) == digest:
                continue
            import wandb

            self._sent["pictures"][path.name] = digest
            yield {path.stem: wandb.Image(str(path))}


def follow(follower: Follower, timeout: float) -> None:
    """Look every ``PACE`` seconds until standard input is closed or the parent is gone; then finish in ``timeout``.

    The last word on standard input says how the training ended.
    """
    os.nice(19)
    parent = os.getppid()
    while os.getppid() == parent and not select.select([sys.stdin], [], [], PACE)[0]:
        follower.look()
    signal.setitimer(signal.ITIMER_REAL, timeout)  # the alarm ends this process
    # not to its end: a process that the training left behind may hold the other side open
    word = os.read(sys.stdin.fileno(), 64).decode() if select.select([sys.stdin], [], [], 0)[0] else ""
    follower.finish(word or "interrupted")
