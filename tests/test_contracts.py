"""Every file under conf/ is tested by existing: a new plug-in needs no new test to be held to its promises."""

from __future__ import annotations

import ast
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, open_dict

from bench.api import Area, BenchError, Better, Dataset, Encoder, Evaluator, Generator, Images, Request, Rows, Split
from bench.pipeline.conformance import conformance
from bench.pipeline.evaluation import metric_row
from bench.pipeline.requests import make_requests, request_seed, requests_key
from bench.pipeline.sampling import Sampled, Sampling
from bench.pipeline.stage import result
from bench.pipeline.training import Training
from bench.runtime.blocks import BlockEncoder
from bench.runtime.plugins import build
from leaderboard.check import parse_record
from tests.conftest import ROOT

CONF = ROOT / "conf"
NO_LIMITS = {"fidelity": None, "utility": None, "privacy": None}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def chosen(group: str, name: str) -> DictConfig:
    """The configuration of one option, as a run would see it."""
    choice = f"{group}=[{name}]" if group in ("encoder", "evaluator") else f"{group}={name}"
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[choice, "device=cpu"])
    part = config[group]
    return part[name] if group in ("encoder", "evaluator") else part


def hasty(settings: Any) -> None:
    """Cut every number of training or sampling steps, wherever it stands."""
    if not isinstance(settings, DictConfig):
        return
    with open_dict(settings):
        for key, value in settings.items():
            if key == "steps" and isinstance(value, int):
                settings[key] = min(value, 3)
            hasty(value)


def ready(name: str, split: Split, folder: Path) -> Generator:
    """The generator after ``fit``; a visible skip if it needs weights or images that are not there."""
    config = chosen("generator", name)
    hasty(config)
    generator: Generator = build(config, Generator)
    try:
        generator.fit(getattr(split, generator.reads_part), folder, 0)
    except BenchError as error:
        assert "path" in str(error) or "hub" in str(error), f"{name}: the error names no remedy: {error}"
        pytest.skip(f"{name} needs files that are not here: {error}")
    return generator


def sampled(generator: Generator, requests: Sequence[Request]) -> np.ndarray:
    generator.plan(requests)
    blocks = []
    for start in range(0, len(requests), generator.block):
        block = list(requests[start : start + generator.block])
        blocks.append(generator.sample(block + [block[-1]] * (generator.block - len(block)))[: len(block)])
    return np.concatenate(blocks)


@pytest.mark.parametrize("name", options("generator"))
def test_a_generator_repeats_itself_for_a_seed_and_differs_for_another(
    name: str, tiny_split: Split, tmp_path: Path
) -> None:
    generator = ready(name, tiny_split, tmp_path)
    requests = make_requests(tiny_split, 1, {"fidelity": 6, "utility": 4, "privacy": 4})
    first = sampled(generator, requests)
    assert first.shape == (len(requests), *tiny_split.test.size) and first.dtype == np.uint8
    assert np.array_equal(first, sampled(generator, requests))
    other = [replace(each, seed=request_seed(2, each.request_id)) for each in requests]
    assert not np.array_equal(first, sampled(generator, other))
    info = tiny_split.info
    assert set(generator.uses) <= {label.name for label in info.labels} | {*info.attributes, "prompt"}
    assert len(generator.patients(requests)) == len(requests)


@pytest.mark.parametrize("name", options("generator"))
def test_a_generator_built_again_finds_what_it_learned(name: str, tiny_split: Split, tmp_path: Path) -> None:
    requests = make_requests(tiny_split, 1, {"fidelity": 4, "utility": 2, "privacy": 2})
    first = sampled(ready(name, tiny_split, tmp_path), requests)
    assert np.array_equal(first, sampled(ready(name, tiny_split, tmp_path), requests))


def encoded(encoder: Encoder, pixels: Images) -> Rows:
    blocks = BlockEncoder(encoder, len(pixels))
    blocks.take(pixels)
    return blocks.rows


@pytest.mark.parametrize("name", options("encoder"))
def test_an_encoder_gives_one_finite_row_an_image(name: str, tiny_split: Split) -> None:
    encoder: Encoder = build(chosen("encoder", name), Encoder)
    pixels = tiny_split.test.pixels(range(5))
    try:
        rows = encoded(encoder, pixels)
    except BenchError as error:
        assert "path" in str(error), f"{name}: the error names no remedy: {error}"
        pytest.skip(f"{name} needs weights that are not here: {error}")
    assert rows.shape == (5, encoder.dim) and np.isfinite(rows).all()
    assert np.array_equal(rows, encoded(encoder, pixels))
    assert np.abs(rows - rows[0]).max() > 0 and encoder.id


