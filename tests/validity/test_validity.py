"""The report on metrics: verdicts by definition, and known metrics judged rightly on the toy images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from bench.api import BenchError, Encoder, Evaluator, Images, ImageSet, Material, Metric, Purpose, Rows, Score, Split
from bench.pipeline.features import FeatureStore
from bench.validity.heat_map import heat_map
from bench.validity.measure import Bench, Row, rows
from bench.validity.page import Report, page
from bench.validity.report import table
from bench.validity.response import Place, Response, judge, loss, respond, spearman
from bench.validity.stand_in import StandIn
from tests.toy import toy_split

LOW = Metric("low", "", "lower", "")
EVEN = (1.0,) * 5


class Moments(Encoder):
    """Mean, standard deviation and roughness of an image."""

    id = "moments"
    dim = 3

    def __call__(self, images: Images) -> Rows:
        pixels = images.astype(np.float64)
        rough = np.abs(np.diff(pixels, axis=2)).mean(axis=(1, 2))
        return np.stack([pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2)), rough], axis=1).astype(np.float32)


class Naive(Evaluator):
    """Metrics that see roughness, reward it, only describe, always refuse, look for copies, and read what was asked."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("gap", "", "lower", ""),
        Metric("rough", "", "higher", ""),
        Metric("real", "", "neither", "", role="describes"),
        Metric("none", "", "lower", ""),
        Metric("new", "", "higher", ""),
        Metric("told", "", "lower", ""),
    )
    purposes: ClassVar[tuple[Purpose, ...]] = ("fidelity",)

    def __call__(self, material: Material) -> Iterator[Score]:
        sets = material.split.test, material.images["fidelity"]
        real, fake = (material.features("moments", each)[:, 2].mean() for each in sets)
        gap, rough, constant, none, new, told = self.metrics
        place = {"n": 24, "encoder": "moments"}
        yield gap(abs(fake - real), **place, reason="toy")
        yield rough(fake, **place, reason="toy")
        yield constant(real, **place, reason="toy")
        yield none.refused("never", **place)
        known = set(material.split.train.column("pixel_hash"))
        fakes = material.images["fidelity"]
        yield new(np.mean([each not in known for each in fakes.column("pixel_hash")]), n=24, reason="toy")
        bright = material.features("moments", fakes)[:, 0]
        dense = np.array(fakes.column("dense"))
        yield told(0.0, **place, reason="toy")
        for value in (0, 1):
            wanted = material.features("moments", material.split.test)[:, 0]
            truth = wanted[np.array(material.split.test.column("dense")) == value].mean()
            yield told(abs(bright[dense == value].mean() - truth), **place, group=f"dense={value}", reason="toy")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("validity")
    split = toy_split(folder, 120, 60, 60)
    encoders = {"moments": Moments()}
    return Bench(split, {"naive": Naive()}, encoders, FeatureStore(folder, encoders), None, 4, 0)


@pytest.fixture(scope="module")
def responses(bench: Bench) -> list[Response]:
    return bench.responses()


def test_known_metrics_are_judged_rightly(bench: Bench, responses: list[Response]) -> None:
    found = {(each.metric, each.damage): each for each in responses if each.over == "all"}
    assert len(found) == 5 * len(bench.damages)
    assert found["gap", "noise"].verdict == "sees" and found["gap", "noise"].spearman == pytest.approx(1, abs=0.1)
    assert found["rough", "noise"].verdict == "fooled"
    assert found["rough", "blur"].verdict == "sees"
    assert found["gap", "copies"].verdict == found["rough", "copies"].verdict == "blind"
    assert {each.verdict for (metric, _), each in found.items() if metric == "none"} == {"refused"}
    assert {metric for metric, _ in found} == {"gap", "rough", "none", "new", "told"}, "what describes is not judged"


def test_what_looks_for_copies_sees_them_though_undamaged_draws_hold_training_images(responses: list[Response]) -> None:
    (found,) = (each for each in responses if (each.metric, each.damage) == ("new", "copies"))
    assert found.values[0] == 1.0 and found.values[-1] == 0.0
    assert found.verdict == "sees"


def test_draws_that_share_images_are_known_to_vary_too_little(bench: Bench, responses: list[Response]) -> None:
    """Means of draws without replacement vary by a factor ``1 - n/N`` less than those of independent sets."""
    pool, n = len(bench._pool), bench.n
    values = np.random.default_rng(0).normal(size=pool)
    draws = [values[np.random.default_rng(i).permutation(pool)[:n]].mean() for i in range(4000)]
    assert np.std(draws) * bench._shared == pytest.approx(values.std() / n**0.5, rel=0.05)
    (found,) = (each for each in responses if (each.metric, each.over, each.damage) == ("gap", "all", "noise"))
    assert found.spread is not None
    changes = np.array(found.losses[1:], float) - float(found.losses[0] or 0)
    seen = changes > 4 * found.spread * bench._shared
    assert found.first == int(np.flatnonzero(~seen)[-1]) + 2 if (~seen).any() else found.first == 1


