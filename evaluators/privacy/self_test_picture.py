"""In how many splits planted copies are found, as a picture, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.storage.drawing import as_png, sheet
from bench.storage.picture_changes import TRANSFORMS

INK, SOFT, EDGE = "#16191d", "#59616c", "#ffffff"
LEFT, WIDTH, HEIGHT, HEAD = 3.4, 0.8, 0.36, 0.95  # inches


def self_test_picture(found: Mapping[tuple[str, float], float]) -> bytes:
    """PNG: a row for each kind of copies, a column for each planted share, in each cell the share of splits."""
    kinds = [kind for kind in dict.fromkeys(kind for kind, _ in found) if kind in TRANSFORMS]
    shares = sorted({share for kind, share in found if kind in TRANSFORMS})
    width, height = LEFT + WIDTH * len(shares) + 0.2, HEAD + HEIGHT * len(kinds) + 0.15
    figure, axes = sheet(width, height)
    axes.text(0.12, 0.28, "Share of splits in which a leak is found", fontsize=10.5, fontweight="bold", color=INK)
    axes.text(LEFT - 0.12, 0.75, "copies among the images", ha="right", va="center", fontsize=9.5, color=SOFT)
    for column, share in enumerate(shares):
        place = LEFT + (column + 0.5) * WIDTH
        axes.text(place, 0.75, f"{100 * share:g}%", ha="center", va="center", fontsize=9.5, color=INK)
    for row, kind in enumerate(kinds):
        top = HEAD + row * HEIGHT
        axes.text(LEFT - 0.12, top + HEIGHT / 2, TRANSFORMS[kind].title, ha="right", va="center", fontsize=9.5)
        for column, share in enumerate(shares):
            _cell(axes, found[kind, share], LEFT + column * WIDTH, top)
    return as_png(figure)


def _cell(axes: Any, value: float, x: float, y: float) -> None:
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    strong, weak = (11, 74, 134), (241, 243, 246)
    colour = to_hex([(b + (a - b) * value) / 255 for a, b in zip(strong, weak, strict=True)])
    axes.add_patch(Rectangle((x, y), WIDTH, HEIGHT, facecolor=colour, edgecolor=EDGE, linewidth=1.6))
    ink = "#ffffff" if value > 0.5 else INK
    axes.text(x + WIDTH / 2, y + HEIGHT / 2, f"{value:.0%}", ha="center", va="center", fontsize=9, color=ink)
