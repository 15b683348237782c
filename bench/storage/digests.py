"""Digests in arrays: 32 bytes each, where a text takes four times and a dictionary ten times as much."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from bench.api import Keys

Places = npt.NDArray[np.int64]
STEP = 4096


def text_keys(texts: Iterable[str]) -> Keys:
    """The SHA-256 of each text, ``(N,)``."""
    rest, parts = iter(texts), [np.empty(0, "S32")]
    while block := [hashlib.sha256(text.encode()).digest() for text in islice(rest, STEP)]:
        parts.append(np.frombuffer(b"".join(block), "S32"))
    return np.concatenate(parts)


def hexadecimal(keys: Keys) -> list[str]:
    """Each digest as 64 hex digits."""
    text = keys.tobytes().hex()  # an item by itself would lose its last zero bytes
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def from_hexadecimal(texts: Sequence[str]) -> Keys:
    """The opposite of ``hexadecimal``.

    Raises:
        ValueError: a text is not 64 hex digits.
    """
    if any(len(text) != 64 for text in texts):
        raise ValueError("a digest is 64 hex digits")
    return np.frombuffer(bytes.fromhex("".join(texts)), "S32")


def repeated(keys: Keys) -> Places:
    """Places of those digests that stand there more than once, all of each, ascending."""
    _, kind, count = np.unique(keys, return_inverse=True, return_counts=True)
    return np.flatnonzero(count[kind] > 1)


def first_places(keys: Keys) -> Places:
    """For each digest, the place at which it stands first, ``(N,)``."""
    _, first, kind = np.unique(keys, return_index=True, return_inverse=True)
    return first[kind]


class Numbered:
    """Digests numbered from 0 in the order in which they were added; of two that are equal, the first counts."""

    def __init__(self) -> None:
        self._sorted, self._numbers = np.empty(0, "S32"), np.empty(0, np.int64)
        self._added: list[Keys] = []
        self._count = 0

    def add(self, keys: Keys) -> None:
        self._added.append(keys)

    def find(self, keys: Keys) -> Places:
        """The number of each digest, -1 for one that was not added."""
        self._settle()
        if not len(self._sorted):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._numbers[at], -1)

    def _settle(self) -> None:
        if not self._added:
            return
        new = np.concatenate(self._added)
        every = np.concatenate([self._sorted, new])
        numbers = np.concatenate([self._numbers, np.arange(self._count, self._count + len(new))])
        self._sorted, first = np.unique(every, return_index=True)
        self._numbers = numbers[first]
        self._count += len(new)
        self._added = []
