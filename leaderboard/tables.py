"""Which records of an evaluator stand in one table: those of one protocol, measured by code that finds the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bench.storage.agreement import NumberDeviation, conform, deviations, shared, short_digest
from bench.storage.files import canonical
from leaderboard.read import Run

MOST_NAMED = 3  # metrics named of those that a modified code gives otherwise
Conformance = dict[str, float] | None


@dataclass(frozen=True, slots=True)
class ComparableRuns:
    """Runs whose records of one evaluator can be compared.

    Attributes:
        protocol: what all of them share.
        conformance: that of one of them, with which the others' agree; ``None`` where theirs is unknown.
    """

    protocol: Mapping[str, Any]
    conformance: Conformance
    runs: tuple[Run, ...]

    @property
    def code(self) -> str | None:
        """8 hex digits by which a reader tells codes apart; ``None`` where unknown."""
        return None if self.conformance is None else short_digest(self.conformance)


def tables(evaluator: str, runs: Iterable[Run]) -> list[list[ComparableRuns]]:
    """The tables of an evaluator, those of one protocol together, the one that most generators use first.

    A control's record that leaves open how many images were asked for stands in the tables of any number, see
    ``left_open``. Within a protocol, records are told apart by their conformance, see ``representatives``. A record
    without a number stands in the first table of its protocol, for there is nothing to compare.
    """
    found: dict[str, list[Run]] = {}
    protocols: dict[str, dict[str, Any]] = {}
    for run in runs:
        if evaluator in run.scores:
            protocol = shared(run.scores[evaluator].protocol)
            key = canonical(protocol)
            protocols[key] = protocol
            found.setdefault(key, []).append(run)
    hosts = {key: _hosts(protocols[key], protocols) for key in found}
    # of a contender it would be a way into the table of another number of images
    guests = {key: [run for run in own if run.record.control] if hosts[key] else [] for key, own in found.items()}
    members = {key: [run for run in own if not (hosts[key] and run.record.control)] for key, own in found.items()}
    order = sorted((key for key in found if members[key]), key=lambda key: (-_generators(members[key]), key))
    joining = {key: [run for guest in sorted(found) if key in hosts[guest] for run in guests[guest]] for key in order}
    return [_by_code(evaluator, protocols[key], [*members[key], *joining[key]]) for key in order]


def left_open(protocol: Mapping[str, Any]) -> tuple[str, ...]:
    """The purposes of which a protocol says that the number of images need not agree, or that there are none."""
    asked = protocol.get("conditions")
    return tuple(sorted(each for each in asked if asked[each] is None)) if isinstance(asked, Mapping) else ()


def _hosts(own: Mapping[str, Any], protocols: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Keys of the protocols that leave less open than ``own`` and are equal in all that it does not leave open."""
    purposes = left_open(own)

    def agrees(other: Mapping[str, Any]) -> bool:
        asked = other.get("conditions")
        if not isinstance(asked, Mapping) or not {*left_open(other)} < {*purposes} <= asked.keys():
            return False
        return canonical({**other, "conditions": {**asked, **dict.fromkeys(purposes)}}) == canonical(own)

    return {key for key, other in protocols.items() if purposes and agrees(other)}


def _by_code(evaluator: str, protocol: Mapping[str, Any], runs: Sequence[Run]) -> list[ComparableRuns]:
    measured = [run for run in runs if any(score.value is not None for score in run.scores[evaluator].scores)]
    firsts = representatives(evaluator, measured or runs)
    members: list[list[Run]] = [[] for _ in firsts]
    for run in runs:
        own = run.scores[evaluator].conformance
        agreeing = (number for number, first in enumerate(firsts) if conform(first, own))
        members[next(agreeing, 0) if run in measured else 0].append(run)
    return [ComparableRuns(protocol, first, tuple(own)) for first, own in zip(firsts, members, strict=True)]


def representatives(evaluator: str, runs: Sequence[Run]) -> list[Conformance]:
    """A conformance for each different code behind the records of ``runs``, in an order that theirs does not change.

    First come known ones, before unknown; among them the one with which most kinds of controls agree, then the one with
    which most generators agree, then by text. Each in turn joins the first representative that it agrees with, or
    becomes one.
    """
    records = [(run, run.scores[evaluator].conformance) for run in runs]
    different = {canonical(conformance): conformance for _, conformance in records}

    def rank(text: str) -> tuple[bool, int, int, str]:
        own = different[text]
        agreeing = [run for run, each in records if conform(own, each)]
        # kinds, for anybody can name many generators
        controls = {run.record.control for run in agreeing} - {None}
        return own is None, -len(controls), -_generators(agreeing), text

    found: list[Conformance] = []
    for text in sorted(different, key=rank):
        if not any(conform(first, different[text]) for first in found):
            found.append(different[text])
    return found


def _generators(runs: Iterable[Run]) -> int:
    return len({run.record.generator for run in runs})


def codes(runs: Iterable[Run]) -> dict[tuple[str, str], str | None]:
    """8 hex digits of the code of every record, by the place of its run and its evaluator; ``None`` where unknown."""

    def split(run: Run) -> tuple[str, str]:
        return run.record.dataset, run.record.digests.get("split", "unknown")

    found: dict[tuple[str, str], str | None] = {}
    for _, same in groupby(sorted(runs, key=lambda run: (split(run), run.place)), split):
        members = list(same)
        for evaluator in sorted({name for run in members for name in run.scores}):
            for table in (each for own in tables(evaluator, members) for each in own):
                found |= {(run.place, evaluator): _code(table, run.scores[evaluator].conformance) for run in table.runs}
    return found


def _code(table: ComparableRuns, own: Conformance) -> str | None:
    if conform(table.conformance, own):
        return table.code
    return None if own is None else short_digest(own)


def departures(here: Conformance, there: Conformance) -> tuple[NumberDeviation, ...]:
    """The number that moved most, relative to its size, of the three metrics that moved most; none where unknown."""
    if here is None or there is None:
        return ()
    worst: dict[str, NumberDeviation] = {}
    for each in sorted(deviations(there, here), key=lambda each: (-each.relative, each.name)):
        worst.setdefault(each.name.partition("[")[0], each)
    return tuple(worst.values())[:MOST_NAMED]
