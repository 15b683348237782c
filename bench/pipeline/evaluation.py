"""Measuring: one evaluator, one record; what is on disk and still true is not measured again."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bench.api import BenchError, Evaluator, ImageSet, Leave, Material, Metric, Purpose, Refused, Score, Split, Spread
from bench.pipeline.conformance import conformance
from bench.pipeline.features import Encoding, FeatureStore
from bench.pipeline.stage import Made, Mark, Stage, result
from bench.runtime.processes import Team
from bench.runtime.publication import Publication
from bench.statistics.randomness import named_rng
from bench.storage.disk_errors import DiskError, of_disk
from bench.storage.files import Waited, content_key, file_digest, read_json, write_atomic, write_json
from bench.storage.kept_arrays import Arrays, kept_arrays
from bench.storage.record import SCHEMA, Entry, Failure, MetricRow, Record, ScoreRow, finite

log = logging.getLogger(__name__)
SCORES = "scores"
RESERVED = {"run.json", "filter.json", "filter.csv", "wandb.json", "bench.log", "images", "scores", "stages", "wandb"}


@dataclass(frozen=True)
class Measured:
    """A record, and how ``run.json`` speaks of it."""

    record: Record
    entry: Entry


@dataclass(frozen=True)
class Evaluation(Stage[Measured]):
    """One evaluator on the images of its purposes; leaves ``scores/<name>.json`` and what the evaluator hands over.

    A failure is recorded, and tried again the next time.

    Attributes:
        name: its name in the configuration.
        protocol: all that must agree before two results are compared.
        key: all that decides the result.
        images: the generated images of each purpose.
        encoders: the encoders whose features are computed beforehand.
        earlier: records of the evaluators before it, for one that reads them.
        seed: of its random choices.
        conformances: the folder in which the evaluator's conformance is kept.
        real: the folder in which what evaluators compute from real images alone is kept.
        sampled: names of the files that sampling left.
        generator: what the run says of the generator.
        publication: what may be said of a failure, and in the files that the evaluator leaves.
        refusal: why the generator makes no images that could be measured, if so.
    """

    name: str
    folder: Path
    key: Mapping[str, Any]
    protocol: Mapping[str, Any]
    evaluator: Evaluator
    split: Split
    images: Mapping[Purpose, ImageSet]
    features: FeatureStore
    seed: int
    conformances: Path
    real: Path
    encoders: Sequence[str] = ()
    earlier: Mapping[str, Record] = field(default_factory=dict)
    sampled: Sequence[str] = ()
    generator: Mapping[str, Any] = field(default_factory=dict)
    publication: Publication = field(default_factory=Publication)
    refusal: str | None = None
    together: ClassVar[bool] = True

    @property
    def units(self) -> int:  # type: ignore[override]
        return sum(map(len, self.images.values()))

    @property
    def kind(self) -> str:
        return kind_of(self.evaluator)

    @property
    def file(self) -> str:
        return f"{SCORES}/{self.name}.json"

    def find(self) -> Mark | None:
        mark = super().find()
        return mark if mark and mark.note["status"] != "failed" else None

    def make(self, team: Team) -> Made:
        fault = None
        try:
            result(self.encoding(), team)
        except Exception as error:
            if team.count > 1:
                raise  # the others cannot go on without this one
            fault = error
        if not team.is_main:
            return Made()
        begin = time.perf_counter()
        left: dict[str, str] = {}
        record = self._published(self._measured(left, fault))
        write_json(self.folder / self.file, record.model_dump(by_alias=True))
        return Made([self.file, *left], {"status": record.status}, time.perf_counter() - begin)

    def encoding(self) -> Encoding:
        """The stage before it, which computes the features it reads."""
        parts = (getattr(self.split, part) for part in self.evaluator.reads_parts)
        return Encoding(self.folder, self.features, self.encoders, (*parts, *self.images.values()))

    def load(self, mark: Mark) -> Measured:
        record = Record.model_validate(read_json(self.folder / self.file))
        digest = mark.files[self.file]
        return Measured(record, Entry(status=record.status, file=self.file, sha256=digest, seconds=mark.seconds))

    def _measured(self, left: dict[str, str], fault: Exception | None = None) -> Record:
        """The record, of a failure too; ``fault`` is what kept the features from being computed."""
        fixed: dict[str, Any] = {
            "schema": SCHEMA,
            "evaluator": self.name,
            "protocol": dict(self.protocol),
            "key": dict(self.key),
            "metrics": [metric_row(metric) for metric in self.evaluator.metrics],
            "conformance": conformance(self.evaluator, self._measuring, self.conformances),
        }
        try:
            if fault is not None:
                raise fault
            if self.refusal:
                raise Refused(self.refusal)
            for purpose, images in self.images.items():
                if not len(images):
                    raise Refused(f"no image was asked for the purpose {purpose}: see requests.{purpose}")
            scores = list(self.evaluator(self._material(left)))
            rows = [ScoreRow(**asdict(score)) for score in scores]
            return Record(**fixed, status="ok", scores=rows, artifacts=dict(sorted(left.items())))
        except Refused as reason:
            log.warning("%s refused: %s", self.name, reason)
            return Record(**fixed, status="refused", scores=[], reason=str(reason))
        except (DiskError, Waited):  # no fault of the evaluator
            raise
        except Exception as error:  # one failing evaluator costs only itself
            if refused := of_disk(error):
                raise refused from error
            log.exception("%s failed", self.name)
            failure = Failure(type=type(error).__name__, message=str(error), traceback=traceback.format_exc())
            return Record(**fixed, status="failed", scores=[], error=failure)

    def _published(self, record: Record) -> Record:
        """A refusal, an error and its traceback may quote a secret or say where on this machine something lies."""
        told = record.model_dump(by_alias=True)
        # what identifies says nothing more, and files are called as they are called
        kept = {name: told.pop(name) for name in ("protocol", "key", "artifacts")}
        return Record.model_validate(self.publication.value(told) | kept)

    @property
    def _measuring(self) -> dict[str, Any]:
        return {"settings": self.protocol["settings"], "code": self.key["code"]}

    def _material(self, left: dict[str, str]) -> Material:
        return Material(
            split=self.split,
            images=self.images,
            encoders=self.features.encoders,
            features=self.features,
            rng=named_rng(self.name, self.seed),
            leave=self._leaving(left),
            scores={name: as_scores(record) for name, record in self.earlier.items()},
            generator=self.generator,
            keep=self._keep,
        )

    def _keep(self, identity: Sequence[Any], make: Callable[[], Arrays]) -> Arrays:
        """Found again as long as the evaluator's code is the same."""
        return kept_arrays(self.real / f"{content_key([self.key['code'], *identity])}.npz", make)

    def _leaving(self, left: dict[str, str]) -> Leave:
        """Writes into the run's folder and notes the digest of what it wrote."""
        taken = {name: other for other, record in self.earlier.items() for name in record.artifacts}
        taken |= dict.fromkeys(self.sampled, "the sampling")

        def leave(name: str, content: bytes) -> None:
            parts = name.split("/")
            if not all(parts) or parts[0] in RESERVED or any(part.startswith(".") for part in parts):
                raise BenchError(f"{self.name} would leave {name!r}, which is no name of its own; choose another")
            if name in taken:
                raise BenchError(f"{self.name} would leave {name!r}, which {taken[name]} has left already")
            write_atomic(self.folder / name, self.publication.content(name, content))
            left[name] = file_digest(self.folder / name)

        return leave


def kind_of(evaluator: Evaluator) -> str:
    """By what the costs of evaluations are compared."""
    return f"evaluation {evaluator.id}"


def metric_row(metric: Metric) -> MetricRow:
    """The metric as it stands in a record."""
    low, high = (finite(bound) for bound in metric.bounds)
    fields = asdict(metric)
    del fields["bounds"]
    return MetricRow(low=low, high=high, **fields)


def as_scores(record: Record) -> list[Score]:
    """The scores of a record as the evaluators' own type."""
    return [_as_score(row) for row in record.scores]


def _as_score(row: ScoreRow) -> Score:
    fields = row.model_dump()
    spread = fields.pop("spread")
    return Score(**fields, spread=spread and Spread(**(spread | {"deviations": tuple(spread["deviations"])})))
