"""Progress of long work, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

Item = TypeVar("Item")


def meter(label: str, *, total: int | None = None, unit: str = "it") -> Any:
    """A tqdm bar to ``update(n)``; off a terminal it prints a line every ten seconds instead."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    pace = {"mininterval": 0.2, "delay": 0.5} if shown else {"mininterval": 10.0, "delay": 10.0}
    return tqdm(desc=label, total=total, unit=unit, dynamic_ncols=shown, leave=False, **pace)


def track(items: Iterable[Item], label: str, *, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Iterate with a bar and a rate."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with meter(label, total=total, unit=unit) as bar:
        for item in items:
            yield item
            bar.update()
