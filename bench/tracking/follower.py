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
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from bench.storage.files import file_digest, read_json, write_json
from bench.tracking.publication import command, history

log = logging.getLogger(__name__)
PACE = 10.0  # seconds between two looks at a training
SENT = "tracking.json"  # in the training's folder: what was sent of it


@dataclass(frozen=True)
class FollowedTraining:
    """A training to follow.

    Attributes:
        folder: where the generator keeps it: ``history.csv`` (stage, step, term, value) and pictures.
        home: folder of the run that trains, where the client keeps its files.
        dataset: name of the data set, which becomes the group.
        pictures: whether its pictures may be sent.
    """

    folder: Path
    home: Path
    dataset: str
    pictures: bool


@contextmanager
def followed(training: FollowedTraining, settings: Mapping[str, Any]) -> Iterator[None]:
    """Have a child send what grows in ``training.folder`` while inside, unless disabled.

    The child ends by itself ``settings.timeout_seconds`` after the end at the latest, also where this process dies.
    """
    if settings["mode"] == "disabled":
        yield
        return
    arguments = [*command(training.folder, settings), f"--follow={training.dataset}", f"--home={training.home}"]
    arguments += [f"--timeout={settings['timeout_seconds']}"] + (["--pictures"] if training.pictures else [])
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the child has ended
    try:
        # a session of its own: what stops this process leaves the child time to send the rest
        child = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
    except OSError as error:
        log.warning("W&B does not follow the training: %s", error)
        yield
        return
    try:
        yield
    finally:
        assert child.stdin is not None
        child.stdin.close()
        threading.Thread(target=_outcome, args=(child, said), daemon=True).start()


def _outcome(child: subprocess.Popen[bytes], said: IO[str]) -> None:
    if child.wait():
        said.seek(0)
        last = said.read().strip().splitlines()[-1:] or ["no message"]
        log.warning("W&B did not follow the training to its end (%s); the training is not affected", last[0])
    said.close()


class Follower:
    """Sends each point of ``history.csv`` and each state of a picture once, however often it is started anew."""

    def __init__(self, training: FollowedTraining, options: Mapping[str, Any]) -> None:
        """``options`` are those of ``wandb.init``."""
        self._training, self._options = training, options
        self._sent: dict[str, Any] = read_json(training.folder / SENT) or {"steps": {}, "pictures": {}}

    @cached_property
    def _run(self) -> Any:
        """The training's W&B run, opened when there is something to send."""
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        name = re.sub(r"[^A-Za-z0-9_-]", "-", self._training.folder.name)
        return wandb.init(
            **self._options,
            dir=str(self._training.home),
            id=f"training-{name}",
            resume="allow" if self._options["mode"] == "online" else None,
            name=f"training {self._training.folder.name}",
            group=self._training.dataset,
            job_type="training",
            settings=wandb.Settings(init_timeout=30, console="off", x_disable_stats=True),
        )

    def look(self) -> None:
        """Send what is new."""
        new = [*self._points(), *self._pictures()]
        for content in new:
            self._run.log(content)
        if new:
            write_json(self._training.folder / SENT, self._sent)

    def finish(self) -> None:
        """Send what is new and close the W&B run, if it was opened."""
        self.look()
        if "_run" in self.__dict__:
            self._run.finish()

    def _points(self) -> Iterator[dict[str, float]]:
        found: dict[tuple[str, int], dict[str, float]] = {}
        for row in history(self._training.folder):
            stage, step = row["stage"], int(row["step"])
            if step > self._sent["steps"].get(stage, 0):
                found.setdefault((stage, step), {f"{stage}/step": step})[f"{stage}/{row['term']}"] = float(row["value"])
        for (stage, step), point in found.items():
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
    """Look every ``PACE`` seconds until standard input is closed or the parent is gone; then finish in ``timeout``."""
    os.nice(19)
    parent = os.getppid()
    while os.getppid() == parent and not select.select([sys.stdin], [], [], PACE)[0]:
        follower.look()
    signal.setitimer(signal.ITIMER_REAL, timeout)  # the alarm ends this process
    follower.finish()
