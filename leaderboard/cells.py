"""What one generator has in one column: a number, a verdict, or why there is none. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench.storage.files import canonical
from bench.storage.record import UNTOLD, MetricRow, Record, ScoreRow
from leaderboard.compare import ScoreDifference
from leaderboard.estimate import Estimate, combine

State = Literal["value", "refused", "failed", "missing"]
Records = Sequence[tuple[int, Record]]  # (seed, record)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one generator has in one column; ``n`` are the different numbers of images behind it.

    ``words`` stand in the place of the number, or of a refusal. ``ranked`` is false where the number is shown and not
    judged; ``behind`` says how much worse a contender is than the best of its column, ``above_null`` how far a number
    of privacy lies above that of the null.
    """

    state: State
    estimate: Estimate | None = None
    n: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    words: str | None = None
    ranked: bool = True
    behind: ScoreDifference | None = None
    above_null: ScoreDifference | None = None

    @property
    def best(self) -> bool:
        """Whether it is the best of its column, or not worse than it beyond doubt."""
        return self.behind is not None and not self.behind.beyond_doubt


class Place(NamedTuple):
    """A column: the group, the encoder by name and by all that decides its features, and the metric."""

    group: str
    encoder: str | None
    features: str | None
    metric: MetricRow


def features_of(record: Record, encoder: str | None) -> str | None:
    """All that decides the features in which an encoder's scores were measured; ``None`` without an encoder."""
    return None if encoder is None else str(record.protocol.get("encoders", {}).get(encoder))


def definition(metric: MetricRow) -> str:
    """Everything about a metric but the words that describe it and its place among others."""
    words = {"title", "summary", "reference", "minimum", "role", "ceiling_of"}
    return canonical(metric.model_dump(exclude=words))


def cell_of(place: Place, records: Records, seeds: int) -> Cell:
    """The cell of the generator that has ``records`` here and ``seeds`` runs in all."""
    scores: list[ScoreRow] = []
    states: set[State] = set()
    said: dict[str, list[int]] = {}
    words: dict[str, list[int]] = {}
    for seed, record in records:
        score, state, why = _outcome(place, record)
        states.add(state)
        if score is not None and state == "value":
            scores.append(score)
        if score is not None and score.words:
            words.setdefault(score.words, []).append(seed)
        if why:
            said.setdefault(why, []).append(seed)
    notes = _by_seed(said, seeds)
    verdicts = "; ".join(_by_seed(words, seeds)) or None
    if scores:
        if len(records) < seeds:
            notes.append(f"{_seeds([seed for seed, _ in records])} only: the others have no record in this table")
        n = tuple(sorted({score.n for score in scores}))
        ranked = all(score.ranked for score in scores)
        estimate = combine(scores, place.metric)
        if not all(record.protocol.get("split") for _, record in records):
            estimate = estimate._replace(spread=None)  # nobody knows in which folds
        return Cell("value", estimate, n, tuple(notes), verdicts, ranked)
    for state in ("failed", "refused"):
        if state in states:
            return Cell(state, notes=tuple(notes), words=verdicts)
    return Cell("missing")


def _by_seed(said: Mapping[str, Sequence[int]], seeds: int) -> list[str]:
    """Each text, with the seeds it holds for where these are not all."""
    return [f"{text} ({_seeds(own)})" if len(own) < seeds else text for text, own in sorted(said.items())]


def _outcome(place: Place, record: Record) -> tuple[ScoreRow | None, State, str]:
    """The score if there is one, of a refusal too, the state of its cell, and the footnote to it."""
    metric = place.metric
    definitions = {each.key: definition(each) for each in record.metrics}
    for score in record.scores:
        here = (score.group, score.encoder, features_of(record, score.encoder), score.metric)
        if here != (*place[:3], metric.key) or definitions[score.metric] != definition(metric):
            continue
        if score.value is None:
            return score, "refused", f"refused: {score.reason}"
        return score, "value", _footnote(score)
    if record.status == "failed" and record.error is not None:
        return None, "failed", f"failed: {record.error.type}: {record.error.message}"
    if record.status == "refused":
        return None, "refused", f"refused: {record.reason}"
    return None, "missing", "not measured"


def _footnote(score: ScoreRow) -> str:
    if not score.ranked:
        return f"not ranked: {score.reason or UNTOLD}"
    bare = score.low is None and score.words is None
    return f"no interval: {score.reason}" if bare else score.reason or ""


def _seeds(seeds: Sequence[int]) -> str:
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))
