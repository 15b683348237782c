"""Images made elsewhere: a folder of files and a table of what each is an image of."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from bench.api import BenchError, DatasetInfo, Generator, Images, ImageSet, Label, Part, Purpose, Request
from bench.runtime.progress import track
from bench.runtime.setting_types import Count, ExistingFolder
from bench.storage.files import file_digest
from bench.storage.image_reader import Aspect, Grey, decode_file, image_files, pixel_hash, size_span
from bench.storage.parquet import Colour, grey
from bench.storage.tables import Row, read_table
from generators.accounting import accounting_record
from generators.assignment import shuffle_by_seeds
from generators.finished.joining import fewer, join, some
from generators.finished.shaping import check_crop_rows, cut, same_pictures, shaped
from generators.finished.stated import Stated, further_columns, texts_of
from generators.training_statement import training_statement

log = logging.getLogger(__name__)
Kind = tuple[tuple[str, int | None], ...]  # names of labels and their values
TABLE = "metadata.csv"
OPTIONAL = ("request_id", "purpose", "patient_id")
EXPORT = "the run's folder has requests.csv, one line for each image asked for: make images for those lines"
SPOILS = "which spoils what measures diversity"


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        where: the line of the table; empty where there is no table.
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
    A folder without the table states nothing of its images, which are taken in the order of their names.

    ``facts["matched"]`` is, by purpose, column and asked value, the share of requests that got that value.
    ``facts["repeats"]`` counts the requests that get a picture, pixel for pixel, which another of their purpose has;
    without ``reuse`` there may be none. ``facts["own_size"]`` is ``[[least height, least width], [greatest height,
    greatest width]]`` in pixels of the images that are given, after ``crop_rows`` and before they are resized.
    ``facts["table"]`` is ``None`` where there is no table.
    """

    learns_from: ClassVar[Part | None] = None
    incidental: ClassVar[tuple[str, ...]] = ("device", "trained_on", "accounting")

    def __init__(
        self,
        path: ExistingFolder | None = None,
        table: str = TABLE,
        resize: Aspect | None = None,
        window: Sequence[float] | None = None,
        crop_rows: Sequence[int] = (0, 0),
        colour: Colour = "refuse",
        reuse: bool = False,
        block: Count = 256,
        trained_on: str | None = None,
        accounting: str | None = None,
    ) -> None:
        """``path``: the folder. ``table``: its CSV, relative to the folder. ``window``: grey range of 16-bit files.

        ``resize``: ``pad`` or ``crop`` to the data set's size; by default another size is an error. ``crop_rows``:
        rows off the top and the bottom before that. ``colour``: ``luma`` takes colours as grey. ``reuse``: allow a
        picture to serve several requests, be it that there are too few or that files are alike, which every diversity
        metric will punish. ``trained_on``: what you state that the generator learned from, see
        ``training_statement``. ``accounting``: the record of a privacy accountant, see ``accounting_record``.
        """
        if resize is not None and resize not in get_args(Aspect):
            raise BenchError(f"generator.resize is {resize!r}; it must be pad, crop or null")
        if colour not in get_args(Colour):
            raise BenchError(f"generator.colour is {colour!r}; it must be one of {list(get_args(Colour))}")
        check_crop_rows(crop_rows)
        self._crop_rows, self._colour = tuple(crop_rows), colour
        self.block = block
        self.trained_on = training_statement(trained_on)
        self.accounted = accounting_record(accounting)
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
        self._size = train.size
        if table.is_file():
            self._entries = read_entries(table, root, train.info)
            self.facts = {"table": self._table_name, "table_sha256": file_digest(table)}
        elif self._table_name != TABLE:
            raise BenchError(
                f"{table} does not exist; correct generator.table, or leave it out where nothing is stated of images"
            )
        else:
            self._entries = bare_entries(root, table, train.info)
            self.facts = {"table": None}
        self._stated = stated(self._entries, train.info)
        self.facts |= {"images": len(self._entries), "crop_rows": list(self._crop_rows), "colour": self._colour}

    def plan(self, requests: Sequence[Request]) -> None:
        """Choose an image for every request, and look at the chosen ones: how large they are, and which are alike.

        Raises:
            BenchError: images and requests do not match, an unreadable image, or pictures that repeat others without
                ``reuse``.
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
        self.facts |= {"matched_by": "request_id" if by_id else "conditions", "images_used": len(used)}
        self._look(used, requests)

    def _look(self, used: Mapping[str, Entry], requests: Sequence[Request]) -> None:
        """Own sizes and repeated pictures of the ``used`` files."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            seen = pool.map(self._seen, used.values())
            looked = list(track(seen, "looking at the images", total=len(used), unit="image"))
        pixels = {path: digest for path, (_, digest) in zip(used, looked, strict=True)}
        again, alike = same_pictures({name: str(entry.path) for name, entry in self._given.items()}, pixels, requests)
        self.facts["repeats"] = len(again)
        if again and not self._reuse:
            raise BenchError(
                f"{len(again)} requests get the picture of another of their purpose: {alike}. Remove the copies, or "
                f"set generator.reuse=true: they are counted in the record then, {SPOILS}"
            )
        if again:
            log.warning("%d requests get the picture of another of their purpose: %s", len(again), alike)
        if used:
            self.facts["own_size"] = size_span(size for size, _ in looked)

    def sample(self, requests: Sequence[Request]) -> Images:
        return np.stack([self._read(self._given[each.request_id]) for each in requests])

    def patients(self, requests: Sequence[Request]) -> Sequence[str | None]:
        return [self._given[each.request_id].patient or None for each in requests]

    def _seen(self, entry: Entry) -> tuple[tuple[int, int], str]:
        image = self._decoded(entry)
        return (image.shape[0], image.shape[1]), pixel_hash(image)

    def _decoded(self, entry: Entry) -> Grey:
        try:
            if self._colour == "refuse":
                image = decode_file(entry.path, window=self._window)
            else:
                image = grey(entry.path.read_bytes(), str(entry.path), colour=self._colour, window=self._window)
        except BenchError as error:
            raise BenchError(f"{entry.where}: {error}" if entry.where else str(error)) from error
        return cut(image, self._crop_rows, str(entry.path))

    def _read(self, entry: Entry) -> Grey:
        where = f"{entry.where}: {entry.path}" if entry.where else str(entry.path)
        return shaped(self._decoded(entry), self._size, self._resize, where)


def bare_entries(root: Path, table: Path, info: DatasetInfo) -> list[Entry]:
    """The image files of a folder without ``table``, in the order of their names, said in a log line.

    Raises:
        BenchError: there are none.
    """
    files = sorted(_image_files(root), key=lambda path: path.relative_to(root).parts)
    if not files:
        parquet = "; parquet files are read by generator=parquet" if next(root.rglob("*.parquet"), None) else ""
        raise BenchError(f"generator.path: {root} has no image files and no {table.name}{parquet}")
    conditions = ", ".join(info.conditions)
    lacking = f" ({conditions})" if conditions else ""
    log.info("%s: %d images, no %s: conditions%s are unknown", root, len(files), table.name, lacking)
    nothing = dict.fromkeys(further_columns(info), "")
    return [Entry(path, "", "", "", "", (), nothing) for path in files]


def _image_files(root: Path) -> Iterator[Path]:
    return (path for path in image_files(root) if path.is_file())


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
    extra = [str(path) for path in _image_files(root) if path.resolve() not in named]
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
