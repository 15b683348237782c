"""The settings in which runs of one generator differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from leaderboard.read import Run


def swept_settings(runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
    """By the place of each run, those settings in which the runs of one data set and class of generators differ.

    Settings have the names that the command line gives them; seeds are left out.
    """
    own = {run.place: (run, dict(_flat(run.record.config.get("generator")))) for run in runs}

    def alike(place: str) -> tuple[str, str, str]:
        run, settings = own[place]
        return run.record.dataset, run.record.digests.get("split", ""), str(settings.get("generator._target_"))

    found: dict[str, dict[str, Any]] = {}
    for _, same in groupby(sorted(own, key=alike), alike):
        places = list(same)
        keys = sorted({key for place in places for key in own[place][1] if key.rsplit(".", 1)[-1] != "seed"})
        differ = [key for key in keys if len({shown(own[place][1].get(key)) for place in places}) > 1]
        found |= {place: {key: own[place][1].get(key) for key in differ} for place in places}
    return found


def _flat(value: Any, name: str = "generator") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}")
    else:
        yield name, value


def shown(value: Any) -> str:
    """A setting as text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def common(settings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Settings of the runs of one row as text; ``differs`` where they have other values."""
    every = list(settings)
    found: dict[str, str] = {}
    for key in dict.fromkeys(key for each in every for key in each):
        values = {shown(each[key]) if key in each else "" for each in every}
        found[key] = values.pop() if len(values) == 1 else "differs"
    return found


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all swept settings of ``rows``, in alphabetical order."""
    return sorted({key for row in rows for key in row["settings"]})
