"""An install works wherever it is started: a wheel, and an editable one in a folder with a ``conf/`` of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

import bench
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
SMALL = ("experiment=smoke", "wandb.mode=disabled", "evaluator=[fidelity]", "requests.privacy=4", "generator=grey")
ALLOWED = ("--config-dir", "conf", "allow=[mylab]")


def run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module", params=["editable", "wheel"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with this project's committed files installed, and all libraries."""
    place = tmp_path_factory.mktemp(request.param)
    (place / "source").mkdir()
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "source" / name).write_bytes((ROOT / name).read_bytes())
    build = f"import setuptools.build_meta as backend; backend.build_{request.param}({str(place)!r})"
    made = run([sys.executable, "-c", build], place / "source")
    assert made.returncode == 0, made.stderr
    run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], place)
    (wheel,) = place.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", place / "venv/bin/python"]
    done = run([*pip, "install", "--no-deps", "--no-index", "--quiet", wheel], place)
    assert done.returncode == 0, done.stderr
    (libraries,) = (place / "venv/lib").glob("python*/site-packages")
    # libraries only: a .pth file named by another one is not read, so this interpreter's own install stays unseen
    (libraries / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "venv/bin"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page on plug-ins says, in which other folders have names of this project's packages."""
    folder = tmp_path_factory.mktemp("user")
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", (ROOT / "docs/plugins.md").read_text(), re.DOTALL)
    for name in ("mylab", "conf/generator", "generators", "evaluators", "datasets"):
        (folder / name).mkdir(parents=True)
    (folder / "mylab/grey.py").write_text(blocks[0][1])
    (folder / "conf/generator/grey.yaml").write_text(blocks[1][1])
    (folder / "conf/config.yaml").write_text("mine: 1\n")
    return folder


@pytest.mark.parametrize("program", ["script", "module"])
def test_the_page_on_plug_ins_works_literally(environment: Path, user: Path, program: str) -> None:
    if program == "module":
        (user / "conf/__init__.py").touch()  # as Hydra's own documentation has it
    start = [environment / "bench"] if program == "script" else [environment / "python", "-m", "bench"]
    name = f"{program}-{environment.parents[1].name}"
    done = run([*start, *ALLOWED, *SMALL, f"name={name}"], user)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (user / "runs/phantom" / name / "seed=0/run.json").is_file()


def test_what_is_not_allowed_is_not_imported(environment: Path, user: Path) -> None:
    done = run([environment / "bench", "--config-dir", "conf", *SMALL], user)
    assert done.returncode == 1 and "allow=[mylab]" in done.stdout + done.stderr


@pytest.mark.parametrize("launcher", [["joblib", "hydra.launcher.n_jobs=2"], ["submitit_local"]])
def test_other_processes_find_the_same(environment: Path, user: Path, launcher: list[str]) -> None:
    name = f"{launcher[0]}-{environment.parents[1].name}"
    arguments = [f"hydra/launcher={launcher[0]}", *launcher[1:], f"name={name}", "seed=0,1"]
    done = run([environment / "bench", "-m", *ALLOWED, *SMALL, *arguments], user)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((user / "runs/phantom" / name).glob("seed=*/run.json"))) == 2


def test_what_only_shows_works(environment: Path, user: Path) -> None:
    for arguments, said in (
        (["--help"], "generator: copy, diffusers"),
        (["--hydra-help"], "Hydra"),
        (["--cfg", "job", "generator=pca"], "components: 256"),
        (["--info", "searchpath"], "/conf"),
        (["--version"], f"bench {bench.__version__}"),
        (["-sc", "install=bash"], "complete"),
    ):
        done = run([environment / "bench", *arguments], user)
        assert done.returncode == 0 and said in done.stdout, done.stdout + done.stderr
        assert "reading the configuration" not in done.stderr
