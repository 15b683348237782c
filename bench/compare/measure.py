"""Two sets of images through the configured evaluators, as a run would have it but for the split that is not there."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, Unpack

from omegaconf import DictConfig
from threadpoolctl import threadpool_limits

from bench.api import BenchError, Evaluator, Material, Part, Score, Split
from bench.compare.comparison import Comparison
from bench.compare.configuration import configuration
from bench.compare.given import Given, Window, given
from bench.compare.sets import Side, copy_notes, made_one_size, people_notes
from bench.compare.sizes import size_notes, working_size
from bench.pipeline.features import FeatureStore, device_type
from bench.runtime.code_digest import code_digest, part_digest
from bench.runtime.identity import Identity
from bench.runtime.plugins import Encoders, build
from bench.statistics.randomness import named_rng
from bench.storage.files import content_key
from bench.storage.image_reader import READER_VERSION

KIND = "compare/1"  # what a protocol of a comparison is called: none of a leaderboard is
WANTED: Mapping[Part, str] = {
    "train": "the images that the generator learned from (TRAIN)",
    "holdout": "real images that the generator is known not to have learned from, which only a split has (python -m "
    "bench.split makes one, and python -m bench judges a generator on it)",
    "test": "real images",
}


class Options(TypedDict, total=False):
    """What may be said of a comparison.

    Attributes:
        size: at which images are compared: one number for a square, or (height, width); by default most real images'
            own size, made smaller to 256 pixels along the longer side.
        seed: decides random choices of evaluators.
        patients: by ``real``, ``fake`` and ``train``, whose image each is, in the order of an array or a list of paths.
        window: grey levels shown as 0 and 255, for files of more than 8 bits.
        settings: further settings as on the command line, such as ``encoder.rad_dino.path=/models/rad-dino``.
        config_dir: a folder with encoders and evaluators of one's own.
    """

    size: int | tuple[int, int] | None
    seed: int
    patients: Mapping[str, Sequence[Any]]
    window: Window | None
    settings: Sequence[str]
    config_dir: str | None


def comparison(
    real: Any, fake: Any, train: Any = None, encoders: Sequence[str] | None = None, **options: Unpack[Options]
) -> Comparison:
    """Measure how ``fake`` differs from ``real``; see ``bench.compare.compare``.

    Raises:
        BenchError: images, settings or patients that are not as needed; the message names side, image and remedy.
    """
    begin = time.perf_counter()
    config = configuration(_settings(encoders, options), options.get("config_dir"))
    parts = Parts.of(config)
    sources = {"REAL": real, "FAKE": fake, **({} if train is None else {"TRAIN": train})}
    patients = _patients(options.get("patients"), sources)
    looked = {side: given(side, each, options.get("window"), patients.get(side)) for side, each in sources.items()}
    _check(looked, options.get("window"))
    size = working_size(looked["REAL"].sizes, options.get("size"))
    folder = Path(tempfile.mkdtemp(prefix="compare-"))
    features = parts.features(folder)
    # images and features are mapped from disk for as long as somebody may ask for them
    weakref.finalize(features, shutil.rmtree, folder, ignore_errors=True)
    sides = {side: made_one_size(each, size, folder / side) for side, each in looked.items()}
    measuring = Measuring(parts, sides, features)
    scores, refusals = measuring.scores()
    notes = [*copy_notes(list(sides.values())), *people_notes(looked), *size_notes(list(looked.values()), size)]
    notes += [note for side in sides.values() for note in side.notes]
    return Comparison(
        real=sides["REAL"].images,
        fake=sides["FAKE"].images,
        train=sides["TRAIN"].images if "TRAIN" in sides else None,
        scores=tuple(scores),
        metrics={metric.key: metric for each in parts.evaluators.values() for metric in each.metrics},
        encoders={name: parts.encoders[name] for name in measuring.read},
        rows=features,
        notes=(*notes, *refusals),
        protocol=measuring.protocol,
        seconds=time.perf_counter() - begin,
    )


def _settings(encoders: Sequence[str] | None, options: Options) -> list[str]:
    if isinstance(encoders, str):
        raise BenchError(f"encoders is the text {encoders!r}, needed a list of names: encoders=({encoders!r},)")
    chosen = [] if encoders is None else [f"encoder=[{','.join(encoders)}]"]
    chosen += [f"seed={options['seed']}"] if "seed" in options else []
    return [*chosen, *options.get("settings", ())]


def _check(looked: Mapping[str, Given], window: Window | None) -> None:
    for side, each in looked.items():
        if not len(each):
            raise BenchError(f"{side} has no image, needed at least one")
    if window is not None and not any(each.deep for each in looked.values()):
        raise BenchError("window was given, but no image file has more than 8 bits; leave it out")


def _patients(told: Mapping[str, Sequence[Any]] | None, sources: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    if told is None:
        return {}
    names = [name.lower() for name in sources]
    if not isinstance(told, Mapping) or not set(told) <= set(names):
        got = sorted(map(str, told)) if isinstance(told, Mapping) else type(told).__name__
        raise BenchError(f"patients is {got}, needed lists by side, of {names}: patients={{'real': [...]}}")
    return {name.upper(): each for name, each in told.items()}


def _without_device(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "device"}


@dataclass(frozen=True)
class Parts:
    """What a configuration of a comparison has: built and checked, no image read."""

    config: DictConfig
    encoders: Encoders
    evaluators: Mapping[str, Evaluator]

    @classmethod
    def of(cls, config: DictConfig) -> Parts:
        """Raises ``BenchError``: a part cannot be built, there is no evaluator, or an encoder lacks its weights."""
        chosen = config.get("evaluator") or {}
        if not chosen:
            raise BenchError("no evaluator is configured, so nothing would be measured; add evaluator=[...]")
        evaluators = {str(name): build(part, Evaluator, config.allow) for name, part in chosen.items()}
        encoders = Encoders(config.get("encoder") or DictConfig({}), config.allow)
        for name in encoders:
            _ = encoders[name].id  # an encoder without its weights says so now
        return cls(config, encoders, evaluators)

    def features(self, folder: Path) -> FeatureStore:
        """Rows kept in the cache that was asked for, else in ``folder``."""
        place = folder if self.config.cache is None else Path(self.config.cache)
        targets = {name: str(self.config.encoder[name]._target_) for name in self.encoders}
        return FeatureStore(place / "features", self.encoders, targets, self.config.threads)

    def read_by(self, evaluator: Evaluator) -> list[str]:
        """The configured encoders that an evaluator may read."""
        if evaluator.encoders is None:
            return [name for name in self.encoders if name not in evaluator.skip]
        return [str(name) for name in evaluator.encoders if name in self.encoders]


@dataclass(frozen=True)
class Measuring:
    """The evaluators at work on the sides of a comparison, which stand for the parts of a split: ``REAL`` is the test
    part, ``TRAIN`` the training part, and nothing is held out."""

    parts: Parts
    sides: Mapping[str, Side]
    features: FeatureStore

    @cached_property
    def split(self) -> Split:
        real = self.sides["REAL"].images
        nothing = real.select([])
        return Split(self.sides["TRAIN"].images if "TRAIN" in self.sides else nothing, nothing, real)

    @property
    def able(self) -> dict[str, Evaluator]:
        """The evaluators whose parts of a split are all there."""
        return {name: each for name, each in self.parts.evaluators.items() if not self._missing(each)}

    @property
    def read(self) -> list[str]:
        """Names of the encoders whose features are read."""
        found = [name for evaluator in self.able.values() for name in self.parts.read_by(evaluator)]
        return list(dict.fromkeys(found))

    def scores(self) -> tuple[list[Score], list[str]]:
        """All scores, and for each evaluator without any a sentence why."""
        refusals = [
            f"{name} was not measured: it needs {' and '.join(WANTED[part] for part in missing)}"
            for name, evaluator in self.parts.evaluators.items()
            if (missing := self._missing(evaluator))
        ]
        with threadpool_limits(self._threads):
            for side in self.sides.values():
                self.features.prepare(self.read, side.images)
            found: dict[str, list[Score]] = {}
            for name, evaluator in self.able.items():
                try:
                    evaluator.check(self.split)
                    found[name] = list(evaluator(self._material(name, evaluator, found)))
                except BenchError as refusal:
                    refusals.append(f"{name} was not measured: {refusal}")
        return [score for each in found.values() for score in each], refusals

    @property
    def protocol(self) -> dict[str, Any]:
        """All that decides a number."""
        with tempfile.TemporaryDirectory() as house:
            identity = Identity(Path(self.parts.config.cache or house))
            found = {"kind": KIND, **self._images(), **self._parts(identity)}
        return {**found, "digest": content_key(found)}

    def _images(self) -> dict[str, Any]:
        return {
            "real": self.sides["REAL"].identity,
            "fake": self.sides["FAKE"].identity,
            "train": self.sides["TRAIN"].identity if "TRAIN" in self.sides else None,
            "size": list(self.sides["REAL"].images.size),
            "reader": READER_VERSION,
        }

    def _parts(self, identity: Identity) -> dict[str, Any]:
        config, encoders = self.parts.config, self.parts.encoders
        return {
            "encoders": {
                name: {
                    "id": identity.name(encoders[name].id, config.encoder[name]),
                    "code": self.features.code(name),
                    "device": device_type(encoders[name]),
                }
                for name in self.read
            },
            "evaluators": {
                name: {
                    "id": f"{evaluator.id}/{evaluator.version}",
                    "settings": _without_device(identity.settings(config.evaluator[name])),
                    "code": content_key([part_digest(evaluator, config.evaluator[name]._target_), code_digest(Side)]),
                }
                for name, evaluator in self.able.items()
            },
            "seed": config.seed,
            "threads": config.threads,
        }

    @property
    def _threads(self) -> int:
        """How many threads numerical libraries get, PyTorch among them once its devices are known."""
        for name in self.read:
            device_type(self.parts.encoders[name])
        return int(self.parts.config.threads)

    def _missing(self, evaluator: Evaluator) -> list[Part]:
        return [part for part in evaluator.reads_parts if not len(getattr(self.split, part))]

    def _material(self, name: str, evaluator: Evaluator, earlier: Mapping[str, Sequence[Score]]) -> Material:
        return Material(
            split=self.split,
            images=dict.fromkeys(evaluator.purposes, self.sides["FAKE"].images),
            encoders=self.parts.encoders,
            features=self.features,
            rng=named_rng(name, self.parts.config.seed),
            leave=lambda file, content: None,
            scores=earlier,
            generator={"name": "FAKE", "trained_on": "unknown", "facts": {}, "told": []},
        )
