import csv
import hashlib
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from bench.api import BenchError
from bench.datasets import phantom
from bench.datasets.csaw_m import COLUMNS
from bench.datasets.csaw_preprocess import Acquisition, preprocess
from bench.datasets.masking import TRAIN_CASES, imagine
from bench.datasets.phantom import Phantom, Population, drawn
from evaluators.encoders.small_cnn import small_cnn
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(Population((64, 64), 45, 20, 0), tmp_path_factory.mktemp("phantom"))


def table(root: Path, part: str) -> list[dict[str, str]]:
    with (root / "labels" / f"CSAW-M_{part}.csv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def contents(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_layout_is_that_of_csaw_m(release: Path) -> None:
    folders = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_dir()}
    assert folders == {
        "images",
        "images/raw",
        "images/raw/train",
        "images/raw/test",
        "images/preprocessed",
        "images/preprocessed/train",
        "images/preprocessed/test",
        "labels",
        "cross_validation",
    }
    for kind in ("raw", "preprocessed"):
        for part, count in (("train", 45), ("test", 20)):
            names = {path.name for path in (release / "images" / kind / part).iterdir()}
            assert names == {f"{part}_{index}.png" for index in range(1, count + 1)}


def test_tables_have_the_18_columns_in_order(release: Path) -> None:
    for part in ("train", "test"):
        first = (release / "labels" / f"CSAW-M_{part}.csv").read_text().splitlines()[0]
        assert first.split(";") == list(COLUMNS)
        assert len(COLUMNS) == 18
    for row in table(release, "test"):
        readings = sorted(int(row[f"Expert_{number}"]) for number in range(1, 6))
        assert int(row["Label"]) == readings[2]
    for row in table(release, "train"):
        assert [row[f"Expert_{number}"] for number in range(1, 6) if row[f"Expert_{number}"]] == [row["Label"]]


def test_folds_divide_the_training_images(release: Path) -> None:
    folds = sorted((release / "cross_validation").iterdir())
    assert [path.name for path in folds] == [f"CSAW-M_cross_validation_split{number}.txt" for number in range(1, 6)]
    names = [name for path in folds for name in path.read_text().splitlines()]
    assert len(names) == len(set(names)) == 45
    assert set(names) == {row["Filename"] for row in table(release, "train")}


def test_preprocessed_is_made_from_raw_by_the_table(release: Path) -> None:
    for row in table(release, "test"):
        raw = np.asarray(Image.open(release / "images/raw/test" / row["Filename"]))
        shown = np.asarray(Image.open(release / "images/preprocessed/test" / row["Filename"]))
        assert raw.dtype == np.uint16 and shown.dtype == np.uint8
        assert (row["Dicom_window_center"], row["Dicom_window_width"]) == ("2047", "4096")
        acquisition = Acquisition(
            "L" if row["Dicom_image_laterality"] == "L" else "R",
            photometric="MONOCHROME1" if row["Dicom_photometric_interpretation"] == "MONOCHROME1" else "MONOCHROME2",
        )
        assert np.array_equal(preprocess(raw, acquisition), shown)


def test_the_table_tells_the_density_of_the_woman(release: Path) -> None:
    for index, row in enumerate(table(release, "train"), start=1):
        rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0, index)))
        woman = imagine(rng, TRAIN_CASES)
        assert float(row["Libra_percent_density"]) == pytest.approx(woman.percent_density, abs=0.5)
        assert int(row["If_composite"]) == woman.outcome.composite


def test_an_image_does_not_depend_on_how_many_there_are(release: Path, tmp_path: Path) -> None:
    fewer = drawn(Population((64, 64), 7, 5, 0), tmp_path)
    assert table(fewer, "train") == table(release, "train")[:7]
    for name in ("images/raw/train/train_7.png", "images/preprocessed/test/test_5.png"):
        assert (fewer / name).read_bytes() == (release / name).read_bytes()


