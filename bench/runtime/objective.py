"""The one score that a sweep is to bring to its best: ``objective=fidelity/fd/small_cnn``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig

from bench.api import BenchError, Evaluator, Metric
from bench.runtime.plugins import build
from bench.storage.record import UNTOLD, Record, ScoreRow

Direction = Literal["minimize", "maximize"]  # as Optuna spells it
FORM = "evaluator/metric, evaluator/metric/encoder or evaluator/metric/encoder/group, with - where there is no encoder"


@dataclass(frozen=True)
class Objective:
    """A score by its evaluator, metric, encoder and group."""

    text: str
    evaluator: str
    metric: Metric
    encoder: str | None
    group: str

    @classmethod
    def of(cls, text: str, evaluators: Mapping[str, Evaluator], encoders: Collection[str]) -> Objective:
        """Find what ``text`` names among what is configured.

        Raises:
            BenchError: it is not configured, or no value of it is better than another.
        """
        name, key, encoder, group = parts_of(text)
        if name not in evaluators:
            raise BenchError(
                f"objective={text}: evaluator {name!r} is not configured; this run has {sorted(evaluators)}: "
                f"add it with evaluator=[...,{name}]"
            )
        metrics = {each.key: each for each in evaluators[name].metrics}
        if key not in metrics:
            judging = sorted(key for key, each in metrics.items() if each.better != "neither")
            raise BenchError(f"objective={text}: {name} has no metric {key!r}; those that judge are {judging}")
        if metrics[key].better == "neither":
            raise BenchError(f"objective={text}: {key} only describes, so that no value of it is better than another")
        _check_encoder(text, evaluators[name], encoder, encoders)
        return cls(text, name, metrics[key], encoder, group)

    @property
    def direction(self) -> Direction:
        """Where better values lie; of a metric with a target what counts is the distance to it."""
        return "maximize" if self.metric.better == "higher" else "minimize"

    def value(self, records: Mapping[str, Record]) -> float:
        """The value an optimiser is told; NaN where the score was refused or is not to be ranked.

        Raises:
            BenchError: the run has no such score.
        """
        score = self._score(records)
        if isinstance(score, str) or score.value is None or not score.ranked:
            return math.nan
        return abs(score.value - (self.metric.target or 0.0)) if self.metric.better == "target" else score.value

    def refusal(self, records: Mapping[str, Record]) -> str:
        """Why there is no value; empty where there is one."""
        score = self._score(records)
        if isinstance(score, str) or score.value is None:
            return f"{self.text} was refused: {score if isinstance(score, str) else score.reason}"
        return "" if score.ranked else f"{self.text} is not ranked: {score.reason or UNTOLD}"

    def _score(self, records: Mapping[str, Record]) -> ScoreRow | str:
        """The score, or why the whole evaluator was refused."""
        record = records[self.evaluator]
        if record.status == "refused":
            return record.reason or ""
        if record.error is not None:
            raise BenchError(f"objective={self.text}: {record.error.type}: {record.error.message}")
        own = [score for score in record.scores if score.metric == self.metric.key]
        for score in own:
            if (score.encoder, score.group) == (self.encoder, self.group):
                return score
        there = sorted({"/".join([self.evaluator, each.metric, each.encoder or "-", each.group]) for each in own})
        raise BenchError(f"objective={self.text}: this run has no such score; it has {there or 'none of this metric'}")


def objective_of(config: DictConfig) -> Objective | None:
    """The objective of a configuration, checked against the evaluators and encoders it asks for.

    Raises:
        BenchError: see ``Objective.of``.
    """
    if config.get("objective") is None:
        return None
    chosen = config.get("evaluator") or {}
    evaluators = {str(name): build(part, Evaluator, config.allow) for name, part in chosen.items()}
    return Objective.of(str(config.objective), evaluators, [str(name) for name in config.get("encoder") or {}])


def parts_of(text: str) -> tuple[str, str, str | None, str]:
    """Evaluator, metric, encoder and group of an objective.

    Raises:
        BenchError: it has another form.
    """
    parts = text.split("/")
    if not 2 <= len(parts) <= 4 or not all(parts):
        raise BenchError(f"objective={text} is not {FORM}")
    encoder = parts[2] if len(parts) > 2 and parts[2] != "-" else None
    return parts[0], parts[1], encoder, parts[3] if len(parts) > 3 else "all"


def _check_encoder(text: str, evaluator: Evaluator, encoder: str | None, encoders: Collection[str]) -> None:
    if encoder is None:
        return
    if encoder not in encoders:
        raise BenchError(
            f"objective={text}: encoder {encoder!r} is not configured; this run has {sorted(encoders)}: "
            f"add it with encoder=[...,{encoder}]"
        )
    read = [each for each in (evaluator.encoders or encoders) if each not in evaluator.skip]
    if encoder not in read:
        raise BenchError(f"objective={text}: {text.split('/')[0]} does not measure in {encoder!r}; it reads {read}")
