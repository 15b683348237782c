"""``run.json``: what was run, with what, on what, and what came of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.api import BenchError, Request, Split
from bench.pipeline.evaluation import Measured
from bench.pipeline.filtering import Filtered
from bench.pipeline.plan import Plan
from bench.pipeline.requests import requests_digest
from bench.pipeline.sampling import Sampled
from bench.runtime.provenance import peak_memory_mb, provenance
from bench.runtime.told import told, unread
from bench.storage.disk_errors import DiskError
from bench.storage.files import altered, read_json, write_json
from bench.storage.image_reader import as_own_size, size_span
from bench.storage.record import SCHEMA, Cost, Entry, RunRecord, Span

log = logging.getLogger(__name__)
FILE = "run.json"


@dataclass(frozen=True)
class Results:
    """What the stages of a run returned.

    Attributes:
        encoded: images that went through each encoder in this run.
        seconds: spent on evaluating.
    """

    split: Split
    requests: Sequence[Request]
    sampled: Sampled
    kept: Filtered
    measured: Mapping[str, Measured]
    encoded: Mapping[str, int]
    seconds: float


def described(plan: Plan, split: Split, sampled: Sampled) -> dict[str, Any]:
    """What evaluators are told of the generator."""
    generator, config = plan.generator, plan.config
    return {
        "name": config.name,
        "target": config.generator._target_,
        "settings": plan.generator_settings,
        "seed": config.seed,
        "fit_seed": config.fit_seed,
        "control": generator.control,
        "shows_real": generator.shows_real,
        **training(plan, split),
        "told": told(split.info, sampled.uses),
        "unread": unread(split.info, sampled.uses),
        "documentation": plan.documentation,
        "sizes": sizes(split, sampled.facts),
        "facts": plan.publication.value(generator_facts(plan, sampled)),
    }


def generator_facts(plan: Plan, sampled: Sampled) -> dict[str, Any]:
    """What the generator says of itself and, where a person brings it, what its training's accountant says."""
    accounted = plan.generator.accounted
    return {**sampled.facts, **({} if accounted is None else {"accounting": dict(accounted)})}


def training(plan: Plan, split: Split) -> dict[str, str]:
    """What the generator learned from, and what a person states of it if that decides it."""
    found, stated = plan.generator.learned_from(split), plan.generator.trained_on
    if not (plan.generator.from_elsewhere and stated):
        return {"trained_on": found}
    return {"trained_on": found, "trained_on_stated": str(plan.publication.value(stated))}


def run_record(plan: Plan, folder: Path, results: Results) -> RunRecord:
    """The record of a finished run; entries of evaluators that were not asked for now stay if they are still true."""
    generator, config, split, sampled = plan.generator, plan.config, results.split, results.sampled
    entries = {name: each.entry for name, each in results.measured.items()}
    statement = plan.statement(split).get("learned_from")
    asked: dict[str, int] = Counter(request.purpose for request in results.requests)
    failed = any(entry.status == "failed" for entry in entries.values())
    return RunRecord(
        schema=SCHEMA,
        status="failed" if failed else "ok",
        dataset=split.info.name,
        generator=config.name,
        control=generator.control,
        shows_real=generator.shows_real,
        seed=config.seed,
        config=plan.recorded_config,
        digests=_digests(results),
        images={
            "asked": len(results.requests),
            "made": len(sampled.images),
            "blank": sampled.blank,
            "repeated": sampled.repeated,
            **asked,
            **results.kept.counts,
        },
        sizes=sizes(split, sampled.facts),
        info=plan.publication.value(asdict(split.info)),
        facts={
            **plan.publication.value(generator_facts(plan, sampled)),
            "columns_used": list(sampled.uses),
            "conditions_unread": unread(split.info, sampled.uses),
            **training(plan, split),
        },
        # those asked for first, so that the order in which they were added does not show
        evaluators=entries
        | {name: each for name, each in _earlier(folder, results.kept, statement).items() if name not in entries},
        provenance=provenance(),
        cost=_cost(results),
    )


def _digests(results: Results) -> dict[str, str]:
    split, kept = results.split, results.kept
    found = {
        "split": split.digest,
        "train": split.train.digest,
        "holdout": split.holdout.digest,
        "test": split.test.digest,
        "requests": requests_digest(results.requests),
        "images": results.sampled.images.digest,
    }
    return found | ({"kept": kept.images.digest, "filter": kept.report} if kept.counts else {})


def _cost(results: Results) -> Cost:
    return Cost(
        fit_seconds=results.sampled.fit_seconds,
        sample_seconds=round(results.sampled.seconds, 2),
        evaluate_seconds=round(results.seconds, 2),
        peak_memory_mb=peak_memory_mb(),
        encoded=dict(results.encoded),
    )


def _earlier(folder: Path, kept: Filtered, learned_from: str | None) -> dict[str, Entry]:
    """Entries of evaluators that measured these very images before, under the same statement of what the generator
    ``learned_from``, and whose records are what was written."""
    old = _read(folder)
    found = old.evaluators if old else {}
    images = {str(purpose): each.digest for purpose, each in kept.by_purpose.items()}
    records = {
        name: read_json(folder / entry.file)
        for name, entry in found.items()
        if entry.status != "failed" and not altered(folder, {entry.file: entry.sha256})
    }
    return {
        name: found[name]
        for name, record in records.items()
        if _of(record["key"].get("images"), images)
        and record["key"].get("learned_from") == learned_from
        and not altered(folder, record["artifacts"])
    }


def _of(measured: Any, images: Mapping[str, str]) -> bool:
    """Whether the images that a key speaks of, by purpose, are those that are there."""
    return isinstance(measured, dict) and measured.items() <= images.items()


def keep(record: RunRecord, folder: Path) -> RunRecord:
    """Write ``run.json`` unless the same results already stand there with their own provenance and cost."""
    old = _read(folder)
    if old is not None and _results(old) == _results(record):
        if old.config == record.config:
            return old
        # another sweep asked for the same
        record = record.model_copy(update={"provenance": old.provenance, "cost": old.cost})
    write_json(folder / FILE, _comparable(record))
    return record


def _read(folder: Path) -> RunRecord | None:
    """The record that is there; one that is damaged is named in a warning and made again."""
    try:
        found = read_json(folder / FILE)
        return None if found is None else RunRecord.model_validate(found)
    except DiskError:  # it may be whole
        raise
    except (BenchError, ValidationError) as error:
        log.warning("%s is damaged (%s); making it again", folder / FILE, error)
        return None


def _results(record: RunRecord) -> dict[str, Any]:
    """What of a record is the same whenever and for whatever sweep the same is run."""
    config = {key: value for key, value in record.config.items() if key not in ("objective", "sweep")}
    return _comparable(record) | {"provenance": None, "cost": None, "config": config}


def _comparable(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", by_alias=True)


def sizes(split: Split, facts: Mapping[str, Any]) -> dict[str, Span | None]:
    """The working size, and the images' own: least and greatest (height, width); a generator's from its ``facts``."""
    working = (split.test.size, split.test.size)
    known = [part.own_size for part in (split.train, split.holdout, split.test) if part.own_size]
    real = size_span(size for own in known for size in own) if len(known) == 3 else None
    found = {"working": working, "real": real, "generated": as_own_size(facts.get("own_size"))}
    return {name: size and [list(each) for each in size] for name, size in found.items()}
