"""Folders of runs with invented numbers, written the way the benchmark writes them."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from bench.storage.record import Cost, Entry, Failure, MetricRow, Record, RunRecord, ScoreRow

DISTANCE = MetricRow(
    key="fd",
    title="Fréchet distance",
    better="lower",
    reference="arXiv:1706.08500",
    low=0,
    summary="Distance of means.",
)
COVERAGE = MetricRow(key="coverage", title="Coverage", better="higher", reference="arXiv:2002.09797", low=0, high=1)
ATTACK = MetricRow(
    key="auc", title="Membership AUC", better="target", target=0.5, reference="", low=0, high=1, area="privacy"
)
SPLIT = "a" * 16
Numbers = tuple[float, float]  # value, half-width


def score(metric: MetricRow, numbers: Numbers | str, group: str = "all", encoder: str | None = "radiomics") -> ScoreRow:
    """A measured score, or a refused one when ``numbers`` is the reason."""
    if isinstance(numbers, str):
        fields: dict[str, Any] = {"value": None, "low": None, "high": None, "reason": numbers}
    else:
        value, half = numbers
        low = value - half if metric.low is None else max(value - half, metric.low)
        high = value + half if metric.high is None else min(value + half, metric.high)
        fields = {"value": value, "low": low, "high": high}
    return ScoreRow(metric=metric.key, n=24, group=group, encoder=encoder, **fields)


def record(evaluator: str, metrics: list[MetricRow], scores: list[ScoreRow], **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "schema": 1,
        "evaluator": evaluator,
        "status": "ok",
        "protocol": {"split": SPLIT, "evaluator": {"name": evaluator, "version": "1", "folds": 10}},
        "key": {},
        "metrics": metrics,
        "scores": scores,
    }
    return Record(**{**fields, **changes})


def run_record(generator: str, seed: int, **changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "schema": 1,
        "status": "ok",
        "dataset": "phantom",
        "generator": generator,
        "control": None,
        "shows_real": False,
        "seed": seed,
        "config": {"seed": seed, "generator": {"steps": 50, "seed": seed}},
        "digests": {"split": SPLIT},
        "images": {"asked": 96, "made": 96, "blank": 0},
        "info": {"title": "Phantom mammograms", "modality": "simulated mammography", "redistributable": False},
        "facts": {},
        "evaluators": {},
        "provenance": {"bench": "0.1.0", "commit": "0123456789abcdef0123456789abcdef01234567"},
        "cost": Cost(fit_seconds=3.25, sample_seconds=250, peak_memory_mb=512.5),
    }
    return RunRecord(**{**fields, **changes})


def png(width: int, height: int, grey: int = 128) -> bytes:
    """A plain grey picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    lines = b"".join(
        b"\0" + bytes([(grey + x // 16 * 9 + y // 16 * 17) % 256 for x in range(width)]) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


CARDS = {
    "card.html": b"<!doctype html><title>Card</title><p>A card.",
    "card.json": b'{"title": "Card"}',
    "card.md": b"# Card\n",
}


def write_run(root: Path, run: RunRecord, records: list[Record]) -> Path:
    """One run's folder, with a contact sheet and a card that the first evaluator left."""
    folder = root / run.dataset / run.generator / f"seed={run.seed}"
    (folder / "scores").mkdir(parents=True)
    entries = {}
    left = {name: hashlib.sha256(content).hexdigest() for name, content in CARDS.items()}
    for each in [records[0].model_copy(update={"artifacts": left}), *records[1:]]:
        content = json.dumps(each.model_dump(by_alias=True)).encode()
        (folder / "scores" / f"{each.evaluator}.json").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries[each.evaluator] = Entry(
            status=each.status, file=f"scores/{each.evaluator}.json", sha256=digest, seconds=1.5
        )
    whole = run.model_copy(update={"evaluators": entries})
    (folder / "run.json").write_text(json.dumps(whole.model_dump(by_alias=True)), encoding="utf-8")
    (folder / "sheet.png").write_bytes(png(256, 128, run.seed * 40))
    for name, content in CARDS.items():
        (folder / name).write_bytes(content)
    return folder


def fidelity(distance: Numbers | str, coverage: Numbers | str, **changes: Any) -> Record:
    scores = [score(DISTANCE, distance), score(COVERAGE, coverage)]
    scores.append(score(DISTANCE, distance, "view=CC"))
    return record("fidelity", [DISTANCE, COVERAGE], scores, **changes)


def privacy(attack: Numbers | str) -> Record:
    return record("privacy", [ATTACK], [score(ATTACK, attack, encoder=None)])


def write_board(root: Path) -> Path:
    """Four controls and three contenders, with two seeds, a refusal, a failure and a second protocol."""
    real = {"shows_real": True}
    write_run(
        root, run_record("holdout", 0, control="ceiling", **real), [fidelity((2, 1), (0.9, 0.05)), privacy((0.5, 0.05))]
    )
    write_run(
        root,
        run_record("copy", 0, control="memoriser", **real),
        [fidelity((2.5, 1), (0.88, 0.05)), privacy((0.99, 0.01))],
    )
    write_run(root, run_record("pca", 0, control="baseline"), [fidelity((30, 2), (0.4, 0.1)), privacy((0.51, 0.05))])
    write_run(root, run_record("noise", 0, control="floor"), [fidelity((90, 3), (0.85, 0.1)), privacy((0.5, 0.05))])
    for seed, distance in enumerate((10.0, 12.0)):
        records = [fidelity((distance, 2), (0.7, 0.1)), privacy((0.55, 0.1))]
        write_run(root, run_record("ldm", seed), records)
    refused = "needs 50 images of each class, got 12"
    write_run(root, run_record("sana", 0), [fidelity((11, 2), refused), privacy("no holdout patients")])
    broken = Failure(type="ValueError", message="singular covariance", traceback="Traceback …")
    other = {"split": SPLIT, "evaluator": {"name": "fidelity", "version": "1", "folds": 5}}
    failed = record("privacy", [ATTACK], [], status="failed", error=broken)
    write_run(root, run_record("folder", 0), [fidelity((5, 2), (0.6, 0.1), protocol=other), failed])
    return root


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A folder of runs with one of everything."""
    return write_board(tmp_path / "runs")
