"""The fidelity evaluator as a whole: what it yields, what it refuses, and that it only depends on what it should."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import yaml

from bench.api import BenchError, Encoder, ImageSet, Refused, Rows, Score, Split
from bench.statistics.scaling import scale_of
from evaluators.fidelity import evaluator
from evaluators.fidelity.comparison import Sides
from evaluators.fidelity.evaluator import INTERVALS, Fidelity
from evaluators.fidelity.feature_metrics import OWN_SCALE
from evaluators.fidelity.frechet_distance import frechet
from evaluators.fidelity.metrics import OF_FEATURES, OF_PIXELS, OF_SOME, OVERALL
from tests.conftest import ROOT
from tests.toy import material, toy_set, toy_split


class Blocks(Encoder):
    """Means of a coarse grid, 16 columns."""

    id, dim = "blocks", 16

    def __call__(self, images: np.ndarray) -> Rows:
        cells = images.reshape(len(images), 4, images.shape[1] // 4, 4, -1).mean(axis=(2, 4))
        return cells.reshape(len(images), 16).astype(np.float32)


class Scaled(Blocks):
    """The same, said to be of different units."""

    column_units = "different"


class Named(Scaled):
    """The same, passed off as radiomics."""

    radiomic_features = tuple(f"original_block_{i}" for i in range(16))


class Published(Named):
    """The same, passed off as those of a package."""

    published_as = "blocks 1.0"


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return toy_split(tmp_path_factory.mktemp("fidelity"), 8, 8, 240)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return toy_set(tmp_path_factory.mktemp("fake"), "fake", 240)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """The same test part beside enough training images for a scale and a pool."""
    return toy_split(tmp_path_factory.mktemp("trained"), 120, 40, 240)


def measure(
    split: Split, fake: ImageSet, encoders: Sequence[str] = ("blocks",), seed: int = 0, **settings: Any
) -> list[Score]:
    known = {"blocks": Blocks(), "scaled": Scaled()}
    chosen, rng = {name: known[name] for name in encoders}, np.random.default_rng(seed)
    with TemporaryDirectory() as folder:
        given = material(split, {"fidelity": fake}, Path(folder), encoders=chosen, rng=rng)
        return list(Fidelity(**settings)(given))


def of(scores: list[Score], metric: str, group: str = "all") -> Score:
    (found,) = [score for score in scores if (score.metric, score.group) == (metric, group)]
    return found


def test_summaries_say_under_which_conditions_they_hold() -> None:
    said = {metric.key: metric.summary for metric in OVERALL + OF_SOME + OF_FEATURES}
    assert "sets of different patients" in said["fd_floor"] and "falling with 1/n" in said["fd_floor"]
    assert "of the published radiomics" in said["frd"] and "not those of papers" in said["radiomics_distance"]
    assert "a little bias is left" in said["kid"] and "different patients" in said["cmmd"]
    assert "Images of a patient leave together" in said["fd"]
    for key in ("precision", "recall", "density"):
        assert "at this number of images" in said[key].replace("\n", " ")


def test_every_metric_is_yielded_once_for_every_place(trained: Split, fake: ImageSet) -> None:
    scores = measure(trained, fake, ("blocks", "scaled"), pairs=40)
    places = [(score.metric, score.group, score.encoder) for score in scores]
    groups, encoders = ("all", "dense=no", "dense=yes"), ("blocks", "scaled")
    expected = {(metric.key, group, encoder) for metric in OF_FEATURES for group in groups for encoder in encoders}
    expected |= {(metric.key, "all", encoder) for metric in OVERALL for encoder in encoders}
    expected |= {(metric.key, "all", None) for metric in OF_PIXELS + OF_SOME}
    assert len(places) == len(set(places))
    assert set(places) == expected
    assert {score.metric for score in scores} == {metric.key for metric in Fidelity.metrics}


def test_images_of_the_same_source_look_perfect(split: Split, fake: ImageSet) -> None:
    scores = measure(split, fake, groups=[])
    for key in ("fd", "kid", "cmmd", "fd_infinity"):
        score = of(scores, key)
        assert score.low is not None and score.high is not None and score.low <= 0 <= score.high
    assert of(scores, "coverage").value > 0.9
    assert of(scores, "ms_ssim_gap").low == 0
    assert 0 < of(scores, "fd_plain").value < 3 * of(scores, "fd_floor").value


def test_the_test_images_themselves_are_at_distance_zero(split: Split) -> None:
    scores = measure(split, split.test, groups=[])
    assert abs(of(scores, "fd_plain").value) < 1e-6 * Blocks()(split.test.pixels()).var(axis=0).sum()
    assert of(scores, "precision").value == of(scores, "recall").value == of(scores, "coverage").value == 1.0


def test_darker_images_are_worse_in_every_distance(split: Split, fake: ImageSet) -> None:
    def darker(images: ImageSet) -> ImageSet:
        return images.select(np.flatnonzero(np.array(images.column("level")) == 1).repeat(4))

    good, bad = measure(split, fake, groups=[]), measure(split, darker(fake), groups=[])
    for key in ("fd", "kid", "fd_plain", "fd_infinity"):
        assert of(bad, key).value > of(good, key).value
        assert of(bad, key).low is None or of(bad, key).low > of(good, key).high
    for key in ("recall", "clipped_coverage", "alpha_precision", "beta_recall", "vendi_ratio"):
        assert of(bad, key).value < of(good, key).value


def test_a_group_is_compared_with_its_own_images_at_equal_number(split: Split, fake: ImageSet) -> None:
    unequal = fake.select(np.flatnonzero((np.arange(240) % 4 > 1) | (np.arange(240) < 60)))
    scores = measure(split, unequal)
    assert of(scores, "kid", "dense=yes").n == 120
    assert of(scores, "fd", "dense=no").value is None
    assert of(scores, "fd", "dense=no").n == 30
    assert "30 images" in of(scores, "fd", "dense=no").reason


def test_groups_of_one_column_share_one_number_of_images(split: Split, fake: ImageSet) -> None:
    unequal = fake.select(np.flatnonzero((np.arange(240) % 4 > 1) | (np.arange(240) < 160)))
    scores = measure(split, unequal)
    assert of(scores, "kid", "dense=yes").n == of(scores, "kid", "dense=no").n == 80


def test_a_group_only_one_side_has_is_refused(split: Split, fake: ImageSet) -> None:
    dense = fake.select(np.flatnonzero(np.array(fake.column("dense")) == 1))
    score = of(measure(split, dense), "kid", "dense=no")
    assert score.value is None and score.n == 0 and score.reason


def test_distance_is_refused_where_images_are_fewer_than_features(split: Split, fake: ImageSet, tmp_path: Path) -> None:
    class Wide(Blocks):
        dim = 256

        def __call__(self, images: np.ndarray) -> Rows:
            return images[:, ::2, ::2].reshape(len(images), 256).astype(np.float32)

    wide = {"wide": Wide()}
    scores = list(Fidelity(groups=[], pairs=20)(material(split, {"fidelity": fake}, tmp_path, encoders=wide)))
    assert "240 images, by their patients and folds as good as 228, for 256 features" in of(scores, "fd").reason
    assert of(scores, "fd_plain").value > 0
    assert of(scores, "kid").low is not None


def test_few_images_are_refused_with_the_number_needed(tiny_split: Split) -> None:
    scores = measure(tiny_split, tiny_split.holdout)
    assert all(score.value is None and "50 are needed" in score.reason for score in scores if score.encoder)
    assert of(scores, "ms_ssim").value is not None


def test_no_images_at_all_refuse_the_whole(split: Split, fake: ImageSet) -> None:
    with pytest.raises(Refused, match="0 synthetic images"):
        measure(split, fake.select([]))


def test_few_patients_are_refused(split: Split, fake: ImageSet) -> None:
    rows = split.test.rows.remove_columns("patient_id").add_column("patient_id", [str(i % 9) for i in range(240)])
    few = Split(split.train, split.holdout, ImageSet(rows, split.info))
    scores = measure(few, fake, groups=[])
    assert "9 patients; 10 are needed" in of(scores, "kid").reason
    assert "9 patients" in of(scores, "ms_ssim").reason


def test_images_of_a_patient_widen_the_interval(split: Split, fake: ImageSet) -> None:
    """Four images with the same features count little more than one."""
    repeated = split.test.select(np.repeat(np.arange(60), 4))
    owners = [f"patient {i // 4}" for i in range(240)]
    rows = repeated.rows.remove_columns("patient_id")
    widths = {}
    for name, patients in (("clustered", owners), ("apart", [str(i) for i in range(240)])):
        real = ImageSet(rows.add_column("patient_id", patients), split.info)
        score = of(measure(Split(split.train, split.holdout, real), fake, groups=[]), "kid")
        widths[name] = score.high - score.low
    assert widths["clustered"] > 1.2 * widths["apart"]


def test_the_same_material_gives_the_same_scores_whatever_else_is_measured(trained: Split, fake: ImageSet) -> None:
    alone = [score for score in measure(trained, fake, ("scaled",)) if score.encoder == "scaled"]
    together = [score for score in measure(trained, fake, ("blocks", "scaled")) if score.encoder == "scaled"]
    assert alone == together


def test_scores_depend_on_no_seed_but_where_images_are_drawn(split: Split, fake: ImageSet) -> None:
    one, other = (measure(split, fake, seed=seed, pairs=20) for seed in (0, 1))
    for score, again in zip(one, other, strict=True):
        assert score == again or score.metric.startswith("ms_ssim"), score.metric
    assert one != other


def test_the_folds_of_real_images_are_the_same_for_every_seed_and_generator(
    split: Split, fake: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By patient, and by nothing but the names of patients."""
    owners = [f"patient {i // 2}" for i in range(240)]
    rows = split.test.rows.remove_columns("patient_id").add_column("patient_id", owners)
    whole = Split(split.train, split.holdout, ImageSet(rows, split.info))
    seen: list[Sides] = []
    monkeypatch.setattr(evaluator, "likeness", lambda sides: seen.append(sides) or iter(()))
    monkeypatch.setattr(evaluator, "at_infinity", lambda sides: iter(()))
    other = fake.select(np.random.default_rng(0).permutation(240)[:200])
    order = np.random.default_rng(1).permutation(240)
    turned = Split(split.train, split.holdout, whole.test.select(order))
    for each, images, seed in ((whole, fake, 0), (whole, fake, 1), (whole, other, 0), (turned, fake, 0)):
        measure(each, images, seed=seed, groups=[], pairs=20)
    first, *others, last = (sides.members.real_clusters for sides in seen)
    for clusters in others:
        np.testing.assert_array_equal(clusters.folds, first.folds)
        np.testing.assert_array_equal(clusters.patients, first.patients)
    np.testing.assert_array_equal(last.folds, first.folds[order])
    np.testing.assert_array_equal(first.folds[::2], first.folds[1::2])
    assert first.count == 20 and set(first.together) == {2}
    assert set(seen[0].members.fake_clusters.together) == {1}


