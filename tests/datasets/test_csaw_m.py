import inspect
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from bench.api import BenchError
from bench.datasets.csaw_m import COLUMNS, CsawM, Release, csaw_info, masking_of, prompt_of
from bench.datasets.phantom import Population, drawn
from bench.datasets.prepare import Source, take_holdout
from tests.conftest import ROOT

SIZE = (64, 64)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(Population(SIZE, 12, 6, 3), tmp_path_factory.mktemp("csaw"))


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """A copy of the release that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "CSAW-M"))


Damage = Callable[[list[str]], list[str]]


def rewrite(root: Path, part: str, damage: Damage) -> None:
    table = root / "labels" / f"CSAW-M_{part}.csv"
    table.write_text("\n".join(damage(table.read_text().splitlines())) + "\n")


def put(line: int, column: str, value: str) -> Damage:
    """Replace one cell; ``line`` counts the header as line 1."""

    def damage(lines: list[str]) -> list[str]:
        cells = lines[line - 1].split(";")
        cells[COLUMNS.index(column)] = value
        return [*lines[: line - 1], ";".join(cells), *lines[line:]]

    return damage


def full_size(root: Path) -> None:
    for path in (root / "images" / "preprocessed").rglob("*.png"):
        Image.open(path).resize((512, 632)).save(path)


def test_the_released_size_is_brought_to_the_working_size(root: Path, tmp_path: Path) -> None:
    full_size(root)
    split = CsawM(str(root), image_size=[80, 64], holdout_fraction=0.25).load(tmp_path / "cache")
    assert [len(part) for part in (split.train, split.holdout, split.test)] == [9, 3, 6]
    assert split.train.size == (80, 64)
    assert split.info.name == "csaw_m" and not split.info.redistributable
    assert split.info.pixel_spacing_mm == pytest.approx(0.455 * 512 / 64)


def test_the_holdout_has_the_patients_that_one_percent_takes() -> None:
    said = yaml.safe_load((ROOT / "conf" / "dataset" / "csaw_m.yaml").read_text())["holdout_fraction"]
    women = [f"train_{index}" for index in range(1, 9524)]
    sources = [Source(woman, woman, Path(woman), "", {}, {}, None) for woman in women]
    for fraction in (said, inspect.signature(CsawM).parameters["holdout_fraction"].default):
        train, holdout = take_holdout(sources, fraction, 0)
        assert len(train) + len(holdout) == 9523
        assert len(holdout) == round(0.15 * 9523) == 1428 >= 1000


def test_rows_say_what_the_table_says(root: Path) -> None:
    rewrite(root, "test", put(2, "Label", "7"))
    rewrite(root, "test", put(2, "If_cancer", "1"))
    rewrite(root, "test", put(2, "If_interval_cancer", "1"))
    rewrite(root, "test", put(2, "If_large_invasive_cancer", "0"))
    rewrite(root, "test", put(2, "If_composite", "1"))
    rewrite(root, "test", put(2, "Libra_percent_density", "22.91"))
    rewrite(root, "test", put(2, "Libra_dense_area", ""))
    source = Release(root, SIZE).sources("test")[0]
    assert (source.image_id, source.patient_id, source.where) == ("test_1", "test_1", "CSAW-M_test.csv line 2")
    assert source.labels == {
        "masking": 2,
        "masking_level": 7,
        "If_cancer": 1,
        "If_interval_cancer": 1,
        "If_large_invasive_cancer": 0,
        "If_composite": 1,
    }
    assert source.attributes["percent_density"] == "22.91" and source.attributes["dense_area"] is None
    assert source.attributes["cancer_type"] == "interval"
    assert source.prompt == "High masking level"


def test_masking_classes_and_captions() -> None:
    assert [masking_of(level) for level in range(1, 9)] == [0, 0, 1, 1, 1, 1, 2, 2]
    assert [prompt_of(level) for level in (2, 3, 7)] == [
        "Low masking level",
        "Medium masking level",
        "High masking level",
    ]


def test_info_declares_columns_that_exist(root: Path) -> None:
    info = csaw_info("csaw_m", "CSAW-M", None)
    source = Release(root, SIZE).sources("train")[0]
    assert {label.name for label in info.labels} == set(source.labels)
    assert set(info.attributes) == set(source.attributes)
    present = {*source.labels, *source.attributes}
    assert len(info.required_attributes) == 11
    assert len(present & set(info.required_attributes)) == 4


def test_training_tables_need_no_experts(root: Path) -> None:
    kept = [place for place, name in enumerate(COLUMNS) if not name.startswith("Expert_")]
    strip = lambda lines: [";".join(line.split(";")[place] for place in kept) for line in lines]  # noqa: E731
    rewrite(root, "train", strip)
    assert len(Release(root, SIZE).sources("train")) == 12
    rewrite(root, "test", strip)
    with pytest.raises(BenchError, match="Expert_1"):
        Release(root, SIZE).sources("test")


@pytest.mark.parametrize(
    ("column", "value", "needed"),
    [
        ("Label", "0", "1 to 8"),
        ("Label", "9", "1 to 8"),
        ("Label", "3.5", "1 to 8"),
        ("Expert_2", "", "1 to 8"),
        ("If_cancer", "2", "0 to 1"),
        ("If_composite", "", "0 to 1"),
        ("Dicom_image_laterality", "left", "L or R"),
        ("Libra_percent_density", "100.5", "0 to 100"),
        ("Libra_breast_area", "nan", "at least 0"),
        ("Filename", "train_2.png", "test_1.png"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(root: Path, column: str, value: str, needed: str) -> None:
    rewrite(root, "test", put(4, column, value))
    with pytest.raises(BenchError, match=r"CSAW-M_test\.csv line 4") as error:
        Release(root, SIZE).sources("test")
    assert column in str(error.value) and needed in str(error.value)


def test_another_delimiter_is_named(root: Path) -> None:
    rewrite(root, "train", lambda lines: [line.replace(";", ",") for line in lines])
    with pytest.raises(BenchError, match="comma"):
        Release(root, SIZE).sources("train")


def test_rows_and_files_must_match_both_ways(root: Path) -> None:
    folder = root / "images" / "preprocessed" / "test"
    shutil.copy(folder / "test_1.png", folder / "test_99.png")
    with pytest.raises(BenchError, match=r"test_99\.png"):
        Release(root, SIZE).sources("test")
    (folder / "test_99.png").unlink()
    (folder / "test_3.png").unlink()
    with pytest.raises(BenchError, match=r"CSAW-M_test\.csv line 4: no file"):
        Release(root, SIZE).sources("test")


def test_a_file_named_twice_is_refused(root: Path) -> None:
    rewrite(root, "test", put(5, "Filename", "test_1.png"))
    with pytest.raises(BenchError, match=r"line 2 and CSAW-M_test\.csv line 5"):
        Release(root, SIZE).sources("test")


def test_images_of_another_size_are_refused(root: Path) -> None:
    with pytest.raises(BenchError, match="64 x 64, needed 632 x 512"):
        Release(root).sources("train")


def test_a_missing_data_set_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CSAW_M_ROOT", raising=False)
    with pytest.raises(BenchError) as error:
        CsawM(None).load(tmp_path)
    for needed in ("10.17044/scilifelab.14687271", "2112.01330", "CSAW_M_ROOT", "dataset.root", "dataset=phantom"):
        assert needed in str(error.value)
    monkeypatch.setenv("CSAW_M_ROOT", str(tmp_path / "elsewhere"))
    with pytest.raises(BenchError, match="elsewhere"):
        CsawM(None).load(tmp_path)


def test_the_environment_names_the_root(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_size(root)
    monkeypatch.setenv("CSAW_M_ROOT", str(root))
    split = CsawM(None, image_size=(64, 64), aspect="crop", holdout_fraction=0.25).load(tmp_path / "cache")
    assert split.info.pixel_spacing_mm == pytest.approx(0.455 * 512 / 64)
    assert not {*split.train.patients} & {*split.holdout.patients}
