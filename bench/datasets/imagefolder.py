"""Any folder of images with a ``metadata.csv``, in the layout of Hugging Face's imagefolder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from bench.api import BenchError, Dataset, DatasetInfo, Label, Split
from bench.datasets.dicom_headers import COLUMNS, left_to_headers, patient_hint, with_header, with_spacing
from bench.datasets.named_files import NamedFiles
from bench.datasets.own_sizes import followed_size
from bench.datasets.patient_ids import check_patient_ids
from bench.datasets.prepare import (
    LISTED,
    Shape,
    Source,
    checked,
    listing,
    prepare,
    refuse_shared_patients,
    size_of,
    take_holdout,
)
from bench.datasets.templates import fill, names_in
from bench.runtime.setting_types import ExistingFolder, Seed, Share
from bench.storage.image_reader import Aspect, image_files
from bench.storage.tables import Row, read_table

METADATA = "metadata.csv"
PARTS = ("train", "test")
Unmatched = Literal["refuse", "leave_out"]
_log = logging.getLogger(__name__)
_LABEL_KEYS = {"kind", "values", "names", "unknown"}
_ABOUT = ("title", "modality", "licence", "citation", "access", "pixel_spacing_mm", "redistributable")


@dataclass
class ImageFolder(Dataset):
    """A data set of one's own, declared in the configuration.

    ``root`` has ``train/metadata.csv`` and ``test/metadata.csv``, or one ``metadata.csv`` whose column ``split`` says
    ``train`` or ``test``; ``file_name`` is relative to the folder of its table. Or ``table`` is a CSV as it came, whose
    ``file_column`` names files with or without folder and suffix; or there is no table, and every image counts.

    Attributes:
        table: path of such a CSV, relative to ``root`` or absolute; ``None`` looks for ``metadata.csv``.
        file_column: the column that names files.
        unmatched: ``leave_out`` does without rows that have no file and files that have no row.
        split_column: the column with ``train`` and ``test``, or with what ``split_names`` takes for these.
        test_fraction: share of the patients that become the test part, in place of a split column.
        split_seed: decides which patients these are.
        image_size: the working size; ``None`` follows the images' own, see ``own_sizes.followed_size``.
        labels: for each label column its ``kind`` (binary, ordinal, categorical), integer ``values``, a readable
            name for each in ``names``, and the cell texts that mean ``unknown``. A cell holds a value or its name.
        attributes: columns of the table; ``view`` and ``laterality`` come from the headers of DICOM files where the
            table has no such column.
        patient_column: whose image it is; ``None`` states that every image is of another patient. ``PatientID``
            comes from the headers of DICOM files where the table has no such column.
        id_column: the image's own id; ``None`` uses its path under ``root`` without suffix.
        prompt: a text column, or a template with labels and attributes in braces.
        prompted: the labels and attributes that every text of a prompt column states; ``None`` takes it to state the
            conditions. A template states what it has in braces.
        about: further fields of ``bench.api.DatasetInfo``.
    """

    root: ExistingFolder | None = None
    table: str | None = None
    file_column: str = "file_name"
    unmatched: Unmatched = "refuse"
    split_column: str = "split"
    split_names: Mapping[str, str] | None = None
    test_fraction: Share | None = None
    split_seed: Seed = 0
    image_size: int | Sequence[int] | None = None
    aspect: Aspect = "pad"
    window: Sequence[float] | None = None
    labels: Mapping[str, Mapping[str, Any]] | None = None
    attributes: Sequence[str] = ()
    groups: Sequence[str] = ()
    conditions: Sequence[str] = ()
    targets: Sequence[str] = ()
    patient_column: str | None = "patient_id"
    id_column: str | None = None
    prompt: str | None = None
    prompted: Sequence[str] | None = None
    holdout_fraction: Share = 0.25
    holdout_seed: Seed = 0
    name: str = "imagefolder"
    about: Mapping[str, Any] | None = None
    _followed: tuple[int, int] | None = field(default=None, init=False, repr=False)

    def load(self, cache: Path) -> Split:
        info = self._info()
        window = (float(self.window[0]), float(self.window[1])) if self.window else None
        parts = self._parts(self._folder(), info)
        if self.patient_column:
            check_patient_ids([(each.patient_id, each.where) for part in parts.values() for each in part], self.name)
        shape = Shape(self._size(parts, window), self.aspect, window)
        info = with_spacing(info, [*parts["train"], *parts["test"]], shape)
        refuse_shared_patients(parts["train"], parts["test"])
        train, holdout = take_holdout(parts["train"], self.holdout_fraction, self.holdout_seed)
        return checked(*(prepare(part, info, shape, cache) for part in (train, holdout, parts["test"])))

    def _size(self, parts: Mapping[str, Sequence[Source]], window: tuple[float, float] | None) -> tuple[int, int]:
        if self.image_size is not None:
            return size_of(self.image_size)
        if self._followed is None:
            self._followed = followed_size(self.name, (each.path for part in parts.values() for each in part), window)
        return self._followed

    def _folder(self) -> Path:
        if not self.root:
            raise BenchError(
                f"{self.name}: no folder is named; set dataset.root=/path/to/folder, with {METADATA} in train/ and "
                "test/ or one with a split column; dataset=phantom needs no data"
            )
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(f"{self.name}: {root} is not a folder; correct dataset.root")
        return root.resolve()

    @property
    def _declared(self) -> Mapping[str, Mapping[str, Any]]:
        return self.labels or {}

    def _info(self) -> DatasetInfo:
        labels = tuple(_label(name, dict(settings)) for name, settings in self._declared.items())
        names = [label.name for label in labels]
        classes = [label.name for label in labels if label.kind != "ordinal"]
        _check_names("conditions", self.conditions, names, "labels")
        _check_names("targets", self.targets, classes, "binary or categorical labels")
        _check_names("groups", self.groups, [*names, *self.attributes], "labels and attributes")
        _check_names("about", list(self.about or ()), [*_ABOUT, "required_attributes"], "fields")
        about = {"title": self.name, "modality": "image"} | dict(self.about or {})
        about["required_attributes"] = tuple(about.get("required_attributes", ()))
        return DatasetInfo(
            name=self.name,
            labels=labels,
            conditions=tuple(self.conditions),
            targets=tuple(self.targets),
            groups=tuple(self.groups),
            attributes=tuple(self.attributes),
            prompted=self._prompted(names),
            **about,
        )

    def _prompted(self, labels: Sequence[str]) -> tuple[str, ...]:
        """What prompts state; see ``prompted``."""
        if self.prompt is None or "{" in self.prompt:
            if self.prompted is not None:
                raise BenchError(
                    f"dataset.prompted is {list(self.prompted)}, but dataset.prompt is {self.prompt!r}, which is no "
                    "text column: set prompted to null; a template states what it has in braces"
                )
            return names_in(self.prompt or "")
        stated = self.conditions if self.prompted is None else self.prompted
        _check_names("prompted", stated, [*labels, *self.attributes], "labels and attributes")
        return tuple(stated)

    def _parts(self, root: Path, info: DatasetInfo) -> dict[str, list[Source]]:
        if self.table is not None:
            return self._divided(self._matched(root, root / self.table, info))
        folders = [part for part in PARTS if (root / part / METADATA).is_file()]
        whole = (root / METADATA).is_file()
        if not whole and not folders and self.test_fraction is not None:
            return self._by_patient(self._without_table(root, info))
        if not whole and not folders and divided(root, image_files(root)):
            found = self._without_table(root, info)
            return {part: [each for each in found if each.path.is_relative_to(root / part)] for part in PARTS}
        if whole == bool(folders) or len(folders) == 1:
            present = [METADATA] * whole + [f"{part}/{METADATA}" for part in folders]
            raise BenchError(
                f"{self.name}: {root} has {present or 'no table'}, needed train/{METADATA} and test/{METADATA}, or "
                f"one {METADATA} with a column split; `python -m bench.describe {root}` writes the settings for other "
                "tables, or for none"
            )
        if whole:
            return self._divided(self._named(root, root, info))
        if self.test_fraction is not None:
            raise BenchError(f"{self.name}: {root} has a table for each part; set dataset.test_fraction to null")
        return {part: [source for _, source in self._named(root, root / part, info)] for part in PARTS}

    def _divided(self, pairs: Sequence[tuple[Row, Source]]) -> dict[str, list[Source]]:
        if self.test_fraction is not None:
            return self._by_patient([source for _, source in pairs])
        placed = [(self._part(row), source) for row, source in pairs]
        return {name: [source for part, source in placed if part == name] for name in PARTS}

    def _by_patient(self, sources: Sequence[Source]) -> dict[str, list[Source]]:
        assert self.test_fraction is not None
        train, test = take_holdout(sources, self.test_fraction, self.split_seed)
        return {"train": train, "test": test}

    def _part(self, row: Row) -> str:
        names = self.split_names or {part: part for part in PARTS}
        part = names.get(row[self.split_column], "")
        if part not in PARTS:
            raise row.error(self.split_column, f"{' or '.join(names)}, each meaning train or test")
        return part

    def _rows(self, table: Path, *more: str) -> list[Row]:
        split = [] if self.test_fraction is not None else list(more)
        columns = [self.file_column, *split, *self._declared, *self.attributes]
        columns += [self.id_column] if self.id_column else []
        columns += [self.prompt] if self.prompt and "{" not in self.prompt else []
        patient = [self.patient_column] if self.patient_column else []
        headers = left_to_headers(table, self._header_columns())
        required = [name for name in dict.fromkeys(columns) if name not in headers]
        return read_table(table, delimiter=",", required=required, optional=[*set(patient) - set(headers)])

    def _header_columns(self) -> list[str]:
        """What the headers of DICOM files may state where the table does not."""
        return [*self.attributes, *([self.patient_column] if self.patient_column else [])]

    def _named(self, root: Path, folder: Path, info: DatasetInfo) -> list[tuple[Row, Source]]:
        """The rows of a ``metadata.csv``, each with its image."""
        rows = self._rows(folder / METADATA, *([self.split_column] if folder == root else []))
        paths = [(row, _inside(row, self.file_column, folder, root)) for row in rows]
        pairs = [(row, self._described(row, path, root, info)) for row, path in paths]
        named = {path for _, path in paths}
        self._check_unnamed(folder / METADATA, [path for path in image_files(folder) if path not in named])
        return pairs

    def _matched(self, root: Path, table: Path, info: DatasetInfo) -> list[tuple[Row, Source]]:
        """The rows of a table as it came, each with the image that it means."""
        files = NamedFiles(root, image_files(root))
        pairs, lost = [], 0
        for row in self._rows(table, self.split_column):
            found = files.find(row[self.file_column])
            if len(found) > 1:
                both = [path.relative_to(root).as_posix() for path in found[:LISTED]]
                raise row.error(self.file_column, f"a name that tells apart {', '.join(both)}")
            if found:
                pairs.append((row, self._described(row, found[0], root, info)))
            elif self.unmatched == "refuse":
                raise row.error(
                    self.file_column, f"an image file below {root}; or set dataset.unmatched=leave_out to do without"
                )
            lost += not found
        named = {source.path for _, source in pairs}
        unnamed = [path for path in files.files if path not in named]
        if self.unmatched == "refuse":
            self._check_unnamed(table, unnamed)
        elif lost or unnamed:
            words = "%s: %d images; left out are %d rows without an image file and %d image files without a row"
            _log.info(words, self.name, len(pairs), lost, len(unnamed))
        return pairs

    def _described(self, row: Row, path: Path, root: Path, info: DatasetInfo) -> Source:
        """The image of a row, with what its DICOM header states and the table does not."""
        return self._source(with_header(row, path, self._header_columns()), path, root, info)

    def _without_table(self, root: Path, info: DatasetInfo) -> list[Source]:
        """Every image file below ``root``, of whom its DICOM header says or of a patient of its own."""
        headers = self._header_columns() if set(self._header_columns()) <= set(COLUMNS) else []
        declared = {
            "labels": list(self._declared),
            "attributes": list(self.attributes) if not headers else [],
            "patient_column": self.patient_column if not headers else None,
            "id_column": self.id_column,
            "prompt": self.prompt,
        }
        if named := [f"dataset.{name}" for name, value in declared.items() if value]:
            raise BenchError(
                f"{self.name}: {root} has no table, but {', '.join(named)} name columns; set dataset.table, or these "
                "to null ([] for a list)"
            )
        rows = ((Row(str(path), 0, {}), path) for path in image_files(root))
        return [self._described(row, path, root, info) for row, path in rows]

    def _check_unnamed(self, table: Path, paths: Sequence[Path]) -> None:
        if paths:
            extra = [str(path) for path in paths]
            raise BenchError(listing(extra, f"image files have no row in {table}; add rows or move them"))

    def _source(self, row: Row, path: Path, root: Path, info: DatasetInfo) -> Source:
        image = row[self.id_column] if self.id_column else path.relative_to(root).with_suffix("").as_posix()
        patient = row[self.patient_column] if self.patient_column else image
        if self.id_column and not image.strip():
            raise row.error(self.id_column, "an id")
        if self.patient_column and not patient.strip():
            raise row.error(
                self.patient_column,
                "whose image it is; name the column with dataset.patient_column, or set that to null to state that "
                "every image is of another patient" + patient_hint(path),
            )
        labels = {label.name: self._value(row, label) for label in info.labels}
        attributes = {name: row[name] or None for name in info.attributes}
        prompt = None
        if self.prompt and "{" not in self.prompt:
            prompt = row[self.prompt] or None
        elif self.prompt:
            texts = {label.name: label.text(labels[label.name]) for label in info.labels}
            prompt = fill(self.prompt, texts | {name: value or "unknown" for name, value in attributes.items()})
        return Source(image, patient, path, row.where, labels, attributes, prompt)

    def _value(self, row: Row, label: Label) -> int | None:
        cell = row[label.name]
        if cell in [str(text) for text in self._declared[label.name].get("unknown") or ()]:
            return None
        for place, value in enumerate(label.values):
            if cell == str(value) or (label.names and cell == label.names[place]):
                return value
        names = f" or {list(label.names)}" if label.names else ""
        raise row.error(
            label.name,
            f"one of {list(label.values)}{names}; texts that mean unknown are declared in "
            f"dataset.labels.{label.name}.unknown",
        )


def divided(root: Path, files: Sequence[Path]) -> bool:
    """Whether every file lies in a folder ``train`` or ``test`` of ``root``, and neither is without."""
    return {path.relative_to(root).parts[0] for path in files} == set(PARTS)


def _label(name: str, settings: dict[str, Any]) -> Label:
    where = f"dataset.labels.{name}"
    if strange := sorted(settings.keys() - _LABEL_KEYS):
        raise BenchError(f"{where} has the keys {strange}, needed {sorted(_LABEL_KEYS)}")
    kind, values = settings.get("kind"), tuple(settings.get("values") or ())
    names = tuple(settings.get("names") or ())
    if kind not in ("binary", "ordinal", "categorical"):
        raise BenchError(f"{where}.kind = {kind!r}, needed binary, ordinal or categorical")
    if len(set(values)) != len(values) or len(values) < 2 or not all(type(value) is int for value in values):
        raise BenchError(f"{where}.values = {list(values)}, needed different whole numbers, for example [0, 1]")
    if kind == "binary" and len(values) != 2:
        raise BenchError(f"{where}.values = {list(values)}, needed two for a binary label")
    if not all(isinstance(text, str) for text in names):
        raise BenchError(f"{where}.names = {list(names)}, needed texts; put them in quotes (yes and no are not texts)")
    if names and (len(names) != len(values) or len(set(names)) != len(values)):
        raise BenchError(f"{where}.names = {list(names)}, needed a different name for each of {list(values)}")
    return Label(name, kind, values, names)


def _check_names(setting: str, names: Sequence[str], known: Sequence[str], what: str) -> None:
    if strange := [name for name in names if name not in known]:
        raise BenchError(f"dataset.{setting} names {strange}; the {what} are {list(known)}")


def _inside(row: Row, column: str, folder: Path, root: Path) -> Path:
    """The file a row names, if it lies under ``root``, links followed."""
    name = row[column]
    pure = PurePosixPath(name)
    if not name or "://" in name or "\\" in name or pure.is_absolute() or PureWindowsPath(name).drive:
        raise row.error(column, f"a path relative to {folder}, with forward slashes; no address, no absolute path")
    if ".." in pure.parts:
        raise row.error(column, f"a path under {folder} without '..'; move the file there")
    path = folder / name
    if not path.resolve().is_relative_to(root):
        raise row.error(column, f"a file under {root}; this is a link out of it, so copy the file itself")
    return path
