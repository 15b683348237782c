"""The fixed material is the same everywhere; its numbers move with a formula and with nothing else."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from bench.api import Evaluator, Images, Material, Metric, Rows, Score
from bench.pipeline.conformance import conformance, measure
from bench.pipeline.fixed_material import BlockMeans, LagEnergies, fixed_material, sets
from bench.runtime.plugins import build
from bench.storage.agreement import NumberDeviation, conform, deviations
from bench.storage.files import write_checked
from evaluators.chexgenbench.evaluator import CheXGenBench
from evaluators.fidelity.evaluator import Fidelity
from evaluators.fidelity.kernel_distance import CubicKernel
from tests.test_contracts import chosen, options

EVALUATORS = options("evaluator")
KEY = {"settings": {"k": 5}, "code": "0" * 16}


def evaluator(name: str) -> Evaluator:
    built: Evaluator = build(chosen("evaluator", name), Evaluator)
    return built


@contextmanager
def threads(count: int) -> Iterator[None]:
    """``count`` threads for torch, BLAS and OpenMP."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def expected(name: str) -> dict[str, float]:
    """What the evaluator gives as it is, with two threads."""
    with threads(2):
        return measure(evaluator(name))


def test_the_material_is_the_same_bytes_everywhere() -> None:
    split, made = sets(("view",))
    columns = ("image_id", "patient_id", "pixel_hash", "prompt", "finding", "view")
    rows = [[each.column(name) for name in columns] for each in (split.train, split.holdout, split.test, made)]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] == "2111a7e988e3eb6b"
    features = [encoder(made.pixels()) for encoder in (BlockMeans(), LagEnergies())]
    found = [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in features]
    assert found == ["56e86393a30f5474", "35c1951d3a929f26"]


@pytest.mark.parametrize("name", EVALUATORS)
def test_threads_move_no_number(name: str) -> None:
    with_two = expected(name)
    with threads(1):
        assert deviations(with_two, measure(evaluator(name))) == []


@pytest.mark.parametrize("name", ["fidelity", "privacy", "card", "chexgenbench_asis"])
def test_the_order_of_sums_over_columns_moves_no_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = expected(name)
    order = np.random.default_rng(1).permutation(BlockMeans.dim)
    plain = BlockMeans.__call__

    def permuted(self: BlockMeans, images: Images) -> Rows:
        return np.ascontiguousarray(plain(self, images)[:, order])

    monkeypatch.setattr(BlockMeans, "__call__", permuted)
    after = measure(evaluator(name))
    assert deviations(before, after) == []
    assert name in ("privacy", "chexgenbench_asis") or before != after, "the order was not seen at all"


Change = Callable[[pytest.MonkeyPatch], None]


def scaled(target: str, factor: float) -> Change:
    """What the function gives, times ``factor``."""

    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        module, _, name = target.rpartition(".")
        plain = getattr(__import__(module, fromlist=[name]), name)
        monkeypatch.setattr(target, lambda *arguments, **named: plain(*arguments, **named) * factor)

    return change


def constant(target: str, value: float) -> Change:
    return lambda monkeypatch: monkeypatch.setattr(target, value)


def wider_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Metric.__call__

    def wide(self: Metric, value: float, *, interval: tuple[float, float] | None = None, **named: Any) -> Score:
        if interval is not None:
            half = 1e-4 * (interval[1] - interval[0])
            interval = interval[0] - half, interval[1] + half
        return plain(self, value, interval=interval, **named)

    monkeypatch.setattr(Metric, "__call__", wide)


def another_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CubicKernel.__init__

    def start(self: CubicKernel, columns: int) -> None:
        plain(self, columns)
        self.columns *= 1.0001  # type: ignore[assignment]

    monkeypatch.setattr(CubicKernel, "__init__", start)


def another_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluators.fidelity import feature_metrics

    plain = feature_metrics.compare
    monkeypatch.setattr(feature_metrics, "compare", lambda real, fake, k, *folds: plain(real, fake, k + 1, *folds))


def other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.statistics import clusters

    plain = clusters.fixed_folds
    monkeypatch.setattr(clusters, "fixed_folds", lambda names, count: plain([f"{each}." for each in names], count))


def longer_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluators.privacy import evaluator as privacy

    plain = privacy.tail_size
    monkeypatch.setattr(privacy, "tail_size", lambda *arguments: plain(*arguments) + 1)


