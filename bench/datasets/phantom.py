"""Phantom mammograms, drawn once and kept in the exact layout of CSAW-M."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.api import BenchError, Dataset, Split
from bench.datasets.csaw_m import COLUMNS, SMALLEST, Release, csaw_info
from bench.datasets.csaw_preprocess import Acquisition, preprocess
from bench.datasets.mammogram import WHITE, Anatomy, Mammogram, draw, pixel_mm
from bench.datasets.masking import TEST_CASES, TRAIN_CASES, Woman, imagine
from bench.datasets.prepare import Shape, seed_of_name, size_of
from bench.runtime.code_digest import code_digest
from bench.runtime.progress import track
from bench.runtime.setting_types import Count, Seed, Share
from bench.storage.disk_errors import named
from bench.storage.files import alone, content_key, remove_drafts, settle, write_atomic

Part = Literal["train", "test"]

LARGEST = (632, 632)
HOLDOUT_SEED = seed_of_name("phantom")
FOLDS = 5
PATIENT = "Patient"
BATCH = 32  # images between two points a killed run continues from
WITH_TEXT, INVERTED = 0.3, 0.01
_PARTS: tuple[Part, Part] = ("train", "test")
_CASES = {"train": TRAIN_CASES, "test": TEST_CASES}
_LETTERS = {
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "M": ("10001", "11011", "10101", "10101", "10001", "10001", "10001"),
    "O": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
}


@dataclass(frozen=True, slots=True)
class Population:
    """What is drawn.

    Image ``i`` of a part depends on ``size``, ``seed``, ``images_per_patient``, the part and ``i`` only; the last woman
    of a part may have fewer images than are hers.
    """

    size: tuple[int, int]
    n_train: int
    n_test: int
    seed: int
    images_per_patient: tuple[int, int] = (1, 1)

    @property
    def one_each(self) -> bool:
        return self.images_per_patient == (1, 1)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table: those of CSAW-M, and whose an image is where that is not told by its name."""
        return COLUMNS if self.one_each else (*COLUMNS, PATIENT)

    def stream(self, part: Part, *place: int) -> np.random.Generator:
        """The random numbers of a woman, or of one of her examinations, which count from 1; 0 is how many she has."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_PARTS.index(part), *place)))

    def count(self, part: Part) -> int:
        return self.n_train if part == "train" else self.n_test

    @property
    def key(self) -> str:
        """16 hex digits that change with the settings and with the code that draws."""
        return content_key([*astuple(self), code_digest(_draw_image)])


class Phantom(Dataset):
    """Drawn mammograms of imagined women: no data to ask for, the same pictures on every machine.

    Args:
        image_size: (height, width) the pictures are drawn at, or one number for a square, up to 632 x 632.
        n_train: images in the training pool, of which those of ``holdout_fraction`` of the women become the holdout.
        n_test: images in the test part.
        images_per_patient: examinations of a woman: the same breast, in another position, exposure and noise. One
            number for all of them, or the least and the greatest of numbers equally frequent.
        holdout_fraction: share of the women in the training pool that no generator learns from.
        holdout_seed: decides which women these are, and no picture.
        seed: decides every picture, and not who is held out.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 64,
        n_train: Count = 2048,
        n_test: Count = 512,
        holdout_fraction: Share = 0.25,
        holdout_seed: Seed = HOLDOUT_SEED,
        seed: Seed = 0,
        images_per_patient: Count | tuple[Count, Count] = 1,
    ) -> None:
        size = size_of(image_size, SMALLEST)
        if size[0] > LARGEST[0] or size[1] > LARGEST[1]:
            raise BenchError(f"image_size = {list(size)}, needed at most {list(LARGEST)} for phantoms")
        least, most = _least_and_most(images_per_patient)
        if min(n_train, n_test) < FOLDS * most:
            several = f", which are {FOLDS} women of {most} images" if most > 1 else ""
            raise BenchError(f"n_train = {n_train}, n_test = {n_test}, needed at least {FOLDS * most} of each{several}")
        self.population = Population(size, int(n_train), int(n_test), int(seed), (least, most))
        self.holdout = (float(holdout_fraction), int(holdout_seed))

    def load(self, cache: Path) -> Split:
        """Draw what is not there yet, then read it as CSAW-M is read; see ``Dataset.load``."""
        size = self.population.size
        root = drawn(self.population, cache / "phantom" / self.population.key)
        info = replace(
            csaw_info("phantom", "Phantom mammograms in the layout of CSAW-M", pixel_mm(size[0])),
            redistributable=True,
            licence="CC0-1.0",
            citation="Drawn by this benchmark; label model after Sorkhei et al. 2021, arXiv 2112.01330",
            access="dataset=phantom draws them; nothing to download",
        )
        patients = None if self.population.one_each else PATIENT
        return Release(root, size, patients).split(info, Shape(size, "pad"), self.holdout, cache)


