"""In which groups a generator may be judged: those it was told of, and of which it gave images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import ImageSet, Label, Material, Split
from bench.runtime.told import standing, told, unread
from tests.toy import described, image_set, material

INFO = described(
    Label("level", "ordinal", (1, 2, 3, 4)),
    Label("class", "binary", (0, 1), ("low", "high")),
    Label("finding", "binary", (0, 1), ("absent", "present")),
    conditions=("level", "finding"),
    groups=("class", "view", "finding"),
    attributes=("view", "birthday"),
    prompted=("view", "class"),
)


def part(name: str) -> ImageSet:
    """The class follows from the level, and nothing that is a label says the view; a birthday says everything."""
    count = range(24)
    labels = [{"level": i % 4 + 1, "class": int(i % 4 > 1), "finding": int(i % 3 == 0)} for i in count]
    attributes = [{"view": "AP" if i % 5 > 1 else "PA", "birthday": f"{name} {i}"} for i in count]
    return image_set(
        [np.full((8, 8), i, np.uint8) for i in count], INFO, name=name, labels=labels, attributes=attributes
    )


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(part("train"), part("holdout"), part("test"))


def given(split: Split, folder: Path, **generator: Any) -> Material:
    return material(split, {"fidelity": split.test}, folder, generator=generator)


def test_what_a_generator_was_told_it_is_judged_by(split: Split, tmp_path: Path) -> None:
    known = given(split, tmp_path, told=["level", "finding"], trained_on="train")
    assert standing(known, "finding", "present").ranked
    assert standing(known, "class", "high").ranked, "a level says the class"
    found = standing(known, "view", "AP")
    assert not found.ranked and found.refusal is None
    assert found.note == "asked for, not a condition: the generator was never told view"
    assert standing(given(split, tmp_path, told=["view"]), "view", "AP").ranked


def test_a_class_does_not_say_the_level_and_an_attribute_decides_nothing(split: Split, tmp_path: Path) -> None:
    info = replace(INFO, groups=("level", "view"))
    parts = (ImageSet(each.rows, info) for each in (split.train, split.holdout, split.test))
    other = Split(*parts)
    assert not standing(given(other, tmp_path, told=["class", "finding"]), "level", "1").ranked
    assert not standing(given(other, tmp_path, told=["birthday"]), "view", "AP").ranked


def test_one_real_image_that_differs_is_enough(split: Split, tmp_path: Path) -> None:
    """The training part has a level of another class: a generator that is told levels was not told classes."""
    labels = split.train.column("class")
    rows = split.train.rows.remove_columns("class").add_column("class", [1 - labels[0], *labels[1:]])
    changed = replace(split, train=ImageSet(rows, INFO))
    assert not standing(given(changed, tmp_path, told=["level"]), "class", "high").ranked


def test_of_a_set_made_elsewhere_no_more_is_said_than_is_known(split: Split, tmp_path: Path) -> None:
    found = standing(given(split, tmp_path, told=["level"], trained_on="unknown"), "view", "AP")
    assert found.note == "asked for, not a condition: nothing says that the images were made for view"
    assert standing(given(split, tmp_path), "view", "AP").ranked, "nothing is known of the generator"


@pytest.mark.parametrize(("share", "ranked"), [(1.0, True), (0.95, True), (0.9499, False), (0.0, False)])
def test_a_control_that_did_not_give_the_group_is_refused(
    split: Split, tmp_path: Path, share: float, ranked: bool
) -> None:
    facts = {"matched": {"fidelity": {"view": {"AP": share, "PA": 1.0}}, "utility": {"view": {"AP": 0.5}}}}
    control = given(split, tmp_path, told=["level", "finding", "view"], facts=facts)
    found = standing(control, "view", "AP")
    assert found.ranked is ranked and (found.refusal is None) is ranked
    if share == 0.9499:
        assert found.refusal == "94.9% of the images given for view=AP are such images, needed 95%"
    assert standing(control, "view", "PA").ranked
    assert not standing(control, "view", "AP", "utility").ranked


@pytest.mark.parametrize("facts", [{"matched": 5}, {"matched": {"fidelity": {"view": {"AP": "all"}}}}, {"matched": {}}])
def test_facts_of_another_form_say_nothing(split: Split, tmp_path: Path, facts: dict[str, Any]) -> None:
    assert standing(given(split, tmp_path, told=["view"], facts=facts), "view", "AP").ranked


def test_a_prompt_tells_what_the_data_set_says_that_it_states() -> None:
    assert told(INFO, ["prompt"]) == ["class", "view"]
    assert unread(INFO, ["prompt"]) == ["level", "finding"]
    assert told(INFO, ["level", "prompt"]) == ["level", "class", "view"]
    assert told(INFO, ["level"]) == ["level"] and unread(INFO, ["level", "finding"]) == []