CHANGES: list[tuple[str, str, Change]] = [
    ("fidelity", "every interval", wider_intervals),
    ("privacy", "every interval", wider_intervals),
    ("card", "every interval", wider_intervals),
    ("utility", "every interval", wider_intervals),
    ("fidelity", "a jackknife", scaled("bench.statistics.resampling._jackknife_deviations", 1.0001)),
    ("fidelity", "chance", scaled("evaluators.fidelity.chance.frechet", 1.0001)),
    ("fidelity", "patients of a fold", other_folds),
    ("fidelity", "fd", scaled("evaluators.fidelity.frechet_distance.cross_trace", 1.0001)),
    ("fidelity", "kid", another_kernel),
    ("fidelity", "precision", another_neighbour),
    ("privacy", "the tail of the excess", longer_tail),
    ("privacy", "the copying test", constant("evaluators.privacy.shuffled_labels.POWER", 2)),
    ("privacy", "a limit", constant("evaluators.privacy.bounds.COUNTS", 1e-6)),
    ("privacy", "what a near copy is", constant("evaluators.privacy.near_duplicates.ALIKE_FLOOR", 0.9999)),
    ("privacy", "an attack", scaled("evaluators.privacy.membership_inference.auc", 0.999)),
    ("privacy", "an attack above the null's", scaled("evaluators.privacy.honest_null.auc", 0.999)),
    ("card", "a term", scaled("evaluators.card.evaluator.variance_ratio", 1.001)),
    ("utility", "auc", scaled("evaluators.utility.test_set.macro_auc", 0.999)),
    ("chexgenbench_privacy_asis", "pixels", scaled("evaluators.chexgenbench.privacy.pixel_distances", 0.99)),
    ("chexgenbench_asis", "fid", scaled("evaluators.chexgenbench.evaluator.frechet", 1.01)),
]


@pytest.mark.parametrize(("name", "what", "change"), CHANGES, ids=[f"{name}: {what}" for name, what, _ in CHANGES])
def test_a_changed_formula_moves_a_number(
    name: str, what: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = expected(name)
    change(monkeypatch)
    after = measure(evaluator(name))
    assert before.keys() == after.keys()
    assert max((each.relative for each in deviations(before, after)), default=0.0) > 1e-6, what


@pytest.mark.parametrize("name", ["fidelity", "utility"])
def test_another_name_of_module_or_class_moves_no_number(name: str) -> None:
    before = expected(name)
    renamed = evaluator(name)
    renamed.__class__ = type("Elsewhere", (type(renamed),), {"__module__": "another.place"})
    assert deviations(before, measure(renamed)) == []


# what 1,000 holdout patients or test images would be needed for, and what asks for an encoder named only by choice
UNMEASURED = {
    "mia_tpr",
    "split_false_alarms",
    "chexgenbench_alignment",
    *(f"chexgenbench_reid{each}" for each in ("", "_max", "_count")),
}


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_metric_is_in_it_and_it_stays_small(name: str) -> None:
    values = expected(name)
    assert {key.partition("[")[0] for key in values} | UNMEASURED >= {each.key for each in evaluator(name).metrics}
    assert 2 < len(values) <= 130


def test_group_columns_and_labels_of_another_data_set_are_no_obstacle() -> None:
    values = measure(Fidelity(groups=["masking"], encoders=["mine"]))
    assert "kid[masking=front|mine]" in values and "fd[all|mine]" in values
    assert expected("chexgenbench_asis") == measure(CheXGenBench("inception_299", "rad_dino_299", ["Cardiomegaly"]))


def test_utility_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = expected("utility")

    def forbidden(*arguments: Any) -> None:
        raise AssertionError("a classifier was trained")

    monkeypatch.setattr("evaluators.utility.evaluator.train_and_score", forbidden)
    assert measure(evaluator("utility")) == before


def test_what_is_left_goes_nowhere_and_any_encoder_name_works() -> None:
    material = fixed_material(Fidelity(encoders=["a", "b", "c"]))
    material.leave("intervals.json", b"{}")
    assert list(material.encoders) == ["a", "b", "c"]
    rows = {name: material.features(name, material.split.test).shape[1] for name in ("a", "b", "c", "other")}
    assert rows == {"a": 16, "b": 8, "c": 8, "other": 16}


def test_the_alignment_of_a_third_encoder_is_measured() -> None:
    values = measure(CheXGenBench("inception_299", "rad_dino_299", biovil_t="biovil_t"))
    aligned = {f"chexgenbench_alignment[{group}|biovil_t]" for group in ("all", "finding=yes")}
    assert values.keys() - expected("chexgenbench_asis").keys() == aligned
    assert expected("chexgenbench_asis").items() <= values.items()


LEVEL = Metric("level", "Level", "lower", "none", summary="Mean grey level.")


class Counted(Evaluator):
    """Gives one number and counts how often it was asked."""

    id: ClassVar[str] = "counted"
    metrics: ClassVar[tuple[Metric, ...]] = (LEVEL,)
    purposes: ClassVar = ("fidelity",)

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, material: Material) -> Iterator[Score]:
        self.asked += 1
        yield LEVEL(float(material.split.test.pixels().mean()), n=208, reason="an example")
        yield LEVEL.refused("an example", n=208, group="view=side")


