"""Images made elsewhere: a folder of files and a table of what each is an image of."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Label, Part, Purpose, Request
from bench.runtime.progress import track
from bench.runtime.setting_types import Count, ExistingFolder
from bench.storage.files import file_digest
from bench.storage.image_reader import SUFFIXES, decode_file, resize, size_span
from bench.storage.tables import Row, read_table
from generators.assignment import shuffle_by_seeds
from generators.finished.joining import fewer, join, repeating, some
from generators.finished.stated import Stated, further_columns, texts_of

log = logging.getLogger(__name__)
Kind = tuple[tuple[str, int | None], ...]  # names of labels and their values
Aspect = Literal["pad", "crop"]
OPTIONAL = ("request_id", "purpose", "patient_id")
EXPORT = "the run's folder has requests.csv, one line for each image asked for: make images for those lines"
SPOILS = "which spoils what measures diversity"


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        patient: empty where the table does not say whose image it is.
        labels: the condition labels for which the table has any value.
        further: the cells of the data set's other columns, empty where the table lacks them.
    """

    path: Path
    where: str
    request_id: str
    purpose: str
    patient: str
    labels: Kind
    further: Mapping[str, str]


class Folder(Generator):
    """Scores images that any other program made.

    The table has the column ``file_name`` (relative to the folder) and may have ``request_id``, ``purpose``,
    ``patient_id``, the same for images of one real or imagined patient, the data set's labels as numbers or as their
    names, its attributes, and ``prompt``; empty where unknown. With ``request_id`` every image belongs to one request.
    Without it, each request takes an image of its purpose with the conditions it asks for, where it can with the groups
    too, else at random, and none twice within a purpose. Every image file of the folder has a line.

    ``facts["matched"]`` is, by purpose, column and asked value, the share of requests that got that value.
    ``facts["repeats"]`` counts the requests that get a file which another of their purpose has.
    ``facts["own_size"]`` is ``[[least height, least width], [greatest height, greatest width]]`` in pixels of the
    images that are given, before they are resized.
    """

    learns_from: ClassVar[Part | None] = None

    def __init__(
        self,
        path: ExistingFolder | None = None,
        table: str = "metadata.csv",
        resize: Aspect | None = None,
        window: Sequence[float] | None = None,
        reuse: bool = False,
        block: Count = 256,
    ) -> None:
        """``path``: the folder. ``table``: its CSV, relative to the folder. ``window``: grey range of 16-bit files.

        ``resize``: ``pad`` or ``crop`` to the data set's size; by default another size is an error. ``reuse``: give
        an image to several requests when there are too few, which every diversity metric will punish.
        """
        if resize is not None and resize not in get_args(Aspect):
            raise BenchError(f"generator.resize is {resize!r}; it must be pad, crop or null")
        self.block = block
        self._path, self._table_name = path, table
        self._resize, self._reuse = resize, reuse
        self._window = None if window is None else (float(window[0]), float(window[1]))
        self._given: dict[str, Entry] = {}
        self.reads = (path,) if path else ()
        self.facts: dict[str, Any] = {}

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Read the table; nothing is learned from ``train`` but the image size and the label names."""
        if not self._path:
            raise BenchError("generator.path is not set; name the folder of images, e.g. generator.path=my/images")
        root = Path(self._path).expanduser()
        if not root.is_dir():
            raise BenchError(f"generator.path: {root} is not a folder")
        table = root / self._table_name
        if not table.is_file():
            raise BenchError(
                f"{table} does not exist; write a CSV with the column file_name and, where known, request_id, "
                f"purpose and {', '.join(train.info.conditions) or 'no labels'} (generator.table names another file)"
            )
        self._size = train.size
        self._entries = read_entries(table, root, train.info)
        self._stated = stated(self._entries, train.info)
        self.facts = {"table": self._table_name, "table_sha256": file_digest(table), "images": len(self._entries)}

    def plan(self, requests: Sequence[Request]) -> None:
        """Choose an image for every request, and see how large the chosen ones are.

        Raises:
            BenchError: images and requests do not match, or an unreadable image.
        """
        by_id = any(entry.request_id for entry in self._entries)
        if by_id:
            rows = join([entry.request_id for entry in self._entries], requests, EXPORT)
        else:
            rows = allot(self._entries, requests, self._stated, reuse=self._reuse)
        self._given = {name: self._entries[row] for name, row in rows.items()}
        self.uses = self._stated.uses(requests, rows)
        self.facts["matched"] = self._stated.met(requests, rows)
        used = {str(entry.path): entry for entry in self._given.values()}
        again = repeating({name: entry.path for name, entry in self._given.items()}, requests)
        self.facts |= {"matched_by": "request_id" if by_id else "conditions", "images_used": len(used)}
        self.facts["repeats"] = len(again)
        if again:
            files = some(sorted({self._given[name].path.name for name in again}))
            log.warning("%d requests get a file that another of their purpose has: %s", len(again), files)
        if used:
            sizes = track(used.values(), "looking at the sizes of images", total=len(used), unit="image")
            self.facts["own_size"] = size_span(self._own_size(entry) for entry in sizes)

    def sample(self, requests: Sequence[Request]) -> Images:
        return np.stack([self._read(self._given[each.request_id]) for each in requests])

    def patients(self, requests: Sequence[Request]) -> Sequence[str | None]:
        return [self._given[each.request_id].patient or None for each in requests]

    def _own_size(self, entry: Entry) -> tuple[int, int]:
        try:
            with Image.open(entry.path, formats=("PNG", "JPEG", "TIFF")) as picture:
                return picture.height, picture.width
        except Exception:  # the reader knows what is wrong with it, or copes
            height, width = self._decoded(entry).shape
            return height, width

    def _decoded(self, entry: Entry) -> npt.NDArray[np.uint8]:
        try:
            return decode_file(entry.path, window=self._window)
        except BenchError as error:
            raise BenchError(f"{entry.where}: {error}") from error

    def _read(self, entry: Entry) -> npt.NDArray[np.uint8]:
        image = self._decoded(entry)
        if image.shape == self._size:
            return image
        if self._resize is None:
            raise BenchError(
                f"{entry.where}: {entry.path} is {image.shape[0]} x {image.shape[1]}, the data set is "
                f"{self._size[0]} x {self._size[1]} (height x width); set generator.resize=pad or crop to allow it"
            )
        return resize(image, self._size, self._resize)


def read_entries(table: Path, root: Path, info: DatasetInfo) -> list[Entry]:
    """The lines of ``table``, checked: every file exists inside ``root``, and every image file there has a line.

    Raises:
        BenchError: no line, a file missing, without a line or outside ``root``, an unknown purpose or label value, ids
            given for only some of the images.
    """
    further = further_columns(info)
    rows = read_table(table, delimiter=",", required=["file_name"], optional=[*OPTIONAL, *info.conditions, *further])
    known = [info.label(name) for name in info.conditions if any(row[name] for row in rows)]
    entries = [_entry(row, root.resolve(), known, further) for row in rows]
    named = {entry.path for entry in entries}
    found = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    extra = [str(path) for path in found if path.resolve() not in named and not path.name.startswith(".")]
    if extra:
        raise BenchError(f"{len(extra)} image files have no row in {table}: {some(extra)}; add rows or move them")
    without = [entry.where for entry in entries if not entry.request_id]
    if 0 < len(without) < len(entries):
        raise BenchError(f"{some(without)}: no request_id, but other lines have one; give every line one, or none")
    return entries


def stated(entries: Sequence[Entry], info: DatasetInfo) -> Stated:
    """What the lines state of their images."""
    conditions = {name: [dict(each.labels)[name] for each in entries] for name, _ in entries[0].labels}
    cells = {name: [each.further[name] for each in entries] for name in further_columns(info)}
    return Stated(info, conditions, texts_of(info, cells))


def allot(entries: Sequence[Entry], requests: Sequence[Request], told: Stated, *, reuse: bool) -> dict[str, int]:
    """The place of an entry with the asked conditions for every request, none twice within a purpose.

    Among those with the same conditions, one with the asked groups where there is one left, else at random.
    With ``reuse`` the images of one kind go round again when they have all been given.

    Raises:
        BenchError: too few images; the message counts them by purpose and labels and names how many are enough.
    """
    given: dict[str, int] = {}
    short: list[str] = []
    enough: dict[Purpose, int] = {}
    for purpose in get_args(Purpose):
        asking = sorted((each for each in requests if each.purpose == purpose), key=lambda each: each.seed)
        kinds: dict[Kind, list[Request]] = {}
        for each in asking:
            kinds.setdefault(tuple((name, each.labels.get(name)) for name in told.conditions), []).append(each)
        rng = shuffle_by_seeds(asking)
        share = 1.0
        for kind in sorted(kinds, key=repr):
            fits = (each.purpose in ("", purpose) and each.labels == kind for each in entries)
            held = np.flatnonzero(list(fits))
            if not len(held) or (len(held) < len(kinds[kind]) and not reuse):
                short.append(f"{purpose}, {_kind(kind)}: {len(kinds[kind])} asked, {len(held)} there")
                share = min(share, len(held) / len(kinds[kind]))
                continue
            if told.groups:
                rows = told.draw(kinds[kind], held, rng)
            else:
                rows = held[np.resize(rng.permutation(len(held)), len(kinds[kind]))]
            given |= {each.request_id: int(row) for each, row in zip(kinds[kind], rows, strict=True)}
        if share < 1:
            enough[purpose] = int(share * len(asking))
    if short:
        raise BenchError(_too_few(short, enough, reuse=reuse))
    return given


def _too_few(short: Sequence[str], enough: Mapping[Purpose, int], *, reuse: bool) -> str:
    """What is missing, and the remedies, that which spoils the measurement last."""
    last = "" if reuse else f"; or, last, set generator.reuse=true: an image then serves several requests, {SPOILS}"
    return f"too few images for {len(short)} kinds of request: {some(short, 20)}. {fewer(enough)}; {EXPORT}{last}"


def _entry(row: Row, root: Path, labels: Sequence[Label], further: Sequence[str]) -> Entry:
    name = row["file_name"]
    path = (root / name).resolve()
    if not name or not path.is_relative_to(root):
        raise BenchError(f"{row.where}: file_name {name!r} must be inside {root}")
    if not path.is_file():
        raise BenchError(
            f"{row.where}: {path} {'is a folder, needed an image file' if path.is_dir() else 'does not exist'}"
        )
    if row["purpose"] not in ("", *get_args(Purpose)):
        raise row.error("purpose", f"empty or one of {', '.join(get_args(Purpose))}")
    values = tuple((label.name, _value(row, label)) for label in labels)
    others = {name: row[name] for name in further}
    return Entry(path, row.where, row["request_id"], row["purpose"], row["patient_id"], values, others)


def _value(row: Row, label: Label) -> int | None:
    text = row[label.name]
    if text in ("", "unknown"):
        return None
    for value in label.values:
        if text in (str(value), label.text(value)):
            return value
    allowed = [label.text(value) for value in label.values]
    raise row.error(label.name, f"empty or one of {', '.join(allowed)}")


def _kind(kind: Kind) -> str:
    return ", ".join(f"{name}={'unknown' if value is None else value}" for name, value in kind) or "any labels"
