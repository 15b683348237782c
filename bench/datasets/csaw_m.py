"""CSAW-M: screening mammograms with masking potential (Sorkhei et al. 2021, arXiv 2112.01330)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from bench.api import BenchError, Dataset, DatasetInfo, Label, Split
from bench.datasets.prepare import Shape, Source, checked, listing, prepare, size_of, take_holdout
from bench.runtime.setting_types import ExistingFolder, Seed, Share
from bench.storage.image_reader import Aspect
from bench.storage.tables import Row, read_table

FULL_SIZE = (632, 512)
SMALLEST = 16  # pixels: the least side of a mammogram
PIXEL_MM = 0.455
ENDPOINTS = ("If_cancer", "If_interval_cancer", "If_large_invasive_cancer", "If_composite")
EXPERTS = ("Expert_1", "Expert_2", "Expert_3", "Expert_4", "Expert_5")
DICOM = (
    "Dicom_image_laterality",
    "Dicom_window_center",
    "Dicom_window_width",
    "Dicom_photometric_interpretation",
)
LIBRA = ("Libra_percent_density", "Libra_dense_area", "Libra_breast_area")
COLUMNS = ("Filename", "Label", *EXPERTS, *ENDPOINTS, *DICOM, *LIBRA)
MASKING = ("low", "medium", "high")
CITATION = (
    "Sorkhei et al., CSAW-M: An Ordinal Classification Dataset for Benchmarking Mammographic Masking of Cancer, "
    "NeurIPS Datasets and Benchmarks 2021, arXiv 2112.01330"
)
ACCESS = "request access at https://doi.org/10.17044/scilifelab.14687271"


def masking_of(level: int) -> int:
    """0 (low) up to level 2, 1 (medium) up to level 6, 2 (high) above: the classes of the Sinkove generator."""
    return 0 if level <= 2 else 1 if level <= 6 else 2


def prompt_of(level: int) -> str:
    """The caption the Sinkove generator was trained with."""
    return f"{MASKING[masking_of(level)].capitalize()} masking level"


def csaw_info(name: str, title: str, pixel_spacing_mm: float | None) -> DatasetInfo:
    """What holds for every data set in the layout of CSAW-M; access, licence and citation are CSAW-M's."""
    return DatasetInfo(
        name=name,
        title=title,
        modality="mammography",
        labels=(
            Label("masking", "categorical", (0, 1, 2), MASKING),
            Label("masking_level", "ordinal", tuple(range(1, 9))),
            *(Label(endpoint, "binary", (0, 1), ("no", "yes")) for endpoint in ENDPOINTS),
        ),
        conditions=("masking_level",),
        targets=("masking",),
        groups=("masking",),
        attributes=("laterality", "percent_density", "dense_area", "breast_area", "cancer_type"),
        prompted=("masking",),
        required_attributes=(
            "masking_level",
            "cancer_type",
            "lesion_characteristics",
            "device",
            "dose",
            "acquisition_time",
            "laterality",
            "percent_density",
            "follow_up",
            "pathology",
            "treatment",
        ),
        pixel_spacing_mm=pixel_spacing_mm,
        redistributable=False,
        licence="restricted access, research use",
        citation=CITATION,
        access=ACCESS,
    )


@dataclass(frozen=True, slots=True)
class Release:
    """A folder in the layout of CSAW-M.

    Attributes:
        native: the (height, width) of its preprocessed images.
        patients: the column that tells whose an image is, which CSAW-M does not have: there every image is of a woman
            of its own.
    """

    root: Path
    native: tuple[int, int] = FULL_SIZE
    patients: str | None = None

    def split(self, info: DatasetInfo, shape: Shape, holdout: tuple[float, int], cache: Path) -> Split:
        """Read all of it; ``holdout`` is the share of the training pool held out, and the seed that chooses it.

        Raises:
            BenchError: tables or images not as promised; names file, row and remedy.
        """
        train, held = take_holdout(self.sources("train"), *holdout)
        test = self.sources("test")
        return checked(*(prepare(part, info, shape, cache) for part in (train, held, test)))

    def sources(self, part: Literal["train", "test"]) -> list[Source]:
        """The rows of one part, each checked and matched with its image file.

        Raises:
            BenchError: a bad cell, a file without row, or a row without file.
        """
        experts = EXPERTS if part == "test" else ()
        required = [name for name in COLUMNS if name not in EXPERTS or name in experts]
        required += [self.patients] if self.patients else []
        optional = [name for name in EXPERTS if name not in experts]
        table = self.root / "labels" / f"CSAW-M_{part}.csv"
        rows = read_table(table, delimiter=";", required=required, optional=optional)
        folder = self.root / "images" / "preprocessed" / part
        sources = [_source(row, part, folder, self.patients) for row in rows]
        _check_files(sources, folder, table)
        _check_size(sources[0], self.native)
        return sources


