"""The short table a run ends with."""

from __future__ import annotations

from pathlib import Path

from bench.pipeline.run import Outcome
from bench.pipeline.summary import summary
from bench.storage.record import SCHEMA, Failure, MetricRow, Record, ScoreRow
from tests.leaderboard.conftest import run_record

KID = MetricRow(key="kid", title="Kernel distance", better="lower", reference="arXiv:1801.01401")
FLOOR = MetricRow(key="fd_floor", title="Floor", better="neither", reference="arXiv:1706.08500")


def record(**changes: object) -> Record:
    fields = {"schema": SCHEMA, "evaluator": "fidelity", "status": "ok", "protocol": {}, "key": {}, "metrics": [KID]}
    return Record(**{**fields, "scores": [], **changes})


def told(found: Record) -> str:
    outcome = Outcome(Path("runs/toy"), run_record("toy", 0), {"fidelity": found}, {"radiomics": 24}, Path("fit"))
    return summary(outcome)


def test_values_stand_with_arrow_interval_and_encoder_and_the_folder_comes_last() -> None:
    scores = [
        ScoreRow(metric="kid", value=0.25, low=0.125, high=0.5, n=24, encoder="radiomics"),
        ScoreRow(metric="kid", value=0.75, low=0.5, high=1, n=12, encoder="radiomics", group="dense=yes"),
    ]
    text = told(record(scores=scores))
    assert "kid ↓   0.25   0.125 to 0.5  24  radiomics" in text and "0.75" not in text
    assert text.splitlines()[-2:] == ["images encoded: radiomics 24", "runs/toy"]


def test_a_metric_that_only_describes_has_no_arrow() -> None:
    scores = [ScoreRow(metric=key, value=0.25, low=0.125, high=0.5, n=24) for key in ("kid", "fd_floor")]
    lines = told(record(metrics=[KID, FLOOR], scores=scores)).splitlines()
    assert "  fd_floor  0.25   0.125 to 0.5  24" in lines and "  kid ↓     0.25   0.125 to 0.5  24" in lines


def test_a_verdict_is_printed_in_words_with_its_limits() -> None:
    verdict = MetricRow(key="leak_found", title="Leak", better="neither", reference="")
    words = {"words": "no leak found by this test", "reason": "copies that do not stand out are not seen by it"}
    score = ScoreRow(metric="leak_found", value=0.0, low=None, high=None, n=24, **words)
    lines = told(record(metrics=[verdict], scores=[score])).splitlines()
    assert "  leak_found: no leak found by this test; copies that do not stand out are not seen by it" in lines
    assert not [line for line in lines if line.split()[:2] == ["leak_found", "0"]]


def test_refusals_of_one_reason_share_a_line() -> None:
    refused = {"metric": "kid", "value": None, "low": None, "high": None, "n": 3, "reason": "3 images, needs 50"}
    text = told(record(scores=[ScoreRow(**refused, encoder=name) for name in ("radiomics", "pixels")]))
    assert "  refused: kid in radiomics, kid in pixels: 3 images, needs 50" in text.splitlines()


def test_a_failure_shows_its_message() -> None:
    failure = Failure(type="ValueError", message="singular covariance", traceback="...")
    assert "ValueError: singular covariance" in told(record(status="failed", error=failure))
    assert "no data" in told(record(status="refused", reason="no data"))
