"""Weights & Biases: a copy of the finished record, and of a training as it goes on. Never on the way to a score.

``publish`` starts ``python -m bench.tracking RUN_FOLDER`` as a child process with a time limit, so that no server,
prompt or crash of the client can hold or change a run. The same command replays a run later. ``followed`` starts
another child beside a training, which sends what grows in the training's folder and is never waited for.
"""

from __future__ import annotations

import argparse
import csv
import json
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

log = logging.getLogger(__name__)
PACE = 10.0  # seconds between two looks at a training
SENT = "tracking.json"  # in the training's folder: what was sent of it


@dataclass(frozen=True)
class Training:
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


def publish(folder: Path, settings: Mapping[str, Any]) -> None:
    """Log the run in ``folder`` unless ``settings.mode`` is ``disabled`` or this very record was logged before."""
    done = {"record": file_digest(folder / "run.json"), "mode": settings["mode"]}
    if settings["mode"] == "disabled" or read_json(folder / "wandb.json") == done:
        return
    command = _command(folder, settings)
    seconds = settings["timeout_seconds"]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        log.warning("W&B did not finish in %s s; scores are safe. Replay: %s", seconds, " ".join(command[1:]))
        return
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or ["no message"]
        log.warning("W&B failed (%s); scores are safe. Replay: %s", last[0], " ".join(command[1:]))
        return
    write_json(folder / "wandb.json", done)


def _command(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    command = [sys.executable, "-m", "bench.tracking", str(folder)]
    for name in ("mode", "project", "entity"):
        if settings[name] is not None:
            command += [f"--{name}", str(settings[name])]
    return command + [f"--tag={tag}" for tag in settings["tags"]]


@contextmanager
def followed(training: Training, settings: Mapping[str, Any]) -> Iterator[None]:
    """Have a child send what grows in ``training.folder`` while inside, unless disabled or the training is finished.

    The child ends by itself ``settings.timeout_seconds`` after the end at the latest, also where this process dies.
    """
    if settings["mode"] == "disabled" or (training.folder / "fit.json").exists():
        yield
        return
    command = [*_command(training.folder, settings), f"--follow={training.dataset}", f"--home={training.home}"]
    command += [f"--timeout={settings['timeout_seconds']}"] + (["--pictures"] if training.pictures else [])
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the child has ended
    try:
        # a session of its own: what stops this process leaves the child time to send the rest
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
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


def send(folder: Path, mode: str, project: str, entity: str | None, tags: list[str]) -> None:
    """Log one finished run: config, scores table, summary, training curves, sample grid, record artifact."""
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    record = json.loads((folder / "run.json").read_text())
    name = f"{record['dataset']}-{record['generator']}-seed{record['seed']}"
    online = wandb.init(
        project=project,
        entity=entity,
        mode="online" if mode == "online" else "offline",
        dir=str(folder),
        id=f"{name}-{record['digests']['images'][:8]}".replace("/", "-"),
        resume="allow" if mode == "online" else None,
        name=name,
        group=record["dataset"],
        job_type="control" if record["control"] else "contender",
        tags=[record["dataset"], record["generator"], *tags],
        config=record["config"],
        settings=wandb.Settings(init_timeout=30, console="off", x_disable_stats=True),
    )
    with online as run:
        _curves(run, folder)
        _scores(run, folder, record)
        if (folder / "sheet.png").exists() and (not record["shows_real"] or record["info"]["redistributable"]):
            run.log({"samples": wandb.Image(str(folder / "sheet.png"))})
        artifact = wandb.Artifact(f"record-{name}".replace("=", "-"), type="record")
        for path in _files(folder):
            artifact.add_file(str(path), name=str(path.relative_to(folder)))
        run.log_artifact(artifact)


def _files(folder: Path) -> list[Path]:
    cards = [folder / f"card.{suffix}" for suffix in ("json", "md", "html")]
    return [folder / "run.json", *sorted(folder.glob("scores/[!.]*.json")), *(path for path in cards if path.exists())]


def _scores(run: Any, folder: Path, record: dict[str, Any]) -> None:
    import wandb

    columns = ["evaluator", "metric", "value", "low", "high", "n", "group", "encoder", "reason", "words"]
    table = wandb.Table(columns=columns)
    for name, entry in record["evaluators"].items():
        for score in json.loads((folder / entry["file"]).read_text())["scores"]:
            table.add_data(name, *(score.get(column) for column in columns[1:]))
            if score["group"] == "all" and score["value"] is not None:
                where = f"/{score['encoder']}" if score["encoder"] else ""
                run.summary[f"{name}/{score['metric']}{where}"] = score.get("words") or score["value"]
    run.log({"scores": table})


def _curves(run: Any, folder: Path) -> None:
    for row in _history(folder):
        run.log({f"{row['stage']}/{row['term']}": float(row["value"]), f"{row['stage']}/step": int(row["step"])})


def _history(folder: Path) -> list[dict[str, str]]:
    path = folder / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Follower:
    """Sends each point of ``history.csv`` and each state of a picture once, however often it is started anew."""

    def __init__(self, training: Training, options: Mapping[str, Any]) -> None:
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
        for row in _history(self._training.folder):
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


def main() -> None:
    """``python -m bench.tracking RUN_FOLDER --mode online`` sends a finished run again."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracking", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a run folder, the one that holds run.json")
    parser.add_argument("--mode", choices=("online", "offline"), default="online")
    parser.add_argument("--project", default="medical-image-bench")
    parser.add_argument("--entity")
    parser.add_argument("--tag", action="append", default=[])
    parser.add_argument("--follow", metavar="DATASET", help="folder is of a training on DATASET: send what grows there")
    parser.add_argument("--home", type=Path, help="with --follow: folder for the files of the W&B client")
    parser.add_argument("--timeout", type=float, default=120.0, help="with --follow: seconds for the rest at the end")
    parser.add_argument("--pictures", action="store_true", help="with --follow: send pictures too")
    given = parser.parse_args()
    if given.mode == "online" and not _has_key():
        sys.exit("no W&B API key: set WANDB_API_KEY or run `wandb login`, or use wandb.mode=offline")
    if given.follow:
        training = Training(given.folder, given.home or given.folder, given.follow, given.pictures)
        options = {name: getattr(given, name) for name in ("project", "entity", "mode")} | {"tags": given.tag}
        follow(Follower(training, options), given.timeout)
        return
    send(given.folder, given.mode, given.project, given.entity, given.tag)


def _has_key() -> bool:
    import wandb

    return bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)
