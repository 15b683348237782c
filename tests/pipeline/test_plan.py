"""What a plan writes down of encoders and filters: two of them never pass for one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.pipeline.plan import Plan
from bench.storage.files import canonical

TEXT = """
encoder: {tv: {_target_: x.Y, network: {layer: '${oc.env:LAYER}'}}}
filter: {_target_: x.F, cut: '${oc.env:LAYER}'}
generator: {_target_: x.G, weights: /models/w.pt, log_folder: LOGS, sampling: {table: LOGS}}
fit_seed: 0
threads: 1
"""


def plan(cache: Path, layer: str) -> Plan:
    config: Any = OmegaConf.create(TEXT.replace("LOGS", f"{cache}/logs"))
    config.cache = str(cache)
    judge: Any = SimpleNamespace(id=f"cut/{layer}", encoders=("tv",), prepare=lambda _: None)
    generator: Any = SimpleNamespace(
        incidental=("log_folder",), sampling_only=("sampling",), reads=(), reads_part="train"
    )
    encoders: Any = {"tv": SimpleNamespace(id=f"torchvision/{layer}")}
    return Plan(config, SimpleNamespace(), generator, judge, encoders, {}, {"generator": "0"})  # type: ignore[arg-type]


def test_two_encoders_and_filters_that_a_variable_chose_have_two_protocols(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(layer: str) -> tuple[str, str]:
        monkeypatch.setenv("LAYER", layer)
        found = plan(tmp_path, layer)
        return canonical(found._filter), canonical(found._ids({"tv": found.encoders["tv"].id}))

    one, other = said("denseblock3"), said("denseblock4")
    assert one == said("denseblock3") and one[0] != other[0] and one[1] != other[1]
    assert "denseblock" not in str(one)


def test_what_a_run_writes_by_itself_does_not_change_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYER", "denseblock3")
    info = SimpleNamespace()
    split: Any = SimpleNamespace(info=info, train=SimpleNamespace(digest="0"))
    monkeypatch.setattr("bench.pipeline.plan.meaning", lambda _: "")
    (tmp_path / "logs").mkdir()
    first = plan(tmp_path, "x").training_key(split)
    (tmp_path / "logs" / "a.log").write_text("written")
    assert plan(tmp_path, "x").training_key(split) == first
    assert list(first["reads"]) == ["<elsewhere>/w.pt"] and list(first["settings"]) == ["weights"]
