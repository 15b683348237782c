"""The page of a report: self-contained, no script, the same bytes for the same numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from bench.api import DatasetInfo, Images, Metric
from bench.storage.image_reader import encode_png
from bench.validity.damages import DAMAGES, Damage
from bench.validity.response import LIMIT, Over, Response
from bench.validity.stand_in import Picture

SHOWN = 192  # pixels of an example's shorter side, at least


@dataclass(frozen=True)
class Report:
    """What was found on a data set with ``n`` images standing in for synthetic ones against ``real`` test images."""

    info: DatasetInfo
    n: int
    real: int
    draws: int
    metrics: Mapping[str, Metric]
    responses: Sequence[Response]
    damages: Sequence[Damage]

    @property
    def described(self) -> list[str]:
        """Keys of the metrics that are not judged, because they only describe."""
        return [key for key, metric in self.metrics.items() if metric.better == "neither"]

    @property
    def scopes(self) -> list[Over]:
        """Over what anything was measured: all images, and groups."""
        return list(dict.fromkeys(each.over for each in self.responses))

    @property
    def without_effect(self) -> list[Damage]:
        """Damage that changes nothing on this data set."""
        return [each for each in DAMAGES if each not in self.damages]

    @property
    def unmeasured(self) -> list[str]:
        """Keys of the metrics that were refused whatever the damage, over all images."""
        return list(dict.fromkeys(metric for metric, _ in self._refused("all")))

    def _refused(self, over: Over) -> list[tuple[str, str | None]]:
        verdicts: dict[tuple[str, str | None], set[str]] = {}
        for each in self.responses:
            if each.over == over:
                verdicts.setdefault((each.metric, each.encoder), set()).add(each.verdict)
        return [row for row, found in verdicts.items() if found == {"refused"}]

    def rows(self, over: Over) -> dict[tuple[str | None, str], dict[str, Response]]:
        """The responses by damage of every encoder and metric; encoders in the order they came, ``None`` last.

        What is refused whatever the damage has no row.
        """
        rows: dict[tuple[str | None, str], dict[str, Response]] = {}
        refused = self._refused(over)
        for each in sorted(self.responses, key=lambda response: response.encoder is None):
            if each.over == over and (each.metric, each.encoder) not in refused:
                rows.setdefault((each.encoder, each.metric), {})[each.damage] = each
        order = {name: i for i, name in enumerate(dict.fromkeys(encoder for encoder, _ in rows))}
        return dict(sorted(rows.items(), key=lambda item: order[item[0][0]]))


def arrow(metric: Metric) -> str:
    """Where better values lie."""
    return {"lower": "↓", "higher": "↑", "target": f"→ {metric.target}"}[metric.better]


def page(report: Report, maps: Mapping[Over, bytes], examples: Mapping[str, Sequence[Picture]]) -> str:
    """The report as one HTML file; examples are left out where the data set may not be shown."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = (resources.files("bench.validity") / "page.html").read_text(encoding="utf-8")
    shown = {
        name: [(_inline(encode_png(_enlarged(each.image))), each.caption) for each in pictures]
        for name, pictures in examples.items()
    }
    return environment.from_string(template).render(
        report=report,
        maps={over: _inline(picture) for over, picture in maps.items()},
        examples=shown if report.info.redistributable else {},
        limit=LIMIT,
        summaries={over: [_summary(damage, report, over) for damage in report.damages] for over in report.scopes},
        arrow=arrow,
        number=lambda value: "refused" if value is None else f"{value:.3g}".replace("-", "−"),
    )


def _summary(damage: Damage, report: Report, over: Over) -> dict[str, Any]:
    """Which metrics have which verdict on a damage, by encoder."""
    found: dict[str, dict[str, list[str]]] = {"sees": {}, "blind": {}, "fooled": {}, "refused": {}}
    for (encoder, metric), responses in report.rows(over).items():
        found[responses[damage.name].verdict].setdefault(encoder or "pixels", []).append(metric)
    return {"damage": damage, **found}


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _enlarged(image: Images) -> Images:
    times = max(1, -(-SHOWN // min(image.shape)))
    return image.repeat(times, axis=0).repeat(times, axis=1).astype(np.uint8)