def test_it_is_measured_once_for_a_key(tmp_path: Path) -> None:
    counted = Counted()
    first = conformance(counted, KEY, tmp_path)
    assert first is not None and list(first) == ["level[all|-]"]
    assert conformance(counted, KEY, tmp_path) == first and counted.asked == 1
    assert [path.name.startswith("counted-") for path in tmp_path.iterdir()] == [True]
    conformance(counted, {**KEY, "code": "1" * 16}, tmp_path)
    counted.version = "2"  # type: ignore[misc]
    conformance(counted, KEY, tmp_path)
    assert counted.asked == 3 == len(list(tmp_path.iterdir()))


def rewritten(**changes: Any) -> Callable[[Path, Any], None]:
    """Another content, written as the benchmark writes it."""
    return lambda path, kept: write_checked(path, {"key": kept["key"], "values": kept["values"], **changes})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, kept: path.write_text("{"),
        lambda path, kept: path.write_text(json.dumps([kept])),
        lambda path, kept: path.write_text(json.dumps({**kept, "values": {"level[all|-]": 1.5}})),
        lambda path, kept: path.write_text(json.dumps({"values": kept["values"]})),
        rewritten(key={}),
        rewritten(values={}),
    ],
)
def test_what_was_changed_on_disk_is_measured_again(
    damage: Callable[[Path, Any], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = conformance(Counted(), KEY, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damage(path, json.loads(whole))
    counted = Counted()
    assert conformance(counted, KEY, tmp_path) == first and counted.asked == 1
    assert str(path) in caplog.text and "measured again" in caplog.text
    assert path.read_bytes() == whole


class Failing(Counted):
    def __call__(self, material: Material) -> Iterator[Score]:
        raise ZeroDivisionError("planted")


class Silent(Counted):
    def __call__(self, material: Material) -> Iterator[Score]:
        yield LEVEL.refused("never", n=1)


@pytest.mark.parametrize(("kind", "said"), [(Failing, "ZeroDivisionError: planted"), (Silent, "gave no number")])
def test_what_cannot_be_measured_is_unknown_and_stops_nothing(
    kind: type[Counted], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert conformance(kind(), KEY, tmp_path) is None
    assert said in caplog.text and "counted" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_an_evaluator_without_an_id_is_unknown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Nameless(Evaluator):
        metrics: ClassVar = (LEVEL,)
        purposes: ClassVar = ("fidelity",)

        def __call__(self, material: Material) -> Iterator[Score]:
            yield LEVEL(1.0, n=2, reason="an example")

    assert conformance(Nameless(), KEY, tmp_path) is None
    assert "Nameless has no id" in caplog.text


def test_agreement_is_to_a_millionth_with_the_same_keys() -> None:
    one = {"fd[all|a]": 2.0, "zero[all|-]": 0.0}
    assert conform(one, {"fd[all|a]": 2.0 * (1 + 9e-7), "zero[all|-]": 9e-10})
    assert deviations(one, {"fd[all|a]": 2.0 * (1 + 2e-6), "zero[all|-]": 2e-9}) == [
        NumberDeviation("fd[all|a]", 2.0, 2.0 * (1 + 2e-6)),
        NumberDeviation("zero[all|-]", 0.0, 2e-9),
    ]
    assert deviations(one, {"fd[all|a]": 2.0}) == [NumberDeviation("zero[all|-]", 0.0, None)]
    assert conform(None, None) and not conform(one, None) and not conform(None, one)
