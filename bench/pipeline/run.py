"""The verbs: load, fit, generate, evaluate, record. Running the same configuration again is the resume."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.api import (
    BenchError,
    Evaluator,
    FeatureReader,
    Filter,
    Generator,
    ImageSet,
    Material,
    Purpose,
    Request,
    Rows,
    Score,
    Split,
)
from bench.pipeline.evaluation import Task, as_scores, evaluate, evaluator_rng
from bench.pipeline.features import FeatureStore
from bench.pipeline.filtering import Filtered, Filtering, described, unfiltered
from bench.pipeline.requests import PURPOSES, conditions_digest, make_requests, requests_digest, write_requests
from bench.pipeline.sampling import Sampled, Sampler, told, unread
from bench.runtime.code_digest import class_digest, part_digest
from bench.runtime.plugins import Encoders, build, settings
from bench.runtime.processes import ALONE, Team
from bench.runtime.provenance import peak_memory_mb, provenance
from bench.storage.files import content_key, files_digest, owned, read_json, write_atomic, write_json
from bench.storage.image_reader import as_own_size, contact_sheet, size_span
from bench.storage.record import SCHEMA, Cost, Entry, Record, RunRecord, Span
from bench.tracking.wandb_runs import Training, followed

log = logging.getLogger(__name__)
_SECRET = re.compile(r"(?:token|secret|password|passwd|credential|api_?key)$", re.IGNORECASE)
SHEET = 32  # images on the contact sheet


@dataclass(frozen=True)
class Outcome:
    """What a run left: its record, the evaluators' records by name, and the images encoded by this process."""

    folder: Path
    record: RunRecord
    records: Mapping[str, Record]
    encoded: Mapping[str, int]

    @property
    def failed(self) -> list[str]:
        """Names of the evaluators that failed."""
        return [name for name, record in self.records.items() if record.status == "failed"]


def run(config: DictConfig, folder: Path, team: Team = ALONE) -> Outcome:
    """Carry out one configuration in ``folder``; the other processes of ``team`` call ``assist`` meanwhile.

    Raises:
        BenchError: bad data, settings or generator output; nothing that was finished before is lost.
        Busy: another process works in ``folder``.
    """
    with owned(folder):
        return Run(config, folder, team).carry_out()


def assist(config: DictConfig, folder: Path, team: Team) -> None:
    """Sample and encode this process's shares of what the main process of ``team`` carries out in ``run``."""
    Run(config, folder, team).assist()