def test_a_killed_run_is_continued_to_the_same_bytes(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_image = phantom._draw_image
    indices: list[int] = []

    def dying(population: Population, part: phantom.Part, draft: Path, index: int) -> str:
        if index == 40:
            (draft / "images/raw/train/train_40.png").write_bytes(b"half")
            raise KeyboardInterrupt
        return draw_image(population, part, draft, index)

    def counting(population: Population, part: phantom.Part, draft: Path, index: int) -> str:
        indices.append(index)
        return draw_image(population, part, draft, index)

    population = Population((64, 64), 45, 20, 0)
    monkeypatch.setattr(phantom, "_draw_image", dying)
    with pytest.raises(KeyboardInterrupt):
        drawn(population, tmp_path)
    assert not (tmp_path / "CSAW-M").exists()
    monkeypatch.setattr(phantom, "_draw_image", counting)
    assert contents(drawn(population, tmp_path)) == contents(release)
    assert len(indices) == 13 + 20, "the first batch of 32 must not be drawn again"
    drawn(population, tmp_path)
    assert len(indices) == 13 + 20, "what is finished must not be drawn again"


def test_load_gives_a_split(tmp_path: Path) -> None:
    split = Phantom(image_size=[48, 32], n_train=24, n_test=8, holdout_fraction=0.25).load(tmp_path)
    assert [len(part) for part in (split.train, split.holdout, split.test)] == [18, 6, 8]
    assert split.train.size == (48, 32)
    assert split.info.name == "phantom" and split.info.redistributable
    assert split.info.pixel_spacing_mm == pytest.approx(0.455 * 632 / 48)
    again = Phantom(image_size=(48, 32), n_train=24, n_test=8).load(tmp_path)
    assert again.digest == split.digest
    other = Phantom(image_size=(48, 32), n_train=24, n_test=8, seed=1).load(tmp_path)
    assert other.digest != split.digest


def test_nobody_chose_who_is_held_out() -> None:
    by_rule = int(hashlib.sha256(b"phantom").hexdigest()[:8], 16)
    said = yaml.safe_load((ROOT / "conf" / "dataset" / "phantom.yaml").read_text())["holdout_seed"]
    assert said == by_rule == inspect.signature(Phantom).parameters["holdout_seed"].default


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": [64]}, "image_size"),
        ({"image_size": [8, 8]}, "at least 16"),
        ({"image_size": 8}, "at least 16"),
        ({"image_size": [700, 512]}, "at most"),
        ({"n_test": 0}, "n_test = 0"),
        ({"n_test": 19, "images_per_patient": 4}, "n_test = 19, needed at least 20 of each, which are 5 women of 4"),
        ({"images_per_patient": [4, 1]}, r"images_per_patient = \[4, 1\], needed a whole number of 1 or more"),
        ({"images_per_patient": 1.5}, r"images_per_patient = 1\.5, needed a whole number of 1 or more, or \[least"),
        ({"images_per_patient": [1, 1.5]}, r"images_per_patient = \[1, 1\.5\], needed a whole number"),
        ({"images_per_patient": None}, "images_per_patient = None, needed a whole number"),
        ({"images_per_patient": True}, "images_per_patient = True, needed a whole number"),
        ({"images_per_patient": 0}, "images_per_patient = 0, needed"),
    ],
)
def test_bad_settings_are_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        Phantom(**settings)


