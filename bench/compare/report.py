"""The page of a comparison: pictures, neighbours, distributions, every number; self-contained, for print too."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from bench.api import BenchError, ImageSet, Metric, Refused, Score
from bench.compare.comparison import Comparison
from bench.compare.drawing import histogram, interval, scatter
from bench.compare.likeness import RARE, Likeness, Neighbours, brightness, likeness, neighbours, on_one_scale
from bench.statistics.arrays import Indices
from bench.statistics.resampling import hashed_order
from bench.storage.files import as_json, write_atomic
from bench.storage.image_reader import encode_png, resize
from bench.storage.text_table import ARROWS

SHOWN = 24  # images of each set
PAIRS = 6  # of each kind of pair
SIDE = 160  # pixels of a shown picture's longer side, at most
DOTS = 1_000  # images of each set in the map


@dataclass(frozen=True)
class Picture:
    """An image as the page shows it: its file as a data address, and what stands under it."""

    source: str
    caption: str


@dataclass(frozen=True)
class Pairs:
    """Images and their nearest neighbours, side by side: of each pair the image, the neighbour, and how far."""

    title: str
    told: str
    pairs: Sequence[tuple[Picture, Picture, str]]


@dataclass(frozen=True)
class Row:
    """A score as the page shows it."""

    metric: Metric
    score: Score
    bar: Markup

    @property
    def arrow(self) -> str:
        """Where better values lie."""
        return f"→ {self.metric.target:g}" if self.metric.target is not None else ARROWS[self.metric.better]


def write(comparison: Comparison, path: Path, pictures: bool = True) -> None:
    """The page as ``path``, whole or not at all; ``pictures=False`` leaves every image out.

    Raises:
        BenchError: ``path`` is a folder, or its folder does not exist.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise BenchError(f"{path}: needed the name of a file in a folder that exists, for example report.html")
    write_atomic(path, page(comparison, pictures).encode())


def page(comparison: Comparison, pictures: bool = True) -> str:
    """The comparison as one HTML file without a script, the same bytes for the same images and numbers."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "interval": _interval}
    template = (resources.files("bench.compare") / "page.html").read_text(encoding="utf-8")
    judge = _judge(comparison)
    found = _likeness(comparison, judge) if judge else None
    return environment.from_string(template).render(
        comparison=comparison,
        headline=_rows(comparison, ("headline",)),
        others=_rows(comparison, ("scores",)),
        described=_rows(comparison, ("describes", "ceiling")),
        refused=_refused(comparison),
        sheets=_sheets(comparison) if pictures else {},
        pairs=_pairs(comparison, judge, found) if pictures and judge and found else [],
        figures=_figures(comparison, found),
        judge=judge,
        usual=found.usual if found else None,
        crowded=found.crowded if found else None,
        rare=RARE,
        protocol=as_json(comparison.protocol).decode(),
    )


def _judge(comparison: Comparison) -> str | None:
    """The encoder in whose features pictures are compared: the first in which a headline metric was measured."""
    for score in comparison.scores:
        if score.encoder and score.value is not None and comparison.metrics[score.metric].role == "headline":
            return score.encoder
    return None


def _likeness(comparison: Comparison, name: str) -> Likeness | None:
    if len(comparison.real) < 2:
        return None
    rows = [comparison.rows(name, images) for images in (comparison.real, comparison.fake)]
    try:
        return likeness(rows[0], rows[1], comparison.encoders[name].column_units, comparison.real.patients)
    except Refused:
        return None


def _rows(comparison: Comparison, roles: Sequence[str]) -> dict[str, list[Row]]:
    """What was measured of metrics of some roles, by encoder; the empty name stands for the images themselves."""
    found: dict[str, list[Row]] = {}
    for score in comparison.scores:
        metric = comparison.metrics[score.metric]
        if metric.role in roles and score.value is not None:
            span = _span(metric, [each for each in comparison.scores if each.metric == score.metric])
            bar = interval(score.value, score.low, score.high, span)
            found.setdefault(score.encoder or "", []).append(Row(metric, score, bar))
    return found


def _span(metric: Metric, scores: Sequence[Score]) -> tuple[float, float]:
    """The ends of a metric's bar: its range where that is finite, else from 0 to what any encoder found."""
    low, high = metric.bounds
    ends = [end for each in scores for end in (each.low, each.value, each.high) if end is not None]
    return min(low if math.isfinite(low) else 0.0, *ends), high if math.isfinite(high) else max(0.0, *ends)


def _refused(comparison: Comparison) -> Mapping[str, list[str]]:
    """What was not measured, by reason."""
    found: dict[str, list[str]] = {}
    for score in comparison.scores:
        if score.value is None:
            title = comparison.metrics[score.metric].title
            found.setdefault(score.reason or "", []).append(f"{title} ({score.encoder})" if score.encoder else title)
    return found