def test_images_of_a_group_are_thinned_the_same_way_whatever_their_order(
    split: Split, fake: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    unequal = fake.select(np.flatnonzero((np.arange(240) % 4 > 1) | (np.arange(240) < 160)))
    seen: list[Sides] = []
    monkeypatch.setattr(evaluator, "likeness", lambda sides: seen.append(sides) or iter(()))
    monkeypatch.setattr(evaluator, "at_infinity", lambda sides: iter(()))
    order = np.random.default_rng(1).permutation(240)
    turned = Split(split.train, split.holdout, split.test.select(order))
    for each, seed in ((split, 0), (split, 5), (turned, 0)):
        measure(each, unequal, seed=seed, pairs=20)
    chosen = [
        {parts.test.ids[i] for i in sides.members.real}
        for sides, parts in zip(seen[1::3], (split, split, turned), strict=True)
    ]
    assert chosen[0] == chosen[1] == chosen[2] and len(chosen[0]) == 80
    assert chosen[0] != {split.test.ids[i] for i in np.flatnonzero(np.arange(240) % 4 < 2)[:80]}


def test_the_scale_is_that_of_the_training_images(trained: Split, fake: ImageSet) -> None:
    """Not of the test images, which no other generator and no other draw of them would then share."""
    scores = measure(trained, fake, ("scaled",), groups=[], pairs=20)
    scale = scale_of(Blocks()(trained.train.pixels()))
    real, fakes = (scale(Blocks()(images.pixels())) for images in (trained.test, fake))
    assert of(scores, "fd_plain").value == pytest.approx(frechet(real, fakes), rel=1e-6)
    assert not any(OWN_SCALE in (score.reason or "") for score in scores)


def test_too_few_training_images_leave_the_scale_to_the_test_images_and_the_record_says_so(
    split: Split, fake: ImageSet
) -> None:
    scores = measure(split, fake, ("scaled",), groups=[], pairs=20)
    scale = scale_of(Blocks()(split.test.pixels()))
    real, fakes = (scale(Blocks()(images.pixels())) for images in (split.test, fake))
    assert of(scores, "fd_plain").value == pytest.approx(frechet(real, fakes), rel=1e-6)
    for key in ("fd", "kid", "cmmd"):
        assert OWN_SCALE in of(scores, key).reason and of(scores, key).low is not None
    for key in ("precision", "vendi_ratio", "alpha_precision"):
        assert of(scores, key).value is not None and of(scores, key).low is None, "halves have scales of their own"
    assert not any(OWN_SCALE in (score.reason or "") for score in measure(split, fake, groups=[], pairs=20))


def test_what_chance_does_is_measured_between_patients_beside_the_test_part(trained: Split, fake: ImageSet) -> None:
    floor = of(measure(trained, fake, groups=[], pairs=20), "fd_floor")
    assert "sets of about 80 images of different patients" in floor.reason
    assert floor.low < floor.value < floor.high and floor.spread is None


@pytest.mark.parametrize("settings", [{"k": 0}, {"folds": 5}, {"pairs": 3}, {"stuff": 1}])
def test_settings_out_of_range_are_errors(settings: dict[str, int]) -> None:
    with pytest.raises(BenchError, match="fidelity needs"):
        Fidelity(**settings)


def test_an_unknown_group_is_an_error(split: Split, fake: ImageSet) -> None:
    with pytest.raises(BenchError, match=r"group 'age'; toy has \['dense'\]"):
        measure(split, fake, groups=["age"])


def test_the_configuration_builds_it() -> None:
    settings = yaml.safe_load((ROOT / "conf/evaluator/fidelity.yaml").read_text())["fidelity"]
    assert settings.pop("_target_") == "evaluators.fidelity.evaluator.Fidelity"
    assert (Fidelity(**settings).k, Fidelity(**settings).folds) == (5, 20)


def test_encoders_made_for_copies_are_skipped_unless_asked_for_by_name(trained: Split, fake: ImageSet) -> None:
    left = measure(trained, fake, ("blocks", "scaled"), groups=[], skip=["blocks"])
    assert {score.encoder for score in left} == {"scaled", None}
    none = measure(trained, fake, ("blocks",), groups=[], skip=["blocks"])
    assert "are skipped" in of(none, "fd").reason and of(none, "ms_ssim").value is not None
    with TemporaryDirectory() as folder:
        named = Fidelity(encoders=["blocks"], skip=["blocks"], groups=[])
        scores = list(named(material(trained, {"fidelity": fake}, Path(folder), encoders={"blocks": Blocks()})))
    assert of(scores, "fd").value is not None


def test_measures_no_encoder_can_give_say_which_would(split: Split, fake: ImageSet) -> None:
    scores = measure(split, fake, groups=[])
    for key, wanted in (("lpips", "lpips"), ("alignment", "biomedclip"), ("spectrum_distance", "spectrum")):
        assert f"add encoder=[...,{wanted}]" in of(scores, key).reason
    assert "against_train [], none configured" in of(scores, "authenticity").reason


class Mixed(Encoder):
    """Sines of random mixtures of the pixels: as many columns of full rank as wanted."""

    def __init__(self, columns: int) -> None:
        self.id, self.dim = f"mixed {columns}", columns

    def __call__(self, images: np.ndarray) -> Rows:
        flat = images.reshape(len(images), -1).astype(np.float64)
        mixture = np.random.default_rng(0).normal(scale=2e-4, size=(flat.shape[1], self.dim))
        return np.sin(flat @ mixture).astype(np.float32)


def test_a_score_with_an_interval_tells_how_it_moves(split: Split, fake: ImageSet) -> None:
    for score in measure(split, fake, groups=[], pairs=20):
        if score.low is None or score.metric in {"fd_floor"} or score.metric.startswith("ms_ssim"):
            assert score.spread is None
            continue
        if score.value in (0.0, 1.0) and score.spread is None:
            assert score.metric.startswith("clipped")  # cut off at its bound
            continue
        assert score.spread is not None and len(score.spread.deviations) in (19, 20), score.metric
        if score.metric in ("kid", "cmmd", "fd", "density"):
            half = 2.093024 * np.linalg.norm(score.spread.deviations)
            assert score.high - score.low == pytest.approx(2 * half, rel=1e-6), score.metric
            parts = np.hypot(score.spread.real, score.spread.synthetic)
            assert parts == pytest.approx(half / 2.093024, rel=0.5), score.metric
        assert (score.spread.real is None) == (score.metric in ("fd_infinity", "vendi", "vendi_real")), score.metric


@pytest.mark.parametrize(("columns", "images"), [(16, 240), (300, 340)])
def test_the_file_of_intervals_splits_the_uncertainty(
    columns: int, images: int, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    real, fake = (toy_set(tmp_path_factory.mktemp(name), name, images) for name in ("test", "fake"))
    given = material(Split(real, real, real), {"fidelity": fake}, tmp_path, encoders={"mixed": Mixed(columns)})
    scores = list(Fidelity(groups=[], pairs=20)(given))
    parts = json.loads((tmp_path / INTERVALS).read_text())["mixed"]
    told = ["fd"] * (columns == 16) + ["kid", "cmmd", "precision", "density", "beta_recall", "vendi_ratio"]
    assert set(told) <= set(parts) and not {"fd_plain", "fd_floor", "cmmd_published"} & set(parts)
    for key in told:
        score, part = of(scores, key), parts[key]
        assert set(part) == {"value", "interval", "se", "se_real", "se_synthetic"}
        assert part["value"] == pytest.approx(score.value, rel=1e-6, abs=1e-9)
        assert part["interval"] == pytest.approx([score.low, score.high], rel=1e-6, abs=1e-9)
        assert score.spread is not None
        assert part["se"] == pytest.approx(np.linalg.norm(score.spread.deviations), rel=1e-6)
        assert (part["se_real"], part["se_synthetic"]) == pytest.approx((score.spread.real, score.spread.synthetic))
    for key in ("kid", "cmmd"):
        assert 0 < parts[key]["se_synthetic"] < parts[key]["se"] and 0 < parts[key]["se_real"] < parts[key]["se"]


class Bands(Blocks):
    """Sixteen columns passed off as bands."""

    frequencies = (np.arange(16) + 0.5) / 32


class Classes(Blocks):
    """Two classes, bright and dark."""

    def logits(self, rows: Rows) -> Rows:
        light = rows.mean(axis=1) - 45
        return np.stack([light, -light], axis=1)


class Seen(Blocks):
    pair_distance = "squared"


class Reader(Blocks):
    """Knows the brightness that a prompt asks for."""

    def __call__(self, images: np.ndarray) -> Rows:
        bright = (images.mean(axis=(1, 2)) > images.mean()).astype(np.float32)
        return np.stack([bright, 1 - bright], axis=1)

    def texts(self, prompts: Sequence[str]) -> Rows:
        return np.array([[1, 0] if "bright" in each else [0, 1] for each in prompts], np.float32)


def prompted(images: ImageSet, prompts: Sequence[str | None]) -> ImageSet:
    return ImageSet(images.rows.remove_columns("prompt").add_column("prompt", list(prompts)), images.info)


def special(split: Split, fake: ImageSet, encoder: Any, tmp_path: Path, **settings: Any) -> list[Score]:
    given = material(split, {"fidelity": fake}, tmp_path, encoders={"it": encoder})
    return list(Fidelity(groups=[], **settings)(given))


def test_spectra_are_measured_where_an_encoder_has_bands(split: Split, fake: ImageSet, tmp_path: Path) -> None:
    scores = special(split, fake, Bands(), tmp_path)
    assert of(scores, "spectrum_distance").low < 0 < of(scores, "spectrum_distance").high
    assert of(scores, "spectral_slope_gap").low < 0 < of(scores, "spectral_slope_gap").high
    assert "skipped" in of(scores, "fd").reason


def test_the_inception_score_of_two_clear_classes_is_near_two(
    split: Split, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    many = toy_set(tmp_path_factory.mktemp("many"), "many", 600)
    score = of(special(split, many, Classes(), tmp_path), "inception_score")
    assert 1.1 < score.low < score.value < score.high <= 2 and score.n == 600
    few = of(special(split, split.test, Classes(), tmp_path), "inception_score")
    assert few.value is None and "needs 500" in few.reason


def test_perceptual_diversity_is_the_mean_over_all_pairs(split: Split, fake: ImageSet, tmp_path: Path) -> None:
    from scipy.spatial.distance import pdist

    scores = special(split, fake, Seen(), tmp_path)
    rows = Blocks()(fake.pixels())
    assert of(scores, "lpips").value == pytest.approx(np.square(pdist(rows)).mean(), rel=1e-4)
    assert of(scores, "lpips").n == 240 and of(scores, "lpips_real").low > 0


def test_alignment_needs_prompts_and_finds_who_follows_them(split: Split, fake: ImageSet, tmp_path: Path) -> None:
    def aligned(images: ImageSet, prompts: Sequence[str | None]) -> Score:
        return of(special(split, prompted(images, prompts), Reader(), tmp_path), "alignment")

    pixels = fake.pixels()
    bright = pixels.mean(axis=(1, 2)) > pixels.mean()
    right = [f"{'bright' if each else 'dim'} {i % 6}" for i, each in enumerate(bright)]
    good = aligned(fake, right)
    assert good.low > 0.3
    ignored = aligned(fake, [right[i] for i in np.random.default_rng(0).permutation(240)])
    assert ignored.low < 0 < ignored.high
    assert "240 images without one" in aligned(fake, [None] * 240).reason
    assert "different" in aligned(fake, ["bright"] * 240).reason


def test_authenticity_finds_copies_of_the_training_images(
    split: Split, fake: ImageSet, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    train = toy_set(tmp_path_factory.mktemp("more"), "more", 200)
    whole = Split(train, split.holdout, split.test)
    fresh = of(special(whole, fake, Scaled(), tmp_path, against_train=["it"]), "authenticity")
    copied = of(special(whole, train.select(np.arange(100)), Scaled(), tmp_path, against_train=["it"]), "authenticity")
    assert fresh.value > 0.3 and fresh.n == 240
    assert copied.value == 0 and copied.high < 0.05


def test_radiomics_distance_is_the_logarithm_of_the_plain_one(trained: Split, fake: ImageSet, tmp_path: Path) -> None:
    scores = special(trained, fake, Named(), tmp_path)
    assert of(scores, "radiomics_distance").value == pytest.approx(np.log(of(scores, "fd_plain").value), rel=1e-6)
    assert "no configured encoder has the published radiomics" in of(scores, "frd").reason
    same = special(trained, trained.test, Named(), tmp_path)
    assert "logarithm of 0" in of(same, "radiomics_distance").reason


def test_the_published_distance_is_standardised_by_the_test_images(
    trained: Split, fake: ImageSet, tmp_path: Path
) -> None:
    """Whatever our own scale is: no value drawn in, and anew without each fold."""
    rows = [Blocks()(images.pixels()).astype(float) for images in (trained.test, fake)]
    varies = rows[0].std(axis=0) > 0
    one, two = ((each - rows[0].mean(axis=0))[:, varies] / rows[0].std(axis=0)[varies] for each in rows)
    scores = special(trained, fake, Published(), tmp_path)
    score = of(scores, "frd")
    expected = np.log(frechet(one.astype(np.float32), two.astype(np.float32)))
    assert score.value == pytest.approx(expected, rel=1e-5) and score.low < score.value < score.high
    assert of(scores, "radiomics_distance").value != pytest.approx(expected, rel=1e-3)


def test_only_radiomics_have_a_radiomics_distance(trained: Split, fake: ImageSet, tmp_path: Path) -> None:
    """Columns of different units make no radiomics: they are scaled for every distance, and there is no ``frd``."""
    scores = special(trained, fake, Scaled(), tmp_path)
    for key, said in (("radiomics_distance", "has radiomics"), ("frd", "has the published radiomics")):
        score = of(scores, key)
        assert score.value is None and score.encoder is None and f"no configured encoder {said}" in score.reason
    scale = scale_of(Blocks()(trained.train.pixels()))
    scaled = [scale(Blocks()(images.pixels())) for images in (trained.test, fake)]
    assert of(scores, "fd_plain").value == pytest.approx(frechet(*scaled), rel=1e-9)


def test_more_images_than_the_most_are_thinned_and_counted(
    split: Split, fake: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "evaluators.fidelity.evaluator.MOST"
    monkeypatch.setattr(module, 240)
    whole = measure(split, fake, groups=[])
    assert {score.n for score in whole if score.metric == "kid"} == {240}
    monkeypatch.setattr(module, 150)
    thinned = measure(split, fake, groups=[])
    assert {score.n for score in thinned if score.encoder == "blocks"} == {150}
    assert thinned == measure(split, fake, groups=[])
    assert of(thinned, "kid").value != of(whole, "kid").value
    low, value, high = of(thinned, "kid").low, of(whole, "kid").value, of(thinned, "kid").high
    assert low is not None and value is not None and high is not None and low < value < high
