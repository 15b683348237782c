"""The spine: one command, records, resume, refusal, failure, plug-ins from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, open_dict
from PIL import Image

from bench.api import BenchError, Split
from bench.pipeline.plan import Plan
from bench.pipeline.run import Outcome, run
from bench.pipeline.summary import summary
from bench.storage.record import Record, RunRecord
from evaluators.encoders.pixels import Pixels
from evaluators.fidelity.evaluator import Fidelity
from generators.controls.noise import Noise
from generators.controls.pca import Pca
from tests.conftest import ROOT
from tests.toy import described, image_set

SMALL = ["experiment=smoke", "wandb.mode=disabled"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data, fits and features shared by the tests of this file."""
    return tmp_path_factory.mktemp("cache")


def configure(cache: Path, *overrides: str) -> DictConfig:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[*SMALL, f"cache={cache}", *overrides], return_hydra_config=True)
        name = config.hydra.runtime.choices.generator
    with open_dict(config):
        del config["hydra"]
        config.name = name if config._get_node("name")._value().startswith("${") else config.name
    return config


def start(config: DictConfig, folder: Path) -> Outcome:
    return run(Plan.of(config), folder)


def go(cache: Path, folder: Path, *overrides: str) -> Outcome:
    return start(configure(cache, *overrides), folder)


def sampled(folder: Path) -> dict[str, Any]:
    """What the run in ``folder`` keeps of its sampling."""
    note: dict[str, Any] = json.loads((folder / "stages" / "sampling.json").read_text())["note"]
    return note


def files(folder: Path) -> dict[str, bytes]:
    """What must not depend on interruptions: scores, card, images."""
    names = [*folder.glob("scores/[!.]*.json"), *folder.glob("card.*")]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in names}
    return found | {"images": sampled(folder)["digest"].encode()}


def command(cache: Path, folder: Path, *overrides: str) -> list[str]:
    paths = [f"cache={cache}", f"hydra.run.dir={folder}"]
    # Hydra's own flags stand before the first setting
    flags = list(overrides[:2]) if overrides[:1] == ("--config-dir",) else []
    return [sys.executable, "-m", "bench", *flags, *SMALL, *paths, *overrides[len(flags) :]]


def call(arguments: Sequence[str], cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **extra}
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, go(cache, folder, "generator=pca")


