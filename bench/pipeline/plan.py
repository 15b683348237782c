"""All that is decided before any work: the parts of a run, built and checked, and what identifies their results."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.api import BenchError, Dataset, DatasetInfo, Evaluator, Filter, Generator, ImageSet, Purpose, Request, Split
from bench.pipeline.features import FeatureStore
from bench.pipeline.filtering import described
from bench.pipeline.requests import PURPOSES, asked_for, images_by_purpose, requests_key
from bench.runtime.blocks import sample
from bench.runtime.code_digest import code_digest, part_digest
from bench.runtime.identity import Identity
from bench.runtime.objective import Objective
from bench.runtime.plugins import Encoders, build, inner_targets
from bench.runtime.publication import Publication
from bench.statistics.randomness import named_rng
from bench.storage.files import content_key
from bench.storage.names import path_name_faults

log = logging.getLogger(__name__)
_ID = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Plan:
    """The parts of one run; making it opens no data and trains nothing.

    Keys say what decides a stored result and so hold digests of code; protocols say what must agree before two results
    are compared, and hold lasting names only. Both are written down: settings stand in them as ``Identity`` has them.
    """

    config: DictConfig
    dataset: Dataset
    generator: Generator
    judge: Filter | None
    encoders: Encoders
    evaluators: Mapping[str, Evaluator]
    codes: Mapping[str, str]
    objective: Objective | None = None

    @classmethod
    def of(cls, config: DictConfig) -> Plan:
        """Build and check all parts of a configuration.

        Raises:
            BenchError: a part cannot be built, an encoder or filter lacks its weights, an evaluator has no id, or
                the objective is not among what is configured.
        """

        def made(part: DictConfig, expected: type) -> Any:
            return build(part, expected, config.allow)

        evaluators = {str(name): made(part, Evaluator) for name, part in (config.get("evaluator") or {}).items()}
        encoders = Encoders(config.get("encoder") or DictConfig({}), config.allow)
        judge = made(config.filter, Filter) if config.get("filter") else None
        described(judge, encoders)
        for name, evaluator in evaluators.items():
            _check_id(name, evaluator)
            _identities(evaluator, encoders)
        generator = made(config.generator, Generator)
        # now, while the code on disk is the code that was imported
        codes = {
            name: content_key([part_digest(evaluator, config.evaluator[name]._target_), code_digest(named_rng)])
            for name, evaluator in evaluators.items()
        }
        codes |= {"generator": part_digest(generator, config.generator._target_, inner_targets(config.generator))}
        codes |= {"filter": part_digest(judge, config.filter._target_)} if judge else {}
        dataset = made(config.dataset, Dataset)
        text = config.get("objective")
        objective = None if text is None else Objective.of(str(text), evaluators, list(encoders))
        return cls(config, dataset, generator, judge, encoders, evaluators, codes, objective)

    @property
    def cache(self) -> Path:
        return Path(self.config.cache)

    @cached_property
    def publication(self) -> Publication:
        return Publication(self.config)

    @cached_property
    def identity(self) -> Identity:
        return Identity(self.cache)

    @property
    def recorded_config(self) -> dict[str, Any]:
        """The configuration as it stands in records."""
        # what is not used leaves no trace, so that records made before there were filters and sweeps stay the same
        traceless = ("filter", "objective", "sweep")
        found = self.publication.recorded()
        aside = ("hydra", "show")  # how a run is printed is no part of it
        return {key: value for key, value in found.items() if key not in aside and (key not in traceless or value)}

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """What the evaluators read images of and the generator makes, in the order of requests; all that it makes where
        none reads any of them."""
        read = {purpose for evaluator in self.evaluators.values() for purpose in evaluator.purposes}
        made = tuple(each for each in PURPOSES if each not in self.generator.refuses)
        return tuple(each for each in made if each in read) or made

    def refusal(self, evaluator: Evaluator) -> str | None:
        """Why nothing can be measured: the generator makes no images for a purpose whose images ``evaluator`` reads."""
        refuses = self.generator.refuses
        return next((f"no images for {each}: {refuses[each]}" for each in evaluator.purposes if each in refuses), None)

    def limits(self, split: Split) -> dict[str, int | None]:
        """How many images of each purpose may be asked for: as configured, but no more than the generator can make."""
        stated: dict[str, int | None] = {each: self.config.requests.get(each) for each in PURPOSES}
        most = self.generator.most(split)
        if most is None:
            return stated
        return {purpose: most if cap is None else min(cap, most) for purpose, cap in stated.items()}

    @property
    def generator_settings(self) -> dict[str, Any]:
        """As they are recorded, without ``_target_``."""
        found = self.publication.recorded(self.config.generator)
        return {name: value for name, value in found.items() if name != "_target_"}

    @property
    def documentation(self) -> dict[str, str]:
        """What a person states of the images, by field; ``null`` and empty text state nothing."""
        stated = self.config.get("documentation")
        told = self.publication.recorded(stated) if stated else {}
        return {str(name): str(text).strip() for name, text in told.items() if str(text or "").strip()}

    def check(self, split: Split) -> None:
        """Have every evaluator say before any image is made whether it can measure on this split.

        Raises:
            BenchError: it cannot, or the data set has a name that no record may have.
        """
        for fault in path_name_faults(split.info.name):
            raise BenchError(f"what the data set calls itself cannot stand in a record: {fault}; correct its name")
        if self.generator.trained_on and self.generator.learned_from(split) == "unknown":
            log.warning(
                "generator.trained_on=%s is neither train nor a digest of this split (%s; at this working size %s), "
                "nor elsewhere for weights that are trained further here: what the generator learned from is recorded "
                "as unknown",
                self.publication.value(self.generator.trained_on),
                split.membership,
                split.digest,
            )
        for evaluator in self.evaluators.values():
            if self.refusal(evaluator) is None:
                evaluator.check(split)

    def features(self) -> FeatureStore:
        """The store of features in this run's encoders."""
        targets = {str(name): part._target_ for name, part in (self.config.get("encoder") or {}).items()}
        return FeatureStore(self.cache / "features", self.encoders, targets, self.config.threads)

    def fit_key(self, split: Split) -> dict[str, Any]:
        """All that decides what the generator learns, and what it does afterwards."""
        return self._fitting(split, self.generator.incidental)

    def training_key(self, split: Split) -> dict[str, Any]:
        """``fit_key`` less the settings that only sampling depends on."""
        return self._fitting(split, (*self.generator.incidental, *self.generator.sampling_only))

    def _fitting(self, split: Split, aside: Sequence[str]) -> dict[str, Any]:
        generator, chosen = self.generator, self.identity.settings(self.config.generator, at_home=True)
        return {
            "generator": type(generator).__qualname__,
            "settings": {name: value for name, value in chosen.items() if name not in aside},
            "code": self.codes["generator"],
            "reads": self.identity.files(self.config.generator, generator.reads, aside),
            generator.reads_part: getattr(split, generator.reads_part).digest,
            "description": meaning(split.info),
            "fit_seed": self.config.fit_seed,
            "threads": self.config.threads,
        }

    def sampling_key(self, split: Split, requests: Sequence[Request]) -> dict[str, Any]:
        """All that decides the generated images."""
        return {
            "generator": self.fit_key(split),
            "block": self.generator.block,
            "code": code_digest(sample),
            "split": split.digest,
            "requests": requests_key(requests),
            "seed": self.config.seed,
        }

    def filtering_key(self, split: Split, images: ImageSet, features: FeatureStore) -> dict[str, Any]:
        """All that decides which images are kept."""
        assert self.judge is not None
        code = {name: features.code(name) for name in self.judge.encoders}
        return {
            **self._filter,
            "images": {purpose: each.digest for purpose, each in images_by_purpose(images).items()},
            "split": split.digest,
            "description": meaning(split.info),
            "code": {"filter": self.codes["filter"], **code},
            "threads": self.config.threads,
        }

    def protocol(self, name: str, split: Split, requests: Sequence[Request]) -> dict[str, Any]:
        """What must agree before a result of the evaluator called ``name`` is compared with another."""
        evaluator = self.evaluators[name]
        chosen = self.identity.settings(self.config.evaluator[name])
        return {
            "dataset": split.info.name,
            "split": split.digest,
            "description": _compared(split.info, evaluator),
            "conditions": self._asked_for(split, requests, evaluator),
            "encoders": self._ids(_identities(evaluator, self.encoders)),
            "evaluator": f"{evaluator.id}/{evaluator.version}",
            "settings": {key: value for key, value in chosen.items() if key != "device"},
            "evaluation_seed": self.config.evaluation_seed,
            **self._filter,
        }

    def _asked_for(self, split: Split, requests: Sequence[Request], evaluator: Evaluator) -> dict[str, int | None]:
        """``None`` in the place of a number that need not agree: the generator makes as many as it can, or none."""
        asked = asked_for(requests, evaluator.purposes)
        limited = self.generator.most(split) is not None
        open_ = [each for each in evaluator.purposes if limited or each in self.generator.refuses]
        return {**asked, **dict.fromkeys(open_)}

    def evaluation_key(
        self,
        name: str,
        protocol: Mapping[str, Any],
        split: Split,
        images: Mapping[Purpose, ImageSet],
        features: FeatureStore,
    ) -> dict[str, Any]:
        """All that decides a result: the protocol, the images and what they are said to show, and the code."""
        files = self.identity.files(self.config.evaluator[name], aside=("device",))
        return {
            "protocol": content_key(protocol),
            "images": {purpose: each.digest for purpose, each in images.items()},
            "description": meaning(split.info),
            "code": self.codes[name],
            "encoders": {each: features.code(each) for each in protocol["encoders"]},
            "threads": self.config.threads,
            **({"files": files} if files else {}),
            **self.statement(split),
        }

    def statement(self, split: Split) -> dict[str, str]:
        """What keys say of a person's statement on the training; nothing where there is none."""
        return {"learned_from": self.generator.learned_from(split)} if self.generator.trained_on else {}

    @property
    def _filter(self) -> dict[str, Any]:
        """What a protocol says of the filter; nothing if there is none."""
        return {
            group: {
                "id": self.identity.name(each["id"], self.config.filter),
                "encoders": self._ids(each["encoders"]),
            }
            for group, each in described(self.judge, self.encoders).items()
        }

    def _ids(self, encoders: Mapping[str, str]) -> dict[str, str]:
        return {name: self.identity.name(each, self.config.encoder[name]) for name, each in encoders.items()}


