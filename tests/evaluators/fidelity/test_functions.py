"""Metrics as functions give the numbers of a run, ask what they have to know, and never a number of mixed units."""

from __future__ import annotations

import doctest
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from prdc import compute_prdc

import evaluators.fidelity.functions as functions
import evaluators.fidelity.torch_metrics as torch_metrics
from bench.api import BenchError, Refused, Rows, Score, Split
from bench.compare import encode, encoder
from bench.statistics.encoded_rows import EncodedRows
from evaluators.fidelity.evaluator import Fidelity
from evaluators.fidelity.functions import FUNCTIONS, authenticity, coverage, fd, fd_plain, kid
from evaluators.fidelity.metrics import OF_FEATURES, OVERALL
from tests.toy import Given, GivenUnits, described, image_set, material

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(120, 6)).astype(np.float32)
FAKE = (RNG.normal(size=(100, 6)) + 0.4).astype(np.float32)
TRAIN = RNG.normal(size=(160, 6)).astype(np.float32)
WHOSE = [f"p{each // 2}" for each in range(120)]
TRAINED_ON = [f"t{each // 2}" for each in range(160)]


def of_a_run(sides: tuple[Rows, Rows], patients: list[str], folder: Path, units: str, train: Rows) -> dict[str, Score]:
    """What the evaluator finds for these rows, over all images; every second training image is of the one before."""
    sets = []
    named = (("r", sides[0], patients), ("f", sides[1], None), ("t", train, TRAINED_ON))
    for name, rows, whose in named if len(train) else named[:2]:
        pixels = [np.full((12, 12), place, np.uint8) for place in range(len(rows))]
        columns = {} if whose is None else {"patient_id": whose}
        sets.append(image_set(pixels, described(), name=name, **columns))
    given, known = (GivenUnits if units == "different" else Given)(), zip(sets, (*sides, train), strict=False)
    rows_of = {images.digest: rows for images, rows in known}
    told = {"encoders": {"given": given}, "features": lambda name, images: rows_of[images.digest]}
    split = Split(sets[-1] if len(train) else sets[0].select([]), sets[0].select([]), sets[0])
    found = material(split, {"fidelity": sets[1]}, folder, **told)
    return {score.metric: score for score in Fidelity()(found) if score.encoder == "given"}


def test_every_metric_of_features_is_a_function_with_its_own_words() -> None:
    for metric in (*OF_FEATURES, *OVERALL):
        function = FUNCTIONS[metric.key]
        assert function.metric is metric and getattr(functions, metric.key) is function
        assert metric.title in (function.__doc__ or "") and metric.summary in (function.__doc__ or "")


def test_the_examples_hold() -> None:
    for module in (functions, torch_metrics):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


@pytest.mark.parametrize("patients", [None, WHOSE])
@pytest.mark.parametrize("key", ["fd_plain", "kid", "cmmd", "precision", "recall", "density", "coverage"])
def test_the_order_of_rows_changes_nothing(key: str, patients: list[str] | None) -> None:
    turned = RNG.permutation(len(REAL))
    whose = None if patients is None else [patients[place] for place in turned]
    first = FUNCTIONS[key](REAL, FAKE, patients, units="alike")
    assert FUNCTIONS[key](REAL[turned], FAKE[::-1], whose, units="alike") == first


def test_values_are_those_of_published_code() -> None:
    found = compute_prdc(real_features=REAL, fake_features=FAKE, nearest_k=5)
    for key in ("precision", "recall", "density", "coverage"):
        assert float(FUNCTIONS[key](REAL, FAKE, units="alike")) == pytest.approx(found[key], abs=1e-9)
    gap = REAL.mean(axis=0) - FAKE.mean(axis=0)
    assert float(fd_plain(REAL, FAKE, units="alike")) > float(gap @ gap)


def test_naive_use_of_radiomics_is_on_one_scale() -> None:
    images = RNG.integers(0, 255, (130, 24, 24), dtype=np.uint8)
    rows = encode(images, "radiomics")
    score = kid(rows[:65], rows[65:])
    assert abs(float(score)) < 10 and score.encoder == encoder("radiomics").id
    assert float(fd_plain(rows, rows)) == pytest.approx(0, abs=1e-2)
    plain = np.asarray(rows)
    with pytest.raises(BenchError, match="units='alike' for the features of one network, units='different'"):
        kid(plain[:65], plain[65:])
    assert kid(plain[:65], plain[65:], units="different").value == score.value


def test_rows_know_their_encoder_through_selection_copies_and_pickles() -> None:
    rows = EncodedRows.of(REAL, "net-1", "alike")
    for each in (rows[3:], rows[[1, 2]], rows.copy(), pickle.loads(pickle.dumps(rows))):
        assert isinstance(each, EncodedRows) and (each.encoder_id, each.column_units) == ("net-1", "alike")
    other = EncodedRows.of(FAKE, "net-2", "alike")
    with pytest.raises(BenchError, match=r"different encoders, \['net-1', 'net-2'\]"):
        fd(rows, other)
    with pytest.raises(BenchError, match="the encoder of the rows says"):
        fd(rows, EncodedRows.of(FAKE, "net-1", "alike"), units="different")