def test_every_evaluator_leaves_a_valid_record(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    record = RunRecord.model_validate_json((folder / "run.json").read_bytes())
    assert record.status == "ok" and set(record.evaluators) == {"fidelity", "privacy", "utility", "card"}
    for name, entry in record.evaluators.items():
        found = Record.model_validate_json((folder / entry.file).read_bytes())
        assert found.evaluator == name and found.status in ("ok", "refused")
        assert found.protocol["split"] == record.digests["split"]
    assert not outcome.failed
    assert (folder / "sheet.png").exists() and (folder / "requests.csv").exists()


def test_the_images_load_with_the_datasets_library(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder, _ = finished
    images = datasets.load_dataset(str(folder / "images"), split="train", cache_dir=str(tmp_path))
    asked = json.loads((folder / "run.json").read_text())["images"]["asked"]
    assert len(images) == asked and images[0]["image"].mode == "L"


def test_the_same_command_again_computes_nothing(finished: tuple[Path, Outcome], cache: Path) -> None:
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in [*folder.glob("scores/*"), folder / "run.json"]}
    again = go(cache, folder, "generator=pca")
    assert again.encoded == {}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_card_measures_the_generator_not_the_data_set(cache: Path, tmp_path: Path) -> None:
    """What a data set states of its images is the same for every generator."""
    found = {}
    for name in ("noise", "pca"):
        record = go(cache, tmp_path / name, f"generator={name}", "evaluator=[card]").records["card"]
        found[name] = {score.metric: score.value for score in record.scores}
    assert found["noise"]["card_completeness"] == 0
    assert found["pca"]["card_completeness"] == pytest.approx(1 / 11)
    assert found["pca"]["card_completeness_ceiling"] == pytest.approx(4 / 11)
    assert found["noise"]["card_comprehension"] == 0


def test_what_a_person_states_stands_on_the_card_and_is_counted(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ["generator=noise", "evaluator=[card]"]
    go(cache, folder, *settings)
    outcome = go(cache, folder, *settings, "documentation.intended_use=teaching")
    scores = {score.metric: score.value for score in outcome.records["card"].scores}
    assert scores["card_comprehension"] == pytest.approx(1 / 12)
    assert json.loads((folder / "card.json").read_text())["general"]["Intended use"] == "teaching"
    outcome = go(cache, folder, *settings, "documentation.intended_use=' '", "documentation.privacy_method=''")
    assert {score.metric: score.value for score in outcome.records["card"].scores}["card_comprehension"] == 0


def test_an_accountants_record_is_added_to_images_that_are_there(cache: Path, tmp_path: Path) -> None:
    images, rng = tmp_path / "images", np.random.default_rng(0)
    images.mkdir()
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(images / f"{number}.png")
    settings = ["generator=folder", f"generator.path={images}", "generator.reuse=true", "evaluator=[card]"]
    go(cache, tmp_path / "run", *settings, "dataset.image_size=32")
    before = sampled(tmp_path / "run")
    record = {"mechanism": "DP-SGD", "epsilon": 0.2, "delta": 0.0, "unit": "patient", "accountant": "a", "version": "1"}
    (tmp_path / "accounting.json").write_text(json.dumps(record))
    added = f"generator.accounting={tmp_path / 'accounting.json'}"
    go(cache, tmp_path / "run", *settings, "dataset.image_size=32", added)
    assert sampled(tmp_path / "run") == before
    assert json.loads((tmp_path / "run" / "run.json").read_text())["facts"]["accounting"]["epsilon"] == 0.2
    assert "= 0.900" in json.loads((tmp_path / "run" / "card.json").read_text())["general"]["Differential privacy"]


def test_a_card_that_was_changed_is_made_again(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go(cache, folder, "generator=noise", "evaluator=[card]")
    before = files(folder)
    (folder / "card.html").write_text("FDA approved")
    (folder / "card.md").unlink()
    go(cache, folder, "generator=noise", "evaluator=[card]")
    assert files(folder) == before


@pytest.mark.parametrize("stated", [[512, 512], "512 x 512", [[1, 2], [3]], [["a", 1], [2, 3]]])
def test_an_own_size_of_another_form_is_refused_before_an_image_is_made(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: Any
) -> None:
    monkeypatch.setattr(Noise, "plan", lambda self, requests: setattr(self, "facts", {"own_size": stated}))
    with pytest.raises(BenchError, match=r"Noise\.facts\['own_size'\] is .* needed \[\[height, width\]"):
        go(cache, tmp_path / "run", "generator=noise", "evaluator=[]")
    assert not list((tmp_path / "run").glob("images/*.parquet"))


def test_an_own_size_nobody_stated_is_unknown(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "plan", lambda self, requests: setattr(self, "facts", {"trained_on": "the moon"}))
    record = go(cache, tmp_path / "run", "generator=noise", "evaluator=[]").record
    assert record.sizes["generated"] is None and record.facts["trained_on"] == "train"


def test_sizes_are_recorded_and_shown(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    span = [[32, 32], [32, 32]]
    assert json.loads((folder / "run.json").read_text())["sizes"] == {"working": span, "real": span, "generated": span}
    said = "32 x 32; own size 32 x 32 (real), 32 x 32 (generated)"
    assert f"images judged at {said}" in summary(outcome)
    assert said in json.loads((folder / "card.json").read_text())["general"]["Images judged here"]


def test_how_a_run_is_printed_is_no_part_of_it(cache: Path, tmp_path: Path) -> None:
    settings = ["generator=noise", "evaluator=[]"]
    first = go(cache, tmp_path, *settings)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    again = go(cache, tmp_path, *settings, "show=all")
    assert "show" not in again.record.config and again.record == first.record and before
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_scores_that_matter_most_fit_in_one_screen(finished: tuple[Path, Outcome]) -> None:
    _, outcome = finished
    headline, everything = (summary(outcome, show).splitlines() for show in ("headline", "all"))
    assert len(headline) <= 24 < len(everything) and headline[-1] == everything[-1] == str(outcome.folder)


def test_a_verdict_is_printed_in_words(finished: tuple[Path, Outcome]) -> None:
    _, outcome = finished
    (verdict,) = [score for score in outcome.records["privacy"].scores if score.metric == "leak_found"]
    (line,) = [line for line in summary(outcome, "all").splitlines() if "leak_found" in line]
    assert "leak_found" in summary(outcome)
    assert f"privacy/leak_found: {verdict.words}; " in line and str(verdict.reason) in line


def test_an_evaluator_that_cannot_measure_a_split_says_so_before_an_image_is_made(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(evaluator: Fidelity, split: Split) -> None:
        raise BenchError(f"needs 512 pixels, got {split.test.size[0]}")

    monkeypatch.setattr(Fidelity, "check", check)
    with pytest.raises(BenchError, match="needs 512 pixels, got 32"):
        go(cache, tmp_path / "run", "generator=noise", "evaluator=[fidelity]")
    assert not (tmp_path / "run" / "images").exists()


@pytest.mark.parametrize(("name", "trained_on"), [("pca", "train"), ("holdout", "holdout"), ("folder", "unknown")])
def test_the_record_claims_no_training_it_does_not_know_of(name: str, trained_on: str) -> None:
    room = "finished" if name == "folder" else "controls"
    module = import_module(f"generators.{room}.{name}")
    split = Split(*(image_set([np.full((8, 8), level, np.uint8)], described(), name=f"s{level}") for level in range(3)))
    assert getattr(module, name.capitalize())().learned_from(split) == trained_on


def test_what_a_generator_refuses_is_recorded_as_refused_and_the_run_is_whole(cache: Path, tmp_path: Path) -> None:
    outcome = go(cache, tmp_path / "run", "generator=test_part", "evaluator=[fidelity,privacy]")
    fidelity, privacy = outcome.records["fidelity"], outcome.records["privacy"]
    assert fidelity.status == "refused" and not fidelity.scores and not outcome.failed
    assert (
        fidelity.reason
        == "no images for fidelity: its images are those of the test part, which fidelity is compared with"
    )
    assert privacy.status == "ok" and privacy.protocol["conditions"]["privacy"] is None
    made = {name: outcome.record.images[name] for name in ("asked", "made", "privacy", "repeated")}
    assert made == {"asked": 120, "made": 120, "privacy": 120, "repeated": 0}
    assert outcome.record.facts["trained_on"] == "test" and "fidelity" not in outcome.record.images
    assert not go(cache, tmp_path / "run", "generator=test_part", "evaluator=[fidelity,privacy]").encoded


def test_adding_an_evaluator_computes_only_what_is_missing(
    finished: tuple[Path, Outcome], cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first = go(cache, folder, "generator=pca", "evaluator=[utility]")
    assert set(first.records) == {"utility"}
    before = (folder / "scores" / "utility.json").stat().st_mtime_ns
    go(cache, folder, "generator=pca")
    assert (folder / "scores" / "utility.json").stat().st_mtime_ns == before
    assert files(folder) == files(finished[0])


def test_a_result_goes_where_it_was_measured_under_another_statement_of_the_training(
    finished: tuple[Path, Outcome], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    assert set(go(cache, folder, "generator=pca", "evaluator=[card]").record.evaluators) == set(finished[1].records)
    monkeypatch.setattr(Pca, "learns_from", None)
    monkeypatch.setattr(Pca, "trained_on", "elsewhere")
    record = go(cache, folder, "generator=pca", "evaluator=[card]").record
    assert set(record.evaluators) == {"card"} and record.facts["trained_on"] == "unknown"
    assert record.facts["trained_on_stated"] == "elsewhere"


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(
    finished: tuple[Path, Outcome], cache: Path
) -> None:
    with pytest.raises(BenchError, match=r"settings\.components: 256 there, 3 now(.|\n)*name=my_variant"):
        go(cache, finished[0], "generator=pca", "generator.components=3")


def test_changed_images_are_made_again_and_named(
    finished: tuple[Path, Outcome], cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    part = next((folder / "images").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    go(cache, folder, "generator=pca")
    assert f"{part} is changed since it was made; making it again" in caplog.text
    assert part.read_bytes() == (finished[0] / "images" / part.name).read_bytes()
    assert files(folder) == files(finished[0])


def test_scores_do_not_depend_on_the_number_of_images_in_a_step(
    finished: tuple[Path, Outcome], cache: Path, tmp_path: Path
) -> None:
    outcome = go(cache, tmp_path / "run", "generator=noise", "evaluator=[fidelity]")
    other = go(cache, tmp_path / "other", "generator=noise", "generator.block=7", "evaluator=[fidelity]")
    assert outcome.record.digests["images"] == other.record.digests["images"]
    assert outcome.records["fidelity"].scores == other.records["fidelity"].scores


PLUGIN = '''
"""A generator, an evaluator and an encoder somebody else wrote."""
from collections.abc import Iterator
from typing import ClassVar
import numpy as np
from bench.api import Evaluator, Generator, Images, Material, Metric, Request, Score


class Grey(Generator):
    """Flat grey with a seeded speckle."""
    def fit(self, train, folder, seed):
        self.size = train.size
    def sample(self, requests: list[Request]) -> Images:
        images = [np.random.default_rng(each.seed).integers(90, 110, self.size) for each in requests]
        return np.stack(images).astype(np.uint8)


BRIGHTNESS = Metric("brightness_gap", "Brightness gap", "lower", "none", bounds=(0, 255))


class Brightness(Evaluator):
    id = "brightness"
    metrics: ClassVar = (BRIGHTNESS,)
    purposes: ClassVar = ("fidelity",)
    def __call__(self, material: Material) -> Iterator[Score]:
        fake, real = material.images["fidelity"].pixels(), material.split.test.pixels()
        yield BRIGHTNESS(abs(fake.mean() - real.mean()), n=len(fake), reason="an example")


class Broken(Evaluator):
    id = "broken"
    metrics: ClassVar = (BRIGHTNESS,)
    purposes: ClassVar = ("fidelity",)
    def __call__(self, material: Material) -> Iterator[Score]:
        raise ZeroDivisionError("planted")
'''


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's own package and configuration: one file and one yaml for each plug-in."""
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "mylab.py").write_text(PLUGIN)
    for group, name, text in (
        ("generator", "grey", "_target_: mylab.Grey\n"),
        ("evaluator", "brightness", "brightness:\n  _target_: mylab.Brightness\n"),
        ("evaluator", "broken", "broken:\n  _target_: mylab.Broken\n"),
    ):
        (folder / "conf" / group).mkdir(parents=True, exist_ok=True)
        (folder / "conf" / group / f"{name}.yaml").write_text(text)
    return folder


def test_plug_ins_from_outside_need_one_file_and_one_yaml(cache: Path, laboratory: Path, tmp_path: Path) -> None:
    arguments = ["--config-dir", str(laboratory / "conf"), "allow=[mylab]", "generator=grey", "evaluator=[brightness]"]
    done = call(command(cache, tmp_path / "run", *arguments), tmp_path, PYTHONPATH=f"{ROOT}:{laboratory}")
    assert done.returncode == 0, done.stderr
    assert "brightness_gap ↓" in done.stdout and done.stdout.strip().endswith(str(tmp_path / "run"))


def test_outside_code_is_not_imported_without_consent(cache: Path, laboratory: Path, tmp_path: Path) -> None:
    arguments = ["--config-dir", str(laboratory / "conf"), "generator=grey", "evaluator=[brightness]"]
    done = call(command(cache, tmp_path / "run", *arguments), tmp_path, PYTHONPATH=f"{ROOT}:{laboratory}")
    assert done.returncode == 1 and "add allow=[mylab]" in done.stderr + done.stdout


def test_a_failing_evaluator_costs_only_itself(cache: Path, laboratory: Path, tmp_path: Path) -> None:
    arguments = ["--config-dir", str(laboratory / "conf"), "allow=[mylab]", "generator=grey"]
    arguments += ["evaluator=[broken,utility]"]
    done = call(command(cache, tmp_path / "run", *arguments), tmp_path, PYTHONPATH=f"{ROOT}:{laboratory}")
    assert done.returncode == 1
    record = RunRecord.model_validate_json((tmp_path / "run" / "run.json").read_bytes())
    assert record.status == "failed"
    assert (record.evaluators["broken"].status, record.evaluators["utility"].status) == ("failed", "ok")
    assert "ZeroDivisionError: planted" in done.stdout


def test_wrong_names_say_what_there_is(tmp_path: Path) -> None:
    done = call([sys.executable, "-m", "bench", "generator=ldn"], tmp_path)
    assert done.returncode == 1
    assert "generator has no 'ldn'; did you mean 'ldm'?" in done.stderr


def test_a_missing_data_root_says_how_to_get_the_data(cache: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "bench", "dataset=csaw_m", f"cache={cache}", "runs=runs"]
    done = call(arguments, tmp_path, CSAW_M_ROOT="")
    told = done.stderr + done.stdout
    assert done.returncode == 1 and "10.17044/scilifelab.14687271" in told and "dataset=phantom" in told


def test_help_is_quick_and_names_the_groups(tmp_path: Path) -> None:
    begin = time.perf_counter()
    done = call([sys.executable, "-X", "importtime", "-m", "bench", "--help"], tmp_path)
    seconds = time.perf_counter() - begin
    assert done.returncode == 0 and "generator" in done.stdout and "phantom" in done.stdout
    modules = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not modules & {"torch", "datasets", "pandas"}, "help must not wait for heavy imports"
    # a busy machine may be slow; the imports above are what keeps it quick
    assert seconds < 10


def test_a_second_process_in_the_same_folder_leaves_with_75(cache: Path, tmp_path: Path) -> None:
    from bench.storage.files import owned

    with owned(tmp_path / "run"):
        done = call(command(cache, tmp_path / "run", "generator=pca"), tmp_path)
    assert done.returncode == 75 and "is in use by process" in done.stderr + done.stdout


def test_a_dead_tracking_server_changes_no_score(cache: Path, finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    arguments = command(cache, folder, "generator=pca", "wandb.mode=online", "wandb.timeout_seconds=15")
    dead = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "x" * 40, "WANDB_MODE": "online"}
    done = call(arguments, tmp_path, **dead)
    assert done.returncode == 0, done.stderr
    assert "scores are safe" in done.stderr + done.stdout
    assert files(folder) == files(finished[0])
    left = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in (".json", ".log", ".yaml", ".txt")
    ]
    assert not [path for path in left if "x" * 40 in path.read_text("utf-8", "ignore")]


LDM = ["generator=ldm", "generator.autoencoder.steps=4", "generator.diffusion.steps=4", "generator.checkpoint_every=2"]
LDM += ["generator.sampling.steps=3", "generator.block=32"]


@pytest.fixture(scope="session")
def uninterrupted(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = call(command(cache, folder, *LDM), folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "moment",
    [
        "fit",
        "sample",
        # kills among scores are in tests/faults, in seconds each
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("fidelity", "privacy", "utility", "card")),
    ],
)
def test_killed_anywhere_the_next_run_gives_the_same_bytes(
    cache: Path, uninterrupted: Path, tmp_path: Path, moment: str
) -> None:
    """SIGKILL in the middle of a stage, then the same command again."""
    own, folder = tmp_path / "cache", tmp_path / "run"
    shutil.copytree(cache, own, ignore=shutil.ignore_patterns("fits"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_STOP_AT": moment}
    arguments = [sys.executable, "-c", KILL, *command(own, folder, *LDM)[3:]]
    killed = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "run.json").exists()
    resumed = call(command(own, folder, *LDM), tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert files(folder) == files(uninterrupted)


# starts bench in a process that kills itself in the middle of the named stage
KILL = """
import os, signal, sys
import bench.pipeline.image_parts, bench.pipeline.evaluation, bench.pipeline.run
from bench.__main__ import main

moment = os.environ["BENCH_STOP_AT"]
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)

if moment == "sample":
    write, count = bench.pipeline.image_parts.write_part, [0]
    def stop(*arguments):
        count[0] += 1
        write(*arguments) if count[0] == 1 else die()
    bench.pipeline.image_parts.write_part = stop
elif moment == "fit":
    import safetensors.torch as tensors
    save, saved = tensors.save_file, [0]
    def stop(*arguments, **options):
        saved[0] += 1
        save(*arguments, **options) if saved[0] < 3 else die()
    tensors.save_file = stop
else:
    measure = bench.pipeline.evaluation.Evaluation._measured
    def stop(stage, left, fault=None):
        if stage.name != moment:
            return measure(stage, left, fault)
        scores = iter(stage.evaluator(stage._material(left)))
        next(scores)
        die()
    bench.pipeline.evaluation.Evaluation._measured = stop
sys.argv[0] = "bench"
main()
"""


def test_finished_evaluators_that_are_not_asked_for_stay_on_record(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go(cache, folder, "generator=noise", "evaluator=[utility]")
    later = go(cache, folder, "generator=noise", "evaluator=[fidelity]")
    assert set(later.record.evaluators) == {"utility", "fidelity"} and set(later.records) == {"fidelity"}


def test_an_encoder_without_its_weights_stops_the_run_before_any_work(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"encoder\.vgg16\.path"):
        go(cache, tmp_path / "run", "generator=noise", "encoder=[vgg16]", "evaluator=[fidelity]")
    assert not (tmp_path / "run" / "stages").exists()


def test_a_purpose_nothing_was_asked_for_is_refused(cache: Path, tmp_path: Path) -> None:
    outcome = go(cache, tmp_path / "run", "generator=noise", "evaluator=[utility]", "requests.utility=0")
    assert outcome.records["utility"].status == "refused" and "purpose utility" in outcome.records["utility"].reason


def test_what_changes_no_image_may_change(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go(cache, folder, *LDM, "evaluator=[]")
    mark = folder / "stages" / "sampling.json"
    before = mark.read_bytes()
    go(cache, folder, *LDM, "evaluator=[]", "generator.checkpoint_every=3", "device=cpu")
    assert mark.read_bytes() == before
    fits = list((cache / "fits").glob("ldm-*"))
    go(cache, tmp_path / "longer", *LDM, "evaluator=[]", "generator.sampling.steps=2")
    assert list((cache / "fits").glob("ldm-*")) == fits, "another sampling must not train anew"


def test_a_failing_encoder_costs_only_the_evaluators_that_read_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(Pixels, "__call__", broken)
    monkeypatch.setattr(Pixels, "id", "broken-1", raising=False)
    choice = [
        "generator=noise",
        "evaluator=[privacy,utility]",
        "encoder=[pixels]",
        "evaluator.privacy.encoders=[pixels]",
    ]
    outcome = go(cache, tmp_path / "run", *choice)
    assert outcome.failed == ["privacy"] and outcome.records["utility"].status in ("ok", "refused")
    assert outcome.records["privacy"].error is not None and "planted" in outcome.records["privacy"].error.message


def test_another_meaning_of_the_same_images_is_another_result(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = go(cache, folder, "generator=noise", "evaluator=[fidelity,utility]")
    plan = Plan.of(configure(cache, "generator=noise", "evaluator=[fidelity,utility]"))
    load = type(plan.dataset).load

    class Renamed(type(plan.dataset)):  # type: ignore[misc]
        def load(self, cache: Path) -> Split:
            split = load(self, cache)
            info = replace(split.info, targets=split.info.conditions[:1], groups=(), conditions=())
            return Split(*(replace(each, info=info) for each in (split.train, split.holdout, split.test)))

    plan.dataset.__class__ = Renamed
    with pytest.raises(BenchError, match=r"generator\.description: .* there, .* now"):
        run(plan, folder)
    second = run(plan, tmp_path / "other")
    assert second.record.digests["split"] == first.record.digests["split"]
    for name in ("fidelity", "utility"):
        assert second.records[name].protocol != first.records[name].protocol


def test_the_log_says_why_a_run_failed_and_what_was_asked(cache: Path, tmp_path: Path) -> None:
    done = call(command(cache, tmp_path / "run", "generator=folder"), tmp_path)
    log = (tmp_path / "run" / "bench.log").read_text()
    assert done.returncode == 1 and "generator=folder" in log and "generator.path is not set" in log


def test_secrets_stay_out_of_the_record(cache: Path, tmp_path: Path) -> None:
    outcome = go(cache, tmp_path / "run", "generator=noise", "evaluator=[]", "+wandb.api_key=hush", "+hub.token=hush")
    assert "hush" not in (tmp_path / "run" / "run.json").read_text()
    assert outcome.record.config["wandb"]["api_key"] == "<secret>"


def test_a_kill_after_the_images_loses_neither_sheet_nor_facts(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go(cache, folder, "generator=noise", "evaluator=[]")
    before = sampled(folder)
    for name in ("sheet.png", "stages/sampling.json"):
        (folder / name).unlink()
    again = go(cache, folder, "generator=noise", "evaluator=[]")
    assert (folder / "sheet.png").exists()
    passing = {"fit_seconds": 0}
    assert sampled(folder) | passing == before | passing and again.record.facts["columns_used"] == before["uses"]


MEASURED = """
import numpy as np
from bench.api import Encoder, Evaluator, Metric

class Mean(Encoder):
    id, dim = "mean-1", 1
    def __call__(self, images):
        return images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)[:, None]

GAP = Metric("gap", "Gap", "lower", "none")

class Gap(Evaluator):
    id = "gap"
    metrics, purposes = (GAP,), ("fidelity",)
    def __call__(self, material):
        real, fake = (material.features("mean", each) for each in (material.split.test, material.images["fidelity"]))
        yield GAP(abs(real.mean() - fake.mean()), n=len(fake), encoder="mean", reason="an example")
"""


def test_changed_code_of_an_encoder_has_everything_measured_again_and_parts_no_column(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("meanlab", MEASURED.split("GAP =")[0]), ("gaplab", MEASURED)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = configure(cache, "generator=noise", "allow=[meanlab,gaplab]")
    with open_dict(config):
        config.encoder = {"mean": {"_target_": "meanlab.Mean"}}
        config.evaluator = {"gap": {"_target_": "gaplab.Gap"}}
    first, again = (start(config, tmp_path / "run") for _ in range(2))
    assert first.encoded["mean"] > 0 and not again.encoded
    with (tmp_path / "meanlab.py").open("a") as file:
        file.write("LINE = 1\n")
    later = start(config, tmp_path / "run")
    assert later.encoded == first.encoded
    old, new = first.records["gap"], later.records["gap"]
    assert new.key["encoders"] != old.key["encoders"] and again.records["gap"].key == old.key
    assert new.protocol == old.protocol and new.scores == old.scores
