"""Configuration of others that would start code or write files: 0 of it does, alone or through a whole command line.

Canaries are real: each case carries what would make a file appear, or another vanish, if it were followed.
"""

from __future__ import annotations

import os
import pickle
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.api import BenchError, Generator
from bench.runtime.plugins import build
from tests.faults.conftest import Laboratory

NOISE = "generators.controls.noise.Noise"


class Payload:
    """An object whose unpickling creates the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def baited(folder: Path) -> Path:
    """A folder with what hostile settings use: a pickle, a script, a file to be lost."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.npy").write_bytes(pickle.dumps(Payload(folder / "canary")))
    (folder / "kept.txt").write_text("kept")
    (folder / "canary.pth").write_text(f"import os; os.mkdir({str(folder / 'canary')!r})\n")
    (folder / "canarypkg.py").write_text(f"import os\nos.mkdir({str(folder / 'canary')!r})\n")
    return folder


def state(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# through build: what the target is, and its settings; {f} is the folder
RUNS = "{_target_: pandas.read_pickle, filepath_or_buffer: '{f}/weights.npy'}"
TARGETS: dict[str, dict[str, Any]] = {
    # names that lead out of a trusted module
    "a reader of arrays": {"_target_": "bench.api.np.load", "file": "{f}/weights.npy", "allow_pickle": True},
    "a writer of text": {
        "_target_": "bench.storage.files.Path.write_text",
        "_args_": [{"_target_": "bench.storage.files.Path", "_args_": ["{f}/new"]}, "x"],
    },
    "a file that is lost": {
        "_target_": "bench.storage.files.Path.unlink",
        "_args_": [{"_target_": "bench.storage.files.Path", "_args_": ["{f}/kept.txt"]}],
    },
    "this project's writer": {
        "_target_": "bench.storage.files.write_json",
        "_args_": [{"_target_": "bench.storage.files.Path", "_args_": ["{f}/new"]}, {}],
    },
    "a copy": {"_target_": "bench.storage.files.shutil.copyfile", "src": "{f}/kept.txt", "dst": "{f}/new"},
    "a copy of folders": {"_target_": "bench.datasets.phantom.shutil.copytree", "src": "{f}", "dst": "{f}/new"},
    "an archive": {"_target_": "bench.storage.files.shutil.unpack_archive", "filename": "{f}/a.zip"},
    "a writer of configurations": {
        "_target_": "bench.runtime.plugins.OmegaConf.save",
        "config": {"a": 1},
        "f": "{f}/new",
    },
    "a writer of tables": {"_target_": "bench.api.np.savetxt", "fname": "{f}/new", "X": [1]},
    "a map of a file": {"_target_": "bench.api.np.memmap", "filename": "{f}/new", "mode": "w+", "shape": [4]},
    "this very function": {
        "_target_": "bench.runtime.plugins.build",
        "config": {"_target_": "bench.runtime.plugins.OmegaConf.create", "_args_": [RUNS]},
        "allow": ["pandas"],
    },
    "this very function, of weights": {
        "_target_": "bench.runtime.plugins.build",
        "config": {
            "_target_": "bench.runtime.plugins.OmegaConf.create",
            "_args_": ["{_target_: torch.load, f: '{f}/weights.npy', weights_only: false}"],
        },
        "allow": ["torch"],
    },
    "this very function, of a path": {
        "_target_": "bench.runtime.plugins.build",
        "config": {
            "_target_": "bench.runtime.plugins.OmegaConf.create",
            "_args_": ["{_target_: site.addsitedir, sitedir: '{f}'}"],
        },
        "allow": ["site"],
    },
    # names of other packages
    "os.system": {"_target_": "os.system", "command": "mkdir {f}/canary"},
    "posix.system": {"_target_": "posix.system", "command": "mkdir {f}/canary"},
    "subprocess.Popen": {"_target_": "subprocess.Popen", "args": ["mkdir", "{f}/canary"]},
    "builtins.eval": {"_target_": "builtins.eval", "_args_": ["__import__('os').mkdir('{f}/canary')"]},
    "builtins.exec": {"_target_": "builtins.exec", "_args_": ["import os; os.mkdir('{f}/canary')"]},
    "importlib.import_module": {"_target_": "importlib.import_module", "name": "canarypkg"},
    "pandas.read_pickle": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "{f}/weights.npy"},
    "torch.load": {"_target_": "torch.load", "f": "{f}/weights.npy", "weights_only": False},
    "runpy.run_path": {"_target_": "runpy.run_path", "path_name": "{f}/canarypkg.py"},
    "shutil.rmtree": {"_target_": "shutil.rmtree", "path": "{f}"},
    "hydra.utils.get_method": {"_target_": "hydra.utils.get_method", "path": "canarypkg.x"},
    "a module that runs": {"_target_": "bench.export.__main__.main"},
    "a name that begins alike": {"_target_": "generatorsx.evil.Run"},
    "a module outside": {"_target_": "canarypkg.Run"},
    "a partial": {"_target_": NOISE, "_partial_": True},
    # inside the settings of a good generator
    "in a list": {"_target_": NOISE, "inner": [{"_target_": "pandas.read_pickle", "_args_": ["{f}/weights.npy"]}]},
    "in arguments": {
        "_target_": NOISE,
        "_args_": [{"_target_": "bench.api.np.load", "file": "{f}/weights.npy", "allow_pickle": True}],
    },
    "looked up": {"_target_": "${oc.env:CANARY_TARGET}", "filepath_or_buffer": "{f}/weights.npy"},
    "decoded": {"_target_": NOISE, "inner": "${oc.decode:'{_target_: os.mkdir, path: {f}/canary}'}"},
    "decoded twice": {"_target_": NOISE, "inner": "\\${oc.decode:'{_target_: os.mkdir, path: {f}/canary}'}"},
}


