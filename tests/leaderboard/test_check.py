"""Bad records are refused with the place of the fault."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from bench.api import Better
from bench.storage.names import visible
from leaderboard.check import Broken, is_inner, json_schema, parse_json, parse_record

SCORES = "phantom/pca/seed=0/scores/fidelity.json"
RUN = "phantom/pca/seed=0/run.json"


def faults(content: bytes) -> list[str]:
    with pytest.raises(Broken) as caught:
        parse_record(content, "f")
    return [str(problem) for problem in caught.value.problems]


def test_good_records_pass(board: Path) -> None:
    for path in sorted({*board.rglob("*.json")} - {*board.rglob("card.json")}):
        parse_record(path.read_bytes(), path.name)


CHANGES: list[tuple[str, str, Callable[[Any], object]]] = [
    (SCORES, "f: /scores/1/low: ", lambda data: data["scores"][1].update(low="0.1")),
    (SCORES, "f: /scores/1: ", lambda data: data["scores"][1].update(low=0.8)),
    (SCORES, "f: /scores/1/high: 1.2 is outside", lambda data: data["scores"][1].update(high=1.2)),
    (SCORES, "f: /scores/0/n: 1 is under", lambda data: data["scores"][0].update(n=1)),
    (SCORES, "f: /scores/0/n: ", lambda data: data["scores"][0].update(n=True)),
    (SCORES, "f: /scores/0/extra: ", lambda data: data["scores"][0].update(extra=1)),
    (SCORES, "f: scores of undeclared", lambda data: data["scores"][0].update(metric="other")),
    (
        SCORES,
        "f: /metrics/2/key: the metric 'fd' is declared twice",
        lambda data: data["metrics"].append(data["metrics"][0]),
    ),
    (SCORES, "f: /metrics/0/target: ", lambda data: data["metrics"][0].update(better="target")),
    (SCORES, "f: /evaluator: the name has control", lambda data: data.update(evaluator="a\u202eb")),
    (SCORES, "f: /scores/2/group: the name has control", lambda data: data["scores"][2].update(group="a\u0000b")),
    (SCORES, "f: /schema: ", lambda data: data.update(schema=2)),
    (RUN, "f: /config/note: holds a Hugging Face token", lambda data: data["config"].update(note="hf_" + "Zq7" * 11)),
    (RUN, "f: /config/proxy: holds an address", lambda data: data["config"].update(proxy="https://alice:b@host")),
    (SCORES, "f: /artifacts/..~1x: ", lambda data: data.update(artifacts={"../x": "0" * 16})),
    (SCORES, "f: /conformance: is empty", lambda data: data.update(conformance={})),
    (
        SCORES,
        "f: /conformance/other[all|-]: a number of the undeclared metric 'other'",
        lambda data: data.update(conformance={"fd[all|radiomics]": 1.5, "other[all|-]": 1.5}),
    ),
    (
        SCORES,
        "f: /conformance/fd: 'fd' is not like fd[all|radiomics]",
        lambda data: data.update(conformance={"fd": 1.5}),
    ),
    (
        SCORES,
        "f: /conformance/fd[all|a~1b]: Input should be a valid number",
        lambda data: data.update(conformance={"fd[all|a/b]": "1.5"}),
    ),
    (SCORES, "f: /conformance/fd[all|-]: ", lambda data: data.update(conformance={"fd[all|-]": None})),
    (RUN, "f: /generator: the name", lambda data: data.update(generator=" pca")),
    (RUN, "f: /generator: the name has 200", lambda data: data.update(generator="a" * 200)),
    (RUN, "f: /evaluators/fidelity/file: ", lambda data: data["evaluators"]["fidelity"].update(file="../../x.json")),
    (RUN, "f: /evaluators/fidelity/file: ", lambda data: data["evaluators"]["fidelity"].update(file="/etc/passwd")),
    (RUN, "f: /evaluators/fidelity/file: ", lambda data: data["evaluators"]["fidelity"].update(file="scores/x.html")),
    (RUN, "f: /evaluators/fidelity/sha256: ", lambda data: data["evaluators"]["fidelity"].update(sha256="no")),
    (RUN, "f: /cost/peak_memory_mb: ", lambda data: data["cost"].pop("peak_memory_mb")),
]


@pytest.mark.parametrize(("file", "start", "change"), CHANGES)
def test_a_fault_is_named_by_pointer(board: Path, file: str, start: str, change: Callable[[Any], object]) -> None:
    data = json.loads((board / file).read_text())
    change(data)
    found = faults(json.dumps(data).encode())
    assert any(each.startswith(start) for each in found), found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"value": NaN}', "NaN"),
        (b'{"value": 1e999}', "too large"),
        (b'{"value": -Infinity}', "Infinity"),
        (b'{"n": 1, "n": 2}', "'n' occurs twice"),
        (b'{"n": ' + b"9" * 5000 + b"}", "too large"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"name": "\xff"}', "utf-8"),
        (b'{"n": 1,}', "line 1"),
        (b"", "line 1"),
    ],
)
def test_lenient_json_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_json(content)


def test_a_conformance_of_declared_metrics_passes_and_one_without_end_does_not(board: Path) -> None:
    data = json.loads((board / SCORES).read_text())
    names = ("fd[all|radiomics]", "fd[all|radiomics].low", "fd[all|radiomics].high", "coverage[view=CC|-]")
    data["conformance"] = dict.fromkeys(names, -1.5)
    parse_record(json.dumps(data).encode(), "f")
    data["conformance"][names[0]] = float("inf")
    (fault,) = faults(json.dumps(data).encode())
    assert "Infinity is not a JSON number" in fault


def test_not_an_object() -> None:
    assert faults(b"[1]") == ["f: is a JSON list, not an object"]


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("scores/fidelity.json", True),
        ("a b/c.json", True),
        ("../x", False),
        ("a/../../x", False),
        ("/etc/passwd", False),
        ("a//b", False),
        ("C:\\x", False),
        ("http://x", False),
        ("a\0b", False),
        ("a\u202eb", False),
        ("", False),
    ],
)
def test_inner_paths(path: str, right: bool) -> None:
    assert is_inner(path) is right


def test_visible_spells_out_what_is_not_seen() -> None:
    assert visible("a\u202eb\x1b\u200bc\ud800\u2066") == "a⟨U+202E⟩b⟨U+001B⟩⟨U+200B⟩c⟨U+D800⟩⟨U+2066⟩"
    assert visible("Fréchet\nβ ≤ 1") == "Fréchet\nβ ≤ 1"


def test_the_schema_names_every_field(board: Path) -> None:
    schema = json_schema()
    assert {each["$ref"] for each in schema["oneOf"]} == {"#/$defs/RunRecord", "#/$defs/Record"}
    for file, model in ((RUN, "RunRecord"), (SCORES, "Record")):
        written = json.loads((board / file).read_text()).keys()
        assert schema["$defs"][model]["properties"].keys() == written
        assert not schema["$defs"][model]["additionalProperties"]


def test_words_stand_only_where_nothing_is_ranked(board: Path) -> None:
    data = json.loads((board / SCORES).read_text())
    data["scores"][0]["words"] = "the best of all"
    assert [each for each in faults(json.dumps(data).encode()) if each.startswith("f: /scores/0/words: ")]
    data["metrics"][0]["better"] = "neither"
    parse_record(json.dumps(data).encode(), "f")
    data["scores"][0]["words"] = "x" * 300  # a verdict that says what would have been found, and what is not seen
    parse_record(json.dumps(data).encode(), "f")
    data["scores"][0]["words"] = "x" * 301
    assert faults(json.dumps(data).encode())


def test_directions_are_those_of_a_metric(board: Path) -> None:
    assert json_schema()["$defs"]["MetricRow"]["properties"]["better"]["enum"] == list(get_args(Better))
    data = json.loads((board / SCORES).read_text())
    data["metrics"][0]["better"] = "neither"
    parse_record(json.dumps(data).encode(), "f")
    data["metrics"][0]["better"] = "none"
    (fault,) = faults(json.dumps(data).encode())
    assert fault.startswith("f: /metrics/0/better: ") and "'neither'" in fault
