"""Sets of synthetic images that others published: parquet with an image column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Label, Part, Purpose, Request
from bench.runtime.progress import track
from bench.runtime.setting_types import Count, ExistingPath
from bench.storage.image_reader import Aspect, Grey, pixel_hash, size_span
from bench.storage.mapped import nameless
from bench.storage.parquet import Colour, ImageTable, grey, label_value, labels_dict
from generators.accounting import accounting_record
from generators.assignment import shuffle_by_seeds
from generators.finished.joining import fewer, join, repeating, some
from generators.finished.shaping import check_crop_rows, cut, same_pictures, shaped
from generators.finished.stated import Stated, Texts, further_columns, known_text, texts_of
from generators.training_statement import training_statement

By = Literal["request_id", "conditions"]
EXPORT = "export the run without --purpose, or set generator.by=conditions"


@dataclass
class Parquet(Generator):
    """Gives each request an image of a finished set: its own where the set knows requests, else one of its kind.

    ``path`` is a parquet file, or a folder with parquet files.
    Labels are read from columns of their names, or from ``labels_dict``, attributes and ``prompt`` from columns of
    theirs; a column ``patient_id`` says which images are of one real or imagined patient. Images are given by
    conditions first and then by the groups that the set states. ``conf/generator/parquet.yaml`` explains the settings;
    ``facts`` counts images of other conditions than asked and pictures given more than once, pixel for pixel, has the
    shares of requests that got what they asked for (``matched``), and ``own_size``:
    ``[[least height, least width], [greatest height, greatest width]]`` in pixels of the images that are given,
    after ``crop_rows`` and before they are resized.
    """

    learns_from: ClassVar[Part | None] = None
    incidental: ClassVar[tuple[str, ...]] = ("device", "trained_on", "accounting")

    path: ExistingPath | None = None
    by: By | None = None
    crop_rows: Sequence[int] = (0, 0)
    resize: Aspect | None = None
    colour: Colour = "refuse"
    unknown: Sequence[int] = ()
    other_conditions_tolerance: int = 0
    repeat_tolerance: int = 0
    block: Count = 64
    trained_on: str | None = None
    accounting: str | None = None
    facts: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name, value, choices in (("by", self.by, By), ("resize", self.resize, Aspect)):
            if value is not None and value not in get_args(choices):
                raise BenchError(f"generator.{name} is {value!r}; it must be null or one of {list(get_args(choices))}")
        if self.colour not in get_args(Colour):
            raise BenchError(f"generator.colour is {self.colour!r}; it must be one of {list(get_args(Colour))}")
        check_crop_rows(self.crop_rows)
        self.reads = (str(Path(self.path).expanduser()),) if self.path else ()
        self.trained_on = training_statement(self.trained_on)
        self.accounted = accounting_record(self.accounting)
        self._given: dict[str, int] = {}

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Open the set; nothing is learned from ``train`` but the image size and the labels."""
        if not self.path:
            raise BenchError("generator.path is not set; name a parquet file, or a folder of parquet files")
        self._source = open_table(Path(self.path).expanduser())
        self._size, self._folder = train.size, folder
        labels = [train.info.label(name) for name in train.info.conditions]
        texts = self._source.texts(train.info, self.unknown)
        self._stated = Stated(train.info, self._source.labels(labels, self.unknown), texts)
        self.facts = {"images": len(self._source), "crop_rows": list(self.crop_rows), "colour": self.colour}

    def plan(self, requests: Sequence[Request]) -> None:
        """Choose an image for every request, and read the chosen ones in the order they lie on disk.

        Raises:
            BenchError: images and requests do not match, more images of other conditions or given twice than
                tolerated, or an unreadable image.
        """
        ids = self._source.request_ids()
        by = self.by or ("request_id" if ids else "conditions")
        if by == "request_id":
            if ids is None:
                raise BenchError(f"{self.path} has no column request_ids or request_id; set generator.by=conditions")
            named = join([name for name, _ in ids], requests, EXPORT)
            self._given = {name: ids[place][1] for name, place in named.items()}
        else:
            self._given = self._drawn(requests)
        other = [each.request_id for each in requests if not self._fits(each)]
        what = "get an image of other conditions"
        _tolerate(other, self.other_conditions_tolerance, "other_conditions_tolerance", what, requests)
        twice = repeating(self._given, requests)
        what = "get an image that another of their purpose has"
        _tolerate(twice, self.repeat_tolerance, "repeat_tolerance", what, requests)
        self.facts |= {"matched_by": by, "images_used": len(set(self._given.values()))}
        self.facts["matched"] = self._stated.met(requests, self._given)
        self.uses = self._stated.uses(requests, self._given)
        sizes, pixels = self._read(sorted(set(self._given.values())))
        given = {name: self._source.where(row) for name, row in self._given.items()}
        again, alike = same_pictures(given, pixels, requests)
        what = f"get the picture of another of their purpose ({alike})"
        _tolerate(again, self.repeat_tolerance, "repeat_tolerance", what, requests)
        self.facts |= {"other_conditions": len(other), "repeats": len(again)}
        if sizes:
            self.facts["own_size"] = size_span(sizes)

    def sample(self, requests: Sequence[Request]) -> Images:
        return np.array(self._pixels[[self._places[self._given[each.request_id]] for each in requests]])

    def patients(self, requests: Sequence[Request]) -> Sequence[str | None]:
        owners = self._source.patients()
        return [owners[self._given[each.request_id]] if owners else None for each in requests]

    def _read(self, rows: Sequence[int]) -> tuple[set[tuple[int, int]], dict[str, str]]:
        """Keep the images of ``rows`` at the data set's size; the sizes they had, and the digests of their pixels."""
        self._places = {row: place for place, row in enumerate(rows)}
        # rows of parquet come in groups, so picking them one by one would read each group many times over; the file
        # has no name and goes with the process
        room = max(1, len(rows)) * self._size[0] * self._size[1]
        with nameless(self._folder, room) as file:
            self._pixels = np.memmap(file, np.uint8, "w+", shape=(max(1, len(rows)), *self._size))
        images, sizes = self._source.images(rows, self.colour), set[tuple[int, int]]()
        pixels: dict[str, str] = {}
        for row, image in track(images, "reading images", total=len(rows), unit="image"):
            where = self._source.where(row)
            own = cut(image, self.crop_rows, where)
            sizes.add((own.shape[0], own.shape[1]))
            pixels[where] = pixel_hash(own)
            self._pixels[self._places[row]] = shaped(own, self._size, self.resize, where)
        return sizes, pixels

    def _drawn(self, requests: Sequence[Request]) -> dict[str, int]:
        given: dict[str, int] = {}
        for purpose in sorted({each.purpose for each in requests}):
            asking = sorted((each for each in requests if each.purpose == purpose), key=lambda each: each.seed)
            rows = self._stated.draw(asking, np.arange(len(self._source)), shuffle_by_seeds(asking))
            given |= {each.request_id: int(row) for each, row in zip(asking, rows, strict=True)}
        return given

    def _fits(self, request: Request) -> bool:
        row = self._given[request.request_id]
        return all(values[row] == request.labels.get(name) for name, values in self._stated.conditions.items())


