"""Every encoder in conf/ can be built, says its shape, and either encodes or says how to get its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from bench.api import BenchError, Encoder
from bench.runtime.plugins import build

FILES = sorted((Path(__file__).resolve().parents[3] / "conf" / "encoder").glob("*.yaml"))


def configured(file: Path, **settings: Any) -> Encoder:
    config = OmegaConf.create({"device": "cpu", "encoder": OmegaConf.load(file)})
    assert list(config.encoder) == [file.stem]
    config.encoder[file.stem].update(settings)
    return build(config.encoder[file.stem], Encoder)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_encoder_encodes_or_says_what_it_lacks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = configured(file)
    assert encoder.dim > 0
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    try:
        rows = encoder(images)
    except BenchError as error:
        assert f"encoder.{file.stem}.path" in str(error)
        return
    assert rows.shape == (2, encoder.dim)
    assert np.isfinite(rows).all()
    assert encoder.id == configured(file).id


@pytest.mark.parametrize("name", ["radiomics", "radiomics_full", "frd_v1", "pixels", "small_cnn"])
def test_these_need_nothing_from_elsewhere(name: str) -> None:
    (file,) = (file for file in FILES if file.stem == name)
    assert len(configured(file).id) > 8
    promised = {"radiomics": 72, "radiomics_full": 410, "frd_v1": 394, "pixels": 1024, "small_cnn": 64}
    assert configured(file).dim == promised[name]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_key_is_explained(file: Path) -> None:
    assert file.read_text().startswith("# ")
    assert "${device}" in file.read_text() or "compute" not in file.read_text()