def meaning(info: DatasetInfo) -> str:
    """16 hex digits over what of a description decides results: not how the data set is called, cited or got."""
    return content_key(asdict(replace(info, title="", licence="", citation="", access="")))


def _compared(info: DatasetInfo, evaluator: Evaluator) -> dict[str, Any]:
    """What of a description must agree before two results are compared; targets are read by those of utility alone."""
    targets = {"targets": list(info.targets)} if "utility" in evaluator.purposes else {}
    labels = content_key([asdict(label) for label in info.labels])
    return {"labels": labels, "conditions": list(info.conditions), "groups": list(info.groups), **targets}


def _check_id(name: str, evaluator: Evaluator) -> None:
    found = getattr(type(evaluator), "id", None)
    if not (isinstance(found, str) and _ID.fullmatch(found)):
        raise BenchError(
            f"evaluator {name!r}: {type(evaluator).__qualname__}.id is {found!r}, needed a lasting name of small "
            'letters, digits and "_" for protocols, such as id = "brightness"'
        )


def _identities(evaluator: Evaluator, encoders: Encoders) -> dict[str, str]:
    """Ids of the encoders an evaluator may read, by name."""
    names = list(encoders) if evaluator.encoders is None else [str(name) for name in evaluator.encoders]
    return {name: encoders[name].id for name in names}