class Table:
    """A set in parquet files."""

    def __init__(self, path: Path) -> None:
        self._table = ImageTable(path)

    def __len__(self) -> int:
        return len(self._table)

    def where(self, row: int) -> str:
        """What a message calls the image."""
        return self._table.where(row)

    def request_ids(self) -> list[tuple[str, int]] | None:
        """The requests that images were made for, each with its row, if the set says so."""
        if "request_ids" in self._table.names:
            return [(name, row) for row, ids in enumerate(self._table.column("request_ids")) for name in ids or ()]
        if "request_id" in self._table.names:
            return [(name, row) for row, name in enumerate(self._table.column("request_id"))]
        return None

    def patients(self) -> list[str | None] | None:
        """Whose image each is, if the set says so."""
        if "patient_id" not in self._table.names:
            return None
        return [known_text(cell) for cell in self._table.column("patient_id")]

    def texts(self, info: DatasetInfo, unknown: Sequence[int]) -> Texts:
        """What the set states beside conditions."""
        dicts = self._dicts()
        cells = {name: self._table.column(name) for name in further_columns(info) if name in self._table.names}
        for label in info.labels:
            if label.name not in info.conditions:
                cells.setdefault(label.name, [each.get(label.name) for each in dicts])
        return texts_of(info, cells, unknown)

    def labels(self, labels: Sequence[Label], unknown: Sequence[int]) -> dict[str, list[int | None]]:
        """Every image's values of those ``labels`` that the set has.

        Raises:
            BenchError: a value that the label cannot take.
        """
        dicts = self._dicts()
        found: dict[str, list[int | None]] = {}
        for label in labels:
            if label.name in self._table.names:
                found[label.name] = self._values(label, self._table.column(label.name), unknown)
            elif any(label.name in each for each in dicts):
                found[label.name] = self._values(label, [each.get(label.name) for each in dicts], unknown)
        return found

    def _dicts(self) -> list[dict[str, Any]]:
        cells = self._table.column("labels_dict") if "labels_dict" in self._table.names else []
        return [labels_dict(cell, self.where(row)) for row, cell in enumerate(cells)]

    def _values(self, label: Label, cells: Sequence[Any], unknown: Sequence[int]) -> list[int | None]:
        values = []
        for row, cell in enumerate(cells):
            try:
                values.append(label_value(cell, label.values, unknown))
            except ValueError as error:
                remedy = "values that mean unknown are listed in generator.unknown"
                raise BenchError(f"{self.where(row)}, label {label.name!r}: {error}; {remedy}") from None
        return values

    def images(self, rows: Sequence[int], colour: Colour) -> Iterator[tuple[int, Grey]]:
        """Row and decoded image of the given rows."""
        for row, content in self._table.content(rows):
            yield row, grey(content, self.where(row), colour=colour)


def open_table(path: Path) -> Table:
    """The set at ``path``.

    Raises:
        BenchError: no parquet file there.
    """
    if not path.exists():
        raise BenchError(f"generator.path: {path} does not exist")
    if path.is_dir() and not next(path.rglob("*.parquet"), None):
        raise BenchError(
            f"generator.path: {path} has no parquet files; a folder of image files, with a table or without, is read "
            f"by generator=folder generator.path={path}"
        )
    return Table(path)


def _tolerate(names: Sequence[str], tolerance: int, setting: str, what: str, requests: Sequence[Request]) -> None:
    if len(names) <= tolerance:
        return
    left: dict[Purpose, int] = {}
    for purpose in get_args(Purpose):
        asked = [each.request_id for each in requests if each.purpose == purpose]
        if spoiled := len({*asked} & {*names}):
            left[purpose] = len(asked) - spoiled
    raise BenchError(
        f"{len(names)} requests {what}, tolerated are {tolerance}: {some(names)}. {fewer(left)}; or, last, set "
        f"generator.{setting}={len(names)}: they are counted in the record, and spoil what is measured"
    )
