"""What a run would find and what it would make, at what cost, without making anything."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import Evaluator, Request
from bench.pipeline import evaluation
from bench.pipeline import filtering as filters
from bench.pipeline.evaluation import Measured
from bench.pipeline.features import Encoding
from bench.pipeline.filtering import Filtered
from bench.pipeline.loading import Loading
from bench.pipeline.plan import Plan
from bench.pipeline.run import Evaluations, encoding_for_filter, filtering, requests_of, sampling
from bench.pipeline.sampling import Sampled, Sampling
from bench.pipeline.stage import MARKS, Mark, Stage
from bench.storage.feature_rows import rows_of
from bench.storage.files import Damaged, only_reading, read_checked
from bench.storage.text_table import text_table

FOUND = "found"
AFTER = "to make, after the stage before it"  # and its key not known until then


@dataclass(frozen=True)
class Line:
    """One stage: whether it is found, and, where it is to be made, what that may take.

    Attributes:
        seconds, size: estimated from stages of its kind that were made before; ``None`` where there was none.
    """

    stage: str
    state: str
    seconds: float | None = None
    size: float | None = None


def outlook(plan: Plan, folder: Path) -> str:
    """A table of all stages of ``plan`` in ``folder``; nothing is written.

    Raises:
        BenchError: what stands in the folder was made with other settings, or an evaluator cannot measure this split.
    """
    with only_reading():
        lines = list(lines_of(plan, folder, Costs.found(plan)))
    rows = [("stage", "state", "time", "disk")]
    rows += [(line.stage, line.state, _time(line), _disk(line)) for line in lines]
    total = [line.seconds for line in lines if line.state.startswith("to make")]
    known = [seconds for seconds in total if seconds is not None]
    unknown = len(total) - len(known)
    said = [_duration(sum(known))] * bool(known) + [f"{unknown} stages of unknown cost"] * bool(unknown)
    return "\n".join([*text_table(rows), "", f"to make: {' and '.join(said) or 'nothing'}", str(folder)])


def lines_of(plan: Plan, folder: Path, costs: Costs) -> Iterator[Line]:
    """Every stage in order; those whose key depends on one that is to be made are not looked for."""
    loading = Loading(plan.dataset, plan.cache)
    if (mark := loading.find()) is None:
        yield costs.line(loading)
        later = ["filtering"] if plan.judge else []
        yield from (Line(name, AFTER) for name in ("training", "sampling", *later, *plan.evaluators))
        return
    yield Line("loading", FOUND)
    split = loading.load(mark)
    plan.check(split)
    requests = requests_of(plan, folder, split)
    stage = sampling(plan, folder, split, requests)
    if (mark := stage.find()) is None:
        yield Line("training", FOUND) if stage.training.find() else costs.line(stage.training)
        left = stage.left()
        some = f"to make, {left} of {len(requests)} images" if left < len(requests) else "to make"
        yield Line(stage.name, some, *costs.of(stage.kind, left))
        before = None if plan.judge else stage.before()
        if before is not None:
            yield from _measuring(plan, stage, before, costs)
            return
        if plan.judge is not None:
            yield Line("filtering", AFTER, *costs.of(filters.kind_of(plan.judge), len(requests)))
        yield from (costs.later(name, evaluator, requests) for name, evaluator in plan.evaluators.items())
        return
    yield from (Line("training", "not needed"), Line("sampling", FOUND))
    yield from _measuring(plan, stage, stage.load(mark), costs)


def _measuring(plan: Plan, finished: Sampling, sampled: Sampled, costs: Costs) -> Iterator[Line]:
    folder, split, requests = finished.folder, finished.training.split, finished.requests
    features, kept = plan.features(), Filtered(sampled.images)
    if plan.judge is not None:
        judging = filtering(plan, folder, split, sampled.images, features)
        if (mark := judging.find()) is None:
            yield from _encoding(encoding_for_filter(plan, folder, split, sampled.images, features), costs)
            yield costs.line(judging)
            yield from (costs.later(name, evaluator, requests) for name, evaluator in plan.evaluators.items())
            return
        yield Line("filtering", FOUND)
        kept = judging.load(mark)
    evaluations = Evaluations(plan, folder, split, requests, sampled, kept, features)
    absent = {request.purpose for request in requests} - {*sampled.images.column("purpose")}
    measured: dict[str, Measured] = {}
    announced: set[Line] = set()
    for number, (name, evaluator) in enumerate(plan.evaluators.items()):
        if absent & {*evaluator.purposes} or (evaluator.reads_scores and len(measured) < number):
            yield costs.later(name, evaluator, requests)
            continue
        stage = evaluations.stage(name, measured)
        if (mark := stage.find()) is None:
            lines = list(_encoding(stage.encoding(), costs))
            yield from (line for line in lines if line not in announced)
            announced |= set(lines)
            yield costs.line(stage)
        else:
            measured[name] = stage.load(mark)
            yield Line(name, FOUND)


def _encoding(encoding: Encoding, costs: Costs) -> Iterator[Line]:
    for name, count in encoding.missing().items():
        yield Line(f"encoding {name}", f"to make, {count} images", *costs.of(f"encoding {name}", count))


@dataclass(frozen=True)
class Costs:
    """What stages cost that were made before: seconds and bytes an image, by kind."""

    known: Mapping[str, Sequence[tuple[float, float]]]

    @classmethod
    def found(cls, plan: Plan) -> Costs:
        """From the marks below this plan's folders of runs and fits, and from the features in its cache."""
        known: dict[str, list[tuple[float, float]]] = defaultdict(list)
        places = (f"*/*/*/{MARKS}/*.json", f"*/{MARKS}/*.json")
        for root, pattern in zip((Path(plan.config.runs), plan.cache / "fits"), places, strict=True):
            for path in root.glob(pattern):
                with suppress(Damaged, TypeError):
                    mark = Mark(**(read_checked(path) or {"key": {}}))
                    if mark.made:
                        units = mark.units or 1
                        known[mark.kind].append((mark.seconds / units, mark.size / units))
        for path in (plan.cache / "features").glob("*/*.hashes"):
            with suppress(ValueError, OSError):
                first, *hashes = path.read_text(encoding="utf-8", errors="replace").split("\n")
                digest, _, seconds = first.partition(" ")
                size = rows_of(path, digest).stat().st_size + path.stat().st_size
                kind = f"encoding {path.parent.name.rpartition('-')[0]}"
                known[kind].append((float(seconds) / len(hashes), size / len(hashes)))
        return cls(known)

    def of(self, kind: str, units: int) -> tuple[float | None, float | None]:
        """Seconds and bytes to be expected for ``units`` images: the median of what was; ``None`` if nothing was."""
        found = self.known.get(kind)
        if not found:
            return None, None
        seconds, sizes = zip(*found, strict=True)
        return statistics.median(seconds) * max(units, 1), statistics.median(sizes) * max(units, 1)

    def later(self, name: str, evaluator: Evaluator, requests: Sequence[Request]) -> Line:
        """The line of an evaluator whose images are not there yet."""
        count = sum(request.purpose in evaluator.purposes for request in requests)
        return Line(name, AFTER, *self.of(evaluation.kind_of(evaluator), count))

    def line(self, stage: Stage[Any]) -> Line:
        """The line of a stage that is to be made."""
        return Line(stage.name, "to make", *self.of(stage.kind, stage.units))


def _time(line: Line) -> str:
    if not line.state.startswith("to make"):
        return ""
    return "unknown" if line.seconds is None else _duration(line.seconds)


def _disk(line: Line) -> str:
    if not line.state.startswith("to make"):
        return ""
    return "unknown" if line.size is None else f"{line.size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
