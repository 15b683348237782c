"""A copy of the finished record at Weights & Biases. Never on the way to a score.

``publish`` starts ``python -m bench.tracking RUN_FOLDER`` as a child process with a time limit, so that no server,
prompt or crash of the client can hold or change a run. The same command replays a run later.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.storage.files import file_digest, read_json, write_json

log = logging.getLogger(__name__)


def publish(folder: Path, settings: Mapping[str, Any]) -> None:
    """Log the run in ``folder`` unless ``settings.mode`` is ``disabled`` or this very record was logged before."""
    done = {"record": file_digest(folder / "run.json"), "mode": settings["mode"]}
    if settings["mode"] == "disabled" or read_json(folder / "wandb.json") == done:
        return
    arguments = command(folder, settings)
    seconds = settings["timeout_seconds"]
    try:
        child = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        log.warning("W&B did not finish in %s s; scores are safe. Replay: %s", seconds, " ".join(arguments[1:]))
        return
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or ["no message"]
        log.warning("W&B failed (%s); scores are safe. Replay: %s", last[0], " ".join(arguments[1:]))
        return
    write_json(folder / "wandb.json", done)


def command(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """The command of a child that sends ``folder`` with these settings."""
    arguments = [sys.executable, "-m", "bench.tracking", str(folder)]
    for name in ("mode", "project", "entity"):
        if settings[name] is not None:
            arguments += [f"--{name}", str(settings[name])]
    return arguments + [f"--tag={tag}" for tag in settings["tags"]]


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
        settings=wandb.Settings(
            init_timeout=30, console="off", x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True
        ),
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
    for row in history(folder):
        run.log({f"{row['stage']}/{row['term']}": float(row["value"]), f"{row['stage']}/step": int(row["step"])})


def history(folder: Path) -> list[dict[str, str]]:
    path = folder / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