class CsawM(Dataset):
    """CSAW-M as released, its images brought to ``image_size``.

    Args:
        root: the folder ``CSAW-M``; the environment variable ``CSAW_M_ROOT`` if ``None``.
        image_size: (height, width), or one number for a square.
        aspect: ``pad`` keeps the whole picture, ``crop`` fills the frame.
        holdout_fraction: share of the training patients that no generator learns from.
        holdout_seed: decides which patients these are.
    """

    def __init__(
        self,
        root: ExistingFolder | None,
        image_size: int | Sequence[int] = (320, 256),
        aspect: Aspect = "pad",
        holdout_fraction: Share = 0.15,
        holdout_seed: Seed = 0,
    ) -> None:
        self.root = root
        self.shape = Shape(size_of(image_size, SMALLEST), aspect)
        self.holdout = (float(holdout_fraction), int(holdout_seed))

    def load(self, cache: Path) -> Split:
        """Read, check and prepare; see ``Dataset.load``."""
        info = csaw_info("csaw_m", "CSAW-M", self._pixel_mm())
        return Release(self._found()).split(info, self.shape, self.holdout, cache)

    def _found(self) -> Path:
        """The root, if the data are there."""
        named = self.root or os.environ.get("CSAW_M_ROOT")
        if named and (Path(named) / "labels").is_dir():
            return Path(named)
        where = f"no folder {Path(named) / 'labels'}" if named else "neither dataset.root nor CSAW_M_ROOT is set"
        raise BenchError(
            f"CSAW-M: {where}. The data are free for research but not to be passed on: {ACCESS} "
            "(Sorkhei et al. 2021, arXiv 2112.01330, NeurIPS Datasets and Benchmarks). Unpack them so that "
            "<root>/labels/CSAW-M_train.csv and <root>/images/preprocessed/train/train_1.png exist, then set "
            "dataset.root=<root> or the environment variable CSAW_M_ROOT. Without them, dataset=phantom draws "
            "stand-ins in the same layout."
        )

    def _pixel_mm(self) -> float:
        factors = [size / full for size, full in zip(self.shape.size, FULL_SIZE, strict=True)]
        return PIXEL_MM / (min(factors) if self.shape.aspect == "pad" else max(factors))


def _source(row: Row, part: str, folder: Path, patients: str | None) -> Source:
    name = row["Filename"]
    if not re.fullmatch(rf"{part}_[1-9]\d*\.png", name):
        raise row.error("Filename", f"a name like {part}_1.png")
    level = _whole(row, "Label", range(1, 9))
    for expert in EXPERTS:
        if row[expert] or part == "test":
            _whole(row, expert, range(1, 9))
    if row["Dicom_image_laterality"] not in ("L", "R"):
        raise row.error("Dicom_image_laterality", "L or R")
    endpoints = {endpoint: _whole(row, endpoint, range(2)) for endpoint in ENDPOINTS}
    density, dense, whole = (_number(row, column) for column in LIBRA)
    attributes = {
        "laterality": row["Dicom_image_laterality"],
        "percent_density": density,
        "dense_area": dense,
        "breast_area": whole,
        "cancer_type": _cancer_type(endpoints),
    }
    labels: dict[str, int | None] = {"masking": masking_of(level), "masking_level": level, **endpoints}
    stem = name.removesuffix(".png")
    patient = row[patients] if patients else stem
    return Source(stem, patient, folder / name, row.where, labels, dict(attributes), prompt_of(level))


def _whole(row: Row, column: str, allowed: range) -> int:
    text = row[column]
    if text not in map(str, allowed):
        raise row.error(column, f"a whole number {allowed.start} to {allowed.stop - 1}")
    return int(text)


def _number(row: Row, column: str) -> str | None:
    """The cell as it is written, ``None`` if empty: LIBRA does not succeed on every image."""
    text = row[column]
    if not text:
        return None
    top = 100.0 if column == "Libra_percent_density" else float("inf")
    if not re.fullmatch(r"\d+(\.\d+)?([eE][+-]?\d+)?", text) or float(text) > top:
        raise row.error(column, "a number 0 to 100" if top == 100 else "a number of at least 0")
    return text


def _cancer_type(endpoints: dict[str, int]) -> str:
    if not endpoints["If_cancer"]:
        return "none"
    kinds = [kind for kind in ("interval", "large_invasive") if endpoints[f"If_{kind}_cancer"]]
    return " and ".join(kinds).replace("_", " ") or "other"


def _check_files(sources: Sequence[Source], folder: Path, table: Path) -> None:
    """Every row has its file and every file its row, each once."""
    rows: dict[str, Source] = {}
    for source in sources:
        if source.path.name in rows:
            first = rows[source.path.name].where
            raise BenchError(f"{source.path.name} is named twice: {first} and {source.where}; remove one row")
        rows[source.path.name] = source
    if not folder.is_dir():
        raise BenchError(f"{folder}: no such folder, needed the {len(rows)} images of {table.name}")
    files = {entry.name for entry in os.scandir(folder) if entry.name.endswith(".png")}
    faults = [f"{rows[name].where}: no file {folder / name}" for name in rows if name not in files]
    if faults:
        raise BenchError(listing(faults, f"rows of {table} have no image; copy the missing files"))
    unnamed = [str(folder / name) for name in sorted(files - rows.keys())]
    if unnamed:
        raise BenchError(listing(unnamed, f"images have no row in {table}; remove them or complete the table"))


def _check_size(source: Source, native: tuple[int, int]) -> None:
    try:
        with Image.open(source.path) as image:
            size = image.height, image.width
    except OSError:
        return  # the strict reader names what is wrong with it
    if size != native:
        raise BenchError(
            f"{source.where}: {source.path} is {size[0]} x {size[1]}, needed {native[0]} x {native[1]}: "
            "use the preprocessed images as they were released"
        )