def _least_and_most(images_per_patient: int | Sequence[int]) -> tuple[int, int]:
    """Both numbers of a setting that gives one or two.

    Raises:
        BenchError: they are no whole numbers, not two, or not in order.
    """
    several = isinstance(images_per_patient, Sequence)
    numbers = tuple(images_per_patient) if isinstance(images_per_patient, Sequence) else (images_per_patient,) * 2
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in numbers)
    if not whole or len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        got = list(numbers) if several else images_per_patient
        raise BenchError(
            f"images_per_patient = {got}, needed a whole number of 1 or more, or [least, greatest], e.g. [1, 4]"
        )
    return int(numbers[0]), int(numbers[1])


def drawn(population: Population, folder: Path) -> Path:
    """The folder ``CSAW-M`` with the whole population, drawn if it is not there.

    It appears in one step when everything is written. A run that was killed leaves a draft, and the next one continues
    from it; a second process waits for the first.
    """
    root = folder / "CSAW-M"
    if root.is_dir():
        return root
    with alone(root):
        if not root.is_dir():
            remove_drafts(folder)
            draft = folder / "draft"
            with named("writing", root, draft):
                for part in _PARTS:
                    _draw_part(population, part, draft)
                _write_folds(population, draft)
                shutil.rmtree(draft / "rows")
                settle(draft, root)
    return root


def _draw_part(population: Population, part: Part, draft: Path) -> None:
    """Draw one part in batches; the rows of a batch are written after its images and so say that they are there."""
    for kind in ("raw", "preprocessed"):
        (draft / "images" / kind / part).mkdir(parents=True, exist_ok=True)
    batches = [
        range(start, min(start + BATCH, population.count(part) + 1))
        for start in range(1, population.count(part) + 1, BATCH)
    ]
    files = {batch: draft / "rows" / f"{part}_{batch.start}.csv" for batch in batches}
    missing = [batch for batch in batches if not files[batch].exists()]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        lines = (line for batch in missing for line in pool.map(partial(_draw_image, population, part, draft), batch))
        tracked = track(lines, f"draw phantoms ({part})", total=sum(map(len, missing)), unit="image")
        for batch in missing:
            write_atomic(files[batch], "".join(islice(tracked, len(batch))).encode())
    table = _line(population.columns) + "".join(files[batch].read_text() for batch in batches)
    write_atomic(draft / "labels" / f"CSAW-M_{part}.csv", table.encode())


@lru_cache(maxsize=8)
def _examinations(population: Population, part: Part) -> tuple[tuple[int, int], ...]:
    """The woman and the examination of every image of a part, both counting from 1."""
    least, most = population.images_per_patient
    found: list[tuple[int, int]] = []
    woman = 0
    while len(found) < population.count(part):
        woman += 1
        number = least if least == most else int(population.stream(part, woman, 0).integers(least, most + 1))
        found.extend((woman, examination) for examination in range(1, number + 1))
    return tuple(found[: population.count(part)])


