"""The nouns of the benchmark. Generators, evaluators, encoders and data sets know this module."""

from __future__ import annotations

import hashlib
import heapq
import io
import json
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import datasets

Images = npt.NDArray[np.uint8]  # (N, H, W), grey levels 0-255
Rows = npt.NDArray[np.float32]  # (N, D), one row of features an image
Keys = npt.NDArray[
    np.bytes_
]  # (N,) of type S32, a SHA-256 each; ``tobytes`` keeps a last zero byte, ``tolist`` does not
OwnSize = tuple[tuple[int, int], tuple[int, int]]  # least, greatest (height, width) in pixels, each side on its own
Purpose = Literal["fidelity", "utility", "privacy"]
Part = Literal["train", "holdout", "test"]
Better = Literal["lower", "higher", "target", "neither"]
Role = Literal["headline", "scores", "describes", "ceiling"]
Area = Literal["fidelity", "privacy", "utility", "card"]
ColumnUnits = Literal["alike", "different"]
SORTED = 2**15  # lines sorted in memory at a time
Control = Literal["ceiling", "null", "floor", "memoriser", "leaky", "baseline"]
CONTROLS: Mapping[Control, str] = MappingProxyType(
    {
        "ceiling": "unseen real images; nobody can be expected to do better",
        "null": "unseen real images of the test part: what no leak looks like",
        "floor": "noise; everybody should do better",
        "memoriser": "copies of training images",
        "leaky": "some of its images are changed copies of training images",
        "baseline": "a simple method",
    }
)


class BenchError(Exception):
    """Something the user can mend; the message names who, what was got and what is needed."""


class Refused(BenchError):
    """A measurement that would mean nothing on this material; the message is the reason shown on the board."""