def test_ignored_labels_are_seen_within_groups_only(responses: list[Response]) -> None:
    found = {(each.metric, each.over, each.damage): each.verdict for each in responses}
    assert found["told", "groups", "labels"] == "sees" and found["told", "groups", "laterality"] == "blind"
    assert {found[metric, "all", "labels"] for metric in ("gap", "rough", "new", "told")} == {"blind"}
    assert {metric for metric, over, _ in found if over == "groups"} == {"told"}


def test_the_mean_over_groups_is_that_of_the_groups_measured_undamaged() -> None:
    first = {("a", "e", "all"): 1.0, ("a", "e", "x=1"): 2.0, ("a", "e", "x=2"): 4.0, ("a", "e", "x=3"): None}
    whole, groups = rows(first)
    assert whole == Row("a", "e", "all", ("all",)) and groups == Row("a", "e", "groups", ("x=1", "x=2"))
    assert whole.value(first) == 1.0 and groups.value(first) == 3.0
    assert groups.value(first | {("a", "e", "x=2"): None}) is None
    assert rows({("a", "e", "all"): 1.0, ("a", "e", "x=1"): None}) == [whole]


class Keeping(Evaluator):
    """Computes something of the real images alone, and counts how often."""

    metrics: ClassVar[tuple[Metric, ...]] = (LOW,)
    purposes: ClassVar[tuple[Purpose, ...]] = ("fidelity",)

    def __init__(self, level: float) -> None:
        self.level, self.asked = level, list[int]()

    def __call__(self, material: Material) -> Iterator[Score]:
        def make() -> dict[str, np.ndarray]:
            self.asked.append(0)
            return {"level": np.array([self.level])}

        for part in (1, 2):
            found = material.keep([part, "level"], make)["level"]
            yield LOW(float(found[0]), n=24, group=f"part={part}", reason="toy")
            found[0] = 7


def test_what_depends_on_real_images_alone_is_made_once_for_each_evaluator(bench: Bench, tmp_path: Path) -> None:
    one, two = Keeping(1.0), Keeping(2.0)
    for evaluators in ({"one": one, "two": two}, {"two": two, "one": one}):
        keeping = replace(bench, evaluators=evaluators)
        found = [keeping._measured("undamaged", bench._undamaged, tmp_path) for _ in range(3)]
        last = [*evaluators.values()][-1].level
        assert found == [{("low", None, "part=1"): last, ("low", None, "part=2"): last}] * 3
    assert len(one.asked) == len(two.asked) == 2 * 2, "twice for each report, which has three sets"


def test_the_same_numbers_every_time_and_no_image_encoded_twice(bench: Bench, responses: list[Response]) -> None:
    assert isinstance(bench.features, FeatureStore)
    before = bench.features.encoded["moments"]
    assert bench.responses() == responses
    assert bench.features.encoded["moments"] == before


def test_the_page_holds_every_verdict_and_no_real_image_unasked(bench: Bench, responses: list[Response]) -> None:
    report = Report(bench.split.info, bench.n, 60, 4, bench.metrics, responses, bench.damages)
    assert report.scopes == ["all", "groups"] and report.unmeasured == ["none"]
    maps = {over: heat_map(report, over) for over in report.scopes}
    assert maps["all"] == heat_map(report, "all") and maps["groups"].startswith(b"\x89PNG")
    shown = page(report, maps, bench.examples())
    assert shown.count("data:image/png") == 2 + sum(map(len, bench.examples().values()))
    assert all(damage.title in shown for damage in bench.damages) and "<script" not in shown
    assert (
        "Refused whatever the damage, as a rule for want of an encoder or of images" in shown
        and "<code>none</code>" in shown
    )
    assert report.described == ["real"] and "Not judged" in shown and "<code>real</code>" in shown
    lines = table(report).splitlines()
    assert lines[-1] == "not judged, because they only describe: real"
    assert lines[-2] == "refused whatever the damage: none" and max(map(len, lines)) <= 100
    assert [line.split()[:3] for line in lines if " moments " in line][-1] == ["told", "moments", "groups"]
    judging = replace(report, metrics={name: each for name, each in bench.metrics.items() if name != "real"})
    assert "Not judged" not in page(judging, maps, {}) and "not judged" not in table(judging)
    private = replace(report, info=replace(report.info, redistributable=False))
    assert page(private, maps, bench.examples()).count("data:image/png") == 2


def test_too_few_images_are_refused(tiny_split: Split) -> None:
    with pytest.raises(BenchError, match="24 holdout images"):
        Bench(tiny_split, {}, {}, lambda encoder, images: np.zeros((0, 0), np.float32), None, 4, 0)


