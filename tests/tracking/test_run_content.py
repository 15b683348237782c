"""What W&B is told of a record: one name only for what may be compared."""

from __future__ import annotations

from typing import Any

import pytest

from bench.storage.agreement import shared, short_digest
from bench.tracking.run_content import (
    COLUMNS,
    config_of,
    metadata_of,
    objective_of,
    rows,
    score_key,
    summary_of,
)

PROTOCOL = {
    "split": "390f86375dfec759",
    "evaluator": "fidelity/3",
    "settings": {"folds": 20},
    "encoders": {"small_cnn": "small-cnn-1 64px", "radiomics": "radiomics-1"},
}


def score(metric: str = "kid", value: float | None = 0.1, **others: Any) -> dict[str, Any]:
    fixed = {"metric": metric, "value": value, "low": None, "high": None, "n": 24, "group": "all", "encoder": None}
    return {**fixed, "reason": None, "words": None, **others}


def record(*scores: dict[str, Any], **others: Any) -> dict[str, Any]:
    fixed: dict[str, Any] = {"evaluator": "fidelity", "status": "ok", "protocol": PROTOCOL}
    fixed |= {"reason": None, "error": None}
    metrics = [{"key": key, "target": target} for key, target in (("kid", None), ("leak_bound", None), ("auc", 0.5))]
    fixed |= {"metrics": metrics, "scores": list(scores)}
    return {**fixed, "conformance": {"kid[all|small_cnn]": 0.123456789}, **others}


def run(**others: Any) -> dict[str, Any]:
    entry = {"status": "ok", "file": "scores/fidelity.json", "sha256": "0" * 16, "seconds": 3.5}
    cost = {"fit_seconds": None, "sample_seconds": 2.0, "peak_memory_mb": 500.0, "encoded": {"small_cnn": 48}}
    return {
        "status": "ok",
        "dataset": "toy",
        "generator": "noise",
        "control": "floor",
        "seed": 0,
        "config": {"name": "noise"},
        "digests": {"split": "390f86375dfec759"},
        "images": {"asked": 24},
        "evaluators": {"fidelity": entry},
        "cost": cost,
        **others,
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"split": "0000000000000000"}, False),
        ({"settings": {"folds": 10}}, False),
        ({"evaluator": "fidelity/4"}, False),
        ({"conditions": {"fidelity": 512}}, False),
        ({"encoders": {**PROTOCOL["encoders"], "small_cnn": "small-cnn-2 64px"}}, False),  # type: ignore[dict-item]
        ({"encoders": {**PROTOCOL["encoders"], "radiomics": "radiomics-2"}}, True),  # type: ignore[dict-item]
        ({"encoders": {"small_cnn": "small-cnn-1 64px"}}, True),
    ],
)
def test_scores_of_two_protocols_have_two_names(change: dict[str, Any], same: bool) -> None:
    kid = score(encoder="small_cnn")
    here, there = record(kid), record(kid, protocol={**PROTOCOL, **change})
    assert (score_key(here, kid) == score_key(there, kid)) is same


def test_a_name_is_readable_and_the_digest_is_that_of_the_page() -> None:
    digest = short_digest(shared(PROTOCOL))
    assert score_key(record(), score(encoder="small_cnn")) == (
        f"fidelity@{digest}/kid/small_cnn@{short_digest('small-cnn-1 64px')}"
    )
    assert score_key(record(), score("leak_bound")) == f"fidelity@{digest}/leak_bound"
    # made under another protocol that names no encoder
    assert score_key(record(), score(encoder="strange")).endswith("/kid/strange")


