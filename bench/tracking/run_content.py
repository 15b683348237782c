"""What a W&B run says of a record: pure functions of ``run.json`` and ``scores/*.json``.

A score stands under ``evaluator@protocol/metric/encoder@identity``, for instance
``fidelity@1a2b3c4d/fd/small_cnn@9f8e7d6c``: two scores have one key only if they may be compared. The digest of the
protocol is the one that heads the evaluator's table on the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bench.runtime.objective import parts_of
from bench.storage.agreement import shared, short_digest
from bench.storage.record import UNTOLD

COLUMNS = ("evaluator", "protocol", "metric", "value", "low", "high", "n", "group", "encoder", "reason", "words")
DIGITS = 5  # significant ones of a conformance that count for its digest
Records = Mapping[str, Mapping[str, Any]]  # score records by evaluator


def protocols(records: Records) -> dict[str, str]:
    """8 hex digits of each evaluator's protocol, as on the page."""
    return {name: short_digest(shared(record["protocol"])) for name, record in records.items()}


def score_key(record: Mapping[str, Any], score: Mapping[str, Any]) -> str:
    """The name of a score at W&B."""
    place = f"{record['evaluator']}@{short_digest(shared(record['protocol']))}/{score['metric']}"
    encoder = score["encoder"]
    if encoder is None:
        return place
    identity = record["protocol"].get("encoders", {}).get(encoder)
    return f"{place}/{encoder}" if identity is None else f"{place}/{encoder}@{short_digest(identity)}"


def config_of(run: Mapping[str, Any], records: Records, training: str | None) -> dict[str, Any]:
    """The configuration as it stands in the record, with what says who may be compared with whom.

    ``training`` is the id of the W&B run of the training, ``None`` where there is none.
    """
    found = {
        **run["config"],
        "digests": run["digests"],
        "protocol": protocols(records),
        "conformance": {name: _conformance(record.get("conformance")) for name, record in records.items()},
    }
    return found | ({"training_run": training} if training else {})


def summary_of(run: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """States with their reasons, scores over all images with interval and number, counts and cost."""
    found = {"status": run["status"], "reason": _failed(records)}
    found |= {f"images/{name}": count for name, count in run["images"].items()}
    found |= _cost(run)
    for name, record in records.items():
        found |= {f"status/{name}": record["status"], f"reason/{name}": reason_of(record)}
        for score in record["scores"]:
            if score["group"] == "all" and score["value"] is not None:
                found |= _shown(score_key(record, score), score)
    return found


def objective_of(run: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """``objective``: the value of the score that ``config.objective`` names; of a metric with a target, its distance.

    Where the score has no value, ``reason/objective`` says why. Nothing where no objective is set.
    """
    wanted = run["config"].get("objective")
    if not wanted:
        return {}
    evaluator, metric, *place = parts_of(str(wanted))
    record = records.get(evaluator)
    if record is None:
        return {"reason/objective": f"no evaluator {evaluator!r} ran"}
    own = (
        score for score in record["scores"] if [score["metric"], score["encoder"], score["group"]] == [metric, *place]
    )
    score = next(own, {"value": None, "reason": reason_of(record) or f"there is no score {wanted!r}"})
    if score["value"] is None:
        return {"reason/objective": score["reason"]}
    if not score.get("ranked", True):
        return {"reason/objective": f"not ranked: {score['reason'] or UNTOLD}"}
    target = next(each["target"] for each in record["metrics"] if each["key"] == metric)
    return {"objective": score["value"] if target is None else abs(score["value"] - target)}


def rows(records: Records) -> Iterator[tuple[Any, ...]]:
    """Every score in the order of ``COLUMNS``."""
    for name, record in records.items():
        protocol = short_digest(shared(record["protocol"]))
        for score in record["scores"]:
            yield name, protocol, *(score.get(column) for column in COLUMNS[2:])


def metadata_of(run: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """What tells a record from another without opening it."""
    named = {name: run[name] for name in ("dataset", "generator", "control", "seed", "status", "digests")}
    return named | {"protocol": protocols(records)}


def reason_of(record: Mapping[str, Any]) -> str:
    """Why an evaluator refused or failed; empty where it did not."""
    error = record.get("error")
    return f"{error['type']}: {error['message']}" if error else str(record.get("reason") or "")


def _failed(records: Records) -> str:
    failed = [name for name, record in records.items() if record["status"] == "failed"]
    return f"failed: {', '.join(failed)}" if failed else ""


def _shown(key: str, score: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: score.get("words") or score["value"], f"{key}/n": score["n"]}
    if score["low"] is not None:
        found |= {f"{key}/low": score["low"], f"{key}/high": score["high"]}
    return found


def _cost(run: Mapping[str, Any]) -> dict[str, Any]:
    cost = {name: value for name, value in run["cost"].items() if name != "encoded"}
    cost |= {f"encoded/{name}": count for name, count in run["cost"].get("encoded", {}).items()}
    cost |= {f"seconds/{name}": entry["seconds"] for name, entry in run["evaluators"].items()}
    return {f"cost/{name}": value for name, value in cost.items() if value is not None}


def _conformance(numbers: Mapping[str, float] | None) -> str | None:
    """8 hex digits that the last digits of the numbers do not change; ``None`` where unknown."""
    if numbers is None:
        return None
    return short_digest({name: _rounded(value) for name, value in numbers.items()})


def _rounded(value: float) -> float:
    # what is nothing but rounding has no leading digit to count from
    if abs(value) < 1e-9:
        return 0.0
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