def _sheets(comparison: Comparison) -> dict[str, list[Picture]]:
    """Some images of each set, chosen by the hash of their names and so neither the best nor the worst."""
    sets = {"Real": comparison.real, "Synthetic": comparison.fake}
    return {name: _pictures(images, hashed_order(images.ids)[:SHOWN]) for name, images in sets.items()}


def _pictures(images: ImageSet, places: Indices) -> list[Picture]:
    names = images.select(places).ids
    return [Picture(_source(images, place), name) for place, name in zip(places.tolist(), names, strict=True)]


def _source(images: ImageSet, place: int) -> str:
    pixels = images.pixels([place])[0]
    height, width = pixels.shape
    if max(height, width) > SIDE:
        share = SIDE / max(height, width)
        pixels = resize(pixels, (max(1, round(height * share)), max(1, round(width * share))), "pad")
    return f"data:image/png;base64,{base64.b64encode(encode_png(pixels)).decode()}"


def _pairs(comparison: Comparison, judge: str, found: Likeness) -> list[Pairs]:
    real, fake = comparison.real, comparison.fake
    kinds = [
        Pairs(
            "Closest to a real image",
            "Synthetic images with the smallest distance to a real one, which is on the right. A copy would be here.",
            _side_by_side((fake, real), found.to_real, found.to_real.smallest(PAIRS), found.usual),
        ),
        Pairs(
            "Unlike any real image",
            "Synthetic images with the largest distance to the nearest real one, which stands on the right.",
            _side_by_side((fake, real), found.to_real, found.to_real.largest(PAIRS), found.usual),
        ),
        Pairs(
            "Real images without a likeness",
            "Real images with the largest distance to the nearest synthetic one, which stands on the right: "
            "what the set may be missing.",
            _side_by_side((real, fake), found.to_fake, found.to_fake.largest(PAIRS), found.usual),
        ),
    ]
    return [*_learned(comparison, judge, found.usual), *kinds]


def _learned(comparison: Comparison, judge: str, usual: float) -> list[Pairs]:
    """The synthetic images nearest to one that was learned from, where these were given."""
    train, fake = comparison.train, comparison.fake
    if train is None or len(train) < 2:
        return []
    rows = comparison.rows(judge, train), comparison.rows(judge, fake)
    try:
        learned, made = on_one_scale(*rows, comparison.encoders[judge].column_units)
    except Refused:
        return []
    near = neighbours(made, learned)
    told = (
        "Synthetic images with the smallest distance to one of TRAIN, which stands on the right. A copy would be here."
    )
    return [Pairs("Closest to a training image", told, _side_by_side((fake, train), near, near.smallest(PAIRS), usual))]


def _side_by_side(
    sets: tuple[ImageSet, ImageSet], near: Neighbours, places: Indices, usual: float
) -> list[tuple[Picture, Picture, str]]:
    others = near.place[places]
    shown = zip(_pictures(sets[0], places), _pictures(sets[1], others), near.distance[places].tolist(), strict=True)
    return [(one, other, _times(distance, usual)) for one, other, distance in shown]


def _times(distance: float, usual: float) -> str:
    if distance == 0:
        return "no distance"
    return f"{distance / usual:.2f} times the usual distance" if usual > 0 else f"distance {distance:.3g}"


def _figures(comparison: Comparison, found: Likeness | None) -> list[tuple[Markup, str]]:
    """Each figure with the sentence under it."""
    ours, theirs = brightness(comparison.real), brightness(comparison.fake)
    figures = [
        (histogram({"real": ours[0], "fake": theirs[0]}, "mean grey level"), "How bright the images are as a whole."),
        (
            histogram({"real": ours[1], "fake": theirs[1]}, "standard deviation of grey levels"),
            "How much contrast they have.",
        ),
    ]
    if found is None:
        return figures
    if len(found.known):
        figures.append(
            (
                histogram({"real": found.known, "fake": found.to_real.distance}, "distance to the nearest real image"),
                "Of every synthetic image, and of every real one to the nearest of another patient. Further left than "
                "the real ones speaks of copies, further right of images that are no likeness.",
            )
        )
    first, second, share = found.plane()
    some = [
        each[hashed_order(images.ids)[:DOTS]] for each, images in ((first, comparison.real), (second, comparison.fake))
    ]
    figures.append(
        (
            scatter({"real": some[0], "fake": some[1]}, "first two principal axes of the real images"),
            f"A map: these two axes hold {share:.0%} of the variance of the real images"
            + (f"; {DOTS:,} of each set are drawn." if max(len(first), len(second)) > DOTS else "."),
        )
    )
    return figures


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _interval(score: Score) -> str:
    return "" if score.low is None else f"{_number(score.low)} to {_number(score.high)}"
