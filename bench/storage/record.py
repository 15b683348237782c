"""The schema of what a run leaves on disk. The leaderboard and other people's tools read nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.api import Area, Better, Control, Role

SCHEMA: Literal[1] = 1
UNTOLD = "asked for, not a condition"  # why a score is not ranked, where it does not say
Status = Literal["ok", "refused", "failed"]
Size = Annotated[list[int], Field(min_length=2, max_length=2)]  # height, width
Span = Annotated[list[Size], Field(min_length=2, max_length=2)]  # least, greatest
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]


class Strict(BaseModel):
    """Unknown fields and non-finite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MetricRow(Strict):
    """A metric as its ``Metric`` states it; an open end of ``bounds`` is ``null``."""

    key: str
    title: str
    better: Better
    reference: str
    low: float | None = None
    high: float | None = None
    target: float | None = None
    unit: str = ""
    minimum: int = 2
    summary: str = ""
    role: Role = "scores"
    area: Area | None = None
    ceiling_of: str | None = None


class SpreadRow(Strict):
    """How a score moves with the images behind it, as its ``Spread`` states it."""

    deviations: Annotated[list[float], Field(min_length=2, max_length=1000)]
    real: float | None = Field(default=None, ge=0)
    synthetic: float | None = Field(default=None, ge=0)


class ScoreRow(Strict):
    """One score; ``value`` is ``null`` exactly when it was refused, and ``reason`` then says why.

    ``words`` are shown in the place of the number of a metric that only describes. ``spread`` lets the differences of
    generators be judged on the same real images; ``ranked`` is false where the number is shown and not judged.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int = Field(ge=0)
    group: str = "all"
    encoder: str | None = None
    reason: str | None = None
    words: str | None = None
    spread: SpreadRow | None = None
    ranked: bool = True

    @model_validator(mode="after")
    def _agree(self) -> ScoreRow:
        if self.value is None and not self.reason:
            raise ValueError("a score without a value needs a reason")
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both ends or none")
        if self.low is None and not self.reason:
            raise ValueError("a score without an interval needs a reason")
        if self.value is None and (self.low is not None or self.spread is not None):
            raise ValueError("a refused score has no interval and no spread")
        if self.value is None or self.low is None or self.high is None:
            return self
        if not self.low <= self.value <= self.high:
            raise ValueError("the interval does not contain the value")
        return self


class Failure(Strict):
    """What went wrong in an evaluator."""

    type: str
    message: str
    traceback: str


class Record(Strict):
    """``scores/<evaluator>.json``: what one evaluator found in one run.

    Attributes:
        protocol: everything that must agree before two records share a column: digests of the split and of the
            conditions asked for, ids of the encoders, the evaluator with its version and settings.
        key: the protocol's digest and the digests of the very images that were measured.
        artifacts: files the evaluator left, path within the run -> SHA-256.
        conformance: what the evaluator finds in the small fixed material that comes with the code, by
            ``metric[group|encoder]``, with ``.low`` and ``.high`` the ends of an interval; ``None`` where unknown. Two
            records share a column only if these agree.
    """

    schema_: Literal[1] = Field(alias="schema")
    evaluator: str
    status: Status
    protocol: dict[str, Any]
    key: dict[str, Any]
    metrics: list[MetricRow]
    scores: list[ScoreRow]
    reason: str | None = None
    error: Failure | None = None
    artifacts: dict[str, Digest] = Field(default_factory=dict)
    conformance: dict[str, float] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Record:
        known = {metric.key for metric in self.metrics}
        strange = sorted({score.metric for score in self.scores} - known)
        if strange:
            raise ValueError(f"scores of undeclared metrics {strange}")
        if self.status == "ok" and not self.scores:
            raise ValueError("status ok without a score")
        if self.status == "refused" and not self.reason:
            raise ValueError("status refused without a reason")
        if self.status == "failed" and self.error is None:
            raise ValueError("status failed without an error")
        places = [(score.metric, score.group, score.encoder) for score in self.scores]
        if len(set(places)) != len(places):
            twice = sorted({str(place) for place in places if places.count(place) > 1})
            raise ValueError(f"two scores for the same metric, group and encoder: {twice}")
        return self


class Entry(Strict):
    """One evaluator in ``run.json``."""

    status: Status
    file: str
    sha256: Digest
    seconds: float


class Cost(Strict):
    """Wall-clock seconds of training and of evaluating in the process that finished them, of sampling summed over the
    processes that made images that were kept, peak resident memory, and the images each encoder was run on.

    A stage whose result was found keeps the seconds it took when it was made; ``None`` where that is unknown.
    """

    fit_seconds: float | None
    sample_seconds: float | None
    evaluate_seconds: float | None = None
    peak_memory_mb: float
    encoded: dict[str, int] = Field(default_factory=dict)


class RunRecord(Strict):
    """``run.json``: what was run, with what, on what, and what came of it.

    Attributes:
        dataset, generator: their names on the board.
        control: what the generator stands for if it is a control.
        shows_real: whether the generated images are real ones (then a public page shows them only where
            ``info`` says they are redistributable).
        config: the resolved configuration; what came from the environment is as written, secrets are ``<secret>``, and
            paths start from named folders.
        digests: of split, train, holdout, test, requests, images.
        images: counts: asked, made, blank, repeated (with the pixels of an earlier one of their purpose), and asked by
            purpose; a purpose that no evaluator read has none.
        sizes: least and greatest (height, width) in pixels: ``working``, what every score saw; ``real`` and
            ``generated``, the images' own before they were brought to it; ``null`` where unknown.
        info: the data set's description.
        facts: what the generator says of itself (parameters, columns used, checkpoint digest).
    """

    schema_: Literal[1] = Field(alias="schema")
    status: Literal["ok", "failed"]
    dataset: str
    generator: str
    control: Control | None
    shows_real: bool
    seed: int
    config: dict[str, Any]
    digests: dict[str, str]
    images: dict[str, int]
    sizes: dict[str, Span | None] = Field(default_factory=dict)
    info: dict[str, Any]
    facts: dict[str, Any]
    evaluators: dict[str, Entry]
    provenance: dict[str, Any]
    cost: Cost


def size_words(size: Sequence[Sequence[int]] | None) -> str:
    """``64 x 64``, or ``40 x 60 to 90 x 80`` from the least and the greatest (height, width); else ``unknown``."""
    if size is None:
        return "unknown"
    least, greatest = (f"{height} x {width}" for height, width in size)
    return least if least == greatest else f"{least} to {greatest}"


def sizes_words(sizes: Mapping[str, Sequence[Sequence[int]] | None]) -> str:
    """``64 x 64; own size 1024 x 1024 (real), 512 x 512 (generated)`` from ``RunRecord.sizes``; empty if unknown."""
    if not sizes.get("working"):
        return ""
    own = ", ".join(f"{size_words(sizes.get(name))} ({name})" for name in ("real", "generated"))
    return f"{size_words(sizes['working'])}; own size {own}"


def trained_on_words(told: Mapping[str, Any]) -> str:
    """The part of the split a generator learned from, ``unknown``, or ``not recorded``; from ``RunRecord.facts``.

    ``as stated`` follows where a person's word decides it and nobody measured it.
    """
    known = str(told.get("trained_on", "not recorded"))
    return f"{known}, as stated" if known != "unknown" and "trained_on_stated" in told else known


def finite(value: float) -> float | None:
    """``value``, or ``None`` for an infinite bound, which JSON cannot hold."""
    return value if math.isfinite(value) else None
