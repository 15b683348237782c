"""Eleven planted secrets, and where they must not come out: everything a run leaves that others may see.

Four stand in the environment or come from the machine, seven in the configuration. One command with an evaluator that
fails and quotes what it was given, the same without it, an export, a page, and what W&B keeps.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bench.export.images import export
from leaderboard.build import build, write
from leaderboard.read import read_runs
from tests.conftest import ROOT
from tests.faults.conftest import Laboratory

# put together here, so that no scanner takes this file for a leak
TOKEN = "hf_" + "Zq7" * 11
ENVIRONMENT = {"HF_TOKEN": TOKEN, "WANDB_API_KEY": "0a1b2c3d" * 5, "MYLAB_PASSWORD": "correct horse 9"}
FAILING = """
import os
from bench.api import Evaluator, Metric

class Quoting(Evaluator):
    id, metrics, purposes = "quoting", (Metric("gap", "Gap", "lower", "none"),), ("fidelity",)
    def __init__(self, hf_token, lab):
        self.told = hf_token, lab, os.environ["MYLAB_PASSWORD"]
    def __call__(self, material):
        raise ValueError(f"401 for {self.told} in {os.getcwd()}")
"""
SETTINGS = (
    "generator=noise",
    "experiment=smoke",
    "dataset.n_train=64",
    "dataset.n_test=32",
    "requests.privacy=16",
    "evaluator=[card]",
    "+note='${oc.env:HF_TOKEN}'",
    "+lab='with ${note}'",
    "+credentials={user: ada, code: planted-credentials-1}",
    "+auth=planted-auth-2",
    "+hub.secret_key=planted-secret-key-3",
    "+proxy='https://alice:planted-proxy-4@host:3128'",
    "documentation.environment='proxy https://alice:planted-proxy-4@host:3128'",
    "+source.root=/home/alice_smith/nih",
)
BAD = (
    "name=bad",
    "wandb.mode=offline",
    "allow=[planted]",
    "+evaluator.bad._target_=planted.Quoting",
    "+evaluator.bad.hf_token=planted-token-5",
    "+evaluator.bad.lab='${lab}'",
)
NEEDLES = {
    "from the environment under a harmless name": TOKEN,
    "in the environment only, quoted by an exception": ENVIRONMENT["MYLAB_PASSWORD"],
    "the key of W&B in the environment": ENVIRONMENT["WANDB_API_KEY"],
    "the interpreter": sys.executable,
    "below credentials": "planted-credentials-1",
    "auth": "planted-auth-2",
    "secret_key": "planted-secret-key-3",
    "a password in an address": "planted-proxy-4",
    "a token quoted by an exception": "planted-token-5",
    "the name of a user in a path": "alice_smith",
    "the file of a traceback": "/alice_home/work/planted.py",
}
PLACES = {
    "record": "runs/**/run.json",
    "scores": "runs/**/scores/*.json",
    "card": "runs/**/card.*",
    "marks": "*/**/stages/*.json",
    "log": "runs/**/bench.log",
    "W&B": "runs/**/wandb/**/*",
    "staged copies of W&B": "staged/**/*",
    "export": "export/**/*",
    "page": "site/**/*",
}


@pytest.fixture(scope="module")
def told(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which all was run."""
    home = tmp_path_factory.mktemp("told") / "alice_home" / "work"
    home.mkdir(parents=True)
    (home / "planted.py").write_text(FAILING)
    environment = ENVIRONMENT | {"PYTHONPATH": f"{home}{os.pathsep}{ROOT}", "WANDB_DATA_DIR": str(home / "staged")}
    environment["WANDB_MODE"] = "offline"
    places = (f"runs={home}/runs", f"cache={home}/cache")
    bad = laboratory.server.run((*SETTINGS, *places, *BAD), home, environment=environment)
    assert bad.code == 1 and "planted-token-5" in bad.output and "correct horse 9" in bad.output, bad.output
    done = laboratory.server.run((*SETTINGS, *places, "wandb.mode=disabled"), home, environment=environment)
    assert done.code == 0, done.output
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        export(home / "runs/phantom/noise/seed=0", home / "export")
    write(build(*read_runs(home / "runs")), home / "site")
    yield home


@pytest.mark.parametrize("needle", NEEDLES)
def test_a_planted_secret_is_nowhere(told: Path, needle: str) -> None:
    hits = [str(path.relative_to(told)) for path in everything(told) if holds(path, NEEDLES[needle])]
    assert not hits, hits


def everything(home: Path) -> list[Path]:
    """Every file in a place that others may see, and at least one of each but the staged copies."""
    found = {place: [path for path in home.glob(pattern) if path.is_file()] for place, pattern in PLACES.items()}
    missing = [place for place, paths in found.items() if not paths and not place.startswith("staged")]
    assert not missing, missing
    return [path for paths in found.values() for path in paths]


def holds(path: Path, needle: str) -> bool:
    content = path.read_bytes()
    return any(each.encode() in content for each in (needle, quote(needle, safe="")))
