"""The table a run ends with: what matters most in one screen, everything when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.pipeline.run import Outcome
from bench.pipeline.summary import summary
from bench.runtime.settings import Show
from bench.storage.record import SCHEMA, Failure, MetricRow, Record, ScoreRow
from tests.leaderboard.conftest import run_record, write_run

KID = MetricRow(
    key="kid", title="Kernel distance", better="lower", reference="arXiv:1801.01401", role="headline", area="fidelity"
)
RECALL = MetricRow(key="recall", title="Recall", better="higher", reference="arXiv:1904.06991", area="fidelity")
FLOOR = MetricRow(key="fd_floor", title="Floor", better="neither", reference="", role="describes")
TOP = MetricRow(key="kid_real", title="", better="neither", reference="", role="ceiling", ceiling_of="kid")
VERDICT = MetricRow(key="leak_found", title="Leak", better="neither", reference="", role="describes")
METRICS = [KID, RECALL, FLOOR, TOP, VERDICT]


def record(scores: list[ScoreRow], **changes: Any) -> Record:
    fields = {"schema": SCHEMA, "evaluator": "fidelity", "status": "ok", "protocol": {}, "key": {}, "metrics": METRICS}
    return Record(**{**fields, "scores": scores, **changes})


def measured(metric: str, value: float = 0.25, **changes: Any) -> ScoreRow:
    fields = {"low": value / 2, "high": value * 2, "n": 24, "encoder": "radiomics"}
    return ScoreRow(metric=metric, value=value, **{**fields, **changes})


def refused(metric: str, reason: str, **changes: Any) -> ScoreRow:
    return ScoreRow(metric=metric, value=None, low=None, high=None, n=3, reason=reason, **changes)


def told(*records: Record, show: Show = "headline", folder: Path = Path("runs/phantom/toy/seed=0")) -> list[str]:
    names = {f"fidelity{place or ''}": each for place, each in enumerate(records)}
    return summary(Outcome(folder, run_record("toy", 0), names, {"radiomics": 24}, Path("fit")), show).splitlines()


SCORES = [measured("kid"), measured("recall", 0.5), measured("fd_floor", 0.75), measured("kid", group="dense=yes")]


def test_headline_scores_stand_with_arrow_interval_and_encoder_and_the_folder_comes_last() -> None:
    assert told(record(SCORES)) == [
        "",
        "evaluator  metric  value  95% interval  n   encoder",
        "fidelity   kid ↓   0.25   0.125 to 0.5  24  radiomics",
        "2 more scores: show=all, or scores/*.json; 1 more of subgroups: scores/*.json",
        "images encoded: radiomics 24",
        "runs/phantom/toy/seed=0",
    ]


def test_all_scores_are_printed_when_asked_and_one_that_only_describes_has_no_arrow() -> None:
    lines = told(record(SCORES), show="all")
    assert [line.split()[:-6] for line in lines[2:4]] == [["fidelity", "kid", "↓"], ["recall", "↑"]]
    assert "           fd_floor  0.75   0.375 to 1.5  24  radiomics" in lines
    assert "1 more of subgroups: scores/*.json" in lines and "0.25   0.125 to 0.5  24  radiomics" in lines[2]


def test_without_a_headline_metric_the_first_few_that_judge_are_printed() -> None:
    metrics = [*(RECALL.model_copy(update={"key": f"m{place}"}) for place in range(6)), FLOOR]
    scores = [measured("fd_floor"), refused("m0", "no"), *(measured(f"m{place}") for place in range(1, 6))]
    lines = told(record(scores, metrics=metrics))
    assert [line.split()[line.startswith("fidelity")] for line in lines[2:6]] == ["m1", "m2", "m3", "m4"]
    assert "refused too, reasons with show=all: fidelity m0" in lines
    assert "2 more scores: show=all, or scores/*.json" in lines
    only = told(record([refused("m0", "no data")], metrics=metrics))
    assert "fidelity refused: m0: no data" in only


def test_a_verdict_is_printed_in_words_with_its_limits() -> None:
    words = {"words": "no leak found by this test", "reason": "copies that do not stand out are not seen by it"}
    score = measured("leak_found", 0.0, low=None, high=None, **words)
    for show in ("headline", "all"):
        lines = told(record([score, measured("kid")]), show=show)
        assert (
            "fidelity/leak_found: no leak found by this test; copies that do not stand out are not seen by it" in lines
        )
        assert not [line for line in lines if line.split()[:2] == ["leak_found", "0"]]
    bare = measured("leak_found", 0.0, words="no leak found by this test")
    assert "fidelity/leak_found: no leak found by this test" in told(record([bare]))


def test_refusals_of_one_reason_share_a_line_and_only_those_of_headline_metrics_say_why() -> None:
    scores = [refused("kid", "3 images, needs 50", encoder=name) for name in ("radiomics", "pixels")]
    scores += [refused("recall", "no theory", encoder=name) for name in ("radiomics", "pixels")]
    others = [refused(key, "no theory") for key in ("fd_floor", "kid_real", "leak_found")]
    lines = told(record([*scores, *others]))
    assert "fidelity refused: kid in radiomics, kid in pixels: 3 images, needs 50" in lines
    assert "refused too, reasons with show=all: fidelity recall, fd_floor, kid_real and 1 more" in lines
    assert not [line for line in lines if "no theory" in line]
    everything = told(record([*scores, *others]), show="all")
    said = "recall in radiomics, recall in pixels, fd_floor, kid_real, leak_found"
    assert f"fidelity refused: {said}: no theory" in everything
    assert not [line for line in everything if line.startswith("refused too")]


def test_a_score_that_is_not_ranked_has_no_arrow_and_says_why() -> None:
    lines = told(record([measured("kid", ranked=False, reason="asked for, not a condition")]))
    assert "fidelity   kid     0.25   0.125 to 0.5  24  radiomics" in lines
    assert "fidelity not ranked: kid in radiomics: asked for, not a condition" in lines


def test_a_failure_shows_its_message_in_full() -> None:
    message = "singular covariance " * 40
    failure = Failure(type="ValueError", message=message, traceback="...")
    lines = told(record([], status="failed", error=failure), record([], status="refused", reason="no data"))
    assert f"fidelity failed: ValueError: {message}" in lines and "fidelity1 refused: no data" in lines
    assert len(lines) == 5, "no table where there is nothing to put into it"


def test_a_ceiling_that_the_run_measures_stands_beside_its_metric() -> None:
    lines = told(record([measured("kid"), measured("kid_real", 0.015), measured("kid", encoder="pixels")]))
    assert lines[1].split()[-1] == "ceiling" and lines[2].split()[-1] == "0.015" and lines[3].split()[-1] == "pixels"
    assert "ceiling: what unseen real images score" in lines


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run of a ceiling control, and one of a contender that does better than anybody can."""
    for name, control, value in (("holdout", "ceiling", 0.0125), ("pca", None, 0.0)):
        own = record([measured("kid", value, encoder="radiomics"), measured("recall", 0.9), measured("fd_floor")])
        write_run(tmp_path, run_record(name, 0, control=control), [own])
    return tmp_path


