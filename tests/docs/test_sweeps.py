"""The commands of docs/sweeps.md do what the page says; each runs on the smallest material, with cheap settings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser

from bench.runtime.objective import objective_of
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "sweeps.md"
# appended to every `python -m bench`: the smallest material, and nothing but what the page speaks of
CHEAP = ("experiment=smoke", "evaluator=[fidelity]", "wandb.mode=disabled")


def commands() -> list[list[str]]:
    """The commands of the page's code blocks, each as its words."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    blocks = [block for kind, block in found if not kind]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


RUN = [words for words in commands() if words[:3] == ["python", "-m", "bench"]]
HERE = [words for words in RUN if "hydra/launcher=slurm" not in words]


def test_the_page_has_every_kind_of_sweep() -> None:
    text = {word for words in commands() for word in words}
    launchers = {f"hydra/launcher={each.stem}" for each in (ROOT / "conf" / "hydra" / "launcher").glob("*.yaml")}
    assert launchers | {"hydra/sweeper=study", "sweep", "wandb"} <= text


@pytest.mark.parametrize("words", RUN, ids=lambda words: " ".join(words[4:])[:60])
def test_every_command_can_be_read(words: list[str]) -> None:
    given = OverridesParser.create().parse_overrides(words[4:])
    fixed = [each.input_line for each in given if not each.is_sweep_override()]
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[*fixed, *CHEAP], return_hydra_config=True)
    objective_of(config)
    for each in (each for each in given if each.is_sweep_override() and "." in each.key_or_group):
        assert each.key_or_group.removeprefix("generator.") in config.generator


@pytest.mark.slow
def test_the_commands_run_and_end_with_a_table(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(words: list[str]) -> str:
        arguments = [sys.executable, *words[1:], *(CHEAP if words[2] == "bench" else ())]
        found = subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert found.returncode == 0, (words, found.stdout + found.stderr)
        return found.stdout

    for words in HERE:
        assert re.search(r"^\d+ jobs, none failed$", run(words), re.MULTILINE), words
    (best,) = [words for words in commands() if words[:4] == ["python", "-m", "leaderboard", "sweep"]]
    table = run(best).splitlines()
    assert re.match(r"data set +generator +components +seeds +fidelity/fd/radiomics ↓$", table[0])
    assert {f"pca-components={count}" for count in (4, 8)} <= {line.split()[1] for line in table[1:]}


def test_the_sweep_of_weights_and_biases_asks_for_what_there_is() -> None:
    sweep = yaml.safe_load((ROOT / "docs" / "wandb-sweep.yaml").read_text(encoding="utf-8"))
    chosen = [word for word in sweep["command"] if "=" in word]
    first = {name: each["values"][0] if "values" in each else each["min"] for name, each in sweep["parameters"].items()}
    overrides = [*chosen, *(f"{name}={value}" for name, value in first.items())]
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[*overrides, f"objective={sweep['metric']['name']}"])
    objective = objective_of(config)
    assert objective is not None and objective.direction == sweep["metric"]["goal"]
    assert sweep["command"][1:4] == ["python", "-m", "bench"] and sweep["command"][-1] == "${args_no_hyphens}"
