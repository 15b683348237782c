"""Drawings in inches as PNG, the same bytes for the same drawing."""

from __future__ import annotations

import io
from typing import Any


def sheet(width: float, height: float) -> tuple[Any, Any]:
    """A white figure of ``width`` x ``height`` inches, and axes over all of it: x to the right, y down from the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure, axes


def as_png(figure: Any) -> bytes:
    """PNG that says neither when nor with what it was made."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
