"""The self-test on a tiny world: its rows, what it leaves, its settings, and that exact copies are always found."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Encoder, Images, Material, Refused, Rows, Score, Split
from evaluators.privacy.bounds import Limit
from evaluators.privacy.planted_splits import Trial, distances_by_patient, medians
from evaluators.privacy.self_test import NO_COPIES, PrivacySelfTest, Row, lines, row_of, scores, table
from evaluators.privacy.shuffled_labels import Evidence
from tests.toy import described, image_set, material

PATIENTS, IMAGES = 60, 500


class Levels(Encoder):
    """Grey levels, a column each."""

    id = "levels"
    dim = 36

    def __call__(self, images: Images) -> Rows:
        return images.reshape(len(images), -1).astype(np.float32)


@pytest.fixture(scope="module")
def given() -> tuple[Split, Any]:
    rng = np.random.default_rng(0)

    def part(first: int, count: int) -> Any:
        pictures = list(rng.integers(0, 200, (count, 6, 6)).astype(np.uint8))
        patients = [f"p{first + each // 2}" for each in range(count)]
        return image_set(pictures, described(), name=f"i{first}-", patient_id=patients)

    return Split(part(0, 80), part(40, 40), part(900, 4)), part(2000, IMAGES)


def measured(given: tuple[Split, Any], folder: Path, **settings: Any) -> tuple[list[Score], list[dict[str, str]]]:
    folder.mkdir(exist_ok=True)
    usual = {"encoders": ["levels"], "kinds": ["gamma", "identity"], "shares": [0.2, 0.02], "splits": 3}
    test = PrivacySelfTest(**usual | {"permutations": 39} | settings)
    found = list(test(of(given, folder)))
    return found, list(csv.DictReader(io.StringIO((folder / "privacy_self_test.csv").read_text())))


def of(given: tuple[Split, Any], folder: Path, **changed: Any) -> Material:
    usual = {"encoders": {"levels": Levels()}, "rng": np.random.default_rng(3)}
    return material(given[0], {"privacy": changed.pop("made", given[1])}, folder, **usual | changed)


def test_rows_scores_and_what_is_left(given: tuple[Split, Any], tmp_path: Path) -> None:
    found, rows = measured(given, tmp_path)
    cells = [(row["kind"], float(row["share"])) for row in rows]
    assert cells == [(NO_COPIES, 0), ("gamma", 0.02), ("gamma", 0.2), ("identity", 0.02), ("identity", 0.2)]
    assert {row["splits"] for row in rows} == {"3"}
    exact = [row for row in rows if row["kind"] == "identity"]
    assert [row["found"] for row in exact] == ["1.0", "1.0"], "exact copies are found without any test"
    assert rows[0]["most"] == rows[0]["found_from"] == ""
    assert all(float(row["most"]) >= float(row["share"]) for row in exact)
    assert (tmp_path / "privacy_self_test.png").read_bytes().startswith(b"\x89PNG")
    named = {(score.metric, score.group): score for score in found}
    assert set(named) == {
        ("self_test_false_alarms", "all"),
        *((key, kind) for key in ("detectable_leak", "limit_below_truth", "words_untrue") for kind in TITLES),
    }
    assert named["detectable_leak", "exact copy"].value == 0.02
    again = measured(given, tmp_path / "again")
    assert again[1] == rows, "the same seed gives the same rows"
    assert (tmp_path / "again/privacy_self_test.png").read_bytes() == (tmp_path / "privacy_self_test.png").read_bytes()


TITLES = ("exact copy", "gamma 0.8")


def test_conformance_is_one_kind_and_share(given: tuple[Split, Any], tmp_path: Path) -> None:
    test = PrivacySelfTest(["levels"], ["identity", "gamma"], [0.05, 0.1], 20)
    names = [score.metric for score in test.conformance(of(given, tmp_path))]
    assert names == ["self_test_false_alarms", "detectable_leak", "limit_below_truth", "words_untrue"]
    assert (tmp_path / "privacy_self_test.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kinds": ["smear"]}, "kinds=\\['smear'\\].*among identity, jpeg50"),
        ({"encoders": []}, "at least one encoder"),
        ({"shares": []}, "shares is \\[\\]; needed shares above 0 and up to 0.5"),
        ({"shares": [0.1, 0.6]}, "0.6"),
        ({"shares": [0.0]}, "0.0"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        PrivacySelfTest(**settings)


def test_too_few_images_are_refused(given: tuple[Split, Any], tmp_path: Path) -> None:
    few = given[1].select(range(499))
    with pytest.raises(Refused, match="needs 500 synthetic images, got 499"):
        list(PrivacySelfTest(["levels"])(of(given, tmp_path, made=few)))


def trial(found: bool, most: float | None, found_from: float | None = None, *, exact: bool = False) -> Trial:
    said = Evidence({"a": 0.001 if found else 0.5}, 0.5, {"a/copying": 0.5, "a/attack": 0.5})
    return Trial(exact, said, None if most is None else Limit(most, found_from, "a", 10, 0.9))


def test_row_counts_what_is_found_too_low_and_untrue() -> None:
    trials = [
        trial(True, 0.2, 0.3),
        trial(False, 0.05, 0.06),  # below the truth, and promised
        trial(False, 0.1, 0.1),  # promised at just this share
        trial(False, 0.3, 0.4),
        trial(False, None),
        trial(False, 0.09, None, exact=True),
    ]
    row = row_of("gamma", 0.1, trials)
    assert row == Row("gamma", 0.1, 6, 2 / 6, 2 / 6, 2 / 6, 0.2, 0.4)


def test_medians_count_what_is_unknown_as_more_than_any_number() -> None:
    assert medians([0.3, 0.1, 0.2]) == 0.2
    assert medians([0.3, None, 0.1]) == 0.3
    assert medians([None, 0.1, None]) is None
    assert medians([None, 0.1]) is None
    assert medians([0.1, 0.2]) == 0.2


def planted_rows(found: Sequence[float], below: float = 0.05, missed: float = 0.1) -> list[Row]:
    shares = (0.01, 0.02, 0.05)
    honest = Row(NO_COPIES, 0.0, 20, 0.05, 0.0, 0.0, None, None)
    return [honest, *(Row("flip", s, 20, f, below, missed, 0.1, None) for s, f in zip(shares, found, strict=True))]


def test_scores_of_a_kind() -> None:
    alarms, leak, below, missed = scores(planted_rows([0.3, 0.8, 1.0]), 900)
    assert alarms.value == 0.05
    assert alarms.low < 0.05 < alarms.high
    assert (leak.value, leak.group) == (0.02, "mirrored left to right")
    assert (below.value, missed.value) == (0.05, 0.1)
    assert below.low < 0.05 < below.high
    refused = list(scores(planted_rows([0.1, 0.2, 0.79]), 900))[1]
    assert refused.value is None
    assert "any share up to 5%" in str(refused.reason)


def test_table_and_lines_of_rows() -> None:
    rows = planted_rows([0.3, 0.8, 1.0])
    assert table(rows).decode().splitlines()[:3] == [
        "kind,share,splits,found,below,missed,most,found_from",
        "no copies,0.0,20,0.05,0.0,0.0,,",
        "flip,0.01,20,0.3,0.05,0.1,0.1,",
    ]
    written = list(lines(rows))
    assert len(written) == 5
    assert written[2].split() == ["flip", "1%", "0.30", "10%", "-", "0.05", "0.10"]


def test_distances_by_patient_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    pooled, rows = rng.normal(size=(20, 5)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)
    owners = np.r_[np.arange(8), rng.integers(0, 8, 12)]
    away = np.linalg.norm(pooled[:, None] - rows[None], axis=2)
    expected = np.array([away[owners == each].min(axis=0) for each in range(8)])
    assert distances_by_patient(pooled, rows, owners) == pytest.approx(expected, abs=1e-4)
