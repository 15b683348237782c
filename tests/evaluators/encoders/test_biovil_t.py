"""BioViL-T on small weights of its format, against the toolbox that publishes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.api import BenchError, Encoder, ReadsText
from evaluators.encoders import biovil_t as module
from evaluators.encoders.biovil_t import BioViLT, biovil_t, cut

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*MARKS, "no", "finding", "left", "right", "pleural", "effusion", "large", "the", "a", "on"]
NETWORK = {"architecture": "resnet18_multi_image", "dim": 8}  # the smallest that the toolbox makes
LENGTH = 12
pytestmark = pytest.mark.filterwarnings("ignore:Importing from timm.models.layers")


def installed() -> None:
    pytest.importorskip("health_multimodal", reason="pip install 'medical-image-bench[biovil]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    installed()
    from health_multimodal.image.model.model import ImageModel
    from health_multimodal.text.model import CXRBertConfig, CXRBertModel

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("biovil")
    image_half = ImageModel(NETWORK["architecture"], NETWORK["dim"])
    torch.nn.init.normal_(image_half.encoder.missing_previous_emb)
    torch.save(image_half.state_dict(), place / "biovil_t_image_model_proj_size_128.pt")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = CXRBertConfig(
        projection_size=8, vocab_size=len(WORDS), max_position_embeddings=LENGTH, initializer_range=0.5, **sizes
    )
    CXRBertModel(config).save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(WORDS))
    (place / "modeling_cxrbert.py").write_text("raise SystemExit('code beside weights was run')")
    return place


def made(folder: Path, dim: int = 8) -> BioViLT:
    return biovil_t("biovil_t", NETWORK | {"dim": dim}, str(folder), {}, {"device": "cpu", "block": 2})


def test_an_image_is_embedded_as_the_toolbox_does(folder: Path, tmp_path: Path) -> None:
    from health_multimodal.image import ImageInferenceEngine
    from health_multimodal.image.data.transforms import create_chest_xray_transform_for_inference
    from health_multimodal.image.model.model import ImageModel

    images = np.random.default_rng(0).integers(40, 200, (2, 60, 50), dtype=np.uint8)
    theirs = ImageModel(NETWORK["architecture"], 8, pretrained_model_path=folder / module.WANTED[0][0])
    engine = ImageInferenceEngine(theirs, create_chest_xray_transform_for_inference(512, 448))
    wanted = []
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        wanted.append(engine.get_projected_global_embedding(tmp_path / f"{i}.png").numpy())
    state = torch.get_rng_state()
    encoder = made(folder)
    found = encoder(images)
    assert torch.equal(torch.get_rng_state(), state), "making the network draws from nobody's random numbers"
    assert isinstance(encoder, Encoder) and isinstance(encoder, ReadsText) and found.shape == (2, 8)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), np.stack(wanted), atol=1e-5)


def test_texts_are_embedded_as_the_toolbox_does(folder: Path) -> None:
    from health_multimodal.text.model import CXRBertModel, CXRBertTokenizer

    prompts = ["No finding.", "a large pleural effusion on the left!", "no finding"]
    found = made(folder).texts(prompts)
    model, tokenizer = CXRBertModel.from_pretrained(folder).eval(), CXRBertTokenizer.from_pretrained(folder)
    tokens = tokenizer([each.rstrip("!?.") for each in prompts], padding="longest", return_tensors="pt")
    with torch.no_grad():
        wanted = model.get_projected_text_embeddings(tokens.input_ids, tokens.attention_mask, False).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3 and np.abs(found[0] - found[2]).max() < 1e-6


def test_a_picture_is_stretched_resized_and_cut_as_the_toolbox_does(tmp_path: Path) -> None:
    installed()
    from health_multimodal.image.data.io import load_image
    from health_multimodal.image.data.transforms import create_chest_xray_transform_for_inference

    prepare = create_chest_xray_transform_for_inference(512, 448)
    for size in ((64, 64), (600, 700), (90, 60)):
        image = np.random.default_rng(1).integers(13, 180, size, dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "image.png")
        wanted = np.rint(prepare(load_image(tmp_path / "image.png"))[0].numpy() * 255)
        np.testing.assert_array_equal(cut(image[None])[0], wanted)
    assert not cut(np.full((1, 20, 20), 77, np.uint8)).any()


def test_too_long_a_text_and_marks_in_it_are_refused(folder: Path) -> None:
    encoder = made(folder)
    encoder.texts([" ".join(["left"] * (LENGTH - 2))])
    with pytest.raises(BenchError, match=rf"'left left.*has {LENGTH + 1} tokens, the network takes {LENGTH} at most"):
        encoder.texts(["no finding", " ".join(["left"] * (LENGTH - 1))])
    with pytest.raises(BenchError, match=r"holds \[SEP\]"):
        encoder.texts(["left [SEP] right"])
    encoder.texts(["left [MASK]"])


def test_all_that_decides_is_in_the_identity(folder: Path, tmp_path: Path) -> None:
    before = made(folder).id
    for name in ("vocab.txt", "config.json", "model.safetensors", "biovil_t_image_model_proj_size_128.pt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert made(tmp_path).id == before and "stretched resize=512" in before and "448px" in before
    (tmp_path / "vocab.txt").write_text("\n".join(reversed(WORDS)))
    assert made(tmp_path).id != before


def test_a_folder_without_a_half_says_which_file_it_lacks(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"encoder\.biovil_t\.path: .* has no biovil_t_image_model_proj_size_128\.pt"):
        made(tmp_path).weights.digest()
    with pytest.raises(BenchError, match=r"encoder biovil_t: the weights do not fit"):
        made(folder, dim=9)(np.zeros((1, 20, 20), np.uint8))


def test_pickles_with_more_than_tensors_are_not_opened(folder: Path, tmp_path: Path) -> None:
    for name in ("vocab.txt", "config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save({"weight": Path("surprise")}, tmp_path / "biovil_t_image_model_proj_size_128.pt")
    with pytest.raises(BenchError, match="is no plain file of weights"):
        made(tmp_path)(np.zeros((1, 20, 20), np.uint8))


def test_without_the_toolbox_the_refusal_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"needs hi-ml-multimodal.*pip install 'medical-image-bench\[biovil\]'"):
        made(tmp_path)


def test_a_toolbox_that_cannot_be_imported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "health_multimodal.text.model", None)
    with pytest.raises(BenchError, match=r"cannot be imported .*\[biovil\]"):
        module.toolbox("biovil_t")
