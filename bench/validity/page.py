"""The picture and the page of a report: self-contained, no script, the same bytes for the same numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from bench.api import DatasetInfo, Images, Metric
from bench.storage.image_reader import encode_png
from bench.validity.measure import DAMAGES, Damage
from bench.validity.response import LIMIT, Response

SEEN = ("#0b4a86", "#2f74b5", "#6aa3d5", "#a3c8e8", "#d3e5f5")  # seen from grade 1, ..., 5
FOOLED, BLIND, REFUSED, INK, SOFT = "#d9541e", "#e6e8eb", "#ffffff", "#16191d", "#59616c"
SHOWN = 96  # pixels of an example's side, at least


@dataclass(frozen=True)
class Report:
    """What was found on a data set with ``n`` images standing in for synthetic ones against ``real`` test images."""

    info: DatasetInfo
    n: int
    real: int
    draws: int
    metrics: Mapping[str, Metric]
    responses: Sequence[Response]

    @property
    def described(self) -> list[str]:
        """Keys of the metrics that are not judged, because they only describe."""
        return [key for key, metric in self.metrics.items() if metric.better == "neither"]

    def rows(self) -> dict[tuple[str | None, str], dict[str, Response]]:
        """The responses by damage of every encoder and metric; encoders in the order they came, ``None`` last."""
        rows: dict[tuple[str | None, str], dict[str, Response]] = {}
        for each in sorted(self.responses, key=lambda response: response.encoder is None):
            rows.setdefault((each.encoder, each.metric), {})[each.damage] = each
        order = {name: i for i, name in enumerate(dict.fromkeys(encoder for encoder, _ in rows))}
        return dict(sorted(rows.items(), key=lambda item: order[item[0][0]]))


def heat_map(report: Report) -> bytes:
    """The verdicts as PNG: a row for each encoder and metric, a column for each damage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = report.rows()
    height = 0.42 * len(rows) + 0.28 * len({encoder for encoder, _ in rows}) + 1.75
    figure = Figure(figsize=(11.5, height), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 11.5)
    axes.set_ylim(height, 0)
    _legend(axes)
    left, width, top = 2.55, 1.25, 1.35
    for column, damage in enumerate(DAMAGES):
        title = damage.title.replace(" of ", "\nof ").replace("groups ", "groups\n").replace("images ", "images\n")
        place = left + (column + 0.5) * width
        axes.text(place, top - 0.08, title, ha="center", va="bottom", fontsize=9.5, color=INK, fontweight="bold")
    before: object = object()
    for (encoder, metric), responses in rows.items():
        if encoder != before:
            axes.text(0.15, top + 0.19, encoder or "pixels", fontsize=9.5, color=SOFT, va="center", style="italic")
            axes.plot((0.15, left + width * len(DAMAGES)), (top + 0.02,) * 2, color="#aab1bb", linewidth=0.8)
            top, before = top + 0.28, encoder
        axes.text(
            left - 0.12, top + 0.21, f"{metric} {_arrow(report.metrics[metric])}", ha="right", va="center", fontsize=10
        )
        for column, damage in enumerate(DAMAGES):
            _cell(axes, responses[damage.name], (left + column * width, top), (width, 0.42))
        top += 0.42
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _legend(axes: Any) -> None:
    from matplotlib.patches import Rectangle

    items = [(colour, f"sees it from grade {i + 1}") for i, colour in enumerate(SEEN)]
    items[1:] = [(colour, f"{i + 2}") for i, colour in enumerate(SEEN[1:])]
    items += [(BLIND, "blind"), (FOOLED, "fooled: calls it better")]
    place = 3.1
    for colour, text in items:
        axes.add_patch(Rectangle((place, 0.22), 0.28, 0.2, facecolor=colour, edgecolor="none"))
        axes.text(place + 0.34, 0.33, text, va="center", fontsize=9, color=SOFT)
        place += 0.56 + 0.068 * len(text)
    axes.text(0.15, 0.33, "Does the metric see the damage?", va="center", fontsize=9.5, fontweight="bold", color=INK)


def _cell(axes: Any, response: Response, corner: tuple[float, float], size: tuple[float, float]) -> None:
    from matplotlib.patches import Rectangle

    colour, text, ink = _look(response)
    (x, y), (width, height) = corner, size
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=1.6))
    axes.text(x + width / 2, y + height * 0.36, text, ha="center", va="center", fontsize=9, color=ink)
    if response.spearman is not None:
        correlation = f"ρ {response.spearman:+.2f}".replace("-", "−")
        axes.text(x + width / 2, y + height * 0.74, correlation, ha="center", va="center", fontsize=7, color=ink)


def _look(response: Response) -> tuple[str, str, str]:
    """Colour of the cell, its words, colour of the words."""
    if response.verdict == "sees":
        assert response.first is not None
        colour = SEEN[response.first - 1]
        return colour, f"from grade {response.first}", "#ffffff" if response.first <= 2 else INK
    if response.verdict == "fooled":
        return FOOLED, "fooled", "#ffffff"
    return (BLIND, "blind", SOFT) if response.verdict == "blind" else (REFUSED, "refused", SOFT)


def _arrow(metric: Metric) -> str:
    return {"lower": "↓", "higher": "↑", "target": f"→ {metric.target}"}[metric.better]


def page(report: Report, picture: bytes, examples: Mapping[str, Images]) -> str:
    """The report as one HTML file; examples are left out where the data set may not be shown."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = (resources.files("bench.validity") / "page.html").read_text(encoding="utf-8")
    shown = {name: [_inline(encode_png(_enlarged(image))) for image in images] for name, images in examples.items()}
    return environment.from_string(template).render(
        report=report,
        picture=_inline(picture),
        examples=shown if report.info.redistributable else {},
        damages=DAMAGES,
        limit=LIMIT,
        summary=[_summary(damage, report) for damage in DAMAGES],
        arrow=_arrow,
        number=lambda value: "refused" if value is None else f"{value:.3g}".replace("-", "−"),
    )


def _summary(damage: Damage, report: Report) -> dict[str, Any]:
    """Which metrics, with their encoders, have which verdict on a damage."""
    found: dict[str, dict[str, list[str]]] = {"sees": {}, "blind": {}, "fooled": {}, "refused": {}}
    for (encoder, metric), responses in report.rows().items():
        found[responses[damage.name].verdict].setdefault(metric, []).append(encoder or "pixels")
    return {"damage": damage, **found}


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _enlarged(image: Images) -> Images:
    times = max(1, -(-SHOWN // min(image.shape)))
    return image.repeat(times, axis=0).repeat(times, axis=1).astype(np.uint8)
