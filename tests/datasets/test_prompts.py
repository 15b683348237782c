"""What a data set says that its prompts state stands in its prompts: the prompt decides it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.api import ImageSet, Split
from bench.datasets.imagefolder import ImageFolder
from bench.datasets.nih_cxr14 import FINDINGS, NihCxr14
from bench.datasets.phantom import Phantom
from tests.datasets.test_imagefolder import SETTINGS, rows, write
from tests.datasets.test_nih_cxr14 import official


def stated(images: ImageSet, column: str) -> bool:
    """Whether the prompt decides the column."""
    value: dict[str, object] = {}
    pairs = zip(images.column("prompt"), images.column(column), strict=True)
    return all(value.setdefault(prompt, own) == own for prompt, own in pairs)


def check(split: Split, *others: str) -> None:
    """All that is said to be stated is, and ``others`` are not."""
    images = split.train
    assert split.info.prompted and not {*split.info.prompted} & {*others}
    for name in split.info.prompted:
        assert stated(images, name) and len(set(images.column(name))) > 1, name
    assert not [name for name in others if stated(images, name)]


def test_prompts_of_mammograms_state_the_class_and_not_the_level(tmp_path: Path) -> None:
    split = Phantom(n_train=96, n_test=8, image_size=32).load(tmp_path)
    check(split, "masking_level", "laterality")
    words = zip(split.test.column("prompt"), split.test.group("masking"), strict=True)
    assert all(prompt.lower().startswith(name) for prompt, name in words)


def test_prompts_of_radiographs_state_view_and_findings_and_not_the_sex(shared_data: Path, tmp_path: Path) -> None:
    split = NihCxr14(str(shared_data / "nih_cxr14"), image_size=16).load(tmp_path)
    assert set(split.info.prompted) == {"view", *FINDINGS}
    seen = [name for name in split.info.prompted if len(set(split.train.column(name))) > 1]
    assert len(seen) > 10 and all(stated(split.train, name) for name in seen)
    assert not stated(split.train, "sex") and not stated(split.train, "age_group")


def test_a_prompt_names_the_view_and_each_finding_that_is_there(tmp_path: Path) -> None:
    """Without any real data: the sentence is the one that the reader makes."""
    split = NihCxr14(str(official(tmp_path / "nih")), image_size=16).load(tmp_path)
    for place, prompt in enumerate(split.test.column("prompt")):
        named = [name for name in FINDINGS if name.replace("_", " ") in prompt]
        assert named == [name for name in FINDINGS if split.test.column(name)[place]]
        assert f"{split.test.column('view')[place]} view" in prompt


def test_a_template_states_what_it_has_in_braces(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train", rows(12))
    write(tmp_path / "data" / "test", rows(4, 20))
    split = ImageFolder(str(tmp_path / "data"), **SETTINGS).load(tmp_path)
    assert split.info.prompted == ("view", "finding", "density")
    check(split)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, ("finding",)), ({"prompted": ["view"]}, ("view",)), ({"prompted": []}, ()), ({"prompt": None}, ())],
)
def test_a_text_column_states_the_conditions_unless_it_is_said_what(
    settings: dict[str, object], expected: tuple[str, ...], tmp_path: Path
) -> None:
    for part, table in (("train", rows(12)), ("test", rows(4, 20))):
        write(tmp_path / "data" / part, [row | {"text": "words"} for row in table])
    given = SETTINGS | {"prompt": "text", "conditions": ["finding"]} | settings
    assert ImageFolder(str(tmp_path / "data"), **given).load(tmp_path).info.prompted == expected
    with (tmp_path / "data" / "train" / "metadata.csv").open() as file:
        assert "text" in next(csv.reader(file))