@dataclass(frozen=True)
class Run:
    """One configuration, its folder and the processes at work on it, stage by stage."""

    config: DictConfig
    folder: Path
    team: Team = ALONE

    def carry_out(self) -> Outcome:
        """All stages in order."""
        chosen = self.config.get("evaluator") or {}
        evaluators = {str(name): self._build(part) for name, part in chosen.items()}
        # a filter or encoder without its weights stops here, not after hours of sampling
        protocol = self._filter_protocol
        for evaluator in evaluators.values():
            self._identities(evaluator)
        generator, split = self._loaded()
        for evaluator in evaluators.values():
            evaluator.check(split)
        requests = make_requests(split, self.config.seed, self.config.requests)
        sampled = self._sampled(generator, split, requests)
        features = self._features(split, sampled)
        kept = self._kept(sampled.images, split, features, protocol)
        tasks = self._tasks(evaluators, split, requests, kept.images)
        begin = time.perf_counter()
        records, entries = self._evaluate(tasks, generator, split, kept.images, features)
        features.enough()
        measured = time.perf_counter() - begin
        record = kept.noted(self._record(generator, split, requests, sampled, entries, features, measured))
        return Outcome(self.folder, self._keep(record), records, dict(features.encoded))

    def assist(self) -> None:
        """The stages that several processes share; between them, wait for the main process."""
        generator, split = self._loaded()
        sampled = self._sampled(generator, split, make_requests(split, self.config.seed, self.config.requests))
        self._features(split, sampled).assist()

    def _loaded(self) -> tuple[Generator, Split]:
        with self.team.main_first("loading the data"):
            return self._build(self.config.generator), self._build(self.config.dataset).load(self._cache)

    def _features(self, split: Split, sampled: Sampled) -> FeatureStore:
        shared = (split.train, split.holdout, split.test, sampled.images)
        return FeatureStore(self._cache / "features", self._encoders, self.team, shared, self._targets)

    @property
    def _cache(self) -> Path:
        return Path(self.config.cache)

    @cached_property
    def _encoders(self) -> Encoders:
        return Encoders(self.config.get("encoder") or DictConfig({}), self.config.allow)

    @cached_property
    def _targets(self) -> dict[str, str]:
        return {str(name): part._target_ for name, part in (self.config.get("encoder") or {}).items()}

    @cached_property
    def _filter(self) -> Filter | None:
        config = self.config.get("filter")
        return self._build(config) if config else None

    @cached_property
    def _filter_protocol(self) -> dict[str, Any]:
        return described(self._filter, self._encoders)

    @property
    def _documentation(self) -> dict[str, str]:
        """What a person states of the images, by field; ``null`` and empty text state nothing."""
        stated = self.config.get("documentation") or {}
        return {str(name): str(text).strip() for name, text in stated.items() if str(text or "").strip()}

    def _build(self, config: DictConfig) -> Any:
        return build(config, self.config.allow)

    def _fit_key(self, generator: Generator, split: Split) -> dict[str, Any]:
        chosen = settings(self.config.generator)
        return {
            "target": self.config.generator._target_,
            "settings": {name: value for name, value in chosen.items() if name not in generator.incidental},
            "code": part_digest(generator, self.config.generator._target_),
            "reads": {path: files_digest(Path(path).expanduser()) for path in generator.reads},
            generator.reads_part: getattr(split, generator.reads_part).digest,
            "fit_seed": self.config.fit_seed,
        }

    def _sampled(self, generator: Generator, split: Split, requests: Sequence[Request]) -> Sampled:
        fit_key = self._fit_key(generator, split)
        key = {
            "generator": fit_key,
            "block": generator.block,
            "split": split.digest,
            "requests": requests_digest(requests),
            "seed": self.config.seed,
        }
        sampler = Sampler(self.folder, split.info, split.test.size, key, self.config.blank_tolerance, self.team)
        sheet = self.folder / "sheet.png"
        with self.team.main_first("looking for images"):
            # the sheet is written last: without it a kill came between the images and what is said of them
            found = sampler.complete() and sheet.exists()
        if found:
            log.info("images: found")
            return sampler.load()
        if self.team.is_main:
            write_requests(requests, self.folder / "requests.csv")
        trained = {name: each for name, each in fit_key["settings"].items() if name not in generator.sampling_only}
        place = f"{self.config.name}-{content_key(fit_key | {'settings': trained})}"
        self._fit(generator, split, self._cache / "fits" / place)
        generator.plan(requests)
        _check_own_size(generator)
        before = dict(generator.facts)
        sampled = sampler(generator, requests)
        if self.team.is_main:
            # this process may have made none of the images, so its own counts say little
            counted = {name: before.get(name, 0) + count for name, count in sampled.counted.items()}
            known = read_json(self.folder / "fit.json")
            write_json(self.folder / "fit.json", known | {"facts": dict(generator.facts) | counted})
            write_atomic(sheet, contact_sheet(sampled.images.pixels(range(min(SHEET, len(requests))))))
        return sampled

    def _kept(self, images: ImageSet, split: Split, features: FeatureStore, protocol: Mapping[str, Any]) -> Filtered:
        if self._filter is None:
            return unfiltered(images, self.folder)
        code = {name: part_digest(self._encoders[name], self._targets[name]) for name in self._filter.encoders}
        return Filtering(self._filter, split, features, protocol, self.folder, code).apply(images)

    def _fit(self, generator: Generator, split: Split, folder: Path) -> None:
        # the main process looks; all hear what it found
        found = self.team.meet("looking for the trained generator", (folder / "fit.json").exists())[0]
        together = generator.processes > 1 and not found
        if together and generator.processes != self.team.count:
            raise BenchError(
                f"generator.processes={generator.processes}, but this launch has {self.team.count} and the training is "
                f"not finished; start {generator.processes} processes (torchrun or accelerate launch), or set "
                f"generator.processes={self.team.count}, which trains another model"
            )
        with nullcontext() if together else self.team.main_first("training the generator"):
            if self.team.is_main:
                self._fit_alone(generator, split, folder, together)
                return
            if together:
                self.team.meet("starting to train")
            self._train(generator, split, folder, together)

    def _train(self, generator: Generator, split: Split, folder: Path, together: bool) -> None:
        try:
            generator.fit(getattr(split, generator.reads_part), folder, self.config.fit_seed)
        except BaseException:
            if together:
                # the others wait for gradients and hear no note: ending at once is what tells them
                self.team.part()
            raise

    def _fit_alone(self, generator: Generator, split: Split, folder: Path, together: bool = False) -> None:
        begin = time.perf_counter()
        training = Training(folder, self.folder, split.info.name, split.info.redistributable)
        with owned(folder), followed(training, self.config.wandb):
            if together:
                # the folder is owned: the others may enter it
                self.team.meet("starting to train")
            self._train(generator, split, folder, together)
            known = read_json(folder / "fit.json") or {"seconds": round(time.perf_counter() - begin, 2)}
            write_json(folder / "fit.json", known)
        write_json(self.folder / "fit.json", known | {"uses": list(generator.uses), "facts": dict(generator.facts)})
        # pictures of a training may show what it learned from
        pictures = folder.glob("*.png") if split.info.redistributable else ()
        for path in [*pictures, *folder.glob("*.csv")]:
            (self.folder / path.name).write_bytes(path.read_bytes())

    def _tasks(
        self, evaluators: Mapping[str, Evaluator], split: Split, requests: Sequence[Request], images: ImageSet
    ) -> list[Task]:
        tasks: list[Task] = []
        for name, each in evaluators.items():
            task = self._task(name, each, split, requests, images)
            if each.reads_scores:
                task.protocol["reads"] = {earlier.name: content_key(earlier.protocol) for earlier in tasks}
                task.key["protocol"] = content_key(task.protocol)
                task.key["documentation"] = content_key(self._documentation)
            tasks.append(task)
        return tasks

    def _task(
        self, name: str, evaluator: Evaluator, split: Split, requests: Sequence[Request], images: ImageSet
    ) -> Task:
        config = self.config.evaluator[name]
        protocol = {
            "dataset": split.info.name,
            "split": split.digest,
            "conditions": {purpose: conditions_digest(requests, purpose) for purpose in evaluator.purposes},
            "encoders": self._identities(evaluator),
            "evaluator": config._target_,
            "version": evaluator.version,
            "settings": {name: value for name, value in settings(config).items() if name != "device"},
            "evaluation_seed": self.config.evaluation_seed,
            **self._filter_protocol,
        }
        key = {
            "protocol": content_key(protocol),
            "images": images.digest,
            "code": class_digest(type(evaluator)),
            "encoders": {name: part_digest(self._encoders[name], self._targets[name]) for name in protocol["encoders"]},
        }
        return Task(name, evaluator, protocol, key)

    def _identities(self, evaluator: Evaluator) -> dict[str, str]:
        """Ids of the encoders an evaluator reads: those in its ``encoders``, or all if that is ``None``."""
        named = getattr(evaluator, "encoders", None)
        names = list(self._encoders) if named is None else [str(name) for name in named]
        return {name: self._encoders[name].id for name in names}

    def _evaluate(
        self, tasks: Sequence[Task], generator: Generator, split: Split, images: ImageSet, features: FeatureStore
    ) -> tuple[dict[str, Record], dict[str, Entry]]:
        purpose = images.column("purpose")
        parts: dict[Purpose, ImageSet] = {
            each: images.select([i for i, value in enumerate(purpose) if value == each]) for each in PURPOSES
        }
        records: dict[str, Record] = {}
        entries: dict[str, Entry] = {}
        scores: dict[str, Sequence[Score]] = {}
        for task in tasks:
            if task.evaluator.reads_scores:
                task.key["read"] = {name: entry.sha256 for name, entry in entries.items()}
            images_of = {each: parts[each] for each in task.evaluator.purposes}
            judged = (split.test, *images_of.values())
            material = Material(
                split=split,
                images=images_of,
                encoders=self._encoders,
                features=_together(features, task.evaluator, self._identities(task.evaluator), judged),
                rng=evaluator_rng(task.name, self.config.evaluation_seed),
                leave=lambda name, content: write_atomic(self.folder / name, content),
                scores=dict(scores),
                generator=self._described(generator, split),
            )
            records[task.name], entries[task.name] = evaluate(task, material, self.folder)
            scores[task.name] = as_scores(records[task.name])
        return records, entries

    def _described(self, generator: Generator, split: Split) -> dict[str, Any]:
        known = read_json(self.folder / "fit.json") or {}
        return {
            "name": self.config.name,
            "target": self.config.generator._target_,
            "settings": settings(self.config.generator),
            "seed": self.config.seed,
            "fit_seed": self.config.fit_seed,
            "control": generator.control,
            "shows_real": generator.shows_real,
            "trained_on": generator.trained_on,
            "told": told(split.info, known.get("uses", [])),
            "unread": unread(split.info, known.get("uses", [])),
            "documentation": self._documentation,
            "sizes": sizes(split, known.get("facts", {})),
            "facts": known.get("facts", {}),
        }

    def _record(
        self,
        generator: Generator,
        split: Split,
        requests: Sequence[Request],
        sampled: Sampled,
        entries: Mapping[str, Entry],
        features: FeatureStore,
        measured: float,
    ) -> RunRecord:
        asked: dict[str, int] = Counter(request.purpose for request in requests)
        known = read_json(self.folder / "fit.json") or {}
        failed = any(entry.status == "failed" for entry in entries.values())
        return RunRecord(
            schema=SCHEMA,
            status="failed" if failed else "ok",
            dataset=split.info.name,
            generator=self.config.name,
            control=generator.control,
            shows_real=generator.shows_real,
            seed=self.config.seed,
            config=_plain(self.config),
            digests={
                "split": split.digest,
                "train": split.train.digest,
                "holdout": split.holdout.digest,
                "test": split.test.digest,
                "requests": requests_digest(requests),
                "images": sampled.images.digest,
            },
            images={"asked": len(requests), "made": len(sampled.images), "blank": sampled.blank, **asked},
            sizes=sizes(split, known.get("facts", {})),
            info=_jsonable(asdict(split.info)),
            facts={
                **known.get("facts", {}),
                "columns_used": known.get("uses", []),
                "conditions_unread": unread(split.info, known.get("uses", [])),
                "trained_on": generator.trained_on,
            },
            evaluators={**self._earlier(sampled.images.digest), **entries},
            provenance=provenance(),
            cost=Cost(
                fit_seconds=known.get("seconds"),
                sample_seconds=round(sampled.seconds, 2),
                evaluate_seconds=round(measured, 2),
                peak_memory_mb=peak_memory_mb(),
                encoded=dict(features.encoded),
            ),
        )

    def _earlier(self, images: str) -> dict[str, Entry]:
        """Entries of evaluators that were not asked for now but measured these very images before."""
        old = read_json(self.folder / "run.json") or {"evaluators": {}}
        found = {name: Entry.model_validate(entry) for name, entry in old["evaluators"].items()}
        records = {name: read_json(self.folder / entry.file) for name, entry in found.items()}
        return {
            name: entry
            for name, entry in found.items()
            if entry.status != "failed" and (records[name] or {}).get("key", {}).get("images") == images
        }

    def _keep(self, record: RunRecord) -> RunRecord:
        """Write ``run.json`` unless the same results already stand there with their own provenance and cost."""
        path = self.folder / "run.json"
        old = read_json(path)
        new = record.model_dump(mode="json", by_alias=True)
        passing = {"provenance": None, "cost": None}
        if old is not None and old | passing == new | passing:
            return RunRecord.model_validate(old)
        write_json(path, new)
        return record