def pixels_of(root: Path) -> str:
    """One digest of all pictures, whatever the compression of their files."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.png")):
        digest.update(np.asarray(Image.open(path)).tobytes())
    return digest.hexdigest()[:16]


def test_women_of_one_image_are_drawn_as_they_always_were(tmp_path: Path) -> None:
    assert pixels_of(drawn(Population((64, 64), 7, 5, 0), tmp_path)) == "a0aea60efdd231e6"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(Population((64, 64), 90, 30, 0, (1, 5)), tmp_path_factory.mktemp("several"))


def test_women_have_unequal_numbers_of_images(several: Path) -> None:
    numbers = Counter(row["Patient"] for row in table(several, "train"))
    assert sum(numbers.values()) == 90 and set(numbers.values()) == {1, 2, 3, 4, 5}
    assert not numbers.keys() & {row["Patient"] for row in table(several, "test")}
    header = (several / "labels" / "CSAW-M_train.csv").read_text().splitlines()[0]
    assert header.split(";") == [*COLUMNS, "Patient"]


def test_images_of_a_woman_share_her_and_differ_in_the_rest(several: Path) -> None:
    of: dict[str, list[dict[str, str]]] = {}
    for row in table(several, "train"):
        of.setdefault(row["Patient"], []).append(row)
    for rows in of.values():
        for column in ("Label", "If_cancer", "If_composite", "Dicom_image_laterality"):
            assert len({row[column] for row in rows}) == 1, column
        assert len({row["Libra_breast_area"] for row in rows}) == len(rows)
        density = [float(row["Libra_percent_density"]) for row in rows]
        assert max(density) - min(density) < 6
    assert len(set(contents(several / "images").values())) == 2 * 120, "no two pictures are the same"


def test_images_of_a_woman_are_nearer_than_those_of_two(several: Path) -> None:
    encoder = small_cnn("small_cnn", None, {"device": "cpu", "dtype": "float32", "block": 64})
    rows = table(several, "train")
    folder = several / "images" / "preprocessed" / "train"
    features = encoder(np.stack([np.asarray(Image.open(folder / row["Filename"])) for row in rows])).astype(np.float64)
    women = np.array([row["Patient"] for row in rows])
    distances = np.linalg.norm(features[:, None] - features, axis=2)
    same, itself = women[:, None] == women, np.eye(len(rows), dtype=bool)
    assert np.median(distances[same & ~itself]) < 0.4 * np.median(distances[~same])
    paired = np.isin(women, [who for who, number in Counter(women).items() if number > 1])
    nearest = np.where(itself, np.inf, distances).argmin(axis=1)
    found = (women[nearest] == women)[paired].mean()
    assert found > 0.8, found


def test_a_woman_is_on_one_side_of_every_division(several: Path, tmp_path: Path) -> None:
    split = Phantom(image_size=64, n_train=90, n_test=30, holdout_fraction=0.25, images_per_patient=(1, 5)).load(
        tmp_path
    )
    parts = [set(part.patients) for part in (split.train, split.holdout, split.test)]
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert len(split.train) + len(split.holdout) == 90 and len(split.train) > len(parts[0])
    whose = {row["Filename"]: row["Patient"] for row in table(several, "train")}
    folds = [path.read_text().split() for path in sorted((several / "cross_validation").iterdir())]
    women = [{whose[name] for name in fold} for fold in folds]
    assert sorted(name for fold in folds for name in fold) == sorted(whose)
    assert len(set.union(*women)) == sum(map(len, women))


def test_more_images_change_none(several: Path, tmp_path: Path) -> None:
    fewer = drawn(Population((64, 64), 25, 25, 0, (1, 5)), tmp_path)
    assert table(fewer, "train") == table(several, "train")[:25]
    name = "images/raw/train/train_25.png"
    assert (fewer / name).read_bytes() == (several / name).read_bytes()


def test_a_killed_drawing_of_several_images_is_continued(several: Path, tmp_path: Path) -> None:
    population = Population((64, 64), 90, 30, 0, (1, 5))
    draw_image = phantom._draw_image

    def dying(population: Population, part: phantom.Part, draft: Path, index: int) -> str:
        if index == 40:
            raise KeyboardInterrupt
        return draw_image(population, part, draft, index)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(phantom, "_draw_image", dying)
        drawn(population, tmp_path)
    assert contents(drawn(population, tmp_path)) == contents(several)
