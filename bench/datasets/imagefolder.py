"""Any folder of images with a ``metadata.csv``, in the layout of Hugging Face's imagefolder."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from bench.api import BenchError, Dataset, DatasetInfo, Label, Split
from bench.datasets.dicom_headers import left_to_headers, patient_hint, with_header, with_spacing
from bench.datasets.prepare import (
    Shape,
    Source,
    checked,
    listing,
    prepare,
    refuse_shared_patients,
    size_of,
    take_holdout,
)
from bench.runtime.setting_types import ExistingFolder, Seed, Share
from bench.storage.image_reader import SUFFIXES, Aspect
from bench.storage.tables import Row, read_table

METADATA = "metadata.csv"
PARTS = ("train", "test")
_LABEL_KEYS = {"kind", "values", "names", "unknown"}
_ABOUT = ("title", "modality", "licence", "citation", "access", "pixel_spacing_mm", "redistributable")


@dataclass
class ImageFolder(Dataset):
    """A data set of one's own, declared in the configuration.

    ``root`` has ``train/metadata.csv`` and ``test/metadata.csv``, or one ``metadata.csv`` whose column ``split`` says
    ``train`` or ``test``; ``file_name`` is relative to the folder of its table.

    Attributes:
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
    image_size: int | Sequence[int] = 64
    aspect: Aspect = "pad"
    window: Sequence[float] | None = None
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
    about: Mapping[str, Any] = field(default_factory=dict)

    def load(self, cache: Path) -> Split:
        info = self._info()
        window = (float(self.window[0]), float(self.window[1])) if self.window else None
        shape = Shape(size_of(self.image_size), self.aspect, window)
        parts = self._parts(self._folder(), info)
        info = with_spacing(info, [*parts["train"], *parts["test"]], shape)
        refuse_shared_patients(parts["train"], parts["test"])
        train, holdout = take_holdout(parts["train"], self.holdout_fraction, self.holdout_seed)
        return checked(*(prepare(part, info, shape, cache) for part in (train, holdout, parts["test"])))

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

    def _info(self) -> DatasetInfo:
        labels = tuple(_label(name, dict(settings)) for name, settings in self.labels.items())
        names = [label.name for label in labels]
        classes = [label.name for label in labels if label.kind != "ordinal"]
        _check_names("conditions", self.conditions, names, "labels")
        _check_names("targets", self.targets, classes, "binary or categorical labels")
        _check_names("groups", self.groups, [*names, *self.attributes], "labels and attributes")
        _check_names("about", list(self.about), [*_ABOUT, "required_attributes"], "fields")
        about = {"title": self.name, "modality": "image"} | dict(self.about)
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
        folders = [part for part in PARTS if (root / part / METADATA).is_file()]
        whole = (root / METADATA).is_file()
        if whole == bool(folders) or len(folders) == 1:
            present = [METADATA] * whole + [f"{part}/{METADATA}" for part in folders]
            raise BenchError(
                f"{self.name}: {root} has {present or 'no table'}, needed train/{METADATA} and test/{METADATA}, or "
                f"one {METADATA} with a column split"
            )
        if whole:
            return self._divided(root, info)
        return {part: self._sources(root, root / part, self._rows(root / part), info) for part in PARTS}

    def _divided(self, root: Path, info: DatasetInfo) -> dict[str, list[Source]]:
        rows = self._rows(root, "split")
        for row in rows:
            if row["split"] not in PARTS:
                raise row.error("split", "train or test")
        sources = self._sources(root, root, rows, info)
        return {part: [each for each, row in zip(sources, rows, strict=True) if row["split"] == part] for part in PARTS}

    def _rows(self, folder: Path, *more: str) -> list[Row]:
        columns = ["file_name", *more, *self.labels, *self.attributes]
        columns += [self.id_column] if self.id_column else []
        columns += [self.prompt] if self.prompt and "{" not in self.prompt else []
        patient = [self.patient_column] if self.patient_column else []
        headers = left_to_headers(folder / METADATA, self._header_columns())
        required = [name for name in dict.fromkeys(columns) if name not in headers]
        optional = [name for name in patient if name not in headers]
        return read_table(folder / METADATA, delimiter=",", required=required, optional=optional)

    def _header_columns(self) -> list[str]:
        """What the headers of DICOM files may state where the table does not."""
        return [*self.attributes, *([self.patient_column] if self.patient_column else [])]

    def _sources(self, root: Path, folder: Path, rows: Sequence[Row], info: DatasetInfo) -> list[Source]:
        paths = [_inside(row, folder, root) for row in rows]
        rows = [with_header(row, path, self._header_columns()) for row, path in zip(rows, paths, strict=True)]
        sources = [self._source(row, path, root, info) for row, path in zip(rows, paths, strict=True)]
        named = {source.path for source in sources}
        found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
        extra = [str(path) for path in found if path not in named and not path.name.startswith(".")]
        if extra:
            raise BenchError(listing(extra, f"image files have no row in {folder / METADATA}; add rows or move them"))
        return sources

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
        if cell in [str(text) for text in self.labels[label.name].get("unknown") or ()]:
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


def names_in(template: str) -> tuple[str, ...]:
    """The names in braces, each once.

    Raises:
        BenchError: a brace that is not closed.
    """
    return tuple(dict.fromkeys(name for _, name, _, _ in _pieces(template) if name is not None))


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with every ``{name}`` replaced by ``values[name]``; nothing but plain names in the braces.

    Raises:
        BenchError: another name, or more than a name in the braces.
    """
    text = ""
    for literal, name, form, conversion in _pieces(template):
        text += literal
        if name is None:
            continue
        if name not in values or form or conversion:
            raise BenchError(f"dataset.prompt = {template!r}: {name!r} in braces, needed one of {sorted(values)}")
        text += values[name]
    return text


def _pieces(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(template))
    except ValueError as error:
        raise BenchError(f"dataset.prompt = {template!r}: {error}; write {{name}}, and {{{{ for a brace") from None


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


def _inside(row: Row, folder: Path, root: Path) -> Path:
    """The file a row names, if it lies under ``root``, links followed."""
    name = row["file_name"]
    pure = PurePosixPath(name)
    if not name or "://" in name or "\\" in name or pure.is_absolute() or PureWindowsPath(name).drive:
        raise row.error("file_name", f"a path relative to {folder}, with forward slashes; no address, no absolute path")
    if ".." in pure.parts:
        raise row.error("file_name", f"a path under {folder} without '..'; move the file there")
    path = folder / name
    if not path.resolve().is_relative_to(root):
        raise row.error("file_name", f"a file under {root}; this is a link out of it, so copy the file itself")
    return path
