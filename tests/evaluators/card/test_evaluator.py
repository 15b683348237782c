"""The card sees planted faults, and its terms agree with what they claim."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from bench.api import ImageSet, Rows, Score, Split
from evaluators.card import pixel_statistics, terms
from evaluators.card.documents import DOCUMENTED, accounted
from evaluators.card.evaluator import COMPLIANCE, CONGRUENCE, Card
from evaluators.card.page import html
from tests.toy import INFO, image_set, material, toy_labels, toy_set, toy_split


def summary_rows(name: str, images: ImageSet) -> Rows:
    shown = images.pixels().astype(np.float32)
    quarters = [shown[:, i::4, j::4].mean(axis=(1, 2)) for i in range(4) for j in range(2)]
    texture = [np.abs(np.diff(shown, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    return np.stack([*quarters, *texture, shown.std(axis=(1, 2))], axis=1)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return toy_split(tmp_path_factory.mktemp("card"), 60, 120, 120)


def score(
    split: Split,
    fake: ImageSet,
    folder: Path,
    earlier: dict[str, list[Score]] | None = None,
    **generator: Any,
) -> dict[str, Score]:
    said = {"name": "toy", "target": "generators.toy.Toy", "settings": {"a": 1}, "seed": 0, "facts": {}} | generator
    known = {"features": summary_rows, "scores": earlier or {}, "generator": said}
    return {each.metric: each for each in Card(pairs=60)(material(split, {"fidelity": fake}, folder, **known))}


def changed(images: ImageSet, folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> ImageSet:
    pixels = [change(image) for image in images.pixels()]
    known = {"labels": toy_labels(len(images)), "attributes": {"laterality": "L"}}
    return image_set(pixels, INFO, folder / name, "fake_", **known)


def test_unseen_real_images_score_their_own_ceiling(split: Split, tmp_path: Path) -> None:
    other = toy_set(tmp_path, "other", 120)
    found = score(split, other, tmp_path)
    for name in ("card_congruence", "card_coverage", "card_constraint"):
        value, ceiling = found[name].value, found[f"{name}_ceiling"].value
        assert value is not None and ceiling is not None and abs(value - ceiling) < 0.12, name


@pytest.mark.parametrize("fault", ["blur", "noise", "collapse", "dark"])
def test_planted_faults_lower_the_criterion_that_claims_to_see_them(split: Split, tmp_path: Path, fault: str) -> None:
    other = toy_set(tmp_path, "other", 120)
    rng = np.random.default_rng(0)
    few = other.pixels()[:6]
    changes = {
        "blur": (lambda image: ndimage.gaussian_filter(image, 2), "card_constraint"),
        "noise": (lambda image: rng.integers(0, 256, image.shape, dtype=np.uint8), "card_congruence"),
        "collapse": (lambda image: few[rng.integers(6)], "card_coverage"),
        "dark": (lambda image: (image // 2).astype(np.uint8), "card_congruence"),
    }
    change, criterion = changes[fault]
    good = score(split, other, tmp_path)[criterion]
    bad = score(split, changed(other, tmp_path, fault, change), tmp_path)[criterion]
    assert bad.value is not None and good.low is not None and bad.value < good.low


@pytest.mark.parametrize(("told", "share"), [((), 0), (("level",), 1 / 3), (("level", "laterality", "dense"), 2 / 3)])
def test_completeness_counts_what_the_generator_was_told(
    split: Split, tmp_path: Path, told: tuple[str, ...], share: float
) -> None:
    """All columns are filled from the request, as the core does; the device is in no column."""
    found = score(split, toy_set(tmp_path, "other", 120), tmp_path, told=told)
    assert found["card_completeness"].value == pytest.approx(share)
    assert found["card_completeness_ceiling"].value == pytest.approx(2 / 3)


def test_composition_has_only_what_was_asked_for(split: Split, tmp_path: Path) -> None:
    score(split, toy_set(tmp_path, "other", 120), tmp_path, told=("level",))
    card = json.loads((tmp_path / "card.json").read_text())
    assert set(card["composition"]) == {*INFO.conditions, "level"}
    score(split, toy_set(tmp_path, "another", 120), tmp_path, told=("level", "laterality"))
    assert "laterality" in json.loads((tmp_path / "card.json").read_text())["composition"]


@pytest.mark.parametrize(
    ("generator", "left_out"),
    [
        ({"told": ["level"]}, {}),
        ({"told": []}, dict.fromkeys(("dense=no", "dense=yes"), "the generator was never told dense")),
        ({"told": ["dense"], "facts": {"matched": {"fidelity": {"dense": {"yes": 0.5}}}}}, {"dense=yes": "50.0%"}),
    ],
)
def test_consistency_is_among_the_groups_of_which_the_generator_was_told(
    split: Split, tmp_path: Path, generator: dict[str, Any], left_out: dict[str, str]
) -> None:
    """A level says how dense; the ceiling is over the same groups."""
    found = score(split, toy_set(tmp_path, "other", 120), tmp_path, **generator)
    terms = json.loads((tmp_path / "card.json").read_text())["terms"]
    assert terms["subgroups left out"].keys() == left_out.keys()
    assert all(words in terms["subgroups left out"][group] for group, words in left_out.items())
    for label, key in (("synthetic", "card_consistency"), ("ceiling", "card_consistency_ceiling")):
        assert terms[label]["groups"].keys() == {"dense=no", "dense=yes"} - left_out.keys()
        assert (found[key].value is None) == bool(left_out)
        if left_out:
            assert f"{len(left_out)} by what the generator was not told, or did not match" in str(found[key].reason)


def privacy(auc: float | None, copies: float | None, leak: float | None) -> dict[str, list[Score]]:
    """What the privacy evaluator would have found, ``None`` refused."""
    values = {"mia_auc": auc, "duplicates": copies, "leak_found": leak}
    return {"privacy": [Score(key, value, None, None, 9, reason="told apart") for key, value in values.items()]}


def test_compliance_is_refused_without_privacy_and_falls_with_an_attack(split: Split, tmp_path: Path) -> None:
    other = toy_set(tmp_path, "other", 120)
    refused = score(split, other, tmp_path)["card_compliance"]
    assert refused.value is None and refused.reason is not None and "run privacy before" in refused.reason
    found = score(split, other, tmp_path, privacy(None, 0.0, None))["card_compliance"]
    assert found.value is None and "told apart" in str(found.reason)
    assert score(split, other, tmp_path, privacy(0.5, 0.0, 0.0))["card_compliance"].value == 1
    for auc in (0.75, 0.25):
        assert score(split, other, tmp_path, privacy(auc, 0.0, 0.0))["card_compliance"].value == pytest.approx(0.5)


@pytest.mark.parametrize("found", [(0.5, 0.001, 0.0), (0.5, 0.0, 1.0), (None, 0.001, None)])
def test_a_leak_or_an_exact_copy_leaves_no_compliance(split: Split, tmp_path: Path, found: tuple) -> None:
    other = toy_set(tmp_path, "other", 120)
    assert score(split, other, tmp_path, privacy(*found))["card_compliance"].value == 0


def test_compliance_says_that_nobody_looked_for_identifiers_in_the_pixels(split: Split, tmp_path: Path) -> None:
    found = score(split, toy_set(tmp_path, "other", 120), tmp_path, privacy(0.5, 0.0, 0.0))[COMPLIANCE.key]
    assert "request ids only; pixels not tested" in str(found.reason) and "pixels not tested" in COMPLIANCE.summary
    card = (tmp_path / "card.json").read_text()
    assert "no real identifier" not in card and "standard format" not in card


def test_comprehension_counts_what_a_person_stated_and_nothing_else(split: Split, tmp_path: Path) -> None:
    other, fidelity = toy_set(tmp_path, "other", 120), {"fidelity": [Score("fd", 1.0, 0.5, 1.5, 9)]}
    assert score(split, other, tmp_path)["card_comprehension"].value == 0
    assert score(split, other, tmp_path, fidelity)["card_comprehension"].value == 0
    said = {"intended_use": "pre-training of classifiers", "privacy_method": "none"}
    found = score(split, other, tmp_path, fidelity, documentation=said)["card_comprehension"]
    assert found.value == pytest.approx(2 / 12)
    general = json.loads((tmp_path / "card.json").read_text())["general"]
    assert general["Intended use"] == "pre-training of classifiers"
    page = (tmp_path / "card.html").read_text()
    assert page.count("not stated") == 10 and "the run knows: fidelity" in page


@pytest.mark.parametrize(("control", "shows_real"), [("memoriser", True), ("floor", False), (None, False)])
def test_a_control_is_headed_as_what_it_is(split: Split, tmp_path: Path, control: str | None, shows_real: bool) -> None:
    score(split, toy_set(tmp_path, "other", 120), tmp_path, control=control, shows_real=shows_real)
    for name in ("card.html", "card.md"):
        text = (tmp_path / name).read_text()
        heading = next(line for line in text.splitlines() if line.startswith(("<h1>", "# ")))
        assert ("a control, copies of training images" in heading) == (control == "memoriser")
        assert ("a control, noise" in heading) == (control == "floor")
        assert ("not a contender" in text) == (control is not None)
        assert ("are real images, given back" in text) == shows_real
    card = json.loads((tmp_path / "card.json").read_text())
    assert ("Contact sheet of real images" in html(card, "AA")) == shows_real
    assert ("Contact sheet of generated images" in html(card, "AA")) != shows_real


STATED = {
    "mechanism": "DP-SGD",
    "epsilon": 0.2,
    "delta": 1e-5,
    "unit": "patient",
    "accountant": "dp_accounting pld",
    "version": "0.6.0",
}


def test_an_accountants_record_bounds_the_advantage_only_of_patients() -> None:
    assert accounted({}) is None
    said = str(accounted({"accounting": STATED}))
    assert "epsilon 0.2, delta 1e-05 for each patient, as stated by its accountant (dp_accounting pld 0.6.0)" in said
    assert "1 - tanh(epsilon / 2) = 0.900," in said
    assert "= 0.001," in str(accounted({"accounting": STATED | {"epsilon": 8}}))
    for unit in ("study", "image"):
        said = str(accounted({"accounting": STATED | {"unit": unit}}))
        assert f"for each {unit}, as stated" in said and "nothing is counted" in said and "tanh" not in said


def test_an_accountants_record_stands_on_the_card_and_in_no_criterion(split: Split, tmp_path: Path) -> None:
    fake = toy_set(tmp_path, "few", 20)
    plain = score(split, fake, tmp_path)
    general = json.loads((tmp_path / "card.json").read_text())["general"]
    assert "Differential privacy" not in general
    assert score(split, fake, tmp_path, facts={"accounting": STATED}) == plain
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["general"]["Differential privacy"] == accounted({"accounting": STATED})
    assert "as stated by its accountant" in (tmp_path / "card.html").read_text()


def test_few_images_are_refused_with_the_numbers(split: Split, tmp_path: Path) -> None:
    found = score(split, toy_set(tmp_path, "few", 30), tmp_path)[CONGRUENCE.key]
    assert found.value is None and found.reason == (
        "30 images in the smallest of generated, test and holdout set, needed 100"
    )


def test_three_files_say_the_same_and_escape_what_they_show(split: Split, tmp_path: Path) -> None:
    found = score(split, toy_set(tmp_path, "other", 120), tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    assert [row["value"] for row in card["criteria"]] == [
        each.value for key, each in found.items() if not key.endswith("_ceiling")
    ]
    assert set(card["terms"]["documentation"]) == set(DOCUMENTED)
    page, text = (tmp_path / "card.html").read_text(), (tmp_path / "card.md").read_text()
    assert "Congruence" in page and "| Congruence |" in text
    card["title"] = "<script>alert(1)</script>"
    assert "<script>" not in html(card, None)


@pytest.mark.parametrize("unread", [(), ("level", "dense")])
def test_the_card_says_what_was_asked_and_not_read(split: Split, tmp_path: Path, unread: tuple[str, ...]) -> None:
    score(split, split.train, tmp_path, unread=unread)
    said = [(name, text) for name, text in json.loads((tmp_path / "card.json").read_text())["general"].items()]
    assert [text for name, text in said if "not read" in name] == (["level, dense"] if unread else [])
    assert ("not read by the generator | level, dense |" in (tmp_path / "card.md").read_text()) == bool(unread)
    assert ("not read by the generator" in (tmp_path / "card.html").read_text()) == bool(unread)


def test_earth_movers_is_zero_for_the_same_law_and_near_one_far_away() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 3)), rng.normal(size=(2000, 3))
    assert terms.earth_movers(x, y) < 0.06
    assert terms.earth_movers(x, y + 100) == pytest.approx(1, abs=1e-3)
    # uniform on the upper half of the reference's law: W1 to uniform is 1/4, so the term is 1/2
    upper = np.sort(x, axis=0)[1000:]
    assert terms.earth_movers(x, upper) == pytest.approx(0.5, abs=0.01)


def test_entropy_difference_of_a_scaled_cloud_is_the_log_of_the_scale() -> None:
    x = np.random.default_rng(1).normal(size=(500, 4))
    assert terms.entropy_difference(x, 3 * x) == pytest.approx(np.log(3), abs=1e-4)


def test_hull_ratio_of_a_scaled_cloud_is_the_scale() -> None:
    x = np.random.default_rng(2).normal(size=(400, 3))
    centred = x - x.mean(axis=0)
    assert terms.hull_ratio(centred, 0.5 * centred) == pytest.approx(0.5, rel=1e-6)


def test_rarity_of_unseen_points_of_the_same_law_ranks_half() -> None:
    rng = np.random.default_rng(3)
    inside, rank = terms.rarity(rng.normal(size=(800, 2)), rng.normal(size=(800, 2)))
    assert inside > 0.9 and rank == pytest.approx(0.5, abs=0.05)
    assert terms.rarity(rng.normal(size=(100, 2)), rng.normal(size=(50, 2)) + 50) == (0.0, 0.0)


def test_spectral_slope_of_power_law_noise_is_recovered() -> None:
    rng = np.random.default_rng(4)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None, :])
    frequency[0, 0] = 1
    spectrum = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) * frequency**-1.5
    slope, low, high = pixel_statistics.spectrum(np.fft.irfft2(spectrum, s=(128, 128)))
    assert slope == pytest.approx(-3, abs=0.25) and low > high


def test_limits_let_the_wanted_share_of_the_reference_pass() -> None:
    table = np.random.default_rng(5).normal(size=(1000, 7))
    assert pixel_statistics.kept(table, pixel_statistics.limits(table)).mean() == pytest.approx(0.98, abs=0.01)


def test_more_images_than_the_most_are_thinned_and_counted(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.card.evaluator.MOST", 110)
    found = score(split, toy_set(tmp_path, "other", 120), tmp_path)
    assert {found[f"card_{term}"].n for term in ("congruence", "coverage", "constraint", "consistency")} == {110}
