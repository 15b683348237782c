"""The verdicts of a report as a picture, the same bytes for the same numbers."""

from __future__ import annotations

from typing import Any

from bench.storage.drawing import as_png, sheet
from bench.validity.page import Report, arrow
from bench.validity.response import Over, Response

SEEN = ("#0b4a86", "#2f74b5", "#6aa3d5", "#a3c8e8", "#d3e5f5")  # seen from grade 1, ..., 5
FOOLED, BLIND, REFUSED, INK, SOFT = "#d9541e", "#e6e8eb", "#ffffff", "#16191d", "#59616c"
LEFT, WIDTH, HEIGHT, HEAD = 2.5, 0.55, 0.36, 1.95  # inches: first column, a cell, and what is above the first row
GAP, OVERHANG = 0.3, 1.0  # inches: the name of an encoder, the last title


def heat_map(report: Report, over: Over) -> bytes:
    """PNG: a row for each encoder and metric measured over all images or groups, a column for each damage."""
    rows = report.rows(over)
    height = HEAD + HEIGHT * len(rows) + GAP * len({encoder for encoder, _ in rows}) + 0.1
    width = LEFT + WIDTH * len(report.damages) + OVERHANG
    figure, axes = sheet(width, height)
    _legend(axes)
    for column, damage in enumerate(report.damages):
        place: dict[str, Any] = {"rotation": 40, "rotation_mode": "anchor", "ha": "left", "va": "bottom"}
        axes.text(LEFT + (column + 0.45) * WIDTH, HEAD - 0.08, damage.title, fontsize=9.5, color=INK, **place)
    top, before = HEAD, object()
    for (encoder, metric), responses in rows.items():
        if encoder != before:
            axes.text(0.12, top + 0.18, encoder or "pixels", fontsize=9.5, color=SOFT, va="center", style="italic")
            axes.plot((0.12, width - OVERHANG), (top + 0.02,) * 2, color="#aab1bb", linewidth=0.8)
            top, before = top + GAP, encoder
        title = f"{metric} {arrow(report.metrics[metric])}"
        axes.text(LEFT - 0.1, top + HEIGHT / 2, title, ha="right", va="center", fontsize=10)
        for column, damage in enumerate(report.damages):
            _cell(axes, responses[damage.name], LEFT + column * WIDTH, top)
        top += HEIGHT
    return as_png(figure)


def _legend(axes: Any) -> None:
    from matplotlib.patches import Rectangle

    items = [(colour, f"{i + 1}") for i, colour in enumerate(SEEN)]
    items += [(BLIND, "blind"), (FOOLED, "fooled: calls it better"), (REFUSED, "refused")]
    axes.text(0.12, 0.26, "Sees the damage from grade", va="center", fontsize=9.5, fontweight="bold", color=INK)
    place = 2.45
    for colour, text in items:
        axes.add_patch(Rectangle((place, 0.16), 0.28, 0.2, facecolor=colour, edgecolor="#aab1bb", linewidth=0.5))
        axes.text(place + 0.34, 0.26, text, va="center", fontsize=9, color=SOFT)
        place += 0.52 + 0.068 * len(text)


def _cell(axes: Any, response: Response, x: float, y: float) -> None:
    from matplotlib.patches import Rectangle

    colour, text, ink = _look(response)
    axes.add_patch(Rectangle((x, y), WIDTH, HEIGHT, facecolor=colour, edgecolor="white", linewidth=1.6))
    both = response.spearman is not None
    axes.text(
        x + WIDTH / 2, y + HEIGHT * (0.34 if both else 0.5), text, ha="center", va="center", fontsize=8.5, color=ink
    )
    if both:
        correlation = f"{response.spearman:+.2f}".replace("-", "−")
        axes.text(x + WIDTH / 2, y + HEIGHT * 0.74, correlation, ha="center", va="center", fontsize=6.5, color=ink)


def _look(response: Response) -> tuple[str, str, str]:
    """Colour of the cell, its words, colour of the words."""
    if response.verdict == "sees":
        assert response.first is not None
        return SEEN[response.first - 1], str(response.first), "#ffffff" if response.first <= 2 else INK
    if response.verdict == "fooled":
        return FOOLED, "fooled", "#ffffff"
    return (BLIND, "blind", SOFT) if response.verdict == "blind" else (REFUSED, "refused", SOFT)