def test_the_ceiling_comes_from_a_ceiling_control_beside_the_run(runs: Path) -> None:
    lines = told(record(SCORES), show="all", folder=runs / "phantom" / "toy" / "seed=3")
    assert lines[2].split()[-1] == "0.0125" and lines[3].split()[-1] == "0.9"
    assert lines[4].split()[-1] == "radiomics", "what only describes has no ceiling"
    assert "ceiling: what unseen real images score, from holdout/seed=0 where this run does not measure it" in lines
    own = told(record([*SCORES, measured("kid_real", 0.015)]), folder=runs / "phantom" / "toy" / "seed=3")
    assert own[2].split()[-1] == "0.015" and "holdout" not in "".join(own)


def test_what_a_control_scores_in_privacy_is_no_ceiling(tmp_path: Path) -> None:
    """The holdout images are themselves those that an attack is to tell apart: their own figure is not chance."""
    attack = MetricRow(key="kid", title="", better="lower", reference="", role="headline", area="privacy")
    write_run(tmp_path, run_record("holdout", 0, control="ceiling"), [record([measured("kid", 0.0)], metrics=[attack])])
    lines = told(record([measured("kid")], metrics=[attack]), folder=tmp_path / "phantom" / "toy" / "seed=0")
    assert "ceiling" not in "".join(lines)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": {"split": "b" * 16}},
        {"conformance": {"kid[all|radiomics]": 1.0}},
        {"protocol": {"encoders": {"radiomics": "radiomics-2"}}},
    ],
)
def test_what_cannot_be_compared_is_no_ceiling(runs: Path, change: dict[str, Any]) -> None:
    lines = told(record(SCORES, **change), folder=runs / "phantom" / "toy" / "seed=0")
    assert "ceiling" not in "".join(lines)


def test_a_damaged_record_is_no_ceiling_and_a_ceiling_control_has_none(runs: Path) -> None:
    folder = runs / "phantom" / "holdout" / "seed=0"
    assert "ceiling" not in "".join(told(record(SCORES), folder=folder)), "its own record"
    outcome = Outcome(
        runs / "phantom/other/seed=0", run_record("o", 0, control="ceiling"), {"fidelity": record(SCORES)}, {}, folder
    )
    assert "ceiling" not in summary(outcome)
    edited = (folder / "scores/fidelity.json").read_text().replace("0.0125", "99.0")
    (folder / "scores/fidelity.json").write_text(edited)
    assert "ceiling" not in "".join(told(record(SCORES), folder=runs / "phantom" / "toy" / "seed=0")), "edited"
    (folder / "scores/fidelity.json").write_text(json.dumps({"schema": 9}))
    assert "ceiling" not in "".join(told(record(SCORES), folder=runs / "phantom" / "toy" / "seed=0"))
    (folder / "run.json").write_text("{")
    assert "ceiling" not in "".join(told(record(SCORES), folder=runs / "phantom" / "toy" / "seed=0"))
