"""Files of others are judged while Hydra composes; the command line is not."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bench.runtime.foreign import ForeignSetting, JudgedLoader, judged

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``refuse_foreign`` does, for one test."""
    Plugins.instance()
    monkeypatch.setattr(importlib.import_module("hydra._internal.hydra"), "ConfigLoaderImpl", JudgedLoader)


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    yield Composed(tmp_path / "labconf")


class Composed:
    """The configuration that a command line with ``--config-dir`` makes, from files of a folder of somebody else's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(textwrap.dedent(text))

    def __call__(self, *overrides: str) -> DictConfig:
        search = f"hydra.searchpath=[file://{self.folder}]"
        with initialize_config_module("conf", version_base="1.3"):
            return compose("config", overrides=[search, *overrides], return_hydra_config=True)


def refusal(composed: Composed, *overrides: str) -> str:
    with pytest.raises(ForeignSetting) as caught:
        composed(*overrides)
    return str(caught.value)


def experiment(composed: Composed, text: str) -> str:
    """Why a global file with this text is refused."""
    composed.file("experiment/theirs.yaml", "# @package _global_\n" + textwrap.dedent(text))
    message = refusal(composed, "experiment=theirs")
    assert f"{composed.folder}/experiment/theirs.yaml" in message
    return message


def test_this_projects_own_files_and_hydras_are_not_judged(composed: Composed) -> None:
    composed.folder.mkdir()
    for each in ("experiment=smoke", "hydra/launcher=submitit_slurm", "hydra/launcher=joblib"):
        assert composed(each).hydra.job.name == "bench"
    composed("hydra/job_logging=default", "hydra.job_logging.handlers.file.filename=/tmp/x", "allow=[pandas]")


@pytest.mark.parametrize(
    "text",
    [
        "allow: [pandas]",
        "allow: pandas",
        "allow: ${documentation}",
        "allow: ${oc.decode:'[pandas]'}",
        "allow: {0: pandas}",
    ],
)
def test_a_file_does_not_say_what_is_allowed(composed: Composed, text: str) -> None:
    message = experiment(composed, text)
    assert message.startswith("allow in ") and "on the command line" in message and "BENCH_ALLOW" in message


@pytest.mark.parametrize("header", ["allow", "_global_.allow"])
def test_nor_where_its_header_puts_it(composed: Composed, header: str) -> None:
    composed.file("generator/theirs.yaml", f"# @package {header}\n0: pandas\n")
    assert refusal(composed, "generator=theirs").startswith("allow in ")


def test_nor_where_a_defaults_list_puts_it(composed: Composed) -> None:
    composed.file("secret.yaml", "allow: [pandas]\n")
    composed.file(
        "generator/theirs.yaml", "defaults:\n  - /secret@_global_\n_target_: generators.controls.noise.Noise\n"
    )
    assert "secret.yaml" in refusal(composed, "generator=theirs")


def test_nor_from_outside_the_folder_that_is_searched(composed: Composed) -> None:
    """``..`` leads out of this project's folder; what counts is where the file lies."""
    composed.file("secret.yaml", "allow: [pandas]\n")
    out = "../" * len(CONF.parts) + str(composed.folder)[1:] + "/secret"
    composed.file("generator/theirs.yaml", f"defaults:\n  - /{out}@_global_\nside: 1\n")
    assert "secret.yaml" in refusal(composed, "generator=theirs")


def test_an_empty_list_allows_nothing_and_may_stand(composed: Composed) -> None:
    composed.file("experiment/theirs.yaml", "# @package _global_\nallow: []\n")
    assert composed("experiment=theirs", "allow=[mylab]").allow == ["mylab"]


