"""The stages of a run in order. Running the same configuration again is the resume."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.api import ImageSet, Request, Split
from bench.pipeline.evaluation import Evaluation, Measured
from bench.pipeline.features import Encoding, FeatureStore
from bench.pipeline.filtering import Filtered, Filtering, remove_reports
from bench.pipeline.image_parts import purposes_made
from bench.pipeline.loading import Loading
from bench.pipeline.plan import Plan
from bench.pipeline.requests import make_requests
from bench.pipeline.run_record import Results, described, generator_facts, keep, run_record
from bench.pipeline.sampling import Sampled, Sampling
from bench.pipeline.stage import result
from bench.pipeline.training import Training
from bench.runtime.processes import ALONE, Team
from bench.runtime.variant import family
from bench.storage.files import content_key, owned, remove_drafts
from bench.storage.record import Record, RunRecord


@dataclass(frozen=True)
class Outcome:
    """What a run left: its record, the evaluators' records by name, the images encoded by this run, and the folder of
    the training it samples from."""

    folder: Path
    record: RunRecord
    records: Mapping[str, Record]
    encoded: Mapping[str, int]
    training: Path

    @property
    def failed(self) -> list[str]:
        """Names of the evaluators that failed."""
        return [name for name, record in self.records.items() if record.status == "failed"]


def run(plan: Plan, folder: Path, team: Team = ALONE) -> Outcome:
    """``carry_out`` in a folder of its own.

    Raises:
        BenchError: bad data, settings or generator output; nothing that was finished before is lost.
        Busy: another process works in ``folder``.
    """
    with owned(folder) if team.is_main else nullcontext():
        return carry_out(plan, folder, team)


def carry_out(plan: Plan, folder: Path, team: Team = ALONE) -> Outcome:
    """All stages in order, in every process of ``team`` alike; the main one owns ``folder``."""
    if team.is_main:
        remove_drafts(folder)
    split = result(Loading(plan.dataset, plan.cache), team)
    plan.check(split)
    requests = requests_of(plan, folder, split, team)
    making = sampling(plan, folder, split, requests)
    sampled = result(making, team)
    features = plan.features()
    kept = _kept(plan, folder, split, sampled, features, team)
    begin = time.perf_counter()
    measured: dict[str, Measured] = {}
    evaluations = Evaluations(plan, folder, split, requests, sampled, kept, features)
    for name in plan.evaluators:
        measured[name] = result(evaluations.stage(name, measured), team)
    seconds = time.perf_counter() - begin
    results = Results(split, requests, sampled, kept, measured, features.encoded, seconds)
    record = run_record(plan, folder, results)
    record = keep(record, folder) if team.is_main else record
    found = {name: each.record for name, each in measured.items()}
    return Outcome(folder, record, found, dict(features.encoded), making.training.folder)


def requests_of(plan: Plan, folder: Path, split: Split, team: Team = ALONE) -> list[Request]:
    """What the evaluators need, and what finished images were made for in ``folder`` before: they stay."""
    made = team.meet("looking for images", purposes_made(folder) if team.is_main else None)[0]
    return make_requests(split, plan.config.seed, plan.limits(split), [*plan.purposes, *made])


def sampling(plan: Plan, folder: Path, split: Split, requests: Sequence[Request]) -> Sampling:
    """The stage that makes the images, and within it the one that trains."""
    key = plan.training_key(split)
    # variants that differ in how they sample share what was trained
    place = plan.cache / "fits" / f"{family(plan.config.name)}-{content_key(key)}"
    told = (plan.config.wandb, plan.recorded_config)
    training = Training(place, key, plan.generator, split, plan.config.fit_seed, folder, *told)
    key = plan.sampling_key(split, requests)
    return Sampling(folder, key, training, requests, plan.config.blank_tolerance, publication=plan.publication)


def filtering(plan: Plan, folder: Path, split: Split, images: ImageSet, features: FeatureStore) -> Filtering:
    """The stage that judges the images."""
    assert plan.judge is not None
    key = plan.filtering_key(split, images, features)
    return Filtering(folder, key, plan.judge, split, features, images, publication=plan.publication)


def encoding_for_filter(plan: Plan, folder: Path, split: Split, images: ImageSet, features: FeatureStore) -> Encoding:
    """The stage that computes what the filter reads."""
    assert plan.judge is not None
    parts = (getattr(split, part) for part in plan.judge.reads_parts)
    return Encoding(folder, features, plan.judge.encoders, (*parts, images))


def _kept(plan: Plan, folder: Path, split: Split, sampled: Sampled, features: FeatureStore, team: Team) -> Filtered:
    if plan.judge is None:
        if team.is_main:
            remove_reports(folder)
        return Filtered(sampled.images)
    result(encoding_for_filter(plan, folder, split, sampled.images, features), team)
    return result(filtering(plan, folder, split, sampled.images, features), team)


@dataclass(frozen=True)
class Evaluations:
    """What the evaluations of a run have in common."""

    plan: Plan
    folder: Path
    split: Split
    requests: Sequence[Request]
    sampled: Sampled
    kept: Filtered
    features: FeatureStore

    def stage(self, name: str, earlier: Mapping[str, Measured]) -> Evaluation:
        """The stage of the evaluator called ``name``, which comes after ``earlier`` ones."""
        plan, evaluator = self.plan, self.plan.evaluators[name]
        protocol = plan.protocol(name, self.split, self.requests)
        further = {}
        if evaluator.reads_scores:
            protocol["reads"] = {each: content_key(found.record.protocol) for each, found in earlier.items()}
            read = {each: found.entry.sha256 for each, found in earlier.items()}
            about = content_key([plan.documentation, asdict(self.split.info), generator_facts(plan, self.sampled)])
            further = {"read": read, "about": about}
        refusal = plan.refusal(evaluator)
        if refusal:
            further |= {"refused": refusal}
        images = {purpose: self.kept.by_purpose[purpose] for purpose in evaluator.purposes}
        key = plan.evaluation_key(name, protocol, self.split, images, self.features) | further
        return Evaluation(
            name=name,
            folder=self.folder,
            key=key,
            protocol=protocol,
            evaluator=evaluator,
            split=self.split,
            images=images,
            features=self.features,
            seed=plan.config.evaluation_seed,
            conformances=plan.cache / "conformance",
            real=plan.cache / "real",
            encoders=[each for each in protocol["encoders"] if each not in evaluator.skip and not refusal],
            earlier={each: found.record for each, found in earlier.items()},
            sampled=self.sampled.files,
            generator=described(plan, self.split, self.sampled),
            publication=plan.publication,
            refusal=refusal,
        )
