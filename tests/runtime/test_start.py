"""The start of a command line: its first line, its answers to what is not there, its signals, where it may start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.plugins import Plugins

import bench
from bench.__main__ import _check
from bench.runtime.start import SIGNALS, shows_only, start
from tests.conftest import ROOT

Said = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Said:
    """Start a command line that is to be refused: its code, and its lines after the first."""
    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", ConfigLoaderImpl.load_configuration)
    for name in ("instantiate_launcher", "instantiate_sweeper"):
        monkeypatch.setattr(Plugins, name, getattr(Plugins, name))
    monkeypatch.setattr("bench.runtime.start.answer_signals", lambda: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def ran(_: Any) -> None:
        pytest.fail("the work was begun")

    def run(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        code = start(ran, "bench", "config", _check)
        captured = capsys.readouterr()
        first, *rest = captured.err.splitlines()
        assert first == f"bench {bench.__version__}: reading the configuration" and not captured.out
        assert not list(tmp_path.iterdir()), "a refused run leaves nothing"
        return code, rest

    return run


EXPLAINED = [
    ("geneartor=ldm", "bench: geneartor=ldm: there is no setting 'geneartor'; did you mean 'generator'?"),
    ("generator=ldmm", "bench: generator=ldmm: generator has no 'ldmm'; did you mean 'ldm'?"),
    ("evaluator=[fidelty]", "bench: evaluator=fidelty: evaluator has no 'fidelty'; did you mean 'fidelity'?"),
    ("generator.smapling.steps=3", "generator has no setting 'smapling'; did you mean 'sampling'?"),
    ("evaluator.fidelity.folsd=3", "evaluator.fidelity has no setting 'folsd'; did you mean 'folds'?"),
    ("dataset.imge_size=3", "dataset has no setting 'imge_size'; did you mean 'image_size'?"),
    ("encoder.rad_dino.path=x", "'rad_dino' is not chosen; choose it with 'encoder=[radiomics,small_cnn,spectrum,"),
    ("hydra.jbo.name=x", "hydra has no setting 'jbo'; did you mean 'job'?"),
    ("dataset=xyz", "dataset has no 'xyz'; there are csaw_m, imagefolder, nih_cxr14, phantom, synthchex_75k"),
    ("hydra/launcher=joblb", "hydra/launcher has no 'joblb'; did you mean 'joblib'?"),
    ("evaluator=fidelity,card", "as a list it is 'evaluator=[fidelity,card]', one run for each makes the option -m"),
    ("filter=null", "bench: filter=null: of filter names are chosen, none with filter=none; there are manifold,"),
    ("evaluator=null", "evaluator=null: of evaluator names are chosen, none with 'evaluator=[]'; there are card,"),
    ("evaluator=[card,null]", "of evaluator names are chosen, none with 'evaluator=[]'; there are card,"),
    ("dataset=null", "bench: dataset=null: of dataset names are chosen, there are csaw_m, imagefolder,"),
    ("generator=5", "bench: generator=5: of generator names are chosen, there are copy,"),
    ("experiment=null", "of experiment names are chosen, none by leaving experiment out; there are "),
    ("generator", "bench: Error parsing override 'generator': missing EQUAL at '<EOF>'"),
    ("--config-dir=/nowhere", "bench: Additional config directory '/nowhere' not found"),
]


@pytest.mark.parametrize(("argument", "answer"), EXPLAINED)
def test_what_is_not_there_is_answered_in_a_line(said: Said, argument: str, answer: str) -> None:
    code, lines = said(argument)
    assert code == 1 and len(lines) <= 2
    assert answer in lines[0], lines


def test_every_misspelling_is_answered(said: Said) -> None:
    code, lines = said("geneartor=ldm", "generator.dif.rate=1", "dataset.imge_size=3")
    assert code == 1 and [line.split(":")[1] for line in lines] == [
        " geneartor=ldm",
        " generator.dif.rate=1",
        " dataset.imge_size=3",
    ]


def test_a_wrong_setting_is_refused_before_there_is_a_folder(said: Said) -> None:
    assert said("generator=pca", "name=../../x") == (
        1,
        [
            "bench: name: the name '../../x' has /, needed letters, digits, inner spaces and . _ - + = , @ ( ) [ ]; "
            "give another name",
            "bench: name: the name '../../x' begins with '.', needed a letter or a digit first; give another name",
        ],
    )


def test_every_job_of_a_sweep_is_judged_before_the_first_starts(said: Said) -> None:
    code, lines = said("-m", "generator=pca", "seed=0,1,x")
    said_of_it = "bench: job generator=pca seed=x: seed is 'x', needed a whole number from 0 to 2^63 - 1"
    assert code == 1 and lines[-1] == said_of_it


def test_what_a_job_of_a_sweep_chooses_is_answered_with_the_job(said: Said) -> None:
    code, lines = said("-m", "generator=pca", "filter=none,null")
    assert code == 1 and lines[-1].startswith("bench: job generator=pca filter=null: filter=null: of filter names are")


@pytest.mark.parametrize("key", ["+wandb.api_key", "wandb.api_key", "+generator.token", "name", "wandb.mode"])
def test_a_secret_is_not_repeated(said: Said, key: str) -> None:
    token = "hf_" + "Zq7" * 11
    code, lines = said("generator=pca", f"{key}={token}")
    assert code == 1 and lines and "Zq7" not in "".join(lines), lines


def test_an_error_of_the_program_is_not_explained_away(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise ValueError("planted")

    monkeypatch.setattr("tests.runtime.test_start._check", broken)
    with pytest.raises(ValueError, match="planted"):
        said("generator=pca")


def test_another_process_of_a_launch_says_who_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: Said
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["bench", "seed=x"])
    assert start(lambda _: None, "bench", "config", _check) == 1
    assert capsys.readouterr().err.startswith("bench, process 1 of 2: seed is 'x', needed")


@pytest.mark.parametrize("argument", ["--help", "-h", "--cfg=job", "-c", "--info", "-sc", "--hydra-help"])
def test_what_only_shows_is_known(argument: str) -> None:
    assert shows_only(["seed=x", argument])


def test_a_run_is_not_taken_for_what_only_shows() -> None:
    assert not shows_only(["-m", "--config-dir", "conf", "-cn", "config", "seed=0,1", "name=--help"])


def test_versions_are_this_projects(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from leaderboard.__main__ import main

    monkeypatch.setattr(sys, "argv", ["bench", "seed=x", "--version"])
    assert start(lambda _: None, "bench", "config") == 0
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"bench {bench.__version__}\nleaderboard {bench.__version__}\n"


# a module that would be too late for the first line, or too heavy for a refusal
PROBE = """
import sys
from bench.runtime.start import start
early = [name for name in ("hydra", "numpy", "omegaconf", "pydantic") if name in sys.modules]
from bench.__main__ import main
early += [name for name in ("hydra", "numpy", "omegaconf", "pydantic") if name in sys.modules]
try:
    main()