def test_the_summary_has_states_intervals_counts_and_cost() -> None:
    kid, fd = score(low=0.0, high=0.2), score("fd", None, reason="too few images")
    verdict, group = score("verdict", 1.0, words="no leak above 5%"), score(group="masking=high")
    error = {"type": "ValueError", "message": "broken", "traceback": "..."}
    failed = record(evaluator="privacy", status="failed", error=error, conformance=None)
    refused = record(evaluator="utility", status="refused", reason="no target")
    records = {"fidelity": record(kid, fd, verdict, group), "privacy": failed, "utility": refused}
    found = summary_of(run(status="failed"), records)
    place = f"fidelity@{short_digest(shared(PROTOCOL))}"
    assert {name: value for name, value in found.items() if "@" in name} == {
        f"{place}/kid": 0.1,
        f"{place}/kid/n": 24,
        f"{place}/kid/low": 0.0,
        f"{place}/kid/high": 0.2,
        f"{place}/verdict": "no leak above 5%",
        f"{place}/verdict/n": 24,
    }
    assert {name: value for name, value in found.items() if "@" not in name} == {
        "status": "failed",
        "reason": "failed: privacy",
        "status/fidelity": "ok",
        "reason/fidelity": "",
        "status/privacy": "failed",
        "reason/privacy": "ValueError: broken",
        "status/utility": "refused",
        "reason/utility": "no target",
        "images/asked": 24,
        "cost/sample_seconds": 2.0,
        "cost/peak_memory_mb": 500.0,
        "cost/encoded/small_cnn": 48,
        "cost/seconds/fidelity": 3.5,
    }


def test_the_configuration_says_who_may_be_compared() -> None:
    found = config_of(run(), {"fidelity": record()}, "training-ldm-0123")
    assert found["name"] == "noise" and found["digests"] == {"split": "390f86375dfec759"}
    assert found["protocol"] == {"fidelity": short_digest(shared(PROTOCOL))}
    assert found["training_run"] == "training-ldm-0123"
    assert "training_run" not in config_of(run(), {}, None)
    assert metadata_of(run(), {"fidelity": record()})["protocol"] == found["protocol"]


def conformance(value: float | None) -> Any:
    numbers = None if value is None else {"kid[all|small_cnn]": value}
    return config_of(run(), {"fidelity": record(conformance=numbers)}, None)["conformance"]["fidelity"]


def test_a_changed_formula_shows_in_the_conformance_and_another_machine_does_not() -> None:
    assert conformance(0.123456789) == conformance(0.123456789 * (1 + 1e-9))
    assert conformance(0.123456789) != conformance(0.123456789 * 1.001)
    assert conformance(1e-17) == conformance(-3e-17), "nothing but rounding"
    assert conformance(None) is None


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (None, {}),
        ("fidelity/kid/small_cnn", {"objective": 0.1}),
        ("fidelity/leak_bound", {"objective": 0.3}),
        ("fidelity/fd/small_cnn", {"reason/objective": "too few images"}),
        ("fidelity/kid/other", {"reason/objective": "there is no score 'fidelity/kid/other'"}),
        ("fidelity/leak_bound/-/masking=high", {"objective": 0.9}),
        ("fidelity/auc", {"objective": 0.25}),
        ("fidelity/kid/pixels", {"reason/objective": "not ranked: asked for, not a condition"}),
        ("utility/f1", {"reason/objective": "no target"}),
        ("card/f1", {"reason/objective": "no evaluator 'card' ran"}),
    ],
)
def test_the_objective_is_the_score_that_the_configuration_names(
    objective: str | None, expected: dict[str, Any]
) -> None:
    scores = [score(encoder="small_cnn"), score("auc", 0.25)]
    scores += [score(encoder="pixels", ranked=False)]
    scores += [score("leak_bound", 0.3), score("leak_bound", 0.9, group="masking=high")]
    refused = record(evaluator="utility", status="refused", reason="no target")
    records = {"fidelity": record(*scores, score("fd", None, encoder="small_cnn", reason="too few images"))}
    assert objective_of(run(config={"objective": objective}), {**records, "utility": refused}) == expected


def test_every_score_is_a_row_with_its_protocol() -> None:
    (row,) = rows({"fidelity": record(score(encoder="small_cnn", group="masking=high"))})
    assert dict(zip(COLUMNS, row, strict=True)) == {
        "evaluator": "fidelity",
        "protocol": short_digest(shared(PROTOCOL)),
        "metric": "kid",
        "value": 0.1,
        "low": None,
        "high": None,
        "n": 24,
        "group": "masking=high",
        "encoder": "small_cnn",
        "reason": None,
        "words": None,
    }
