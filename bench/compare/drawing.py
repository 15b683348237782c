"""Small figures as SVG, without a script, the same bytes for the same numbers; colours are left to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from bench.statistics.arrays import Floats

WIDTH, HEIGHT = 360, 170  # of a figure, in units of its own coordinates
LEFT, BOTTOM, TOP = 6, 28, 8
BINS = 30
BAR = 160, 18  # of an interval on its scale


def histogram(sets: Mapping[str, Floats], what: str) -> Markup:
    """The shares of values ``(N,)`` of each set by ``BINS`` bins, as outlines over one axis called ``what``.

    The axis spans all but the outermost 1% of every set, and what lies beyond stands in the last bin on its side.
    """
    low, high = _span(list(sets.values()))
    edges = np.linspace(low, high, BINS + 1)
    shares = {name: np.histogram(values.clip(low, high), edges)[0] / len(values) for name, values in sets.items()}
    top = max(float(each.max()) for each in shares.values())
    outlines = [
        f'<path class="{escape(name)}" d="{_steps(share / top)}"/>' for name, share in shares.items()
    ]  # a set is the class that the page colours
    return _figure(outlines, (low, high), what)


def scatter(sets: Mapping[str, Floats], what: str) -> Markup:
    """Points ``(N, 2)`` of each set, in the order given, on axes of one scale."""
    points = np.concatenate(list(sets.values()))
    middle, reach = (points.min(axis=0) + points.max(axis=0)) / 2, np.ptp(points, axis=0)
    scale = min((WIDTH - 2 * LEFT) / (reach[0] or 1.0), (HEIGHT - BOTTOM - TOP) / (reach[1] or 1.0)) * 0.97
    centre = np.array([WIDTH / 2, (TOP + HEIGHT - BOTTOM) / 2])
    dots = []
    for name, each in sets.items():
        places = (each - middle) * scale * (1, -1) + centre
        circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>' for x, y in places.tolist())
        dots.append(f'<g class="{escape(name)}">{circles}</g>')
    return _figure(dots, None, what)


def interval(value: float, low: float | None, high: float | None, span: tuple[float, float]) -> Markup:
    """A value and its interval as a dot on a bar from ``span[0]`` to ``span[1]``."""
    width, height = BAR
    start, reach = span[0], (span[1] - span[0]) or 1.0

    def place(number: float) -> float:
        return 4 + (width - 8) * min(max((number - start) / reach, 0.0), 1.0)

    parts = [f'<line class="axis" x1="4" x2="{width - 4}" y1="{height / 2}" y2="{height / 2}"/>']
    if low is not None and high is not None:
        parts.append(
            f'<line class="reach" x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{height / 2}" y2="{height / 2}"/>'
        )
    parts.append(f'<circle class="dot" cx="{place(value):.1f}" cy="{height / 2}" r="4"/>')
    return Markup(f'<svg class="bar" viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>')


def _span(values: Sequence[Floats]) -> tuple[float, float]:
    low = min(float(np.quantile(each, 0.005)) for each in values)
    high = max(float(np.quantile(each, 0.995)) for each in values)
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _steps(heights: Floats) -> str:
    """The outline of bars of heights 0 to 1."""
    base, full = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    edges = np.linspace(LEFT, WIDTH - LEFT, len(heights) + 1)
    path = [f"M{edges[0]:.1f} {base}"]
    for left, right, height in zip(edges, edges[1:], heights.tolist(), strict=False):
        path.append(f"L{left:.1f} {base - full * height:.1f}L{right:.1f} {base - full * height:.1f}")
    return "".join([*path, f"L{edges[-1]:.1f} {base}"])


def _figure(parts: Sequence[str], span: tuple[float, float] | None, what: str) -> Markup:
    base = HEIGHT - BOTTOM
    axis = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{base}" y2="{base}"/>' if span else ""
    ends = ""
    if span:
        first, last = (f"{number:.3g}".replace("-", "−") for number in span)
        ends = f'<text x="{LEFT}" y="{HEIGHT - 12}">{first}</text>'
        ends += f'<text x="{WIDTH - LEFT}" y="{HEIGHT - 12}" text-anchor="end">{last}</text>'
    title = f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(what)}</text>'
    drawn = "".join(parts)
    return Markup(
        f'<svg class="figure" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(what)}">'
        f"{axis}{drawn}{ends}{title}</svg>"
    )
