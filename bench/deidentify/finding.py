"""What a look found and where; a value is told only by its first letter and its length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 4  # characters a value has at least whose first letter is told


@dataclass(frozen=True, slots=True)
class Place:
    """A file by its number in the sorted list of paths, its path with what looks like an identifier masked, and more.

    ``within`` says where in the file, or what of the value may be told.
    """

    number: int
    path: str
    within: str = ""

    def __str__(self) -> str:
        return f"file {self.number} {self.path}" + (f": {self.within}" if self.within else "")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing at one place; ``picture`` is a PNG file of it where one may be shown."""

    look: str
    what: str
    place: Place
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """The same thing at all its places, in the order of the files."""

    look: str
    what: str
    places: tuple[Place, ...]
    pictures: tuple[bytes, ...] = ()

    @property
    def files(self) -> int:
        """In how many files it was seen."""
        return len({place.number for place in self.places})


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found, what was looked at and what was not, in sentences, and the files that could not be read."""

    files: int
    looked: tuple[str, ...]
    not_looked: tuple[str, ...]
    findings: tuple[Finding, ...]
    unread: tuple[Place, ...]

    @property
    def something(self) -> bool:
        """Whether there is anything a person should look at."""
        return bool(self.findings or self.unread)


def masked(value: str) -> str:
    """The first letter and the length of a value, only the length of a short one."""
    length = len(value)
    first = value[0] if length >= SHOWN and value[0].isprintable() else ""
    return f"{first}… ({length} character{'' if length == 1 else 's'})"


def gathered(sightings: Iterable[Sighting]) -> tuple[Finding, ...]:
    """One finding for each look and thing, in the order in which they were first seen."""
    groups: dict[tuple[str, str], list[Sighting]] = {}
    for each in sightings:
        groups.setdefault((each.look, each.what), []).append(each)
    return tuple(
        Finding(
            look,
            what,
            tuple(each.place for each in group),
            tuple(each.picture for each in group if each.picture is not None),
        )
        for (look, what), group in groups.items()
    )