@pytest.mark.parametrize(
    ("real", "fake", "patients", "message"),
    [
        (REAL[0], FAKE, None, r"real rows are float32 of shape \(6,\)"),
        (REAL, FAKE[:0], None, "synthetic rows are"),
        (REAL, FAKE[:, :3], None, "real rows have 6 columns, synthetic ones 3"),
        (REAL * np.nan, FAKE, None, "real rows hold 720 values that are not finite"),
        (REAL, FAKE, WHOSE[:5], "5 patients of 120 real rows"),
        (REAL.astype(str), FAKE, None, "needed numbers"),
    ],
)
def test_what_is_no_two_sets_is_refused(real: Rows, fake: Rows, patients: list[str] | None, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        kid(real, fake, patients, units="alike")


def test_too_few_images_are_a_refusal_with_its_reason() -> None:
    score = fd(REAL[:20], FAKE[:20], units="alike")
    assert score.value is None and "20 images" in (score.reason or "")
    with pytest.raises(Refused, match="fd was not measured: 20 images"):
        float(score)


def test_pairs_of_one_patient_do_not_count_and_training_rows_scale() -> None:
    twice = np.repeat(REAL[:60], 2, axis=0) + RNG.normal(0, 0.01, (120, 6)).astype(np.float32)
    owners = [f"p{each // 2}" for each in range(120)]
    alone, together = kid(twice, FAKE, units="alike"), kid(twice, FAKE, owners, units="alike")
    assert float(together) < float(alone)
    units = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
    scaled = kid(REAL * units, FAKE * units, units="different", reference=REAL * units)
    assert scaled.value == pytest.approx(kid(REAL * 1.0, FAKE, units="different", reference=REAL).value, rel=1e-3)
    assert coverage(REAL * units, FAKE * units, units="different", reference=REAL * units).low is not None


def test_authenticity_counts_copies() -> None:
    assert float(authenticity(REAL, REAL[:50], units="alike")) == 0
    assert float(authenticity(REAL, FAKE, units="alike")) > 0.2
    assert math.isfinite(float(authenticity(REAL, FAKE, units="different")))


@pytest.mark.parametrize("training", [0, 160])
@pytest.mark.parametrize("units", ["alike", "different"])
def test_scores_are_those_of_a_run_where_everybody_has_the_same_name(units: str, training: int, tmp_path: Path) -> None:
    real, train = REAL[:100], TRAIN[:training]
    found = of_a_run((real, FAKE), WHOSE[:100], tmp_path, units, train)
    told = {"units": units, "fake_patients": [f"f{place}" for place in range(100)]}
    if training:
        told |= {"reference": train, "reference_patients": TRAINED_ON}
    for metric in (*OF_FEATURES, *OVERALL):
        ours, theirs = FUNCTIONS[metric.key](real, FAKE, WHOSE[:100], **told), found[metric.key]
        numbers = [(each.value, each.low, each.high) for each in (ours, theirs)]
        assert [each is None for each in numbers[0]] == [each is None for each in numbers[1]], metric.key
        assert (ours.n, ours.reason) == (theirs.n, theirs.reason), metric.key
        for one, other in zip(*numbers, strict=True):
            assert one is None or one == pytest.approx(other, rel=1e-4, abs=1e-6), metric.key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 10}, "'fold'; did you mean 'folds'"),
        ({"train": REAL}, r"'train'.*, needed some of \['units', 'fake_patients', 'reference'"),
        ({"k": 21}, "1 <= k <= 20"),
        ({"k": 2.5}, "k = 2.5"),
        ({"folds": 5}, "10 <= folds <= 200"),
        ({"folds": 201}, "10 <= folds <= 200"),
        ({"reference": REAL[:, :3]}, "reference rows have 3 columns, real ones 6"),
        ({"reference": EncodedRows.of(REAL, "net-2", "alike")}, r"different encoders, \['net-1', 'net-2'\]"),
        ({"reference": REAL, "reference_patients": WHOSE[:7]}, "7 patients of 120 reference rows"),
        ({"reference_patients": WHOSE}, "reference_patients without reference"),
    ],
)
def test_what_nobody_knows_or_does_not_fit_is_not_passed_over(options: dict[str, object], message: str) -> None:
    rows = [EncodedRows.of(each, "net-1", "alike") for each in (REAL, FAKE)]
    with pytest.raises(BenchError, match=message):
        kid(*rows, **options)


def test_columns_that_never_vary_are_a_refusal_as_in_a_run() -> None:
    score = kid(np.ones((80, 3), np.float32), np.ones((70, 3), np.float32), units="different")
    assert score.value is None and score.n == 70 and "all 3 features are constant" in (score.reason or "")


def test_complex_numbers_are_no_features() -> None:
    with pytest.raises(BenchError, match="real rows are complex64"):
        kid(REAL + 1j * REAL, FAKE, units="alike")
