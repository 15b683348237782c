"""Weights & Biases: a copy of the finished record. Never on the way to a score, never waited for long.

``publish`` starts ``python -m bench.tracking RUN_FOLDER`` as a child process with a time limit, so that no server,
prompt or crash of the client can hold or change a run. The same command replays a run later.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.store import file_digest, read_json, write_json

log = logging.getLogger(__name__)


def publish(folder: Path, settings: Mapping[str, Any]) -> None:
    """Log the run in ``folder`` unless ``settings.mode`` is ``disabled`` or this very record was logged before."""
    done = {"record": file_digest(folder / "run.json"), "mode": settings["mode"]}
    if settings["mode"] == "disabled" or read_json(folder / "wandb.json") == done:
        return
    command = [sys.executable, "-m", "bench.tracking", str(folder)]
    for name in ("mode", "project", "entity"):
        if settings[name] is not None:
            command += [f"--{name}", str(settings[name])]
    command += [f"--tag={tag}" for tag in settings["tags"]]
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

    columns = ["evaluator", "metric", "value", "low", "high", "n", "group", "encoder", "reason"]
    table = wandb.Table(columns=columns)
    for name, entry in record["evaluators"].items():
        for score in json.loads((folder / entry["file"]).read_text())["scores"]:
            table.add_data(name, *(score[column] for column in columns[1:]))
            if score["group"] == "all" and score["value"] is not None:
                where = f"/{score['encoder']}" if score["encoder"] else ""
                run.summary[f"{name}/{score['metric']}{where}"] = score["value"]
    run.log({"scores": table})


def _curves(run: Any, folder: Path) -> None:
    path = folder / "history.csv"
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            run.log({f"{row['stage']}/{row['term']}": float(row["value"]), f"{row['stage']}/step": int(row["step"])})


def main() -> None:
    """``python -m bench.tracking RUN_FOLDER --mode online`` sends a finished run again."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracking", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a run folder, the one that holds run.json")
    parser.add_argument("--mode", choices=("online", "offline"), default="online")
    parser.add_argument("--project", default="medical-image-bench")
    parser.add_argument("--entity")
    parser.add_argument("--tag", action="append", default=[])
    given = parser.parse_args()
    if given.mode == "online" and not _has_key():
        sys.exit("no W&B API key: set WANDB_API_KEY or run `wandb login`, or use wandb.mode=offline")
    send(given.folder, given.mode, given.project, given.entity, given.tag)


def _has_key() -> bool:
    import wandb

    return bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)


if __name__ == "__main__":
    main()
