"""BiomedCLIP on small weights of its format: a timm image half, a BERT text half of 256 tokens, one file of tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import Images, ImageSet, ReadsText, Score, Split
from evaluators.encoders.open_clip_model import OpenClip, open_clip_model
from evaluators.fidelity.evaluator import Fidelity
from tests.toy import image_set, material, toy_set

KINDS, LENGTH, SIDE, DIM = 10, 256, 32, 8
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PROMPTS = [f"stripes {'wider ' * kind}{word}" for kind, word in enumerate(["than", "the", "last"] * 4)][:KINDS]
COLOURS = {"mean": [0.5] * 3, "std": [0.25] * 3}


def stripes(kinds: Sequence[int], rng: np.random.Generator) -> Images:
    """``(N, 32, 32)``: waves across, one cycle more for each kind."""
    across = np.arange(SIDE) / SIDE
    waves = np.stack([np.sin(2 * np.pi * (across * (kind + 1) + 0.1 * rng.random())) for kind in kinds])
    return np.clip(128 + 90 * waves[:, None, :] + rng.normal(0, 4, (len(kinds), SIDE, SIDE)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from open_clip.model import CustomTextCLIP
    from safetensors.torch import save_file
    from transformers import BertConfig

    place = tmp_path_factory.mktemp("biomedclip")
    words = [*MARKS, "stripes", "wider", "than", "the", "last"]
    (place / "vocab.txt").write_text("\n".join(words))
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertConfig(vocab_size=len(words), max_position_embeddings=LENGTH, initializer_range=0.5, **sizes).save_pretrained(
        place
    )
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"}
    vision["image_size"] = SIDE
    names = {"hf_model_name": str(place), "hf_tokenizer_name": str(place)}
    heads = {"hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": LENGTH}
    torch.manual_seed(0)
    model = CustomTextCLIP(DIM, vision, {**names, **heads, "hf_model_pretrained": False}).eval()
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, place / "open_clip_model.safetensors")
    config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": {**names, **heads}}
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    _teach(place, state)
    return place


def _teach(place: Path, state: dict[str, torch.Tensor]) -> None:
    """Turn the last layer of the text half: a prompt lands where the pictures of its kind lie about the mean."""
    from safetensors.torch import save_file

    encoder = made(place)
    kinds = np.repeat(np.arange(KINDS), 8)
    rows = encoder(stripes(kinds.tolist(), np.random.default_rng(0)))
    means = np.stack([rows[kinds == kind].mean(axis=0) for kind in range(KINDS)])
    tokenizer, model = encoder._whole
    with torch.inference_mode():
        before: list[torch.Tensor] = []
        model.text.proj[2].register_forward_pre_hook(lambda layer, given: before.append(given[0]))
        model.encode_text(tokenizer(PROMPTS))
    wanted = torch.from_numpy(means - means.mean(axis=0))
    state["text.proj.2.weight"] = torch.linalg.lstsq(before[0], wanted).solution.T.contiguous()
    save_file(state, place / "open_clip_model.safetensors")


def made(folder: Path) -> OpenClip:
    return open_clip_model(
        "biomedclip", DIM, str(folder), {}, {"size": SIDE, **COLOURS}, {"device": "cpu", "block": 16}
    )


def aligned(encoder: OpenClip, kinds: list[int], asked: list[int], folder: Path) -> list[Score]:
    """Fidelity in one encoder, of pictures of ``kinds`` that were asked for as ``asked``."""
    real = toy_set(folder / "real", "real", 60)
    images = image_set(
        list(stripes(kinds, np.random.default_rng(1))), real.info, prompt=[PROMPTS[kind] for kind in asked]
    )
    given = material(Split(real, real, real), {"fidelity": images}, folder, encoders={"biomedclip": encoder})
    return [each for each in Fidelity(groups=[])(given) if each.metric == "alignment"]


def test_images_and_texts_lie_in_one_space(folder: Path) -> None:
    encoder = made(folder)
    assert isinstance(encoder, ReadsText)
    assert encoder(stripes([0, 3], np.random.default_rng(0))).shape == encoder.texts(PROMPTS[:2]).shape == (2, DIM)


def test_a_text_is_read_up_to_256_tokens_and_not_to_77(folder: Path) -> None:
    encoder = made(folder)

    def ending(at: int) -> np.ndarray:
        """The embedding of 300 words, of which one differs."""
        return encoder.texts([" ".join(["wider"] * at + ["last"] + ["wider"] * (299 - at))])[0]

    same = encoder.texts([" ".join(["wider"] * 300)])[0]
    assert np.abs(ending(100) - same).max() > 1e-4 and np.abs(ending(LENGTH - 3) - same).max() > 1e-4
    np.testing.assert_allclose(ending(LENGTH - 2), same, atol=1e-6)


def test_pictures_fit_their_own_prompts_better_than_others(folder: Path, tmp_path: Path) -> None:
    encoder = made(folder)
    kinds = [i % KINDS for i in range(120)]
    (own,) = aligned(encoder, kinds, kinds, tmp_path / "own")
    shuffled = np.random.default_rng(0).permutation(kinds).tolist()
    (ignored,) = aligned(encoder, kinds, shuffled, tmp_path / "shuffled")
    assert own.value is not None and own.low is not None and own.low > 0.1
    assert ignored.low is not None and ignored.high is not None and ignored.low < 0 < ignored.high


def test_weights_whose_text_half_is_elsewhere_refuse_alignment_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = str(tmp_path / "elsewhere")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    for name in ("open_clip_model.safetensors", "vocab.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    kinds = [i % KINDS for i in range(120)]
    (score,) = aligned(made(tmp_path), kinds, kinds, tmp_path / "run")
    assert score.value is None and "encoder biomedclip: no text half" in str(score.reason)


def test_pictures_without_prompts_refuse_alignment(folder: Path, tmp_path: Path) -> None:
    real: ImageSet = toy_set(tmp_path, "real", 60)
    bare = image_set(list(stripes([0] * 60, np.random.default_rng(1))), real.info)
    given = material(Split(real, real, real), {"fidelity": bare}, tmp_path, encoders={"biomedclip": made(folder)})
    (score,) = (each for each in Fidelity(groups=[])(given) if each.metric == "alignment")
    assert score.value is None and "60 images without one" in str(score.reason)
