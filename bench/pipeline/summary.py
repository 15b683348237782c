"""What a run prints last: a short table of scores and where everything is."""

from __future__ import annotations

from collections.abc import Sequence

from bench.pipeline.run import Outcome
from bench.storage.record import MetricRow, Record, ScoreRow, sizes_words
from bench.storage.text_table import ARROWS, text_table


def summary(outcome: Outcome) -> str:
    """Scores over all images of every evaluator, refusals and failures with their reason, the folder last."""
    lines: list[str] = []
    for name, record in outcome.records.items():
        lines += [f"\n{name} ({record.status})", *_body(record)]
    encoded = ", ".join(f"{name} {count}" for name, count in outcome.encoded.items()) or "none, all features found"
    judged = sizes_words(outcome.record.sizes)
    lines += ["", *([f"images judged at {judged}"] if judged else []), f"images encoded: {encoded}"]
    lines.append(str(outcome.folder))
    return "\n".join(lines)


def _body(record: Record) -> list[str]:
    if record.status == "refused":
        return [f"  {record.reason}"]
    if record.error is not None:
        return [f"  {record.error.type}: {record.error.message}"]
    metrics = {metric.key: metric for metric in record.metrics}
    overall = [score for score in record.scores if score.group == "all"]
    rows = [_cells(metrics[score.metric], score) for score in overall if score.value is not None and not score.words]
    lines = text_table([("metric", "value", "95% interval", "n", "encoder"), *rows]) if rows else []
    table = [f"  {line}" for line in lines]
    verdicts = [f"  {score.metric}: {score.words}; {score.reason}" for score in overall if score.words]
    return table + verdicts + _refusals(overall)


def _refusals(scores: Sequence[ScoreRow]) -> list[str]:
    """One line for each reason, with the metrics it holds for."""
    reasons: dict[str, list[str]] = {}
    for score in scores:
        if score.value is None:
            where = f" in {score.encoder}" if score.encoder else ""
            reasons.setdefault(score.reason or "", []).append(f"{score.metric}{where}")
    return [f"  refused: {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _cells(metric: MetricRow, score: ScoreRow) -> tuple[str, ...]:
    title = f"{score.metric} {ARROWS[metric.better]}".rstrip()
    where = score.encoder or ""
    interval = "" if score.low is None or score.high is None else f"{score.low:.4g} to {score.high:.4g}"
    return title, f"{score.value:.4g}", interval, str(score.n), where