@pytest.mark.parametrize("name", options("evaluator"))
def test_every_metric_is_documented(name: str) -> None:
    evaluator: Evaluator = build(chosen("evaluator", name), Evaluator)
    assert evaluator.metrics and evaluator.purposes
    keys = [metric.key for metric in evaluator.metrics]
    assert len(set(keys)) == len(keys)
    for metric in evaluator.metrics:
        low, high = metric.bounds
        assert metric.title and metric.reference and metric.summary.endswith("."), metric.key
        assert low < high and metric.minimum >= 1, metric.key
        assert metric.better in get_args(Better), metric.key
        assert (metric.better == "target") == (metric.target is not None), metric.key


def test_every_evaluator_has_a_lasting_id_of_its_own() -> None:
    ids = [build(chosen("evaluator", name), Evaluator).id for name in options("evaluator")]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", each) for each in ids), ids


@pytest.mark.parametrize("name", options("evaluator"))
def test_every_evaluator_conforms_or_is_known_not_to(name: str, tmp_path: Path) -> None:
    evaluator: Evaluator = build(chosen("evaluator", name), Evaluator)
    found = conformance(evaluator, {}, tmp_path)
    if found is not None:
        assert all(math.isfinite(value) for value in found.values())
        scores = [{"metric": evaluator.metrics[0].key, "value": None, "low": None, "high": None, "n": 0, "reason": "-"}]
        fields = {"schema": 1, "evaluator": name, "status": "ok", "protocol": {}, "key": {}, "scores": scores}
        metrics = [metric_row(metric).model_dump() for metric in evaluator.metrics]
        parse_record(json.dumps({**fields, "metrics": metrics, "conformance": found}).encode(), name)


TELLS_OF_TESTS = ("privacy_self_test",)  # it says what tests of privacy see on this data, and judges no generator


@pytest.mark.parametrize("name", options("evaluator"))
def test_every_metric_says_its_role_and_area(name: str) -> None:
    evaluator: Evaluator = build(chosen("evaluator", name), Evaluator)
    known = {metric.key: metric for metric in evaluator.metrics}
    areas = {metric.area for metric in evaluator.metrics}
    assert len(areas) == 1 and areas <= set(get_args(Area)), areas
    legacy = all("legacy" in metric.title for metric in evaluator.metrics)
    judges = any(metric.role in ("headline", "scores") for metric in evaluator.metrics)
    assert judges or legacy or name in TELLS_OF_TESTS
    ceilings = {metric.key: metric.ceiling_of for metric in evaluator.metrics if metric.role == "ceiling"}
    assert len(set(ceilings.values())) == len(ceilings), "two ceilings of one metric"
    for key, of in ceilings.items():
        assert of is not None and known[of].role in ("headline", "scores"), f"{key} is the ceiling of {of}"
        assert (known[key].bounds, known[key].unit) == (known[of].bounds, known[of].unit)


@pytest.mark.parametrize("name", options("evaluator"))
def test_a_record_holds_what_a_metric_says_of_itself(name: str) -> None:
    evaluator: Evaluator = build(chosen("evaluator", name), Evaluator)
    for metric in evaluator.metrics:
        row = metric_row(metric)
        for field in ("better", "role", "area", "ceiling_of", "target", "unit", "minimum"):
            assert getattr(row, field) == getattr(metric, field), f"{metric.key}.{field}"


@pytest.mark.parametrize("name", options("dataset"))
def test_a_data_set_gives_a_split_or_says_how_to_get_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CSAW_M_ROOT", "NIH_CXR14_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    config = chosen("dataset", name)
    with open_dict(config):
        for key, few in (("n_train", 24), ("n_test", 8)):
            if key in config:
                config[key] = few
    try:
        split: Split = build(config, Dataset).load(tmp_path)
    except BenchError as error:
        assert "dataset.root" in str(error), f"{name}: the error does not say where to put the data: {error}"
        pytest.skip(f"{name} is not here: {error}")
    patients = [set(part.patients) for part in (split.train, split.holdout, split.test)]
    assert all(patients) and not (patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2])
    columns = set(split.train.rows.column_names)
    info = split.info
    named = {*info.conditions, *info.targets, *info.groups, *info.attributes, *(label.name for label in info.labels)}
    assert named <= columns
    assert info.title and info.licence and info.citation


