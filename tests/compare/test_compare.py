"""Numbers of a comparison: the same however images come, and those of a run."""

from __future__ import annotations

import doctest
import json
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

import bench.compare.table
from bench.api import BenchError, ImageSet, Split
from bench.compare import compare
from bench.compare.measure import comparison
from bench.compare.table import Document, document, printed
from evaluators.encoders.small_cnn import small_cnn
from evaluators.fidelity.evaluator import Fidelity
from tests.compare.pictures import as_files, as_parquet, as_volumes, textures
from tests.toy import material, toy_set

DEEP = ("small_cnn",)
REAL, FAKE = textures(1), textures(2, mean=120.0)


@pytest.fixture(scope="module")
def table() -> pandas.DataFrame:
    return compare(REAL, FAKE, encoders=DEEP)


def value(table: pandas.DataFrame, metric: str, encoder: str = "small_cnn") -> pandas.Series:
    (row,) = (row for _, row in table.iterrows() if (row.metric, row.encoder) == (metric, encoder))
    return row


def test_the_documented_call_does_what_is_said() -> None:
    found = doctest.testmod(bench.compare.table)
    assert found.attempted > 4
    assert not found.failed


@pytest.mark.parametrize("kind", ["folder", "paths", "tiff", "parquet", "volumes", "order"])
def test_numbers_are_the_same_however_images_come(kind: str, table: pandas.DataFrame, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(REAL))
    real, fake = {
        "folder": lambda: (as_files(REAL, tmp_path / "r"), as_files(FAKE, tmp_path / "f")),
        "paths": lambda: (sorted(as_files(REAL, tmp_path / "r").rglob("*.png")), FAKE),
        "tiff": lambda: (as_files(REAL, tmp_path / "r", ".tif"), FAKE),
        "parquet": lambda: (as_parquet(REAL, tmp_path / "r.parquet"), str(as_parquet(FAKE, tmp_path / "f.parquet"))),
        "volumes": lambda: (as_volumes(REAL, tmp_path / "r"), as_volumes(FAKE, tmp_path / "f")),
        "order": lambda: (REAL[order], FAKE[order[::-1]]),
    }[kind]()
    found = compare(real, fake, encoders=DEEP)
    pandas.testing.assert_frame_equal(found, table, check_exact=True)
    assert found.attrs["protocol"] == table.attrs["protocol"]


def test_a_set_of_the_same_population_is_no_further_than_chance_and_a_shifted_one_is() -> None:
    real, same, shifted = textures(1, 240), textures(2, 240), textures(3, 240, mean=150.0, spread=40.0)
    alike, apart = (compare(real, fake, encoders=DEEP) for fake in (same, shifted))
    for metric in ("fd", "kid"):
        assert value(alike, metric).low < 0 < value(alike, metric).high
        assert value(apart, metric).low > value(alike, metric).high


def test_values_are_those_of_a_run_on_the_same_split(tmp_path: Path) -> None:
    real, fake = toy_set(tmp_path, "test", 260), toy_set(tmp_path, "fake", 260)
    train, holdout = toy_set(tmp_path, "train", 100), toy_set(tmp_path, "holdout", 100)
    encoders = {"small_cnn": small_cnn("small_cnn", None, {"device": "cpu"})}

    def run(test: ImageSet, made: ImageSet) -> dict[str, float | None]:
        given = material(Split(train, holdout, test), {"fidelity": made}, tmp_path, encoders=encoders)
        return {score.metric: score.value for score in Fidelity(groups=())(given) if score.encoder == "small_cnn"}

    found = comparison(real.pixels(), fake.pixels(), encoders=DEEP)
    here = {score.metric: score.value for score in found.scores if score.encoder == "small_cnn"}
    whole = run(real, fake)
    for metric in ("fd_plain", "kid", "cmmd", "precision", "recall", "density", "coverage", "vendi_ratio"):
        assert here[metric] == pytest.approx(whole[metric], rel=1e-3, abs=1e-6), metric
    # the bias of these is taken off by folds, which go by the names of patients
    same_folds = run(found.real, found.fake)
    for metric in ("fd", "fd_infinity"):
        assert here[metric] == pytest.approx(same_folds[metric], rel=1e-3), metric


def test_another_seed_changes_random_choices_alone(table: pandas.DataFrame) -> None:
    other = compare(REAL, FAKE, encoders=DEEP, seed=1)
    assert value(other, "kid").value == value(table, "kid").value
    assert value(other, "ms_ssim", "").value != value(table, "ms_ssim", "").value
    assert other.attrs["protocol"]["digest"] != table.attrs["protocol"]["digest"]


def test_the_protocol_is_of_the_images_and_never_one_of_a_leaderboard(table: pandas.DataFrame) -> None:
    protocol = table.attrs["protocol"]
    assert protocol["kind"] == "compare/1"
    assert protocol["real"]["images"] == protocol["real"]["patients"] == len(REAL)
    assert protocol["evaluators"]["fidelity"]["id"] == f"fidelity/{Fidelity.version}"
    changed = FAKE.copy()
    changed[0, 0, 0] ^= 1
    other = compare(REAL, changed, encoders=DEEP).attrs["protocol"]
    assert other["real"] == protocol["real"]
    assert other["fake"]["digest"] != protocol["fake"]["digest"]