def filled(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: filled(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, folder) for each in value]
    return value.replace("{f}", str(folder)) if isinstance(value, str) else value


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_is_no_part_of_a_run_is_not_started(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = baited(tmp_path / "bait")
    monkeypatch.setenv("CANARY_TARGET", "pandas.read_pickle")
    monkeypatch.syspath_prepend(str(folder))
    before = state(folder)
    with pytest.raises(BenchError, match=r"_target_|_partial_|_args_|cannot build generators"):
        build(OmegaConf.create(filled(TARGETS[case], folder)), Generator)
    assert state(folder) == before


# through a whole command line


@dataclass(frozen=True)
class Case:
    """Files of somebody's folder of configuration, the arguments beside it, and what the refusal has to say."""

    files: Mapping[str, str]
    arguments: Sequence[str]
    said: str
    environment: Mapping[str, str] = field(default_factory=dict)
    primary: bool = False


LOAD = "_target_: bench.api.np.load\nfile: {f}/weights.npy\nallow_pickle: true\n"
PANDAS = "{_target_: pandas.read_pickle, filepath_or_buffer: {f}/weights.npy}"
GLOBAL = "# @package _global_\n"


def theirs(text: str, said: str, *arguments: str, **further: Any) -> Case:
    """A global file, as one shares an experiment."""
    return Case({"experiment/theirs.yaml": GLOBAL + text}, ("experiment=theirs", *arguments), said, **further)


def chosen(group: str, text: str, said: str, *arguments: str) -> Case:
    """An option of a group of Hydra's, chosen by an experiment."""
    return Case(
        {
            f"hydra/{group}/theirs.yaml": f"{{version: 1, {text}}}",
            "experiment/theirs.yaml": f"{GLOBAL}defaults:\n  - override /hydra/{group}: theirs\n",
        },
        ("experiment=theirs", *arguments),
        said,
    )


FILE_HANDLER = "{class: logging.FileHandler, filename: {f}/canary}"
FACTORY = "{(): pandas.read_pickle, filepath_or_buffer: {f}/weights.npy}"


def logs(handler: str) -> str:
    return f"handlers: {{h: {handler}}}, root: {{handlers: [h], level: INFO}}"


SLURM = "defaults: [submitit_slurm]\n"
COMMANDS: dict[str, Case] = {
    "generator": Case({"generator/nice.yaml": LOAD}, ["generator=nice"], "'bench.api.np.load' cannot be imported"),
    "global file that allows itself": theirs(f"allow: [pandas]\ngenerator: {PANDAS}\n", "allow in "),
    "callback": theirs(f"hydra: {{callbacks: {{x: {PANDAS}}}}}\n", "hydra.callbacks.x._target_ in "),
    "log handler": theirs(
        f"hydra: {{job_logging: {{{logs(FILE_HANDLER)}}}}}\n", "hydra.job_logging.handlers.h.class in "
    ),
    "swept allow": theirs(
        f"hydra: {{sweeper: {{params: {{allow: '[pandas]'}}}}}}\ngenerator: {PANDAS}\n",
        "hydra.sweeper.params.allow in ",
        "-m",
    ),
    "shell commands of a launcher": Case(
        {"hydra/launcher/theirs.yaml": f"{SLURM}setup: ['mkdir {{f}}/canary']\n"},
        ["hydra/launcher=theirs", "-m"],
        "hydra.launcher.setup in ",
    ),
    "encoder": Case(
        {"encoder/nice.yaml": "nice:\n" + textwrap.indent(LOAD, "  ")},
        ["encoder=[nice]", "evaluator=[fidelity]"],
        "'bench.api.np.load' cannot be imported",
    ),
    "evaluator": Case(
        {"evaluator/nice.yaml": "nice:\n" + textwrap.indent(LOAD, "  ")},
        ["evaluator=[nice]"],
        "'bench.api.np.load' cannot be imported",
    ),
    "filter": Case({"filter/nice.yaml": LOAD}, ["filter=nice"], "'bench.api.np.load' cannot be imported"),
    "data set": Case(
        {"dataset/nice.yaml": f"{LOAD}n_train: 1\nn_test: 1\n"},
        ["dataset=nice"],
        "'bench.api.np.load' cannot be imported",
    ),
    "setting of a good generator": theirs(f"generator: {{x: {PANDAS}}}\n", "generator has no setting 'x'"),
    "target out of the environment": theirs(
        "generator: {_target_: '${oc.env:CANARY_TARGET}', filepath_or_buffer: {f}/weights.npy}\n",
        "'pandas.read_pickle' is outside",
        environment={"CANARY_TARGET": "pandas.read_pickle"},
    ),
    "generator in one word": theirs(f"generator: \"${{oc.decode:'{PANDAS}'}}\"\n", "cannot build a Generator"),
    "code that comes with weights": Case(
        {
            "generator/nice.yaml": "defaults: [diffusers]\npath: {f}\nremote_code: [unet]\n",
        },
        ["generator=nice"],
        "add allow=[remote_code] on the command line",
    ),
    "callback of another library": theirs(
        "hydra: {callbacks: {x: {_target_: numpy.load, file: {f}/weights.npy, allow_pickle: true}}}\n",
        "hydra.callbacks.x._target_ in ",
    ),
    "callback, only shown": theirs(
        f"hydra: {{callbacks: {{x: {PANDAS}}}}}\n", "hydra.callbacks.x._target_", "--cfg", "job"
    ),
    "callback, only told of": theirs(
        f"hydra: {{callbacks: {{x: {PANDAS}}}}}\n", "hydra.callbacks.x._target_", "--info", "config"
    ),
    "log factory": theirs(f"hydra: {{job_logging: {{{logs(FACTORY)}}}}}\n", "hydra.job_logging.handlers.h.() in "),
    "Hydra's own log": chosen("hydra_logging", logs(FILE_HANDLER), "hydra.hydra_logging.", "-m"),
    "Hydra's own log, by a factory": chosen("hydra_logging", logs(FACTORY), "hydra.hydra_logging."),
    # what does not fit Hydra's own schema is refused by Hydra, in its words
    "launcher": theirs(f"hydra: {{launcher: {PANDAS}}}\n", "not in 'BasicLauncherConf'", "-m"),
    "setting of a launcher": theirs(
        f"hydra: {{launcher: {{n_jobs: {PANDAS}}}}}\n", "In 'experiment/theirs'", "-m", "hydra/launcher=joblib"
    ),
    "sweeper": theirs(f"hydra: {{sweeper: {PANDAS}}}\n", "not in 'BasicSweeperConf'", "-m"),
    "swept object": theirs(f"hydra: {{sweeper: {{params: {{seed: {PANDAS}}}}}}}\n", "hydra", "-m"),
    "swept log": theirs(
        f"hydra: {{sweeper: {{params: {{+hydra.job_logging.handlers.h: '{FILE_HANDLER}'}}}}}}\n",
        "hydra.sweeper.params.+hydra.job_logging.handlers.h in ",
        "-m",
    ),
    "line break in a batch script": Case(
        {"hydra/launcher/theirs.yaml": f'{SLURM}comment: "a\\nmkdir {{f}}/canary\\n"\n'},
        ["hydra/launcher=theirs", "-m"],
        "hydra.launcher.comment in ",
    ),
    "line break in the folder of runs": theirs(
        'runs: "a\\nmkdir {f}/canary\\n"\n', "hydra.sweep.dir, and so runs, is", "hydra/launcher=submitit_slurm", "-m"
    ),
    "line break that a study's direction completes": Case(
        {
            "experiment/theirs.yaml": f"{GLOBAL}defaults:\n  - override /hydra/launcher: slurm\n"
            "  - override /hydra/sweeper: study\nobjective: fidelity/fd/radiomics\n"
            'by: {None: "", minimize: "\\nmkdir {f}/canary\\n"}\nruns: "r${by.${hydra.sweeper.direction}}"\n'
            "hydra: {sweeper: {n_trials: 1, params: {seed: 'range(0,3)'}}}\n",
        },
        ["experiment=theirs", "-m"],
        "hydra.launcher.submitit_folder is 'r\\nmkdir ",
    ),
    "overrides": theirs(
        f"hydra: {{overrides: {{hydra: ['+hydra.job_logging.handlers.h={FILE_HANDLER}']}}}}\n",
        "hydra.overrides.hydra in ",
        "-m",
    ),
    "search path": Case(
        {"config.yaml": "hydra: {searchpath: ['pkg://canarypkg']}\n"}, [], "hydra.searchpath in ", primary=True
    ),
    "a pickle of a run": Case({}, ["--experimental-rerun", "{f}/weights.npy"], "--experimental-rerun opens a pickle"),
}
DEFAULT = 6  # of these in the default suite
# what would send a batch script away, here runs it at once
SBATCH = "#!/bin/bash\nbash \"${!#}\" >/dev/null 2>&1\necho 'Submitted batch job 7'\n"


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] if i >= DEFAULT else []) for i, name in enumerate(COMMANDS)]
)
def test_a_command_line_with_files_of_others_starts_nothing_of_theirs(case: str, laboratory: Laboratory) -> None:
    folders, chosen = laboratory.empty(), COMMANDS[case]
    bait = baited(folders.home / "bait")
    (bait / "bin").mkdir()
    for name in ("sbatch", "srun", "squeue", "sacct", "scancel"):
        (bait / "bin" / name).write_text(SBATCH if name == "sbatch" else "#!/bin/bash\n")
        (bait / "bin" / name).chmod(0o755)
    labconf = folders.home / "labconf"
    labconf.mkdir()
    for name, text in chosen.files.items():
        (labconf / name).parent.mkdir(parents=True, exist_ok=True)
        (labconf / name).write_text(text.replace("{f}", str(bait)))
    before = state(bait)
    there = ("--config-path", str(labconf)) if chosen.primary else ("--config-dir", str(labconf))
    given = [each.replace("{f}", str(bait)) for each in chosen.arguments]
    # settings before options, as Hydra wants them
    arguments = sorted(given, key=lambda each: "=" not in each and not each.startswith("~"))
    environment = {"PATH": f"{bait / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(bait), **chosen.environment}
    done = laboratory.run(*arguments, *there, environment=environment)
    assert done.code not in (0, -9), done.output
    assert chosen.said in done.output
    assert state(bait) == before
    assert not list(folders.home.rglob("run.json"))
