"""The limits of each kind of copies as a picture, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.storage.drawing import as_png, sheet
from bench.storage.picture_changes import TRANSFORMS
from evaluators.privacy.bounds import Limit
from evaluators.privacy.verdict import percent

INK, SOFT, MOST, FOUND, LINE = "#16191d", "#59616c", "#0b4a86", "#a3c8e8", "#d7dbe0"
LEFT, WIDTH, RIGHT, HEIGHT, HEAD = 3.4, 4.2, 2.9, 0.36, 0.95  # inches
TICKS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def limits_picture(limits: Mapping[str, Limit | None]) -> bytes:
    """PNG: a row for each kind of copies; dark up to the upper limit of their share, light up to where all are found.

    Shares above a half are drawn as a half.
    """
    width, height = LEFT + WIDTH + RIGHT, HEAD + HEIGHT * len(limits) + 0.15
    figure, axes = sheet(width, height)
    title = "Copies of training patients among the images: at most (dark), and found from (light)"
    axes.text(0.12, 0.28, title, fontsize=10.5, fontweight="bold", color=INK)
    for tick in TICKS:
        x = _place(tick)
        axes.plot((x, x), (HEAD - 0.08, height - 0.12), color=LINE, linewidth=0.8, zorder=0)
        axes.text(x, 0.75, f"{tick:.0%}", ha="center", va="center", fontsize=9, color=SOFT)
    for row, (kind, limit) in enumerate(limits.items()):
        _row(axes, TRANSFORMS[kind].title, limit, HEAD + (row + 0.5) * HEIGHT)
    return as_png(figure)


def _place(share: float) -> float:
    return LEFT + WIDTH * min(share, TICKS[-1]) / TICKS[-1]


def _row(axes: Any, title: str, limit: Limit | None, middle: float) -> None:
    from matplotlib.patches import Rectangle

    axes.text(LEFT - 0.12, middle, title, ha="right", va="center", fontsize=9.5, color=INK)
    end = _place(TICKS[-1]) + 0.12
    if limit is None:
        axes.text(end, middle, "do not stand out", va="center", fontsize=9, color=SOFT)
        return
    top, tall = middle - 0.32 * HEIGHT, 0.64 * HEIGHT
    reach = TICKS[-1] if limit.found_from is None else limit.found_from
    axes.add_patch(Rectangle((LEFT, top), _place(reach) - LEFT, tall, facecolor=FOUND))
    axes.add_patch(Rectangle((LEFT, top), max(_place(limit.most) - LEFT, 0.01), tall, facecolor=MOST))
    found = "not reliably found" if limit.found_from is None else f"found from {percent(limit.found_from)}"
    axes.text(end, middle, f"at most {percent(limit.most)}, {found}", va="center", fontsize=9, color=INK)
