"""What of a request reaches a generator, and so in which groups its images may be judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.api import DatasetInfo, Material, Purpose, Score

MATCHED = 0.95  # of the requests for a group, the least share that must have got an image of it


@dataclass(frozen=True, slots=True)
class Standing:
    """How the generated images of a group stand for that group.

    Attributes:
        refusal: why nothing may be measured in the group.
        note: why what is measured in it is shown and neither ranked nor counted among a generator's groups.
    """

    refusal: str | None = None
    note: str | None = None

    @property
    def ranked(self) -> bool:
        """Whether the generator may be judged by what is measured in the group."""
        return self.refusal is None and self.note is None

    def marked(self, score: Score) -> Score:
        """The score as it is, or with the note, to be shown and not judged."""
        if self.note is None:
            return score
        reason = self.note if score.reason is None else f"{score.reason}; {self.note}"
        return replace(score, ranked=False, reason=reason)


def standing(material: Material, column: str, value: str, purpose: Purpose = "fidelity") -> Standing:
    """Whether the images that were asked for with ``value`` in ``column`` may be measured as images of that group.

    Refused where the generator says that fewer than ``MATCHED`` of these requests got such an image. Noted where the
    generator was not told the column: it is neither among what reached it nor decided by a label that did. Of a
    generator of which ``Material`` says nothing, nothing is held against it.
    """
    share = _share(material.generator, purpose, column, value)
    if share is not None and share < MATCHED:
        got = math.floor(1000 * share) / 10
        return Standing(
            refusal=f"{got}% of the images given for {column}={value} are such images, needed {MATCHED:.0%}"
        )
    known = material.generator.get("told")
    if known is None or column in known or any(_decides(material, name, column) for name in known):
        return Standing()
    unsure = material.generator.get("trained_on") == "unknown"
    why = f"nothing says that the images were made for {column}" if unsure else f"the generator was never told {column}"
    return Standing(note=f"asked for, not a condition: {why}")


def told(info: DatasetInfo, uses: Sequence[str]) -> list[str]:
    """The labels and attributes of a request that reach a generator which ``uses`` these columns.

    A prompt tells what the data set says that its prompts state.
    """
    known = {*uses, *(info.prompted if "prompt" in uses else ())}
    return [name for name in (*(label.name for label in info.labels), *info.attributes) if name in known]


def unread(info: DatasetInfo, uses: Sequence[str]) -> list[str]:
    """The conditions that are asked for but never reach a generator which ``uses`` these columns."""
    known = told(info, uses)
    return [name for name in info.conditions if name not in known]


def _share(generator: Mapping[str, object], *path: str) -> float | None:
    """The share of these requests that got what they asked for; ``None`` where the generator does not say it."""
    found: object = generator.get("facts")
    for name in ("matched", *path):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found if isinstance(found, float | int) else None


def _decides(material: Material, label: str, column: str) -> bool:
    """Whether in all real images each value of ``label`` goes with one value of ``column``, as a level with its class.

    Attributes decide nothing: an age in days would decide everything.
    """
    if label not in (each.name for each in material.split.info.labels):
        return False
    partner: dict[object, str] = {}
    return all(partner.setdefault(value, group) == group for value, group in _pairs(material, label, column))


def _pairs(material: Material, label: str, column: str) -> Iterator[tuple[object, str]]:
    for part in (material.split.test, material.split.train, material.split.holdout):
        yield from zip(part.column(label), part.group(column), strict=True)