def test_the_environment_may_say_it(composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    composed.folder.mkdir()
    assert composed().allow == []
    monkeypatch.setenv("BENCH_ALLOW", "[mylab,hydra.callbacks]")
    assert composed().allow == ["mylab", "hydra.callbacks"]
    monkeypatch.setenv("BENCH_ALLOW", "mylab")
    assert "allow is 'mylab', needed a list of names" in refusal(composed)


HYDRA = {
    "callbacks": ("hydra: {callbacks: {x: {_target_: pandas.read_pickle}}}", "hydra.callbacks.x._target_"),
    "a handler": (
        "hydra: {job_logging: {handlers: {f: {class: logging.FileHandler}}}}",
        "hydra.job_logging.handlers.f",
    ),
    "a factory": ("hydra: {job_logging: {filters: {f: {(): os.system}}}}", "hydra.job_logging.filters.f"),
    "Hydra's log": ("hydra: {hydra_logging: {handlers: {f: {(): os.system}}}}", "hydra.hydra_logging.handlers.f"),
    "the whole": ("hydra: ${documentation}", "hydra"),
    "environment": ("hydra: {job: {env_set: {LD_PRELOAD: x.so}}}", "hydra.job.env_set.LD_PRELOAD"),
    "log's name": ("hydra: {job: {name: ../../x}}", "hydra.job.name"),
    "folder": ("hydra: {run: {dir: /elsewhere}}", "hydra.run.dir"),
    "subfolder": ("hydra: {output_subdir: ../../x}", "hydra.output_subdir"),
    "overrides": ("hydra: {overrides: {hydra: ['hydra.run.dir=/x']}}", "hydra.overrides.hydra"),
    "launcher": ("hydra: {launcher: {_target_: hydra_plugins.theirs.Launcher}}", "hydra.launcher._target_"),
    "sweeper": ("hydra: {sweeper: {_target_: pandas.read_pickle}}", "hydra.sweeper._target_"),
    "whole launcher": ("hydra: {launcher: '${documentation}'}", "hydra.launcher"),
    "setup": ("hydra: {launcher: {setup: [touch x]}}", "hydra.launcher.setup"),
    "python": ("hydra: {launcher: {python: /x/python}}", "hydra.launcher.python"),
    "srun": ("hydra: {launcher: {srun_args: [--prolog=/x]}}", "hydra.launcher.srun_args"),
    "further": (
        "hydra: {launcher: {additional_parameters: {prolog: /x}}}",
        "hydra.launcher.additional_parameters.prolog",
    ),
    "pickles": ("hydra: {launcher: {submitit_folder: /x}}", "hydra.launcher.submitit_folder"),
    "line break": ('hydra: {launcher: {comment: "a\\ntouch x\\n"}}', "hydra.launcher.comment"),
    "nested": ("hydra: {launcher: {n_jobs: {_target_: pandas.read_pickle}}}", "hydra.launcher.n_jobs._target_"),
    "looked up": ("hydra: {launcher: {n_jobs: '${documentation}'}}", "hydra.launcher.n_jobs"),
    "evaluated": ("hydra: {launcher: {pre_dispatch: '2*n_jobs'}}", "hydra.launcher.pre_dispatch"),
    "swept allow": ("hydra: {sweeper: {params: {allow: '[pandas]'}}}", "hydra.sweeper.params.allow"),
    "added allow": ("hydra: {sweeper: {params: {++allow: '[pandas]'}}}", "hydra.sweeper.params.++allow"),
    "swept log": ("hydra: {sweeper: {params: {hydra.job_logging: x}}}", "hydra.sweeper.params.hydra.job_logging"),
    "swept option": ("hydra: {sweeper: {params: {hydra/callbacks: x}}}", "hydra.sweeper.params.hydra/callbacks"),
    "swept object": ("hydra: {sweeper: {params: {seed: {_target_: os.getcwd}}}}", "hydra.sweeper.params.seed._target_"),
    "swept lookup": ("hydra: {sweeper: {params: {seed: '${documentation}'}}}", "hydra.sweeper.params.seed"),
    "space": (
        "hydra: {sweeper: {search_space: {allow: {type: categorical}}}}",
        "hydra.sweeper.search_space.allow.type",
    ),
    "database": ("hydra: {sweeper: {storage: 'sqlite:////x.db'}}", "hydra.sweeper.storage"),
    "function": ("hydra: {sweeper: {custom_search_space: os.system}}", "hydra.sweeper.custom_search_space"),
    "sampler": ("hydra: {sweeper: {sampler: {_target_: pandas.read_pickle}}}", "hydra.sweeper.sampler._target_"),
}


@pytest.mark.parametrize("case", HYDRA)
def test_a_file_does_not_say_what_hydra_starts(case: str) -> None:
    text, key = HYDRA[case]
    found = list(judged(OmegaConf.create(text)))
    assert found and all(each.startswith(key) for each in found)


def test_a_file_that_is_refused_is_told_with_its_key_and_the_remedy(composed: Composed) -> None:
    message = experiment(composed, HYDRA["callbacks"][0])
    assert message.startswith("hydra.callbacks.x._target_ in ") and "give it on the command line" in message
    assert message.endswith("add allow=[hydra.callbacks]")
    composed.file("hydra/launcher/theirs.yaml", "defaults: [submitit_slurm]\nsetup: [touch x]\n")
    assert refusal(composed, "hydra/launcher=theirs").endswith("add allow=[hydra.launcher.setup]")


def test_allowing_one_key_allows_no_other(composed: Composed) -> None:
    text = "# @package _global_\nhydra: {callbacks: {x: {_target_: a.B}}, run: {dir: /x}}\n"
    composed.file("experiment/theirs.yaml", text)
    assert refusal(composed, "experiment=theirs", "allow=[hydra.callbacks]").startswith("hydra.run.dir")
    assert refusal(composed, "experiment=theirs", "allow=[hydra.callbacks.x,hydra.run.d]").startswith("hydra.run.dir")
    allow = "allow=[hydra.callbacks,hydra.run]"
    assert composed("experiment=theirs", allow).hydra.callbacks.x._target_ == "a.B"


def test_a_users_file_says_how_much_of_a_shipped_launcher(composed: Composed) -> None:
    composed.file(
        "hydra/launcher/ours.yaml",
        """
        defaults: [submitit_slurm]
        partition: ${oc.env:PARTITION,gpu}
        mem_gb: 32
        timeout_min: 600
        constraint: a100|h100
        """,
    )
    assert composed("hydra/launcher=ours").hydra.launcher.partition == "gpu"
    composed.file("hydra/launcher/submitit_slurm.yaml", "partition: gpu\n")
    composed.file(
        "experiment/theirs.yaml", "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"
    )
    config = composed("experiment=theirs", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert config.hydra.sweeper.params.seed == "0,1"


def test_the_command_line_may_say_all(composed: Composed) -> None:
    composed.folder.mkdir()
    given = ("+hydra.callbacks.x._target_=a.B", "hydra.run.dir=/x", "hydra/launcher=submitit_slurm")
    assert composed(*given, "hydra.launcher.setup=[module load cuda]").hydra.launcher.setup == ["module load cuda"]


def test_a_primary_file_of_others_is_judged_too(composed: Composed) -> None:
    composed.file("config.yaml", "hydra: {searchpath: ['pkg://canary']}\n")
    with initialize_config_dir(str(composed.folder), version_base="1.3"):
        with pytest.raises(ForeignSetting, match=r"hydra\.searchpath in .*config\.yaml: packages named there would be"):
            compose("config")
        composed.file("config.yaml", "hydra: {callbacks: {x: {_target_: a.B}}}\nallow: [a]\n")
    with (
        initialize_config_dir(str(composed.folder), version_base="1.3"),
        pytest.raises(ForeignSetting, match=r"^allow in .*config\.yaml"),
    ):
        compose("config")


def test_a_line_break_in_a_folder_is_no_command(composed: Composed) -> None:
    composed.file("experiment/theirs.yaml", '# @package _global_\nplace: "a\\ntouch x"\nruns: ${place}\n')
    assert refusal(composed, "experiment=theirs").startswith("hydra.sweep.dir, and so runs, is 'a\\ntouch x'")


def test_the_judge_goes_with_the_jobs_of_a_launcher(composed: Composed) -> None:
    """A job elsewhere composes anew with the loader it was handed, in a process that replaced nothing."""
    composed.file("experiment/theirs.yaml", "# @package _global_\nallow: [pandas]\n")
    with initialize_config_module("conf", version_base="1.3"):
        handed = pickle.loads(pickle.dumps(GlobalHydra.instance().config_loader()))
        with pytest.raises(ForeignSetting, match=r"^allow in "):
            search = f"hydra.searchpath=[file://{composed.folder}]"
            handed.load_configuration("config", [search, "experiment=theirs"], RunMode.RUN)


# what a launcher's process does first: the loader arrives, and a configuration is composed with it
CHILD = """
import pickle, sys
loader = pickle.load(sys.stdin.buffer)
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
setup_globals()
config = loader.load_configuration("config", ["generator=pca", "generator.components=3"], RunMode.RUN)
HydraConfig.instance().set_config(config)
print(config.name)
"""


def test_a_job_of_a_launcher_takes_no_folder_of_the_user_for_this_projects(composed: Composed) -> None:
    """Composing reads the generator's class for the default name, before any function of this project is called."""
    composed.file("generators/__init__.py", "raise SystemExit('the code of somebody else ran')")
    with initialize_config_module("conf", version_base="1.3"):
        handed = pickle.dumps(GlobalHydra.instance().config_loader())
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    command = [sys.executable, "-c", CHILD]
    done = subprocess.run(command, input=handed, cwd=composed.folder, env=environment, capture_output=True, timeout=60)
    assert done.stdout == b"pca-components=3\n", done.stderr.decode()