@pytest.mark.parametrize(
    ("losses", "spread", "expected"),
    [
        ((0, 1, 2, 3, 4, 5), 0.1, ("sees", 1)),
        ((0, 0.1, 0.2, 3, 4, 5), 0.1, ("sees", 3)),
        ((0, 5, 0.1, 3, 4, 5), 0.1, ("sees", 3)),
        ((0, 1, 2, 3, 4, 5), 2.0, ("blind", None)),
        ((0, 9, 9, 9, 9, 0), 0.1, ("blind", None)),
        ((0, -1, 2, 3, 4, 5), 0.1, ("fooled", None)),
        ((7, 7, 7, 7, 7, 7), 0.0, ("blind", None)),
    ],
)
def test_verdicts(losses: tuple[float, ...], spread: float, expected: tuple[str, int | None]) -> None:
    assert judge(losses, spread * np.ones(5)) == expected


def test_rank_correlation() -> None:
    assert spearman([0, 1, 2, 3]) == pytest.approx(1)
    assert spearman([3, 2, 1, 0]) == pytest.approx(-1)
    assert spearman([0, 0, 0]) == 0
    assert spearman([0, 1, 1, 2]) == pytest.approx(0.9486832980505138)


def test_badness_follows_the_direction() -> None:
    assert loss(LOW, 3.0) == 3.0
    assert loss(Metric("high", "", "higher", ""), 3.0) == -3.0
    assert loss(Metric("aim", "", "target", "", target=0.5), 0.2) == pytest.approx(0.3)
    assert loss(LOW, None) is None
    with pytest.raises(ValueError, match="real only describes"):
        loss(Metric("real", "", "neither", "", role="describes"), 3.0)


def test_a_refused_grade_or_draw_leaves_no_verdict() -> None:
    place = Place("encoder", "all", "blur", EVEN)
    assert respond(LOW, place, [1, 2, None, 4, 5, 6], [1, 1, 1]).verdict == "refused"
    found = respond(LOW, place, [1, 2, 3, 4, 5, 6], [1, 1, None, 1])
    assert found.verdict == "refused" and found.spread is found.spearman is None
    assert respond(LOW, place, [1, 2, 3, 4, 5, 6], [1, 1, 1]).verdict == "sees"


def test_more_chance_needs_more_change() -> None:
    losses, idle = [0, 1, 2, 3, 4, 5], [0, 0.1, 0.2]
    assert respond(LOW, Place("encoder", "all", "repeats", EVEN), losses, idle).verdict == "sees"
    assert respond(LOW, Place("encoder", "all", "repeats", (15.0,) * 5), losses, idle).verdict == "blind"


def test_the_configuration_judges_fidelity_over_all_images_and_groups() -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("validity", overrides=["encoder=[pixels,radiomics]"])
    assert list(config.evaluator) == ["fidelity"] and config.evaluator.fidelity.groups is None
    assert set(config.encoder) == {"pixels", "radiomics"}


@pytest.mark.slow
def test_the_command_measures_a_configured_data_set(tmp_path: Path) -> None:
    from bench.validity.report import report

    choices = ["experiment=smoke", "encoder=[pixels]", "encoder.pixels.side=4", "draws=3"]
    choices += [
        "dataset.n_train=120",
        "dataset.holdout_fraction=0.5",
        "dataset.n_test=60",
        "evaluator.fidelity.pairs=20",
    ]
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("validity", overrides=[*choices, f"cache={tmp_path}", "evaluator.fidelity.folds=10"])
    text = report(config, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "validity.json").read_text())
    assert content["dataset"] == "phantom"
    assert "ms_ssim_real" in content["described"]
    assert not {each["metric"] for each in content["responses"]} & set(content["described"])
    assert {each["metric"] for each in content["responses"]} >= {"kid", "precision", "ms_ssim"}
    assert (tmp_path / "out" / "validity.html").exists() and "kid" in text
    assert content["without_effect"] == [] and {each["over"] for each in content["responses"]} == {"all"}


def test_images_keep_no_patient_twice(bench: Bench, tmp_path: Path) -> None:
    twice: ImageSet = bench._written(StandIn.of(bench._pool, np.zeros(3, np.int64)), tmp_path / "set")
    assert len(set(twice.patients)) == 3 and len(set(twice.column("pixel_hash"))) == 1


def test_a_sweep_of_reports_which_would_share_a_folder_is_refused() -> None:
    from bench.validity.__main__ import _check

    with initialize_config_module("conf", version_base="1.3"):
        config = compose("validity", overrides=["hydra.mode=MULTIRUN"], return_hydra_config=True)
    with pytest.raises(BenchError, match="makes one report for a command line; leave -m out"):
        _check(config)
