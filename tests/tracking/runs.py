"""A run folder as a run leaves it, and the settings of W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.storage.files import file_digest, write_json
from bench.storage.image_reader import contact_sheet
from bench.storage.record import SCHEMA, Cost, Entry, Failure, MetricRow, Record, RunRecord, ScoreRow
from tests.toy import draw

OFFLINE = {"mode": "offline", "project": "toy", "entity": None, "group": None, "tags": ["trial"]}
OFFLINE |= {"timeout_seconds": 100}
CONFIG = {"name": "noise", "seed": 0, "objective": "fidelity/kid/radiomics", "dataset": {"_target_": "a.toy.Toy"}}
CONFIG |= {"generator": {"rate": 0.001}}
PROTOCOL = {"split": "390f86375dfec759", "evaluator": "fidelity/3", "encoders": {"radiomics": "radiomics-1"}}


def run_folder(folder: Path, *, failing: bool) -> Path:
    """A run folder with one record, another of an evaluator that failed if ``failing``, curves and a contact sheet."""
    import numpy as np

    records = {"fidelity": fidelity()} | ({"privacy": broken()} if failing else {})
    entries = {}
    for name, record in records.items():
        path = folder / "scores" / f"{name}.json"
        write_json(path, record.model_dump(by_alias=True))
        entries[name] = Entry(status=record.status, file=f"scores/{name}.json", sha256=file_digest(path), seconds=1)
    run = RunRecord(
        schema=SCHEMA,
        status="failed" if failing else "ok",
        dataset="toy",
        generator="noise",
        control="floor",
        shows_real=False,
        seed=0,
        config=CONFIG,
        digests={"split": "390f86375dfec759", "images": "0123456789abcdef"},
        images={"asked": 24},
        info={"redistributable": True},
        facts={},
        evaluators=entries,
        provenance={},
        cost=Cost(fit_seconds=None, sample_seconds=1, peak_memory_mb=1),
    )
    write_json(folder / "run.json", run.model_dump(mode="json", by_alias=True))
    write_curves(folder)
    rng = np.random.default_rng(0)
    (folder / "sheet.png").write_bytes(contact_sheet(np.stack([draw(rng, 1, 32) for _ in range(4)])))
    return folder


def fidelity() -> Record:
    metrics = [MetricRow(key="kid", title="Kernel distance", better="lower", reference="arXiv:1801.01401")]
    scores = [ScoreRow(metric="kid", value=0.1, low=0.0, high=0.2, n=24, encoder="radiomics")]
    fixed: dict[str, Any] = {"schema": SCHEMA, "protocol": PROTOCOL, "key": {}, "conformance": {"kid[all]": 0.5}}
    return Record(evaluator="fidelity", status="ok", metrics=metrics, scores=scores, **fixed)


def broken() -> Record:
    error = Failure(type="ValueError", message="planted", traceback="...")
    fixed: dict[str, Any] = {"schema": SCHEMA, "protocol": {}, "key": {}, "metrics": [], "scores": []}
    return Record(evaluator="privacy", status="failed", error=error, **fixed)


def write_curves(folder: Path) -> None:
    lines = ["stage,step,term,value"]
    lines += [
        f"{stage},{step},total,{1 / step}"
        for stage, first in (("autoencoder", 2), ("diffusion", 5))
        for step in (first, 2 * first)
    ]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
