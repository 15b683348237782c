"""Where two JSON values disagree, for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.storage.files import canonical

_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two values disagree; ``None`` where one has nothing there."""

    path: str
    here: str | None
    there: str | None


def differences(here: Any, there: Any, path: str = "") -> list[Difference]:
    """The places, in order, where two JSON values disagree."""
    if isinstance(here, dict) and isinstance(there, dict):
        inner = [(key, here.get(key, _NOTHING), there.get(key, _NOTHING)) for key in sorted({*here, *there})]
        return [each for key, a, b in inner for each in differences(a, b, f"{path}.{key}" if path else key)]
    if _NOTHING not in (here, there) and canonical(here) == canonical(there):
        return []
    return [Difference(path or "everything", _shown(here), _shown(there))]


def _shown(value: Any) -> str | None:
    if value is _NOTHING:
        return None
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