def sizes(split: Split, facts: Mapping[str, Any]) -> dict[str, Span | None]:
    """The working size, and the images' own: least and greatest (height, width); a generator's from its ``facts``."""
    working = (split.test.size, split.test.size)
    known = [part.own_size for part in (split.train, split.holdout, split.test) if part.own_size]
    real = size_span(size for own in known for size in own) if len(known) == 3 else None
    found = {"working": working, "real": real, "generated": as_own_size(facts.get("own_size"))}
    return {name: size and [list(each) for each in size] for name, size in found.items()}


def _check_own_size(generator: Generator) -> None:
    stated = generator.facts.get("own_size")
    try:
        as_own_size(stated)
    except (TypeError, ValueError):
        raise BenchError(
            f"{type(generator).__name__}.facts['own_size'] is {stated!r}, needed [[height, width], [height, width]]: "
            "the least and the greatest of its pictures before they were brought to the data set's size"
        ) from None


def _together(
    features: FeatureStore, evaluator: Evaluator, encoders: Iterable[str], judged: Sequence[ImageSet]
) -> FeatureReader:
    """A reader that runs all the evaluator's encoders when the first asks for a judged set: it is decoded once."""
    names = [name for name in encoders if name not in getattr(evaluator, "skip", ())]

    def read(encoder: str, images: ImageSet) -> Rows:
        if encoder in names and any(images is each for each in judged):
            features.prepare(names, images)
        return features(encoder, images)

    return read


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = _redacted(OmegaConf.to_container(config, resolve=True))
    assert isinstance(plain, dict)
    # no filter leaves no trace, so that records made before there were filters stay the same
    return {str(key): value for key, value in plain.items() if key != "hydra" and (key != "filter" or value)}


def _redacted(value: Any) -> Any:
    """The same with the value of every key that names a secret replaced."""
    if isinstance(value, dict):
        return {key: "removed" if _SECRET.search(str(key)) and each else _redacted(each) for key, each in value.items()}
    return [_redacted(each) for each in value] if isinstance(value, list) else value


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(each) for each in value]
    return value
