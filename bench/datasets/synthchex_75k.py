"""SynthCheX-75K: synthetic chest radiographs with prompts and 14 labels (Dutt 2025, arXiv 2505.10496)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL

from bench.api import BenchError, Dataset, DatasetInfo, ImageSet, Label, Split
from bench.datasets.prepare import Shape, checked, size_of
from bench.runtime.progress import track
from bench.runtime.setting_types import ExistingPath, Seed, Share
from bench.storage.files import content_key, files_digest
from bench.storage.image_reader import BLANK_SPREAD, READER_VERSION, Aspect, encode_png, resize
from bench.storage.image_sets import load_set, write_set
from bench.storage.parquet import Colour, ImageTable, grey, label_value, labels_dict

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
COLUMNS = ("filename", "prompt", "labels_dict")
_ACCESS = (
    "https://huggingface.co/datasets/raman07/SynthCheX-75K; its loading script is not run here, so save it as parquet "
    "with the columns image, filename, prompt and labels_dict."
)


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the table: where it is, and what it says."""

    row: int
    name: str
    prompt: str | None
    labels: dict[str, int | None]


class SynthCheX(Dataset):
    """The set as if its images were real: to train on it, or to see what the benchmark says of generated data.

    It has no patients and no official test part: every image counts as another patient, and the parts are chosen by
    hashes of the file's name. Measured against it, a generator is compared with another generator.
    """

    def __init__(
        self,
        root: ExistingPath | None = None,
        image_size: int | Sequence[int] = 64,
        aspect: Aspect = "pad",
        fractions: Sequence[Share] = (0.2, 0.2),
        holdout_seed: Seed = 0,
        targets: Sequence[str] = ("Pneumonia",),
        colour: Colour = "luma",
        unknown: Sequence[int] = (-1,),
    ) -> None:
        """``root``: a parquet file or a folder of them. ``fractions``: of all images held out, and tested on.

        ``holdout_seed`` decides which images are held out of those that are not tested on.

        Raises:
            BenchError: fractions that leave nothing to train on, or targets that are no findings.
        """
        self._root, self._colour, self._unknown = root, colour, tuple(unknown)
        self._shape = Shape(size_of(image_size), aspect)
        self._fractions = tuple(float(each) for each in fractions)
        self._holdout_seed = int(holdout_seed)
        if len(self._fractions) != 2 or min(self._fractions) <= 0 or sum(self._fractions) >= 1:
            raise BenchError(f"dataset.fractions = {list(fractions)}, needed two above 0 with a sum below 1")
        if strange := [name for name in targets if name not in FINDINGS]:
            raise BenchError(f"dataset.targets {strange} are no findings of synthchex_75k; it has {list(FINDINGS)}")
        self.info = _info(tuple(targets))

    def load(self, cache: Path) -> Split:
        root = self._folder()
        table = ImageTable(root, COLUMNS)
        holdout, test = self._fractions
        parts = divide(self._items(table), holdout, test, self._holdout_seed)
        key = [READER_VERSION, PIL.__version__, files_digest(*table.files), self._shape.size, self._shape.aspect]
        sets = []
        for name, items in parts.items():
            if not items:
                raise BenchError(f"synthchex_75k: {len(table)} images leave none for {name}; raise dataset.fractions")
            rows = [[each.row, each.name, each.prompt, each.labels] for each in items]
            folder = cache / "prepared" / content_key([*key, self._colour, rows])
            sets.append(self._prepared(table, items, folder))
        return checked(*sets)

    def _folder(self) -> Path:
        named = self._root or os.environ.get("SYNTHCHEX_75K_ROOT")
        if not named or not Path(named).expanduser().exists():
            raise BenchError(
                f"synthchex_75k: {named or 'no folder'} is {'not there' if named else 'named'}. Get it from {_ACCESS} "
                "Name the folder with dataset.root=/path/to/folder or the environment variable SYNTHCHEX_75K_ROOT."
            )
        return Path(named).expanduser()

    def _items(self, table: ImageTable) -> list[Item]:
        columns = zip(*(table.column(name) for name in COLUMNS), strict=True)
        items = []
        rows: dict[str, int] = {}
        for row, (name, prompt, cell) in enumerate(columns):
            where = table.where(row)
            if not name or name in rows:
                other = f", as {table.where(rows[name])}" if name else ""
                raise BenchError(f"{where}: filename is {name!r}{other}; give every image a name of its own")
            rows[name] = row
            items.append(Item(row, name, prompt, self._labels(labels_dict(cell, where), where)))
        return items

    def _labels(self, found: dict[str, Any], where: str) -> dict[str, int | None]:
        values = {}
        for name in FINDINGS:
            if name not in found:
                raise BenchError(f"{where}: labels_dict lacks {name!r}; it has {sorted(found)}")
            try:
                values[name] = label_value(found[name], (0, 1), self._unknown)
            except ValueError as error:
                raise BenchError(
                    f"{where}, label {name!r}: {error}; list what means unknown in dataset.unknown"
                ) from None
        return values

    def _prepared(self, table: ImageTable, items: Sequence[Item], folder: Path) -> ImageSet:
        if folder.exists():
            return load_set(folder, self.info)
        return write_set(self._rows(table, items), self.info, folder)

    def _rows(self, table: ImageTable, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        by_row = {each.row: each for each in items}
        contents = table.content(list(by_row))
        for row, content in track(contents, "prepare synthchex_75k", total=len(items), unit="image"):
            image = grey(content, table.where(row), colour=self._colour)
            if float(image.std()) < BLANK_SPREAD:
                raise BenchError(f"{table.where(row)}: blank image; remove its row")
            each = by_row[row]
            yield {
                "image": encode_png(resize(image, self._shape.size, self._shape.aspect)),
                "own_size": image.shape,
                "image_id": each.name.rsplit(".", 1)[0],
                "patient_id": each.name,
                "prompt": each.prompt,
                "labels": each.labels,
                "attributes": {},
            }


def divide(items: Sequence[Item], holdout: float, test: float, holdout_seed: int) -> dict[str, list[Item]]:
    """Train, holdout and test, the last two as shares of all images; adding images moves none of the others.

    A hash of its name alone puts an image into the test part, one of ``holdout_seed`` and name into the holdout.
    """
    parts: dict[str, list[Item]] = {"train": [], "holdout": [], "test": []}
    for each in items:
        held = _place(f"{holdout_seed}:{each.name}") < holdout / (1 - test)
        parts["test" if _place(each.name) < test else "holdout" if held else "train"].append(each)
    return parts


def _place(text: str) -> float:
    """A number from 0 to 1 by the hash of ``text``."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _info(targets: tuple[str, ...]) -> DatasetInfo:
    return DatasetInfo(
        name="synthchex_75k",
        title="SynthCheX-75K (synthetic)",
        modality="chest radiograph",
        labels=tuple(Label(name, "binary", (0, 1), ("absent", "present")) for name in FINDINGS),
        conditions=FINDINGS,
        targets=targets,
        groups=targets[:1],
        prompted=FINDINGS,  # taken on trust: labels and text are of one report
        redistributable=True,
        licence="Apache-2.0",
        citation=(
            "Dutt R, Sanchez P, Yao Y, McDonagh S, Tsaftaris SA, Hospedales T. CheXGenBench: A Unified Benchmark For "
            "Fidelity, Privacy and Utility of Synthetic Chest Radiographs. arXiv 2505.10496."
        ),
        access=_ACCESS,
    )
