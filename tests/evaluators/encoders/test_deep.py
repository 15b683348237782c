from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import BenchError
from evaluators.encoders.deep import Compute, Deep, exact
from evaluators.encoders.inception import inception
from evaluators.encoders.inception_network import CLASSES, InceptionFid
from evaluators.encoders.open_clip_model import open_clip_model
from evaluators.encoders.torchvision_model import torchvision_model
from evaluators.encoders.transformers_model import transformers_model

COMPUTE = {"device": "cpu", "dtype": "float32", "block": 4}
COLOURS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}
COMMIT = "110cbc18d5133582e320b43d53bf5c44e410c936"
Make = Callable[..., Deep]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 30), dtype=np.uint8)


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    folder = tmp_path_factory.mktemp("dinov2")
    Dinov2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(1)
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    folder = tmp_path_factory.mktemp("clip")
    save_file(CLIP(8, vision, text).state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def squeezenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("torchvision") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture
def dinov2(dinov2_folder: Path) -> Make:
    def make(path: Path | str | None = dinov2_folder, dim: int = 16, origin: Any = None, **compute: Any) -> Deep:
        where = None if path is None else str(path)
        return transformers_model("tiny", dim, where, origin or {}, {"size": 28, **COLOURS}, COMPUTE | compute)

    return make


@pytest.fixture
def squeezenet(squeezenet_file: Path) -> Make:
    def make(path: Path = squeezenet_file, layer: str = "features", dim: int = 512, origin: Any = None) -> Deep:
        network = {"architecture": "squeezenet1_1", "layer": layer, "dim": dim}
        return torchvision_model("squeeze", network, str(path), origin or {}, {"size": 64, **COLOURS}, COMPUTE)

    return make


@pytest.fixture
def open_clip(open_clip_folder: Path) -> Make:
    return lambda: open_clip_model("clip", 8, str(open_clip_folder), {}, {"size": 32, **COLOURS}, COMPUTE)


@pytest.mark.parametrize("kind", ["dinov2", "squeezenet", "open_clip"])
def test_rows_have_the_promised_shape_and_repeat(kind: str, images: np.ndarray, request: Any) -> None:
    make = request.getfixturevalue(kind)
    encoder = make()
    rows = encoder(images)
    assert rows.shape == (3, encoder.dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert np.abs(rows[0] - rows[1]).max() > 0
    np.testing.assert_array_equal(make()(images), rows)
    np.testing.assert_allclose(encoder(images[1:2])[0], rows[1], atol=1e-5)
    assert make().id == encoder.id


def test_class_token_is_that_of_transformers(dinov2: Make, dinov2_folder: Path, images: np.ndarray) -> None:
    from transformers import Dinov2Model

    encoder = dinov2()
    network = Dinov2Model.from_pretrained(dinov2_folder).eval()
    with torch.no_grad():
        want = network(pixel_values=encoder.preprocessing(images, torch.device("cpu"))).pooler_output
    np.testing.assert_allclose(encoder(images), want.numpy(), atol=1e-6)


def test_image_half_is_that_of_open_clip(open_clip: Make, open_clip_folder: Path, images: np.ndarray) -> None:
    import open_clip as library

    whole = library.create_model_from_pretrained(f"local-dir:{open_clip_folder}", return_transform=False).eval()
    encoder = open_clip()
    with torch.no_grad():
        want = whole.encode_image(encoder.preprocessing(images, torch.device("cpu")))
    np.testing.assert_allclose(encoder(images), want.numpy(), atol=1e-5)


def test_vgg16_gives_its_second_fully_connected_layer() -> None:
    from torchvision.models import vgg16
    from torchvision.models.feature_extraction import create_feature_extractor

    with torch.device("meta"):
        body = create_feature_extractor(vgg16(weights=None).eval(), {"classifier.4": "features"})
        assert body(torch.zeros(2, 3, 224, 224))["features"].shape == (2, 4096)


@pytest.mark.slow
def test_inception_agrees_with_torch_fidelity(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(3)
    network = InceptionFid()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.2, 0.6)
    assert network.fc.out_features == CLASSES
    path = tmp_path / "inception.pth"
    torch.save(network.state_dict(), path)
    grey = np.random.default_rng(1).integers(0, 256, (2, 299, 299), dtype=np.uint8)
    theirs = FeatureExtractorInceptionV3("reference", ["2048"], feature_extractor_weights_path=str(path))
    want = theirs(torch.from_numpy(grey)[:, None].expand(-1, 3, -1, -1))[0].numpy()
    half = [128 / 255] * 3
    encoder = inception("inception", str(path), {}, {"size": 299, "mean": half, "std": half}, COMPUTE)
    assert want.std() > 0.01
    np.testing.assert_allclose(encoder(grey), want, rtol=1e-4, atol=1e-5)
    path.unlink()


def test_nothing_is_looked_for_before_it_is_needed(dinov2: Make) -> None:
    encoder = dinov2("/nowhere/at/all")
    assert (encoder.dim, encoder.block) == (16, 4)
    for needs_weights in (lambda: encoder.id, lambda: encoder(np.zeros((1, 8, 8), np.uint8))):
        with pytest.raises(BenchError, match=r"no folder of weights at /nowhere.*encoder\.tiny\.path"):
            needs_weights()


def test_one_network_for_equal_weights(dinov2: Make, images: np.ndarray) -> None:
    first, second = dinov2(), dinov2()
    assert first.module is second.module
    assert dinov2(dtype="bfloat16").module is not first.module


def test_the_id_tells_weights_preprocessing_and_dtype(dinov2: Make, dinov2_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    plain = dinov2()
    state = load_file(dinov2_folder / "model.safetensors")
    state["layernorm.bias"] += 1
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((dinov2_folder / "config.json").read_bytes())
    cropped = {"size": 28, "aspect": "crop", **COLOURS}
    others = (
        dinov2(tmp_path),
        dinov2(dtype="bfloat16"),
        transformers_model("tiny", 16, str(dinov2_folder), {}, cropped, COMPUTE),
    )
    assert len({plain.id, *(other.id for other in others)}) == 4
    renamed = transformers_model("other", 16, str(dinov2_folder), {}, {"size": 28, **COLOURS}, COMPUTE | {"block": 1})
    assert renamed.id == plain.id


def test_bfloat16_stays_near_float32(dinov2: Make, images: np.ndarray) -> None:
    exact_rows, rough = dinov2()(images), dinov2(dtype="bfloat16")(images)
    assert rough.dtype == np.float32
    error = np.linalg.norm(rough - exact_rows) / np.linalg.norm(exact_rows)
    assert 0 < error < 0.05


def test_wrong_dim_is_an_error(dinov2: Make, images: np.ndarray) -> None:
    with pytest.raises(BenchError, match=r"\(3, 16\).*dim=17"):
        dinov2(dim=17)(images)


def test_weights_that_do_not_fit_are_an_error(squeezenet: Make, squeezenet_file: Path, tmp_path: Path) -> None:
    state = torch.load(squeezenet_file, weights_only=True)
    del state["features.0.weight"]
    torch.save(state, tmp_path / "short.pth")
    image = np.zeros((1, 64, 64), np.uint8)
    with pytest.raises(BenchError, match=r"do not fit the network:(?s:.*)features\.0\.weight"):
        squeezenet(tmp_path / "short.pth")(image)
    with pytest.raises(BenchError, match="no layer 'nonsense'"):
        squeezenet(layer="nonsense")(image)
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(BenchError, match="no plain file of weights"):
        squeezenet(tmp_path / "text.pth")(image)


def test_incomplete_transformers_weights_are_an_error(dinov2: Make, dinov2_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(dinov2_folder / "model.safetensors")
    del state["layernorm.bias"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((dinov2_folder / "config.json").read_bytes())
    with pytest.raises(BenchError, match=r"lacks 1 tensors, the first is layernorm\.bias"):
        dinov2(tmp_path)(np.zeros((1, 28, 28), np.uint8))
    torn = (dinov2_folder / "model.safetensors").read_bytes()[:-8]
    (tmp_path / "model.safetensors").write_bytes(torn)
    with pytest.raises(BenchError, match=r"encoder tiny: .* is no loadable network: .*incomplete metadata"):
        dinov2(tmp_path)(np.zeros((1, 28, 28), np.uint8))


class Trap:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_weights_are_never_executed(squeezenet: Make, tmp_path: Path) -> None:
    torch.save({"features.0.weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(BenchError, match="no plain file of weights"):
        squeezenet(tmp_path / "trap.pth")(np.zeros((1, 64, 64), np.uint8))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("compute", [{"dtype": "float16"}, {"block": 0}, {"threads": 2}])
def test_wrong_compute_settings_are_refused(compute: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match="encoder x: compute"):
        Compute.of("x", compute)


def test_exact_restores_what_it_found() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    try:
        with exact():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before[0])
    assert torch.backends.cudnn.allow_tf32 == before[1]


@pytest.mark.gpu
def test_gpu_and_cpu_agree(dinov2: Make, images: np.ndarray) -> None:
    np.testing.assert_allclose(dinov2(device="cuda")(images), dinov2()(images), atol=1e-5)