except SystemExit as end:
    print(end.code, early, [name for name in ("torch", "datasets", "pandas", "sklearn") if name in sys.modules])
"""


@pytest.mark.parametrize(
    "arguments",
    [["seed=1.5"], ["dataset=nih_cxr14", "dataset.root=/nowhere"], ["generator=folder", "generator.path=/no"]],
)
def test_a_refusal_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-c", PROBE, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "1 [] []\n", done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 2 and "needed" in done.stderr


# waits as a training does, in the hands of the signals of a command line
WAITING = """
import sys, time
from bench.runtime.start import answer_signals
answer_signals()
print("ready", flush=True)
try:
    time.sleep(60)
except Exception:
    print("swallowed")
"""


@pytest.mark.parametrize(
    ("number", "rank", "code", "sentence"),
    [
        (signal.SIGINT, "", 130, SIGNALS[signal.SIGINT]),
        (signal.SIGTERM, "0", 143, SIGNALS[signal.SIGTERM]),
        (signal.SIGINT, "1", -signal.SIGINT, ""),
    ],
)
def test_signals_end_a_process_with_a_sentence(number: signal.Signals, rank: str, code: int, sentence: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RANK": rank}
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(20) == code
        assert process.stderr.read().strip() == sentence


def test_an_ignored_interrupt_stays_ignored() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = WAITING.replace("import sys, time", "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.kill()
