"""One size for all images of a comparison, and what bringing them to it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.api import BenchError
from bench.compare.given import Given, Size
from bench.storage.image_reader import enlargement, size_span

GREATEST = 256  # pixels of the longer side where nothing else is said
LEAST, MOST = 8, 4096  # pixels of a side


def working_size(real: Sequence[Size], asked: Any = None) -> Size:
    """The (height, width) at which images are compared.

    Where none is ``asked`` for, that of most of the ``real`` images, made smaller so that no side is over
    ``GREATEST``; of two sizes that are equally common the larger.

    Args:
        asked: one number for a square, or (height, width).

    Raises:
        BenchError: no size, or a side under ``LEAST`` or over ``MOST``.
    """
    if asked is None:
        counts = Counter(real)
        own = max(counts, key=lambda each: (counts[each], each[0] * each[1], each[0]))
        scale = min(1.0, GREATEST / max(own))
        found = max(1, round(own[0] * scale)), max(1, round(own[1] * scale))
        return _checked(found, "REAL images are too small or too long; give size=")
    sides = (asked, asked) if isinstance(asked, int) else tuple(asked) if isinstance(asked, Sequence) else ()
    if len(sides) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in sides):
        raise BenchError(f"size is {asked!r}, needed one whole number for a square, or (height, width)")
    return _checked((sides[0], sides[1]), "correct size")


def _checked(size: Size, remedy: str) -> Size:
    if not all(LEAST <= side <= MOST for side in size):
        raise BenchError(f"a size of {words(size)} pixels, needed sides of {LEAST} to {MOST}; {remedy}")
    return size


def size_notes(sides: Sequence[Given], size: Size) -> list[str]:
    """What the images' own sizes are, and what became of them; the first sentence is said of every comparison."""
    notes = [f"compared at {words(size)} pixels: {', '.join(_own(side, size) for side in sides)}"]
    factors = {side.side: [enlargement(each, size, "pad") for each in set(side.sizes)] for side in sides}
    if enlarged := {name: max(found) for name, found in factors.items() if max(found) > 1}:
        told = ", ".join(f"{name} up to {factor:.3g} times" for name, factor in enlarged.items())
        notes.append(
            f"images were enlarged ({told}), which shows as blur; size= with the smaller size compares what both have"
        )
    spread = {round(factor, 3) for found in factors.values() for factor in found}
    if len(spread) > 1:
        notes.append(
            f"sizes differ, and all were brought to one: by factors from {min(spread):.3g} to {max(spread):.3g}, so "
            "fine texture is not that of the files"
        )
    return notes


def _own(side: Given, size: Size) -> str:
    low, high = size_span(side.sizes)
    own = words(low) if low == high else f"{words(low)} to {words(high)}"
    padded = sum(_padded(each, size) for each in side.sizes)
    return f"{side.side} {own}" + (f" ({padded} of {len(side)} padded with black)" if padded else "")


def _padded(own: Size, size: Size) -> bool:
    scale = min(new / old for new, old in zip(size, own, strict=True))
    return (max(1, round(own[0] * scale)), max(1, round(own[1] * scale))) != size


def words(size: Size) -> str:
    """``height x width``."""
    return f"{size[0]} x {size[1]}"
