"""Grading by a model: a real one with tiny random weights, and a spoken one for what it is asked and how it is read."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.api import BenchError, ImageSet, Split
from evaluators.filters.vision_language import VisionLanguage, descriptions, parse
from tests.conftest import ROOT
from tests.evaluators.filters.tiny_vlm import build
from tests.toy import toy_set

ANSWERS = ["High Quality", "Medium Quality", "Low Quality", "Not Relevant"]
CONF = OmegaConf.create({"device": "cpu", "filter": OmegaConf.load(ROOT / "conf" / "filter" / "vision_language.yaml")})
SETTINGS: dict[str, Any] = {
    key: value for key, value in OmegaConf.to_container(CONF.filter, resolve=True).items() if key != "_target_"
}


def judge(path: Path | None = None, **changes: Any) -> VisionLanguage:
    return VisionLanguage(**(SETTINGS | {"path": None if path is None else str(path)} | changes))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("vlm"), ANSWERS)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return toy_set(tmp_path_factory.mktemp("made"), "made", 16)


def test_a_model_grades_each_image_by_itself(model: Path, images: ImageSet, tiny_split: Split) -> None:
    grader = judge(model, answer_tokens=1)
    verdicts = grader(images, tiny_split, None)
    assert {each.grade for each in verdicts} <= set(ANSWERS) and len({each.grade for each in verdicts}) > 1
    assert all(each.keep == (each.grade in ("High Quality", "Medium Quality")) for each in verdicts)
    last = images.select([15, 3])
    assert judge(model, answer_tokens=1)(last, tiny_split, None) == [verdicts[15], verdicts[3]]


def test_longer_talk_is_unparsed_and_kept_unless_told_otherwise(
    model: Path, images: ImageSet, tiny_split: Split
) -> None:
    two = images.select([0, 1])
    for unparsed in ("keep", "drop"):
        verdicts = judge(model, answer_tokens=3, unparsed=unparsed)(two, tiny_split, None)
        assert [each.grade for each in verdicts] == ["unparsed"] * 2
        assert [each.keep for each in verdicts] == [unparsed == "keep"] * 2
        assert "Quality" in verdicts[0].reason or "Relevant" in verdicts[0].reason


def test_the_identity_covers_weights_prompt_and_rules(model: Path, tmp_path: Path) -> None:
    first = judge(model)
    assert first.id == judge(model, device="cuda").id, "the device decides nothing"
    others = [{"unparsed": "drop"}, {"keep": ["High Quality"]}, {"meta_prompt": "{description}?"}, {"answer_tokens": 2}]
    assert len({first.id, *(judge(model, **other).id for other in others)}) == 5
    digest = hashlib.sha256(SETTINGS["meta_prompt"].encode()).hexdigest()
    assert first.facts["meta_prompt_sha256"] == digest and digest[:16] in first.id
    assert first.facts["meta_prompt"] == SETTINGS["meta_prompt"]
    changed = tmp_path / "changed"
    shutil.copytree(model, changed)
    config = json.loads((changed / "generation_config.json").read_text())
    (changed / "generation_config.json").write_text(json.dumps(config | {"repetition_penalty": 2.0}))
    assert judge(changed).id != first.id


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("High Quality", "High Quality"),
        (' "low quality."\n', "Low Quality"),
        ("**Not  Relevant**", "Not Relevant"),
        ("The image is High Quality", None),
        ("High Quality, Medium Quality", None),
        ("High", None),
        ("", None),
    ],
)
def test_answers_are_read_strictly(answer: str, grade: str | None) -> None:
    assert parse(answer, ANSWERS) == grade


def test_the_model_sees_the_image_and_reads_its_description(images: ImageSet, tiny_split: Split) -> None:
    asked: list[Any] = []

    def pipeline(text: list[dict[str, Any]], **options: Any) -> list[dict[str, str]]:
        asked.append((text, options))
        return [{"generated_text": "Medium quality."}]

    grader = judge()
    grader.__dict__["pipeline"] = pipeline
    verdict = grader(images.select([2]), tiny_split, None)[0]
    assert (verdict.keep, verdict.grade, verdict.value) == (True, "Medium Quality", None)
    (message,), options = asked[0]
    picture, words = message["content"]
    assert picture["image"].mode == "RGB" and picture["image"].size == (32, 32)
    assert words["text"] == SETTINGS["meta_prompt"].replace("{description}", "level 3")
    assert options["generate_kwargs"] == {"do_sample": False, "num_beams": 1, "max_new_tokens": 16}


def test_without_a_prompt_the_labels_describe(images: ImageSet) -> None:
    bare = ImageSet(images.rows.remove_columns("prompt").add_column("prompt", [None] * len(images)), images.info)
    assert descriptions(bare)[:2] == ["mammography, level: 1", "mammography, level: 2"]
    assert descriptions(ImageSet(bare.rows, replace(bare.info, conditions=())))[0] == "mammography"


def test_unsafe_or_unnamed_models_are_refused(model: Path, tmp_path: Path) -> None:
    def refusal(path: Path | str | None, **changes: Any) -> str:
        with pytest.raises(BenchError) as error:
            _ = judge(None if path is None else Path(path), **changes).id
        return str(error.value)

    assert "filter.path is not set" in refusal(None)
    assert "neither a folder nor a hub id" in refusal("/no/such/folder")
    assert "40 hex digits of one commit" in refusal("owner/name", revision="main")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert "no safetensors" in refusal(pickled)
    for name, text in (("modeling.py", ""), ("processor_config.json", '{"auto_map": {"AutoProcessor": "x.Y"}}')):
        folder = tmp_path / name
        shutil.copytree(model, folder)
        (folder / name).write_text(text)
        assert "brings code of its own" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meta_prompt": "Grade this."}, r"lacks \{description\}"),
        ({"keep": ["Superb"]}, r"keep has \['Superb'\]"),
        ({"answers": ["a", "A."], "keep": []}, "needed different ones"),
        ({"answers": ["Unparsed"], "keep": []}, "none of them 'unparsed'"),
        ({"unparsed": "guess"}, "needed keep or drop"),
        ({"dtype": "float16"}, "float32 or bfloat16"),
        ({"temperature": 1}, "may have"),
    ],
)
def test_bad_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        judge(**change)


def test_a_folder_that_is_no_such_model_is_named(
    model: Path, images: ImageSet, tiny_split: Split, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BenchError, match="no loadable vision-language model"):
        judge(broken)(images.select([0]), tiny_split, None)
    torn = tmp_path / "torn"
    shutil.copytree(model, torn)
    (torn / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-8])
    with pytest.raises(BenchError, match=r"torn is no loadable vision-language model: .*incomplete metadata"):
        judge(torn)(images.select([0]), tiny_split, None)
    silent = tmp_path / "silent"
    shutil.copytree(model, silent)
    (silent / "chat_template.jinja").unlink()
    with pytest.raises(BenchError, match="has no chat template"):
        judge(silent)(images.select([0]), tiny_split, None)
