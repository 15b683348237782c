"""What the child of a run sends: a finished record, or that there is none and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.tracking.client import Destination, RunIdentity, define_curves, history, opened
from bench.tracking.ledger import identified
from bench.tracking.run_content import COLUMNS, config_of, metadata_of, objective_of, rows, summary_of


def send_record(folder: Path, destination: Destination) -> None:
    """One finished run: configuration, scores, summary, training curves, sample grid, record artifact.

    An evaluator that failed makes it a failed W&B run.
    """
    run = json.loads((folder / "run.json").read_text("utf-8"))
    records = {name: json.loads((folder / each["file"]).read_text("utf-8")) for name, each in run["evaluators"].items()}
    book = identified(folder)
    identity = _identity(book, run, "control" if run["control"] else "contender")
    config = config_of(run, records, book.get("training"))
    with opened(folder, destination, identity, config) as sent:
        _curves(sent, folder)
        _scores(sent, run, records)
        _samples(sent, folder, run)
        sent.log_artifact(_artifact(folder, identity.name, metadata_of(run, records)))
        sent.finish(exit_code=int(run["status"] == "failed"))


def send_stop(folder: Path, destination: Destination, about: Mapping[str, Any]) -> None:
    """A run that left no record, as a failed W&B run: its configuration and the reason."""
    identity = _identity(identified(folder), about, "stopped")
    with opened(folder, destination, identity, about["config"]) as sent:
        sent.summary.update({"status": "failed", "reason": about["reason"]})
        sent.finish(exit_code=1)


def _identity(book: Mapping[str, Any], run: Mapping[str, Any], kind: str) -> RunIdentity:
    name = f"{run['dataset']}-{run['generator']}-seed{run['seed']}"
    sweep = book.get("sweep")
    group = str(run["config"].get("sweep") or sweep or run["dataset"])
    return RunIdentity(book["id"], name, kind, run["dataset"], run["generator"], group, sweep)


def _curves(sent: Any, folder: Path) -> None:
    for stage, curve in groupby(history(folder), key=lambda row: row["stage"]):
        define_curves(sent, stage)
        for step, points in groupby(curve, key=lambda row: int(row["step"])):
            terms = {f"{stage}/{row['term']}": float(row["value"]) for row in points}
            sent.log({f"{stage}/step": step, **terms})


def _scores(sent: Any, run: Mapping[str, Any], records: Mapping[str, Any]) -> None:
    import wandb

    table = wandb.Table(columns=list(COLUMNS))
    for row in rows(records):
        table.add_data(*row)
    sent.log({"scores": table})
    sent.summary.update(summary_of(run, records))
    objective = objective_of(run, records)
    if "objective" in objective:
        sent.log(objective)
    else:
        sent.summary.update(objective)


def _samples(sent: Any, folder: Path, run: Mapping[str, Any]) -> None:
    import wandb

    sheet = folder / "sheet.png"
    if sheet.exists() and (not run["shows_real"] or run["info"]["redistributable"]):
        sent.log({"samples": wandb.Image(str(sheet))})


def _artifact(folder: Path, name: str, metadata: Mapping[str, Any]) -> Any:
    import wandb

    artifact = wandb.Artifact(f"record-{name}".replace("=", "-"), type="record", metadata=dict(metadata))
    cards = [folder / f"card.{suffix}" for suffix in ("json", "md", "html")]
    scores = sorted(folder.glob("scores/[!.]*.json"))
    for path in [folder / "run.json", *scores, *(card for card in cards if card.exists())]:
        # nobody changes a record in place: no copy is needed
        artifact.add_file(str(path), name=str(path.relative_to(folder)), policy="immutable")
    return artifact