@dataclass(frozen=True, slots=True)
class Label:
    """One label column of a data set: an integer among ``values``, or ``None`` where unknown.

    ``names`` has one readable name for each value and may be empty for an ordinal scale.
    """

    name: str
    kind: Literal["binary", "ordinal", "categorical"]
    values: tuple[int, ...]
    names: tuple[str, ...] = ()

    def text(self, value: int | None) -> str:
        """The readable name of ``value``, ``unknown`` for ``None``."""
        if value is None:
            return "unknown"
        return self.names[self.values.index(value)] if self.names else str(value)


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a data set as a whole.

    Attributes:
        labels: the label columns, in order.
        conditions: names of the labels a generator is asked for.
        targets: names of the labels a downstream classifier predicts (binary or categorical).
        groups: names of the columns, labels or attributes, whose values form subgroups.
        attributes: names of the further text columns.
        prompted: names of the labels and attributes whose value every prompt states.
        required_attributes: what a complete record of this modality states, for the completeness score.
        pixel_spacing_mm: size of a pixel at the working image size, ``None`` where unknown or varying.
        redistributable: whether real images may be shown on a public page.
        access: how a person gets the data.
    """

    name: str
    title: str
    modality: str
    labels: tuple[Label, ...]
    conditions: tuple[str, ...]
    targets: tuple[str, ...]
    groups: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    prompted: tuple[str, ...] = ()
    required_attributes: tuple[str, ...] = ()
    pixel_spacing_mm: float | None = None
    redistributable: bool = False
    licence: str = ""
    citation: str = ""
    access: str = ""

    def label(self, name: str) -> Label:
        """The label column called ``name``; ``KeyError`` if there is none."""
        for label in self.labels:
            if label.name == name:
                return label
        raise KeyError(f"{self.name} has no label {name!r}; it has {[each.name for each in self.labels]}")


@dataclass(frozen=True)
class ImageSet:
    """Grey images of one size and what they are images of; rows stay on disk until asked for.

    ``rows`` has the columns ``image`` (PNG bytes, 8-bit grey), ``pixel_hash`` (SHA-256 of the decoded pixels),
    ``image_id`` and ``patient_id`` (text), ``prompt`` (text or ``None``), every label of ``info`` (integer or
    ``None``) and every attribute (text or ``None``). Generated sets also have ``purpose``; there ``patient_id`` is the
    id of the first image of the same purpose that belongs together with this one, most often its own.

    ``own_size`` is the least and the greatest (height, width) in pixels, each side on its own, of the files before they
    were brought to the one size; ``None`` where unknown. It is no part of ``digest``, and in a selection it still
    speaks of the whole set.
    """

    rows: datasets.Dataset
    info: DatasetInfo
    own_size: OwnSize | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """All values of one column, in row order."""
        values: list[Any] = self.rows.with_format(None)[name][:]
        return values

    @property
    def ids(self) -> list[str]:
        return self.column("image_id")

    @property
    def patients(self) -> list[str]:
        return self.column("patient_id")

    @property
    def pixel_keys(self) -> Keys:
        """The column ``pixel_hash`` as ``(N,)`` digests of 32 bytes, a quarter of the memory of their texts."""
        found = np.empty(len(self), "S32")
        start = 0
        for batch in _batches(self.rows, "pixel_hash"):
            texts = batch.column("pixel_hash").to_pylist()
            found[start : start + len(texts)] = np.frombuffer(bytes.fromhex("".join(texts)), "S32")
            start += len(texts)
        return found

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        height, width = self.pixels([0]).shape[1:]
        return height, width

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the pixels and metadata of all rows, in row order; no names of files, no times."""
        return _digest(self._described)

    @cached_property
    def unordered_digest(self) -> str:
        """16 hex digits over the same, whatever order the rows stand in."""
        return _digest(_in_order(self._described))

    @property
    def _described(self) -> Iterator[str]:
        for row in self.rows.remove_columns("image").with_format(None):
            yield json.dumps(row, sort_keys=True, separators=(",", ":"))

    def pixels(self, indices: Sequence[int] | range | npt.NDArray[np.int64] | None = None) -> Images:
        """Decode the rows at ``indices`` (all by default): ``(len(indices), H, W)`` uint8."""
        from PIL import Image

        rows = self.rows if indices is None else self.rows.select(indices)
        decoded = [np.asarray(Image.open(io.BytesIO(cell.as_py()["bytes"]))) for cell in _cells(rows, "image")]
        return np.stack(decoded) if decoded else np.zeros((0, 0, 0), np.uint8)

    def blocks(self, size: int) -> Iterator[Images]:
        """Decode in order, ``size`` images at a time; the last block may be shorter."""
        for start in range(0, len(self), size):
            yield self.pixels(range(start, min(start + size, len(self))))

    def select(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> ImageSet:
        """The rows at ``indices``, in that order; cheap, with a digest of its own."""
        return ImageSet(self.rows.select(indices), self.info, self.own_size)

    def at_most(self, most: int, rng: np.random.Generator) -> ImageSet:
        """Itself, or ``most`` random rows, in order, where it has more; ``rng`` is drawn from only then.

        For measures whose memory or time would not do for any number of images: the number used is their ``n``.
        """
        return self if len(self) <= most else self.select(np.sort(rng.permutation(len(self))[:most]))

    def group(self, name: str) -> list[str]:
        """The value of the subgroup column ``name`` for every row, as text."""
        values = self.column(name)
        labels = {label.name: label for label in self.info.labels}
        if name in labels:
            return [labels[name].text(value) for value in values]
        return ["unknown" if value is None else str(value) for value in values]


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _in_order(lines: Iterator[str]) -> Iterator[str]:
    """Lines of ASCII in ascending order, of which few are in memory: sorted a few at a time, on disk, and merged."""
    with ExitStack() as held:
        runs: list[IO[str]] = []
        while run := sorted(islice(lines, SORTED)):
            if len(run) < SORTED and not runs:
                yield from run
                return
            file = held.enter_context(tempfile.TemporaryFile("w+", encoding="ascii"))
            file.writelines(f"{line}\n" for line in run)
            file.seek(0)
            runs.append(file)
        # a line end is less than all that a line may hold, so that lines with their ends have the same order
        yield from (line[:-1] for line in heapq.merge(*runs))


def _cells(rows: datasets.Dataset, column: str) -> Iterator[Any]:
    """Arrow cells of a column, undecoded, in row order."""
    for batch in _batches(rows, column):
        yield from batch.column(column)


def _batches(rows: datasets.Dataset, column: str) -> Iterator[Any]:
    """Arrow tables of one column and a few rows, in row order (``Dataset.data`` ignores a selection)."""
    yield from rows.select_columns(column).with_format("arrow").iter(256)


@dataclass(frozen=True, slots=True)
class Split:
    """The real data every generator is compared on, in three parts that share no patient and no image.

    A generator may learn from ``train``. ``holdout`` is made of random patients taken out of the same official
    training pool and never learned from: the privacy control and the ceiling. ``test`` is the official test part.
    """

    train: ImageSet
    holdout: ImageSet
    test: ImageSet

    @property
    def info(self) -> DatasetInfo:
        return self.train.info

    @property
    def digest(self) -> str:
        """16 hex digits over the images of each part, whatever their order, as that of lines in a list file."""
        return _digest(part.unordered_digest for part in (self.train, self.holdout, self.test))

    @property
    def membership(self) -> str:
        """16 hex digits over the data set's name and which image of whom is in which part, whatever the order and the
        working size."""
        parts = {"train": self.train, "holdout": self.holdout, "test": self.test}
        members = ((name, *pair) for name, part in parts.items() for pair in zip(part.ids, part.patients, strict=True))
        return _digest([json.dumps(self.info.name), *_in_order(json.dumps(each) for each in members)])


class Configurable:
    """What a configuration may build: every part of a run, and what is marked so to stand among a part's settings."""


class Dataset(ABC, Configurable):
    """Where real images come from."""

    @abstractmethod
    def load(self, cache: Path) -> Split:
        """Read, check and prepare the data; ``cache`` keeps what was prepared for the next run.

        Raises:
            BenchError: data missing or not as promised; the message names file, row and remedy.
        """


@dataclass(frozen=True, slots=True)
class Request:
    """One image a generator is asked for.

    ``seed`` is a 63-bit integer derived from the run's seed and ``request_id``; it alone decides the noise.
    ``source`` is the id of the real image whose labels, attributes and prompt are asked for.
    """

    request_id: str
    purpose: Purpose
    labels: Mapping[str, int | None]
    attributes: Mapping[str, str | None]
    prompt: str | None
    seed: int
    source: str


class Generator(ABC, Configurable):
    """Makes images for requests.

    Attributes:
        block: images made in one call of ``sample``. Kernels give other last bits for other batch sizes, so the
            block belongs to the protocol: the core cuts the requests into blocks of this size and pads the last.
        uses: names of the request columns it understands (labels, attributes, ``prompt``).
        learns_from: the part of the split that ``fit`` is given and learns from; ``None`` where the generator comes
            trained on what the bench cannot know, and ``fit`` reads no more of the train part than size and labels.
        trained_on: what a person states that the weights or images it reads learned from: ``train`` (of this data
            set's training pool the train part and nothing else), the digest or the membership of a split,
            ``elsewhere`` (no image of this data set's training pool), or anything else, which counts as unknown.
        accounted: what a privacy accountant said of that training, where a person brings its record; ``None`` without.
        incidental: settings that change no image (where it runs, how often it saves).
        sampling_only: settings that training does not depend on, so that changing them keeps what was trained.
        runs_code: settings that, when set, start code which comes with weights; each needs the user's ``allow``.
        reads: files and folders of the user's whose content decides the images (weights, images made elsewhere).
        facts: what the record should say of it: parameters, hashes, counts; read after ``fit`` and after ``sample``.
            ``facts["matched"]``, where it is there, is by purpose, column and asked value the share of requests that
            got that value: a group in which it is too small is not measured.
        control: what it stands for on the board if it is a control and not a contender.
        refuses: the purposes for which it makes no images, and why: what reads these is refused for that reason.
        shows_real: whether its images are real ones, so that a public page must ask ``redistributable``.
        processes: how many processes of one launch train it together. Above 1, the core calls ``fit`` in all of them
            at once with the same folder, where only the main one (rank 0 of ``torch.distributed``) may write; with
            another number of processes it refuses to train, but loads what is finished. It decides the weights' last
            digits, so it is no ``incidental`` setting.
    """

    block: int = 32
    processes: int = 1
    uses: tuple[str, ...] = ()
    learns_from: ClassVar[Part | None] = "train"
    trained_on: str | None = None
    accounted: Mapping[str, Any] | None = None
    incidental: ClassVar[tuple[str, ...]] = ("device",)
    sampling_only: ClassVar[tuple[str, ...]] = ()
    runs_code: ClassVar[tuple[str, ...]] = ()
    reads: tuple[str, ...] = ()
    facts: Mapping[str, Any] = MappingProxyType({})
    control: ClassVar[Control | None] = None
    refuses: ClassVar[Mapping[Purpose, str]] = MappingProxyType({})
    shows_real: ClassVar[bool] = False

    def learned_from(self, split: Split) -> str:
        """The part of the split it learned from, ``unknown`` unless that was all of the training pool.

        What was trained here from nothing is known. A person states the rest: what came trained has learned from the
        train part if that is stated, and what goes on learning here from weights that it reads has learned from the
        part it was given if the weights are stated to know that part alone, or none.
        """
        if not self.from_elsewhere:
            return self.reads_part
        stated, part = self.trained_on, self.reads_part
        if stated == "elsewhere":
            return self.learns_from or "unknown"
        known = stated == "train" or (stated and stated in (split.membership, split.digest))
        return "train" if known and part == "train" else "unknown"

    @property
    def from_elsewhere(self) -> bool:
        """Whether weights or images that were not made here decide its images: what they know a person must state."""
        return self.learns_from is None or bool(self.reads)

    @property
    def reads_part(self) -> Part:
        """The part of the split that ``fit`` is given."""
        return self.learns_from or "train"

    def most(self, split: Split) -> int | None:
        """The most images of a purpose that it can make on this split, for which it is asked before ``fit``; ``None``
        for any number.

        Where it is a number, no more are asked for, and how many were is no part of what must agree before its results
        are compared.
        """
        return None

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:  # many come already trained
        """Train, continue an interrupted training, or load a finished one: ``folder`` holds what is kept.

        The result is the same bytes whether or not it was interrupted.
        """

    def plan(self, requests: Sequence[Request]) -> None:  # most need no overview
        """See all requests once, after ``fit`` and before ``sample``; what it decides for those of one purpose does not
        depend on which other purposes there are."""

    @abstractmethod
    def sample(self, requests: Sequence[Request]) -> Images:
        """Images for one block of requests, in order: ``(len(requests), H, W)`` uint8.

        Row ``i`` depends on ``requests[i]`` (and on ``plan``) only.
        """

    def patients(self, requests: Sequence[Request]) -> Sequence[str | None]:
        """Of whom the image of each request is, after ``plan``: one name for images that belong together, because they
        are of one real patient or one imagined one; ``None`` for an image that belongs to no other.

        The core compares the names within a purpose and writes down none of them.
        """
        return [None] * len(requests)


class Encoder(ABC, Configurable):
    """Turns images into rows of features. Deterministic, one row an image.

    Attributes:
        id: name, version and, where there are weights, their hash and the compute dtype: all that decides a row.
        dim: columns of a row.
        column_units: ``different`` where columns measure different things, so that whoever compares rows first brings
            every column to one scale; ``alike`` where distances of rows mean something as they are.
        block: images encoded in one call; belongs to the protocol like ``Generator.block``.

    What only some encoders can do is said by the protocols below: an encoder has a capability if it has its members,
    and whoever needs it asks with ``isinstance``. One that wraps another has those capabilities that it hands on.
    """

    id: str
    dim: int
    block: int = 64
    column_units: ColumnUnits = "alike"

    @abstractmethod
    def __call__(self, images: Images) -> Rows:
        """Encode ``(B, H, W)`` uint8 into ``(B, dim)`` float32; its own preprocessing included."""


@runtime_checkable
class Classifies(Protocol):
    """An encoder whose rows a classifier reads."""

    def logits(self, rows: Rows) -> Rows:
        """Class logits ``(N, classes)`` of rows ``(N, dim)``."""
        ...


@runtime_checkable
class ReadsText(Protocol):
    """An encoder that places texts among images."""

    def texts(self, prompts: Sequence[str]) -> Rows:
        """Embed texts: ``(len(prompts), dim)`` float32.

        Raises:
            BenchError: what reads texts is not at hand.
        """
        ...


@runtime_checkable
class HasFrequencies(Protocol):
    """An encoder of power spectra, made to judge fineness and not likeness.

    Attributes:
        frequencies: ``(dim,)`` cycles a pixel; a column is the base-10 logarithm of the power at that frequency.
    """

    frequencies: npt.NDArray[np.float64]


@runtime_checkable
class ComparesPairs(Protocol):
    """An encoder made to compare two images, not two sets of images.

    Attributes:
        pair_distance: name of the perceptual distance that the squared distance of two rows is, e.g. ``LPIPS``.
    """

    pair_distance: str


@runtime_checkable
class VerifiesPatients(Protocol):
    """An encoder trained to say whether two images are of one patient."""

    def same_patient(self, first: Rows, second: Rows) -> Rows:
        """``(N,)`` scores in [0, 1] of pairs of rows ``(N, dim)``, higher for one patient."""
        ...


@runtime_checkable
class HasRadiomics(Protocol):
    """An encoder of radiomic features.

    Attributes:
        radiomic_features: the name of the feature in each of the ``dim`` columns.
    """

    radiomic_features: tuple[str, ...]


@runtime_checkable
class PublishedRadiomics(HasRadiomics, Protocol):
    """An encoder whose radiomic features equal, to rounding, those of published code, so that distances compare.

    Attributes:
        published_as: the code and its version.
    """

    published_as: str


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means, said once and shown wherever the number is shown.

    Attributes:
        better: ``lower``, ``higher``, ``target``: nearest to ``target``, or ``neither``: the number describes the real
            images, the split or a test, and says nothing of how good a generator is, so it is shown and never judged.
        bounds: the closed range of possible values.
        reference: the source of the definition, as arXiv id or DOI.
        minimum: fewest images (``n``) the metric means anything for.
        summary: one sentence for a reader who does not know the metric.
        role: ``headline`` or ``scores`` judge a generator; ``describes`` says something of the real images, the split
            or a test; ``ceiling`` is what real images score on the metric ``ceiling_of``. The last two are never
            ranked: they go with ``better="neither"``.
        area: which question it answers, where the board and the card need to know.
        ceiling_of: key of the metric that this one is the ceiling of.
    """

    key: str
    title: str
    better: Better
    reference: str
    bounds: tuple[float, float] = (-math.inf, math.inf)
    target: float | None = None
    unit: str = ""
    minimum: int = 2
    summary: str = ""
    role: Role = "scores"
    area: Area | None = None
    ceiling_of: str | None = None

    def __post_init__(self) -> None:
        """Check that the metric does not contradict itself.

        Raises:
            ValueError: ``role`` disagrees with ``better`` or with ``ceiling_of``.
        """
        if (self.better == "neither") != (self.role in ("describes", "ceiling")):
            raise ValueError(
                f"metric {self.key}: better={self.better!r} does not go with role={self.role!r}; what is never ranked "
                "has better='neither' and the role 'describes' or 'ceiling', and nothing else has either"
            )
        if (self.ceiling_of is None) == (self.role == "ceiling"):
            raise ValueError(
                f"metric {self.key}: ceiling_of={self.ceiling_of!r} does not go with role={self.role!r}; a ceiling "
                "names the metric that it is the ceiling of, and nothing else does"
            )

    def __call__(
        self,
        value: float,
        *,
        n: int,
        interval: tuple[float, float] | None = None,
        group: str = "all",
        encoder: str | None = None,
        reason: str | None = None,
        words: str | None = None,
    ) -> Score:
        """A measured score. ``interval`` is the 95% interval; without one, ``reason`` says why.

        Raises:
            ValueError: value out of bounds or not finite, interval without its value, ``n`` under the minimum, or
                ``words`` in the place of a number by which generators are compared.
        """
        where = f"{self.key}[{group}, {encoder}]"
        low, high = self.bounds
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"{where} = {value} is outside [{low}, {high}]: the evaluator has a bug")
        if n < self.minimum:
            raise ValueError(f"{where} was measured on n={n}, under its minimum {self.minimum}: refuse it instead")
        if words is not None and self.better != "neither":
            raise ValueError(f"{where} has words, but {self.better} is better: words cannot be compared")
        if interval is None:
            if not reason:
                raise ValueError(f"{where} has neither an interval nor the reason for having none")
            return Score(self.key, float(value), None, None, n, group, encoder, reason, words)
        a, b = max(interval[0], low), min(interval[1], high)
        if not a <= value <= b:
            raise ValueError(f"{where} = {value} is outside its own interval {interval}: the evaluator has a bug")
        return Score(self.key, float(value), float(a), float(b), n, group, encoder, reason, words)

    def refused(
        self, reason: str, *, n: int, group: str = "all", encoder: str | None = None, words: str | None = None
    ) -> Score:
        """A score that was not measured, and why; ``words`` are shown in its place where it is a verdict."""
        return Score(self.key, None, None, None, n, group, encoder, reason, words)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a score moves with the images behind it.

    Attributes:
        deviations: one for each resample of the folds, which the split fixes: the square root of the sum of their
            squares is the standard error. Those of two generators on one split may be subtracted before they are
            squared, which leaves out what the real images do to both.
        real: the standard error that the finite real set alone brings; ``None`` where unknown.
        synthetic: the same of the synthetic set.
    """

    deviations: tuple[float, ...]
    real: float | None = None
    synthetic: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One number: its 95% interval, the number ``n`` of images behind it, and for whom and in which features.

    ``value`` is ``None`` exactly when the score was refused; ``reason`` then says why. ``low`` and ``high`` are
    ``None`` together, with the reason. ``words`` are shown in the place of the number, which then codes a verdict.
    ``spread`` says how the score moves with the images, where that is known. ``ranked`` is false where the number must
    be shown and not judged: in a group by what the generator was never told.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    group: str = "all"
    encoder: str | None = None
    reason: str | None = None
    words: str | None = None
    spread: Spread | None = None
    ranked: bool = True

    def __float__(self) -> float:
        """The value.

        Raises:
            Refused: there is none; the message says why.
        """
        if self.value is None:
            raise Refused(f"{self.metric} was not measured: {self.reason}")
        return self.value


class Leave(Protocol):
    """Takes the name, relative to the run's folder, and the content of a file that an evaluator leaves."""

    def __call__(self, name: str, content: bytes) -> None: ...


class FeatureReader(Protocol):
    """Rows of features of an image set, computed once and kept."""

    def __call__(self, encoder: str, images: ImageSet) -> Rows: ...


class Keep(Protocol):
    """Arrays that depend on nothing but ``identity``, made once and found again by every later run on the same data.

    ``identity`` holds numbers, texts and digests of arrays: all that decides what ``make`` gives, but for the code.
    """

    def __call__(
        self, identity: Sequence[Any], make: Callable[[], Mapping[str, npt.NDArray[Any]]]
    ) -> Mapping[str, npt.NDArray[Any]]: ...


def made_anew(
    identity: Sequence[Any], make: Callable[[], Mapping[str, npt.NDArray[Any]]]
) -> Mapping[str, npt.NDArray[Any]]:
    """A ``Keep`` that keeps nothing."""
    return make()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter makes of one image.

    Attributes:
        grade: a short word or two under which images are counted, e.g. ``High Quality``.
        reason: why, for a reader of ``filter.csv``.
        value: the finite number behind it, if there is one.
    """

    keep: bool
    grade: str
    reason: str
    value: float | None = None

    def __post_init__(self) -> None:
        if not self.grade or not (self.value is None or math.isfinite(self.value)):
            raise ValueError(f"{self} needs a grade, and a finite value or none: the filter has a bug")


class Filter(ABC, Configurable):
    """Judges generated images one by one: an image's verdict depends on that image, its row and the split only.

    Attributes:
        id: name, version, settings and, where there are weights, their hash: all that decides a verdict.
        encoders: names of the encoders whose features it reads.
        reads_parts: the real parts whose features it reads.
        block: images judged in one call; what a kill can cost.
        facts: what else the record should say, e.g. the prompt of a model.
    """

    id: str
    encoders: tuple[str, ...] = ()
    reads_parts: tuple[Part, ...] = ()
    block: int = 256
    facts: Mapping[str, Any] = {}

    def prepare(self, encoders: Mapping[str, Encoder]) -> None:  # most need no encoder
        """See the configured encoders, before ``id`` is asked for and anything is judged."""

    @abstractmethod
    def __call__(self, images: ImageSet, split: Split, features: FeatureReader) -> list[Verdict]:
        """One verdict for every row of ``images``, in order."""


@dataclass(frozen=True)
class Material:
    """Everything an evaluator may look at.

    Attributes:
        split: the real images.
        images: the generated images of each purpose.
        encoders: the configured encoders by name.
        features: ``features("radiomics", split.test)`` is ``(N, D)`` float32.
        rng: this evaluator's own source of randomness.
        leave: ``leave("privacy.json", content)`` puts a file into the run's folder.
        scores: the scores of evaluators that ran before it in this run, with their names.
        keep: keeps what was computed from real images alone.
        generator: what the run says of the generator: name, target, settings, control, ``told`` (the labels and
            attributes that reach it), ``facts`` and more.
    """

    split: Split
    images: Mapping[Purpose, ImageSet]
    encoders: Mapping[str, Encoder]
    features: FeatureReader
    rng: np.random.Generator
    leave: Leave
    scores: Mapping[str, Sequence[Score]] = field(default_factory=dict)
    generator: Mapping[str, Any] = field(default_factory=dict)
    keep: Keep = made_anew


class Evaluator(ABC, Configurable):
    """Measures generated images against real ones.

    Attributes:
        id: its name in protocols: lasting, whatever its module, class or place in a configuration is called.
        metrics: every metric it can yield.
        purposes: the purposes of the generated images it reads.
        version: changes whenever the same images would give other numbers.
        reads_scores: whether it reads ``Material.scores``.
        reads_parts: the real parts whose features it reads.
        encoders: names of the encoders it reads, ``None`` for all that are configured.
        skip: names of configured encoders it does not read.
        groups: columns in whose subgroups it measures, ``None`` for all that the data set declares.
    """

    id: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    purposes: ClassVar[tuple[Purpose, ...]]
    version: ClassVar[str] = "1"
    reads_scores: ClassVar[bool] = False
    reads_parts: ClassVar[tuple[Part, ...]] = ("test",)
    encoders: Sequence[str] | None = None
    skip: Sequence[str] = ()
    groups: Sequence[str] | None = None

    def check(self, split: Split) -> None:  # most can measure on any split
        """Say before any image is made that nothing could be measured on this split.

        Raises:
            BenchError: what is there, what is needed, and the remedy.
        """

    @abstractmethod
    def __call__(self, material: Material) -> Iterable[Score]:
        """Measure. Raises ``Refused`` if nothing can be measured on this material."""

    def conformance(self, material: Material) -> Iterable[Score]:
        """Measure the small fixed material by which installations are told apart.

        Overridden where measuring trains something whose last digits depend on the library, to measure only the
        formulas: what is trained then gives fixed answers.
        """
        return self(material)
