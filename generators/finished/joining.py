"""Which image of a finished set belongs to which request, and what to do where the numbers do not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import get_args

from bench.api import BenchError, Purpose, Request

SHOWN = 5  # entries of a long list that an error message shows


def join(ids: Sequence[str], requests: Sequence[Request], remedy: str) -> dict[str, int]:
    """The row of every request, by its id; images made for a purpose that nothing is asked for now are left out.

    Raises:
        BenchError: an id twice, a request without image, an image without request; ``remedy`` ends the message.
    """
    given = {name: row for row, name in enumerate(ids)}
    if len(given) < len(ids):
        twice = [str(name) for name, count in Counter(ids).items() if count > 1]
        raise BenchError(f"{len(twice)} values of request_id have several images: {some(twice)}; {remedy}")
    asked = {each.request_id for each in requests}
    unasked = {*get_args(Purpose)} - {each.purpose for each in requests}
    missing = sorted(asked - given.keys())
    extra = sorted(name for name in given.keys() - asked if str(name).rpartition("-")[0] not in unasked)
    if missing or extra:
        raise BenchError(
            f"images and requests do not match: {len(missing)} requests have no image ({some(missing)}), {len(extra)} "
            f"images have no request ({some(extra)}); {remedy}"
        )
    return {name: row for name, row in given.items() if name in asked}


def repeating(given: Mapping[str, Hashable], requests: Sequence[Request]) -> list[str]:
    """Requests whose image an earlier request of the same purpose has."""
    seen: set[tuple[str, Hashable]] = set()
    found = []
    for each in requests:
        place = (each.purpose, given[each.request_id])
        if place in seen:
            found.append(each.request_id)
        seen.add(place)
    return found


def fewer(enough: Mapping[Purpose, int]) -> str:
    """The remedies that spoil nothing where there are ``enough`` images for so many requests of each purpose only."""
    limits = " ".join(f"requests.{purpose}={count}" for purpose, count in enough.items() if count)
    purposes = " or ".join(enough)
    without = f"leave out the evaluators that read {purposes} images (evaluator=[...] names those to run)"
    return f"Ask for fewer (at most {limits}), or {without}" if limits else without[0].upper() + without[1:]


def some(items: Sequence[str], shown: int = SHOWN) -> str:
    """The first of a long list, and how many more."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return "; ".join(items[:shown]) + more if items else "none"
