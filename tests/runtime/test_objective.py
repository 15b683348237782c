"""The objective is found before the work, has the value of the record, and knows where better lies."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest

from bench.api import BenchError, Evaluator, Material, Metric, Score
from bench.runtime.objective import Objective
from bench.storage.record import Failure, MetricRow, Record, ScoreRow


class Toy(Evaluator):
    id = "toy"
    purposes = ("fidelity",)
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(key="fd", title="", better="lower", reference=""),
        Metric(key="coverage", title="", better="higher", reference=""),
        Metric(key="auc", title="", better="target", target=0.5, reference=""),
        Metric(key="floor", title="", better="neither", reference="", role="describes"),
    )
    skip = ("pixels",)

    def __call__(self, material: Material) -> list[Score]:
        return []


def objective(text: str) -> Objective:
    return Objective.of(text, {"toy": Toy()}, ["radiomics", "pixels"])


def record(value: float | None, why: str | None = None, **changes: Any) -> dict[str, Record]:
    metrics = [MetricRow(key=key, title="", better="lower", reference="") for key in ("fd", "coverage", "auc")]
    where = {"low": None, "high": None, "n": 3, "reason": why or "no interval"}
    scores = [
        ScoreRow(metric="fd", value=value, encoder="radiomics", **where),
        ScoreRow(metric="fd", value=9.0, encoder="radiomics", group="view=CC", **where),
        ScoreRow(metric="auc", value=0.4, **where),
    ]
    fields = {"schema": 1, "evaluator": "toy", "status": "ok", "protocol": {}, "key": {}, "metrics": metrics}
    return {"toy": Record(**{**fields, "scores": scores, **changes})}


@pytest.mark.parametrize(
    ("text", "direction", "value"),
    [
        ("toy/fd/radiomics", "minimize", 2.5),
        ("toy/fd/radiomics/view=CC", "minimize", 9.0),
        ("toy/auc", "minimize", 0.1),
        ("toy/auc/-/all", "minimize", 0.1),
    ],
)
def test_it_is_the_value_of_the_record(text: str, direction: str, value: float) -> None:
    found = objective(text)
    assert found.direction == direction
    assert found.value(record(2.5)) == pytest.approx(value)
    assert found.refusal(record(2.5)) == ""


def test_more_is_better_where_the_metric_says_so() -> None:
    assert objective("toy/coverage").direction == "maximize"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fd", "is not evaluator/metric"),
        ("toy//radiomics", "is not evaluator/metric"),
        ("a/b/c/d/e", "is not evaluator/metric"),
        ("privacy/fd", "evaluator 'privacy' is not configured"),
        ("toy/fdd", "no metric 'fdd'"),
        ("toy/floor", "only describes"),
        ("toy/fd/dino", "encoder 'dino' is not configured"),
        ("toy/fd/pixels", "does not measure in 'pixels'"),
    ],
)
def test_what_cannot_be_an_objective_is_refused_before_the_work(text: str, reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        objective(text)


def test_a_refused_score_has_no_value_and_says_why() -> None:
    found = objective("toy/fd/radiomics")
    assert math.isnan(found.value(record(None, "3 images")))
    assert found.refusal(record(None, "3 images")) == "toy/fd/radiomics was refused: 3 images"
    whole = record(1.0, scores=[], status="refused", reason="no holdout")
    assert math.isnan(found.value(whole)) and found.refusal(whole).endswith("no holdout")


def test_a_score_that_is_not_ranked_is_no_aim() -> None:
    found = objective("toy/fd/radiomics")
    for reason, said in (("it was never told", "it was never told"), (None, "asked for, not a condition")):
        score = ScoreRow(metric="fd", value=2.5, low=2, high=3, n=3, encoder="radiomics", reason=reason, ranked=False)
        records = record(1.0, scores=[score])
        assert math.isnan(found.value(records)) and found.refusal(records) == f"toy/fd/radiomics is not ranked: {said}"


def test_a_score_that_is_not_there_and_a_failed_evaluator_are_errors() -> None:
    with pytest.raises(
        BenchError, match=r"no such score; it has \['toy/fd/radiomics/all', 'toy/fd/radiomics/view=CC'\]"
    ):
        objective("toy/fd").value(record(1.0))
    failed = Failure(type="ValueError", message="singular", traceback="")
    with pytest.raises(BenchError, match="ValueError: singular"):
        objective("toy/fd").value(record(1.0, scores=[], status="failed", error=failed))
