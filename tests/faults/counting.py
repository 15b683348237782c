"""Trials counted while pytest runs: one test is one trial, a file of tests is a suite."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from bench.storage.text_table import text_table
from tests.faults.points import EVERY

TOLD = 3000  # characters of the reason of a loss
Outcome = Literal["survived", "lost", "skipped"]


@dataclass
class Suite:
    """A file of tests: what its first line says it tries, and what became of each trial, by pytest's name of it."""

    name: str
    title: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    chosen: int = 0
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> int:
        return Counter(self.outcomes.values())[outcome]

    @property
    def tried(self) -> int:
        """Trials that took place: those skipped are none."""
        return len(self.outcomes) - self.count("skipped")


class Counting:
    """A plug-in of pytest that fills ``suites``, by name, and says on the way how far it is."""

    def __init__(self) -> None:
        self.suites: dict[str, Suite] = {}
        self._unusable: list[str] = []
        self._begin = time.perf_counter()

    @property
    def whole(self) -> bool:
        """Whether there was something to try, every trial chosen took place or was skipped, and none was lost."""
        suites = self.suites.values()
        complete = all(len(suite.outcomes) == suite.chosen for suite in suites)
        return bool(suites) and complete and not self._unusable and not any(suite.count("lost") for suite in suites)

    def to_repeat(self) -> list[str]:
        """What was lost, a line each: the command that tries it again, and files that could not even be read."""
        lost = [trial for suite in self.suites.values() for trial, found in suite.outcomes.items() if found == "lost"]
        every = f"{EVERY}=1 " if os.environ.get(EVERY) else ""
        lines = [f"lost: {every}python -m pytest -m '' {shlex.quote(trial)}" for trial in lost]
        return [*lines, *(f"cannot be read: {each}" for each in self._unusable)]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self._suite(item).chosen += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(report.longreprtext, flush=True)
            self._unusable.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        suite = self.suites[Path(report.nodeid.split("::")[0]).stem.removeprefix("test_")]
        suite.seconds += report.duration
        known = suite.outcomes.get(report.nodeid)
        if report.failed:
            suite.outcomes[report.nodeid] = "lost"
            print(report.longreprtext[-TOLD:], flush=True)
        elif report.skipped:
            suite.outcomes[report.nodeid] = "skipped"
        elif report.when == "call" and known is None:
            suite.outcomes[report.nodeid] = "survived"
        if report.when == "teardown":
            self._tell(suite, report.nodeid)

    def _suite(self, item: pytest.Item) -> Suite:
        name = item.path.stem.removeprefix("test_")
        if name not in self.suites:
            module = item.getparent(pytest.Module)
            said = (module.obj.__doc__ or "") if module else ""
            self.suites[name] = Suite(name, (said.splitlines() or [name])[0])
        return self.suites[name]

    def _tell(self, suite: Suite, nodeid: str) -> None:
        done = sum(len(each.outcomes) for each in self.suites.values())
        chosen = sum(each.chosen for each in self.suites.values())
        lost = sum(each.count("lost") for each in self.suites.values())
        spent = time.perf_counter() - self._begin
        print(f"{done} of {chosen}, {lost} lost, {spent:.0f} s: {suite.name}: {suite.outcomes[nodeid]}", flush=True)


def as_table(suites: Mapping[str, Suite]) -> str:
    """Tried, survived, lost and skipped, a row for each suite and one for all."""
    rows = [
        (suite.name, *map(str, numbers(suite).values()), f"{suite.seconds:.0f} s", suite.title)
        for suite in suites.values()
    ]
    total = [sum(numbers(suite)[key] for suite in suites.values()) for key in ("tried", "survived", "lost", "skipped")]
    seconds = sum(suite.seconds for suite in suites.values())
    header = ("suite", "tried", "survived", "lost", "skipped", "time", "what")
    return "\n".join(text_table([header, *rows, ("all", *map(str, total), f"{seconds:.0f} s", "")]))


def numbers(suite: Suite) -> dict[str, int]:
    """The counts of a suite."""
    counts = {outcome: suite.count(outcome) for outcome in ("survived", "lost", "skipped")}
    return {"tried": suite.tried, **counts}


def as_json(suites: Mapping[str, Suite], facts: Mapping[str, Any]) -> str:
    """``facts``, and the counts and every trial of each suite."""
    found = [
        {"name": suite.name, "title": suite.title, **numbers(suite), "seconds": round(suite.seconds, 1)}
        | {"trials": suite.outcomes}
        for suite in suites.values()
    ]
    return json.dumps({**facts, "suites": found}, indent=1) + "\n"