def _draw_image(population: Population, part: Part, draft: Path, index: int) -> str:
    """Write the raw and the preprocessed image, return the row of the table."""
    number, examination = _examinations(population, part)[index - 1]
    rng = population.stream(part, number)
    woman = imagine(rng, _CASES[part])
    side: Literal["L", "R"] = "L" if rng.random() < 0.5 else "R"
    anatomy = Anatomy(woman.percent_density, woman.breast_area, woman.rank, side)
    exam = None if population.one_each else population.stream(part, number, examination)
    mammogram = draw(anatomy, population.size, rng, exam)
    raw, later = mammogram.raw, rng if exam is None else exam
    if later.random() < WITH_TEXT:
        raw = burn_in(raw, f"{side}MLO", side)
    acquisition = Acquisition(side)
    if later.random() < INVERTED:
        raw, acquisition = np.asarray(WHITE - raw, np.uint16), Acquisition(side, photometric="MONOCHROME1")
    name = f"{part}_{index}.png"
    Image.fromarray(raw).save(draft / "images" / "raw" / part / name)
    Image.fromarray(preprocess(raw, acquisition)).save(draft / "images" / "preprocessed" / part / name)
    cells = _cells(name, part, woman, mammogram, acquisition)
    return _line(cells if exam is None else [*cells, f"{part}_woman_{number}"])


def burn_in(raw: npt.NDArray[np.uint16], text: str, laterality: str) -> npt.NDArray[np.uint16]:
    """Print ``text`` (letters L, R, M, O) in the upper corner away from the chest wall, unless the breast is there."""
    scale = raw.shape[0] / 632
    dots = np.array([[dot == "1" for letter in text for dot in f"{_LETTERS[letter][row]}0"] for row in range(7)])[
        :, :-1
    ]
    print_out = Image.fromarray(np.kron(dots, np.ones((3, 3))).astype(np.float32) * WHITE)
    width, height = max(1, round(print_out.width * scale)), max(1, round(print_out.height * scale))
    block = np.asarray(print_out.resize((width, height), Image.Resampling.BOX)).astype(np.uint16)
    top = max(1, round(14 * scale))
    left = raw.shape[1] - top - width if laterality == "L" else top
    gap = max(2, round(14 * scale))
    if (
        left < 0
        or left + width > raw.shape[1]
        or raw[: top + height + gap, max(0, left - gap) : left + width + gap].any()
    ):
        return raw
    printed = raw.copy()
    printed[top : top + height, left : left + width] = block
    return printed


def _cells(name: str, part: Part, woman: Woman, mammogram: Mammogram, acquisition: Acquisition) -> list[str]:
    """The table keeps one reading of a training image, all five and their median of a test image."""
    if part == "test":
        level, readings = woman.median, [str(reading) for reading in woman.readings]
    else:
        level = woman.readings[woman.chosen]
        readings = [str(level) if reader == woman.chosen else "" for reader in range(len(woman.readings))]
    outcome = woman.outcome
    endpoints = (outcome.cancer, outcome.interval, outcome.large_invasive, outcome.composite)
    dicom = (acquisition.laterality, acquisition.window_center, acquisition.window_width, acquisition.photometric)
    libra = (mammogram.percent_density, mammogram.dense_area, mammogram.breast_area)
    cells = [name, level, *readings, *map(int, endpoints), *dicom, *(f"{number:.2f}" for number in libra)]
    return [str(cell) for cell in cells]


def _line(cells: Sequence[str]) -> str:
    return ";".join(cells) + "\n"


def _write_folds(population: Population, draft: Path) -> None:
    """Five lists that divide the women of the training images; list ``i`` is the validation part of fold ``i``."""
    for fold in range(FOLDS):
        images = enumerate(_examinations(population, "train"), start=1)
        names = [f"train_{index}.png\n" for index, (woman, _) in images if (woman - 1) % FOLDS == fold]
        path = draft / "cross_validation" / f"CSAW-M_cross_validation_split{fold + 1}.txt"
        write_atomic(path, "".join(names).encode())
