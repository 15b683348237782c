"""What encoders give besides features: class logits and embeddings of texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import BenchError
from evaluators.encoders.inception import inception
from evaluators.encoders.open_clip_model import OpenClip, open_clip_model

COMPUTE = {"device": "cpu", "block": 2}
COLOURS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(1)
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    place = tmp_path_factory.mktemp("clip")
    save_file(CLIP(8, vision, text).state_dict(), place / "open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    (place / "open_clip_config.json").write_text(json.dumps(config))
    return place


def made(folder: Path) -> OpenClip:
    return open_clip_model("clip", 8, str(folder), {}, {"size": 32, **COLOURS}, COMPUTE)


def test_texts_are_embedded_as_open_clip_does(folder: Path) -> None:
    import open_clip

    prompts = ["no finding", "a large pleural effusion on the left", "no finding"]
    found = made(folder).texts(prompts)
    model = open_clip.create_model_from_pretrained(f"local-dir:{folder}", return_transform=False).eval()
    with torch.no_grad():
        wanted = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(prompts)).numpy()
    assert found.shape == (3, 8) and np.abs(found[0] - found[1]).max() > 0
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_text_half_that_cannot_be_had_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "somewhere/else"}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "open_clip_model.safetensors").write_bytes((folder / "open_clip_model.safetensors").read_bytes())
    with pytest.raises(BenchError, match=r"encoder clip: no text half.*tokenizer's files into"):
        made(tmp_path).texts(["a"])


def test_logits_are_the_last_layer_of_inception_without_its_bias(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    last = rng.normal(size=(1008, 2048)).astype(np.float32)
    path = tmp_path / "inception.pth"
    torch.save({"fc.weight": torch.from_numpy(last), "fc.bias": torch.ones(1008)}, path)
    encoder = inception("inception", str(path), {}, {"size": 299, **COLOURS}, COMPUTE)
    pooled = rng.uniform(size=(5, 2048)).astype(np.float32)
    np.testing.assert_allclose(encoder.logits(pooled), pooled @ last.T, rtol=1e-3, atol=1e-3)
