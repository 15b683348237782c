"""ChestX-ray14 of the NIH Clinical Center: 112,120 frontal chest radiographs of 30,805 patients."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bench.api import BenchError, Dataset, DatasetInfo, Label, Split
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
from bench.storage.image_reader import Aspect
from bench.storage.tables import Row, read_lines, read_table

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NO_FINDING = "No Finding"
OLDEST = 120  # years; the official table holds a few typing errors such as 411

TABLE, TRAIN_LIST, TEST_LIST = "Data_Entry_2017_v2020.csv", "train_val_list.txt", "test_list.txt"
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
_ACCESS = (
    "Download images_001.tar.gz to images_012.tar.gz, Data_Entry_2017_v2020.csv, train_val_list.txt and test_list.txt "
    "from https://nihcc.app.box.com/v/ChestXray-NIHCC (open to all, no account)."
)
_NAME = re.compile(r"(?P<patient>[0-9]{8})_[0-9]{3}\.png")
_log = logging.getLogger(__name__)


class NihCxr14(Dataset):
    """ChestX-ray14 in its official layout and official division by patient (Wang et al., CVPR 2017).

    ``root`` holds ``Data_Entry_2017_v2020.csv``, ``train_val_list.txt``, ``test_list.txt`` and the images, in
    ``images/`` or in ``images_001/images/`` to ``images_012/images/``. Only images named in the lists are needed.
    The 14 findings are text-mined from reports, so the labels are known to be noisy. A share ``holdout_fraction``
    of the training patients is held out.
    """

    def __init__(
        self,
        root: ExistingFolder | None = None,
        image_size: int | Sequence[int] = 64,
        aspect: Aspect = "pad",
        holdout_fraction: Share = 0.25,
        holdout_seed: Seed = 0,
        targets: Sequence[str] = ("Pneumonia",),
    ) -> None:
        self.root = root
        self.shape = Shape(size_of(image_size), aspect, alpha="opaque")  # some official files are opaque RGBA
        self.holdout = holdout_fraction, holdout_seed
        unknown = [name for name in targets if name not in FINDINGS]
        if unknown:
            raise BenchError(f"dataset.targets {unknown} are no findings of nih_cxr14; it has {list(FINDINGS)}")
        self.info = _info(tuple(targets))

    def load(self, cache: Path) -> Split:
        root = self._folder()
        rows = _rows(root / TABLE)
        listed = {name: read_lines(root / name) for name in (TRAIN_LIST, TEST_LIST)}
        paths = _images(root)
        _check_listed(listed, rows, paths)
        train, test = ([_source(rows[image], paths[image]) for image, _ in lines] for lines in listed.values())
        refuse_shared_patients(train, test)
        train, holdout = take_holdout(train, *self.holdout)
        return checked(*(prepare(part, self.info, self.shape, cache) for part in (train, holdout, test)))

    def _folder(self) -> Path:
        named = self.root or os.environ.get("NIH_CXR14_ROOT")
        remedy = (
            f"{_ACCESS} Unpack them into one folder and name it with dataset.root=/path/to/folder or the environment "
            "variable NIH_CXR14_ROOT. To try the benchmark without any download use dataset=phantom."
        )
        if not named:
            raise BenchError(f"nih_cxr14: no folder is named. {remedy}")
        root = Path(named).expanduser()
        if missing := [name for name in (TABLE, TRAIN_LIST, TEST_LIST) if not (root / name).is_file()]:
            raise BenchError(f"nih_cxr14: {root} lacks {missing}. {remedy}")
        return root


def _info(targets: tuple[str, ...]) -> DatasetInfo:
    return DatasetInfo(
        name="nih_cxr14",
        title="NIH ChestX-ray14",
        modality="chest radiograph",
        labels=tuple(Label(name, "binary", (0, 1), ("absent", "present")) for name in FINDINGS),
        conditions=FINDINGS,
        targets=targets,
        groups=("view", "sex", "Pneumonia"),
        attributes=("view", "sex", "age", "age_group"),
        prompted=("view", *FINDINGS),
        required_attributes=("view", "sex", "age"),
        redistributable=True,
        licence="No restriction on use, provided that the NIH Clinical Center is acknowledged and Wang et al. cited.",
        citation=(
            "Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale Chest X-ray Database and "
            "Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases. "
            "IEEE CVPR 2017, 3462-3471. Provided by the NIH Clinical Center."
        ),
        access=_ACCESS,
    )


def _rows(path: Path) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for row in read_table(path, delimiter=",", required=_COLUMNS):
        image = row["Image Index"]
        if image in rows:
            raise BenchError(f"{row.where}: image {image!r} stands in {rows[image].where} already; remove one row")
        rows[image] = row
    return rows


def _images(root: Path) -> dict[str, Path]:
    """Every PNG by its name."""
    folders = [folder for folder in (root / "images", *sorted(root.glob("images_*/images"))) if folder.is_dir()]
    if not folders:
        raise BenchError(f"nih_cxr14: {root} has neither images/ nor images_001/images/; unpack the image archives")
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in folder.iterdir():
            if path.suffix != ".png" or path.name.startswith("."):
                continue
            if path.name in paths:
                there = paths[path.name].parent
                raise BenchError(f"nih_cxr14: {path.name} lies in {there} and in {folder}; remove one")
            paths[path.name] = path
    return paths


def _check_listed(listed: dict[str, list[tuple[str, str]]], rows: dict[str, Row], paths: dict[str, Path]) -> None:
    """Lists, table and folder name the same images; all faults of a kind together."""
    places = dict(listed[TRAIN_LIST])
    both = [f"{image}: {places[image]} and {where}" for image, where in listed[TEST_LIST] if image in places]
    places |= dict(listed[TEST_LIST])
    no_row = [f"{image} ({where})" for image, where in places.items() if image not in rows]
    no_file = [
        f"{image} ({rows[image].where}, {where})"
        for image, where in places.items()
        if image in rows and image not in paths
    ]
    extra = [str(path) for image, path in sorted(paths.items()) if image not in rows]
    complaints = (
        (both, "images stand in both lists; remove each from one"),
        (no_row, f"listed images have no row in {TABLE}; use the lists and the table of one release"),
        (no_file, "listed images have no file; unpack the rest of the archives, or shorten the lists"),
        (extra, f"image files have no row in {TABLE}; move them elsewhere, or use the complete table"),
    )
    if found := [listing(faults, summary) for faults, summary in complaints if faults]:
        raise BenchError("nih_cxr14: " + "\n".join(found))
    if idle := len(paths.keys() - places.keys()):
        _log.warning("nih_cxr14: %d image files stand in neither list and are not used", idle)


def _source(row: Row, path: Path) -> Source:
    image = row["Image Index"]
    found = _findings(row)
    view, sex, patient = row["View Position"], row["Patient Gender"], _patient(row)
    if view not in ("AP", "PA"):
        raise row.error("View Position", "AP or PA")
    if sex not in ("M", "F"):
        raise row.error("Patient Gender", "M or F")
    age = row["Patient Age"]
    if not (age.isascii() and age.isdigit()):
        raise row.error("Patient Age", "whole years, such as 58")
    known = int(age) <= OLDEST
    if not known:
        _log.warning("%s: age %s is taken for unknown", row.where, age)
    named = ", ".join(name.replace("_", " ") for name in found) or "no finding"
    return Source(
        image_id=image.removesuffix(".png"),
        patient_id=patient,
        path=path,
        where=row.where,
        labels={name: int(name in found) for name in FINDINGS},
        attributes={
            "view": view,
            "sex": sex,
            "age": age if known else None,
            "age_group": age_group(int(age)) if known else None,
        },
        prompt=f"Chest radiograph, {view} view: {named}.",
    )


def _patient(row: Row) -> str:
    """The patient's number, which the name of the image begins with: the column must say the same in plain digits."""
    named = _NAME.fullmatch(row["Image Index"])
    if not named:
        raise row.error("Image Index", "the official name, patient and number of the image: 00000061_012.png")
    number = str(int(named["patient"]))
    if row["Patient ID"] != number:
        raise row.error("Patient ID", f"{number!r}, the patient that the image {row['Image Index']} is named after")
    return number


def _findings(row: Row) -> list[str]:
    """The findings of a row in the order it names them, none for ``No Finding``."""
    named = row["Finding Labels"].split("|")
    if named == [NO_FINDING]:
        return []
    if NO_FINDING in named:
        raise row.error("Finding Labels", f"{NO_FINDING!r} alone, or findings without it")
    if unknown := [name for name in named if name not in FINDINGS]:
        raise row.error("Finding Labels", f"official findings joined by '|', not {unknown}; these are {list(FINDINGS)}")
    if len(set(named)) < len(named):
        raise row.error("Finding Labels", "every finding once")
    return named


def age_group(years: int) -> str:
    """``0-39``, ``40-59`` or ``60+``."""
    if years < 40:
        return "0-39"
    return "40-59" if years < 60 else "60+"
