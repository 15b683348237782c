"""What a run prints last: the scores that matter most in one screen, or all of them, and where everything is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.pipeline.ceilings import Ceilings, ceilings
from bench.pipeline.run import Outcome
from bench.runtime.settings import Show
from bench.storage.record import UNTOLD, MetricRow, Record, ScoreRow, sizes_words
from bench.storage.text_table import ARROWS, text_table

FEW = 4  # scores shown of an evaluator that has no headline metric
NAMED = 3  # metrics of an evaluator named that were refused for a reason that is not shown
HEADER = ("evaluator", "metric", "value", "95% interval", "n", "encoder", "ceiling")


def summary(outcome: Outcome, show: Show = "headline") -> str:
    """Scores over all images beside their ceilings, verdicts, refusals and failures, the folder last.

    With ``show="headline"`` only the scores of headline metrics, of an evaluator without any the first few, and the
    reasons of refusals of these; how much more there is stands below.
    """
    measured = {name: record for name, record in outcome.records.items() if record.status == "ok"}
    chosen = {name: _chosen(record, show) for name, record in measured.items()}
    own = outcome.record.control == "ceiling"
    tops = Ceilings() if own else ceilings(outcome.folder, measured)
    lines = ["", *_table(measured, chosen, tops)]
    for name, record in outcome.records.items():
        lines += _words(name, record)
        lines += _refusals(name, chosen.get(name, ()))
    if show == "headline":
        lines += _unexplained(measured, chosen)
    lines += _more(measured, chosen)
    encoded = ", ".join(f"{name} {count}" for name, count in outcome.encoded.items()) or "none, all features found"
    judged = sizes_words(outcome.record.sizes)
    lines += [*([f"images judged at {judged}"] if judged else []), f"images encoded: {encoded}"]
    return "\n".join([*lines, str(outcome.folder)])


def _overall(record: Record) -> list[ScoreRow]:
    return [score for score in record.scores if score.group == "all"]


def _chosen(record: Record, show: Show) -> list[ScoreRow]:
    """The scores over all images whose values, or the reasons for having none, are shown."""
    overall = _overall(record)
    if show == "all":
        return overall
    headline = {metric.key for metric in record.metrics if metric.role == "headline"}
    if found := [score for score in overall if score.metric in headline]:
        return found
    judging = {metric.key for metric in record.metrics if metric.better != "neither"}
    found = [score for score in overall if score.metric in judging] or overall
    return [score for score in found if score.value is not None][:FEW] or found[:FEW]


def _table(records: Mapping[str, Record], chosen: Mapping[str, Sequence[ScoreRow]], tops: Ceilings) -> list[str]:
    rows: list[tuple[str, ...]] = []
    sources: set[str] = set()
    for name, record in records.items():
        metrics = {metric.key: metric for metric in record.metrics}
        own = [score for score in chosen[name] if score.value is not None and not score.words]
        for place, score in enumerate(own):
            where = (name, score.metric, score.encoder)
            judges = metrics[score.metric].better != "neither"
            top = tops.own.get(where, tops.beside.get(where)) if judges else None
            if top is not None:
                sources.add("" if where in tops.own else f", from {tops.run} where this run does not measure it")
            title = "" if place else name
            rows.append((title, *_cells(metrics[score.metric], score), "" if top is None else f"{top:.4g}"))
    if not rows:
        return []
    if not sources:
        return text_table([row[:-1] for row in (HEADER, *rows)])
    return [*text_table([HEADER, *rows]), f"ceiling: what unseen real images score{''.join(sources)}"]


def _cells(metric: MetricRow, score: ScoreRow) -> tuple[str, ...]:
    title = f"{score.metric} {ARROWS[metric.better] if score.ranked else ''}".rstrip()
    interval = "" if score.low is None or score.high is None else f"{score.low:.4g} to {score.high:.4g}"
    return title, f"{score.value:.4g}", interval, str(score.n), score.encoder or ""


def _words(name: str, record: Record) -> list[str]:
    """Why there is nothing, in full, or the verdicts."""
    if record.status == "refused":
        return [f"{name} refused: {record.reason}"]
    if record.error is not None:
        return [f"{name} failed: {record.error.type}: {record.error.message}"]
    verdicts = [score for score in _overall(record) if score.words]
    return [f"{name}/{each.metric}: {'; '.join(filter(None, (each.words, each.reason)))}" for each in verdicts]


def _refusals(name: str, scores: Iterable[ScoreRow]) -> list[str]:
    """One line for each reason why scores are refused or not ranked, with those it holds for."""
    said: dict[tuple[str, str], list[str]] = {}
    for score in (each for each in scores if not each.words):
        if score.value is None or not score.ranked:
            what = "refused" if score.value is None else "not ranked"
            where = f" in {score.encoder}" if score.encoder else ""
            said.setdefault((what, score.reason or UNTOLD), []).append(f"{score.metric}{where}")
    return [f"{name} {what}: {', '.join(names)}: {reason}" for (what, reason), names in said.items()]


def _unexplained(records: Mapping[str, Record], chosen: Mapping[str, Sequence[ScoreRow]]) -> list[str]:
    """One line on the other metrics that were refused: the first of each evaluator by name."""
    parts = []
    for name, record in records.items():
        explained = {score.metric for score in chosen[name]}
        refused = (score.metric for score in _overall(record) if score.value is None and not score.words)
        if names := [key for key in dict.fromkeys(refused) if key not in explained]:
            rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            parts.append(f"{name} {', '.join(names[:NAMED])}{rest}")
    return [f"refused too, reasons with show=all: {'; '.join(parts)}"] if parts else []


def _more(records: Mapping[str, Record], chosen: Mapping[str, Sequence[ScoreRow]]) -> list[str]:
    """How many scores are not shown, and where they are."""
    there = [(score, chosen[name]) for name, record in records.items() for score in record.scores]
    measured = [(score, shown) for score, shown in there if score.value is not None and not score.words]
    overall = sum(score.group == "all" and score not in shown for score, shown in measured)
    groups = sum(score.group != "all" for score, _ in measured)
    parts = [f"{overall} more scores: show=all, or scores/*.json"] if overall else []
    parts += [f"{groups} more of subgroups: scores/*.json"] if groups else []
    return ["; ".join(parts)] if parts else []