def test_what_measures_can_be_configured_without_torch() -> None:
    """Importing torch takes seconds, which a question that computes nothing (``--help``, a dry run) should not cost."""
    targets = [
        target.rpartition(".")[0]
        for group in ("evaluator", "encoder", "filter")
        for path in (CONF / group).glob("*.yaml")
        for target in re.findall(r"_target_: (\S+)", path.read_text())
    ]
    names = ["pixels", "radiomics", "small_cnn", "spectrum"]
    script = f"""
import importlib, sys
for module in {targets}:
    importlib.import_module(module)
    assert "torch" not in sys.modules, module
from omegaconf import OmegaConf
from bench.api import Encoder
from bench.runtime.plugins import build
for name in {names}:
    build(OmegaConf.merge({{"device": "cpu"}}, OmegaConf.load(f"{CONF}/encoder/{{name}}.yaml"))[name], Encoder)
    assert "torch" not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert len(targets) > 15 and done.returncode == 0, done.stderr


def test_every_file_says_what_it_is() -> None:
    for path in sorted(CONF.rglob("*.yaml")):
        first = next(line for line in path.read_text().splitlines() if not line.startswith("# @package"))
        assert first.startswith("# ") and len(first) > 20, f"{path.relative_to(ROOT)} does not open with a comment"


def test_every_file_is_valid_yaml_with_a_target() -> None:
    for group in ("dataset", "generator", "encoder", "evaluator"):
        for path in (CONF / group).glob("*.yaml"):
            content = yaml.safe_load(path.read_text())
            part = content.get(path.stem, content)
            assert "_target_" in part or "defaults" in content, path


def made_by(
    generator: Generator, split: Split, folder: Path, requests: Sequence[Request], blank_tolerance: int
) -> Sampled:
    training = Training(folder / "fit", {}, generator, split, 0, folder, {"mode": "disabled"})
    return result(Sampling(folder, {"requests": requests_key(requests)}, training, requests, blank_tolerance))


def targets(settings: Any) -> Iterator[str]:
    """Every ``_target_``, wherever it stands."""
    if isinstance(settings, dict):
        yield from (value for key, value in settings.items() if key == "_target_")
        settings = list(settings.values())
    if isinstance(settings, list):
        for each in settings:
            yield from targets(each)


def test_naming_a_generator_or_a_data_set_loads_no_deep_learning_library() -> None:
    """What takes seconds to import is imported where it is used, so that help, errors and tables come at once."""
    files = [path for group in ("generator", "dataset") for path in (CONF / group).glob("*.yaml")]
    named = {target for path in files for target in targets(yaml.safe_load(path.read_text()))}
    modules = sorted({name.rpartition(".")[0] for name in named})
    assert len(modules) > 10
    script = f"import sys, {', '.join(modules)}; print(*{{'torch', 'diffusers', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


PLANNED = """
import sys
from hydra import compose, initialize_config_module
from omegaconf import open_dict
from bench.pipeline.plan import Plan

with initialize_config_module("conf", version_base="1.3"):
    config = compose("config", overrides=["generator=ldm", "name=planned"])
Plan.of(config)
print(*sorted({"torch", "diffusers", "transformers", "monai", "datasets"} & set(sys.modules)))
"""


def test_a_plan_is_made_without_a_deep_learning_library() -> None:
    """All parts built and all code digested: what is wrong with a configuration is told in seconds."""
    done = subprocess.run([sys.executable, "-c", PLANNED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_of_the_core_only_networks_import_torch_with_the_module() -> None:
    for path in sorted((ROOT / "bench").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            loaded = [name for name in names if name.split(".")[0] in ("torch", "torchvision", "safetensors")]
            assert not loaded or path.parent.name == "networks", f"{path.relative_to(ROOT)} imports {loaded}"


@pytest.mark.parametrize("lit", [0, 1, 200])
def test_a_blank_image_stops_the_run_before_it_counts(tiny_split: Split, tmp_path: Path, lit: int) -> None:
    class Blank(Generator):
        def sample(self, requests: Sequence[Request]) -> np.ndarray:
            images = np.zeros((len(requests), 32 * 32), np.uint8)
            images[:, :lit] = 1  # the rule of real images takes a standard deviation of less than 1 for nothing
            return images.reshape(-1, 32, 32)

    requests = make_requests(tiny_split, 0, NO_LIMITS)
    with pytest.raises(BenchError, match=r"blank images, first \['fidelity-000000'"):
        made_by(Blank(), tiny_split, tmp_path, requests, 0)
    kept = made_by(Blank(), tiny_split, tmp_path, requests, len(requests))
    assert kept.blank == len(requests) == len(kept.images)


def test_a_wrong_shape_names_what_was_got_and_needed(tiny_split: Split, tmp_path: Path) -> None:
    class Large(Generator):
        def sample(self, requests: Sequence[Request]) -> np.ndarray:
            return np.zeros((len(requests), 64, 64), np.uint8)

    wanted = r"Large\.sample gave uint8\(32, 64, 64\); this split needs uint8\(32, 32, 32\)"
    with pytest.raises(BenchError, match=wanted):
        made_by(Large(), tiny_split, tmp_path, make_requests(tiny_split, 0, NO_LIMITS), 0)
