"""Whether two numbers come from the same measure: of one protocol, and by code that finds the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.storage.files import content_key

RELATIVE, ABSOLUTE = 1e-6, 1e-9  # what another machine or library may change in a number


@dataclass(frozen=True, slots=True)
class NumberDeviation:
    """A number by name that two sets give otherwise; ``None`` where one gives none."""

    name: str
    there: float | None
    here: float | None

    @property
    def relative(self) -> float:
        """The difference over the larger of the two sizes, 0-2; 0 where one set gives no number."""
        if self.there is None or self.here is None:
            return 0.0
        return abs(self.here - self.there) / max(abs(self.here), abs(self.there))


def deviations(there: Mapping[str, float], here: Mapping[str, float]) -> list[NumberDeviation]:
    """The numbers, in order, that are not the same to 1e-6 of their size (or 1e-9), or that only one side has."""
    pairs = (NumberDeviation(name, there.get(name), here.get(name)) for name in sorted({*there, *here}))
    return [each for each in pairs if not _same(each.there, each.here)]


def conform(there: Mapping[str, float] | None, here: Mapping[str, float] | None) -> bool:
    """Whether two records' conformance says that they measured the same; unknown agrees with unknown only."""
    if there is None or here is None:
        return there is here
    return not deviations(there, here)


def _same(there: float | None, here: float | None) -> bool:
    if there is None or here is None:
        return False
    return math.isclose(there, here, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def shared(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol less its encoders: one of them more changes no number in the features of another."""
    return {name: value for name, value in protocol.items() if name != "encoders"}


def short_digest(value: Any) -> str:
    """8 hex digits by which a reader tells protocols, encoders or codes apart."""
    return content_key(value)[:8]
