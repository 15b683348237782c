"""A report in lines and in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.deidentify.finding import Finding, Place, Report

NOTHING = "nothing found by these looks; that does not make the folder free of identifiers"
SHOWN = 5  # places of a finding in the lines; JSON and page have all


def lines(report: Report) -> Iterator[str]:
    """What was looked at, what not, and what a person should look at."""
    yield "looked at:"
    yield from (f"  {each}" for each in report.looked)
    yield "not looked at:"
    yield from (f"  {each}" for each in report.not_looked)
    if not report.something:
        yield NOTHING
        return
    yield "a person should look at:"
    for finding in report.findings:
        yield f"  {finding.look}: {finding.what}; {counted(finding)}"
        yield from _places(finding.places)
    if report.unread:
        yield f"  files that could not be read: {len(report.unread)}"
        yield from (f"    {place}" for place in report.unread)


def counted(finding: Finding) -> str:
    """At how many places in how many files."""
    files = f"{finding.files} file{'' if finding.files == 1 else 's'}"
    return files if finding.files == len(finding.places) else f"{len(finding.places)} places in {files}"


def _places(places: Sequence[Place]) -> Iterator[str]:
    yield from (f"    {place}" for place in places[:SHOWN])
    if len(places) > SHOWN:
        yield f"    and {len(places) - SHOWN:,} more places (all with --json FILE or --html FILE)"


def as_data(report: Report) -> dict[str, Any]:
    """All of it, for a JSON file; pictures are left out."""
    return {
        "files": report.files,
        "looked_at": list(report.looked),
        "not_looked_at": list(report.not_looked),
        "a_person_should_look_at": [
            {
                "look": each.look,
                "what": each.what,
                "files": each.files,
                "places": [_as_data(place) for place in each.places],
            }
            for each in report.findings
        ],
        "could_not_be_read": [_as_data(place) for place in report.unread],
        "said": None if report.something else NOTHING,
    }


def _as_data(place: Place) -> dict[str, Any]:
    return {"file": place.number, "path": place.path, "within": place.within}
