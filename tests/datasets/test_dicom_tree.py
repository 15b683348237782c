"""A tree of DICOM files goes through a whole run: read, learned from, generated, compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from bench.datasets.phantom import Phantom
from tests.datasets.test_imagefolder import write_table
from tests.pipeline.test_run import start
from tests.storage.test_dicom import saved, scan


def tree(folder: Path) -> Path:
    """Phantoms as 12 bits in a window, every other one inverted, with patient, view and spacing in the headers."""
    split = Phantom(n_train=90, n_test=60, image_size=32).load(folder / "phantoms")
    parts = {"train": [split.train, split.holdout], "test": [split.test]}
    for name, sets in parts.items():
        place = folder / "data" / name
        place.mkdir(parents=True)
        pixels = np.concatenate([each.pixels() for each in sets])
        for index, image in enumerate(pixels):
            inverted = index % 2 == 1
            shown = (255 - image if inverted else image).astype(np.uint16)
            data = scan(shown * 12 + 200, 12, WindowCenter=1730, WindowWidth=3061, PatientID=f"{name}{index}")
            data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
            data.ViewPosition, data.ImagerPixelSpacing = ("CC", "MLO")[index % 2], [0.5, 0.5]
            (place / f"{index}.dcm").write_bytes(saved(data))
        write_table(place, [{"file_name": f"{index}.dcm"} for index in range(len(pixels))])
    return folder / "data"


@pytest.mark.parametrize("generator", ["holdout", pytest.param("pca", marks=pytest.mark.slow)])
def test_a_run_on_a_dicom_tree_ends_with_scores(generator: str, tmp_path: Path) -> None:
    settings = ["dataset.patient_column=PatientID", "dataset.attributes=[view]", "dataset.groups=[view]"]
    settings += [
        f"dataset.root={tree(tmp_path)}",
        f"generator={generator}",
        "encoder=[small_cnn]",
        "evaluator=[fidelity]",
    ]
    settings += ["dataset=imagefolder", "wandb.mode=disabled", "name=tree", f"cache={tmp_path / 'cache'}"]
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=settings)
    outcome = start(config, tmp_path / "run")
    assert not outcome.failed
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["sizes"]["working"] == [[32, 32], [32, 32]] and record["info"]["pixel_spacing_mm"] == 0.5
    scores = {each.metric: each for each in outcome.records["fidelity"].scores if each.group == "all"}
    assert scores["coverage"].value is not None