def test_patients_widen_intervals_and_are_said() -> None:
    real, fake = np.concatenate([REAL[:20]] * 6), textures(2, 120)
    real = np.clip(real.astype(int) + np.arange(120)[:, None, None] // 20, 0, 255).astype(np.uint8)
    alone = compare(real, fake, encoders=DEEP)
    owners = [f"p{number % 20}" for number in range(120)]
    known = compare(real, fake, encoders=DEEP, patients={"real": owners})
    assert known.attrs["protocol"]["real"]["patients"] == 20
    widths = [value(each, "kid").high - value(each, "kid").low for each in (alone, known)]
    assert widths[1] > 1.5 * widths[0]
    assert any("too narrow" in note for note in alone.attrs["notes"])
    assert not any("too narrow" in note for note in known.attrs["notes"])


def test_copies_and_repeats_are_counted_first() -> None:
    fake, train = FAKE.copy(), textures(4)
    fake[3], fake[4], fake[5], fake[6] = REAL[8], REAL[9], train[0], fake[7]
    notes = compare(REAL, fake, train, encoders=DEEP).attrs["notes"]
    assert notes[0].startswith("FAKE: 2 of 60 images have exactly the pixels of an image of REAL")
    assert notes[1] == "FAKE: 1 of 60 images have exactly the pixels of an image of TRAIN, such as image 5 = image 0"
    assert notes[2] == "FAKE: 1 of 60 images repeat another image of FAKE exactly"


def test_training_images_allow_what_needs_them_and_the_rest_is_refused_in_words() -> None:
    found = comparison(REAL, FAKE, textures(4), ("radiomics",))
    scores = {score.metric: score for score in found.scores}
    assert scores["authenticity"].value is not None
    assert found.train is not None
    assert len(found.train) == 60
    (refusal,) = (note for note in found.notes if note.startswith("privacy"))
    assert "known not to have learned from" in refusal
    assert "TRAIN" not in refusal
    assert not any(score.metric == "mia_auc" for score in found.scores)


def test_json_has_every_score_with_its_meaning_and_no_nan() -> None:
    found = comparison(REAL, FAKE, encoders=DEEP)
    text = document(found).model_dump_json(by_alias=True)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    plain = json.loads(text, parse_constant=refuse)
    assert Document.model_validate(plain)
    assert plain["schema"] == "compare/1"
    assert len(plain["scores"]) == len(found.scores)
    assert {score["metric"] for score in plain["scores"]} <= {metric["key"] for metric in plain["metrics"]}
    assert all(score["value"] is not None or score["reason"] for score in plain["scores"])


def test_the_terminal_shows_headlines_notes_and_reasons() -> None:
    found = comparison(REAL, FAKE, encoders=DEEP)
    short, whole = printed(found), printed(found, every=True)
    assert "kid ↓" in short
    assert "refused: fd in small_cnn: 60 images, fd needs 100" in short
    assert "vendi_ratio" not in short
    assert "vendi_ratio" in whole
    assert all(f"- {note}" in short for note in found.notes)
    assert found.protocol["digest"] in short


def test_an_evaluator_of_ones_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "complab.py").write_text(
        "from bench.api import Evaluator, Metric\n"
        "SHIFT = Metric('shift', 'Shift of the mean', 'lower', 'none')\n"
        "class Shift(Evaluator):\n"
        "    id, metrics, purposes = 'shift', (SHIFT,), ('fidelity',)\n"
        "    def __call__(self, material):\n"
        "        real, fake = material.split.test.pixels(), material.images['fidelity'].pixels()\n"
        "        yield SHIFT(float(fake.mean() - real.mean()), n=len(fake), reason='none')\n"
    )
    (tmp_path / "conf" / "evaluator").mkdir(parents=True)
    (tmp_path / "conf" / "evaluator" / "shift.yaml").write_text("shift: {_target_: complab.Shift}\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings, folder = ["evaluator=[shift]", "allow=[complab]"], str(tmp_path / "conf")
    table = compare(REAL, FAKE, encoders=DEEP, settings=settings, config_dir=folder)
    assert value(table, "shift", "").value == pytest.approx(FAKE.mean() - REAL.mean())
    with pytest.raises(BenchError, match=r"outside bench.*allow=\[complab\]"):
        compare(REAL, FAKE, encoders=DEEP, settings=settings[:1], config_dir=folder)
    sys.modules.pop("complab", None)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "passing"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "passing").mkdir()
    found = comparison(REAL, FAKE, encoders=DEEP)
    assert found.rows("small_cnn", found.fake).shape == (60, 64)
    assert [each.name for each in tmp_path.iterdir()] == ["passing"]
    del found
    import gc

    gc.collect()
    assert not list((tmp_path / "passing").glob("compare-*"))


def test_a_cache_that_was_asked_for_is_used(tmp_path: Path) -> None:
    settings = [f"cache={tmp_path / 'kept'}"]
    first, second = (comparison(REAL, FAKE, encoders=DEEP, settings=settings) for _ in range(2))
    assert first.rows.encoded["small_cnn"] == 120  # type: ignore[attr-defined]
    assert second.rows.encoded["small_cnn"] == 0  # type: ignore[attr-defined]
    assert first.protocol == second.protocol


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["evaluator=[]"], "no evaluator is configured"),
        (["evaluator.fidelity.folds=3"], "folds"),
        (["evaluator.fidelity.fold=12"], "has no setting 'fold'; did you mean 'folds'"),
        (["threads=none"], "threads is 'none', needed a whole number"),
        (["encoder=[small_cn]"], "did you mean 'small_cnn'"),
    ],
)
def test_settings_are_judged_before_an_image_is_read(settings: list[str], said: str) -> None:
    with pytest.raises(BenchError, match=said.replace("[", r"\[")):
        compare("nowhere", "nowhere", settings=settings)


def test_hydra_of_the_users_own_program_is_left_alone() -> None:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from bench.runtime.search import CONFIGURATION

    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        compare(REAL, FAKE, encoders=DEEP)
        assert GlobalHydra.instance().hydra is before
        assert compose("compare").seed == 0
    assert not GlobalHydra.instance().is_initialized()
