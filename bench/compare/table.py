"""A comparison for people and programs: a pandas table, JSON, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Unpack

from pydantic import Field

from bench.api import Metric, Score
from bench.storage.record import MetricRow, ScoreRow, Strict
from bench.storage.text_table import ARROWS, text_table

if TYPE_CHECKING:
    import pandas

    from bench.compare.comparison import Comparison
    from bench.compare.measure import Options

COLUMNS = ("encoder", "metric", "value", "low", "high", "n", "better", "title", "reason")
LEGEND = "↓ lower is better    ↑ higher is better    → nearer to the target is better"


class Document(Strict):
    """What ``--json`` writes.

    Attributes:
        scores: over all images; ``value`` is ``null`` where a metric was refused, for the ``reason`` beside it.
        metrics: what the numbers mean.
        notes: what belongs beside the numbers, in sentences.
        protocol: all that decides a number, with a ``digest`` of it.
        seconds: how long reading and measuring took.
    """

    schema_: Literal["compare/1"] = Field(alias="schema")
    scores: list[ScoreRow]
    metrics: list[MetricRow]
    notes: list[str]
    protocol: dict[str, Any]
    seconds: float = Field(ge=0)


def compare(
    real: Any, fake: Any, train: Any = None, encoders: Sequence[str] | None = None, **options: Unpack[Options]
) -> pandas.DataFrame:
    """How a set of synthetic images differs from a set of real ones: a row for each metric and encoder.

    Images are brought to one size, go through ``encoders``, and are judged by the evaluators of ``conf/compare.yaml``.
    The same seed gives the same numbers whatever the images are called and in whichever order they come. A number
    stands in no column with those of a leaderboard: there everybody is judged on one split.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> real, fake = (rng.normal(mean, 20, (60, 32, 32)).clip(0, 255).astype(np.uint8) for mean in (110, 140))
    >>> table = compare(real, fake, encoders=("radiomics",))
    >>> kid = table[table.metric == "kid"].iloc[0]
    >>> bool(0 < kid.low < kid.value < kid.high), kid.better, int(kid.n)
    (True, 'lower', 60)
    >>> table.attrs["notes"][0]
    'compared at 32 x 32 pixels: REAL 32 x 32, FAKE 32 x 32'

    Args:
        real: the path of a folder of images (png, jpeg, tiff, dcm), of parquet files or of NIfTI volumes; a list of
            paths; or an array ``(N, H, W)`` of uint8, grey levels 0 to 255.
        fake: the same.
        train: the same, of images that the generator learned from.
        encoders: names of the files in ``conf/encoder/``; by default those of ``conf/compare.yaml``.
        options: size, seed, patients, window, settings and config_dir, see ``bench.compare.measure.Options``.

    Returns:
        Columns encoder (empty where images are compared as they are), metric, value, low and high (the 95% interval),
        n (images of the smaller side), better (``lower``, ``higher``, ``target`` or ``neither``), title, and reason,
        which says why there is no value or no interval. ``attrs["notes"]`` are sentences to read first,
        ``attrs["protocol"]`` all that decides a number.

    Raises:
        bench.api.BenchError: images, settings or patients that are not as needed.
    """
    from bench.compare.measure import comparison

    return frame(comparison(real, fake, train, encoders, **options))


def frame(found: Comparison) -> pandas.DataFrame:
    """The table that ``compare`` returns."""
    import pandas

    rows = [
        (
            *(score.encoder or "", score.metric, score.value, score.low, score.high, score.n),
            *(found.metrics[score.metric].better, found.metrics[score.metric].title, score.reason or ""),
        )
        for score in found.scores
    ]
    table = pandas.DataFrame(rows, columns=list(COLUMNS))
    table = table.astype(dict.fromkeys(("value", "low", "high"), "float64"))
    table.attrs = {"notes": list(found.notes), "protocol": dict(found.protocol)}
    return table


def document(found: Comparison) -> Document:
    """The comparison as ``--json`` writes it."""
    from bench.pipeline.evaluation import metric_row

    return Document(
        schema="compare/1",
        scores=[ScoreRow(**asdict(score)) for score in found.scores],
        metrics=[metric_row(metric) for metric in found.metrics.values()],
        notes=list(found.notes),
        protocol=dict(found.protocol),
        seconds=found.seconds,
    )


def printed(found: Comparison, every: bool = False) -> str:
    """A line for each headline metric and encoder, for each metric with ``every``; notes and refusals below."""
    shown = [score for score in found.scores if every or found.metrics[score.metric].role == "headline"]
    measured = [_cells(found.metrics[score.metric], score) for score in shown if score.value is not None]
    lines = text_table([("metric", "value", "95% interval", "n", "encoder", ""), *measured]) if measured else []
    lines += [LEGEND, ""] if measured else []
    lines += [f"- {note}" for note in found.notes]
    lines += [f"- refused: {line}" for line in _reasons(score for score in shown if score.value is None)]
    without = (score for score in shown if score.value is not None and score.low is None)
    lines += [f"- no interval: {line}" for line in _reasons(without)]
    left = len(found.scores) - len(shown)
    lines += [f"{left} more scores and reasons: --all, or --json FILE"] if left else []
    lines.append(f"{found.protocol['kind']} {found.protocol['digest']}, {found.seconds:.0f} s")
    return "\n".join(lines)


def _cells(metric: Metric, score: Score) -> tuple[str, ...]:
    interval = "" if score.low is None or score.high is None else f"{score.low:.4g} to {score.high:.4g}"
    value = score.words or f"{score.value:.4g}"
    name = f"{metric.key} {ARROWS[metric.better]}".rstrip()
    return name, value, interval, str(score.n), score.encoder or "", metric.title


def _reasons(scores: Iterable[Score]) -> list[str]:
    """One line for each reason, with the scores it holds for."""
    said: dict[str, list[str]] = {}
    for score in scores:
        where = f" in {score.encoder}" if score.encoder else ""
        said.setdefault(str(score.reason), []).append(f"{score.metric}{where}")
    return [f"{', '.join(names)}: {reason}" for reason, names in said.items()]
