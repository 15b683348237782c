"""Each family trained by the one trainer, with the options as they stand in ``conf/``."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from bench.api import BenchError, Generator
from bench.runtime.plugins import build
from tests.generators.text_to_image.tiny_families import OPTIONS, SIZE, killed_at, loader, option

WORDS = ["a mammogram", "left"]
# test_lora_training.py does the same with Stable Diffusion
OTHERS = [name for name in OPTIONS if name != "stable_diffusion"]
# what a family has little part in is tried on all of them only in the long suite
SAMPLED = [name if name == "sana" else pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS]


@pytest.fixture(scope="module")
def loaded(tiny):
    return loader(tiny)


@pytest.fixture(scope="module")
def train(toy):
    return toy.labelled(6, size=SIZE)


@pytest.mark.parametrize("name", OTHERS)
def test_every_family_learns_and_its_adapter_acts(name, tiny, toy, train, tmp_path) -> None:
    """The whole way of a run: the option as it stands in ``conf/``, trained, saved, laid over the pipeline, sampled."""
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(2)]
    images = []
    for rate in (0.05, 1e-12):
        folder = tmp_path / str(rate)
        generator = build(option(name, tiny(name), learning_rate=rate), Generator)
        generator.fit(train, folder, 3)
        images.append(generator.sample(requests).astype(int))
        assert generator.facts["lora"]["layers"] > 2 and len(generator.facts["lora"]["sha256"]) == 64
        assert generator.facts["training"]["family"]["name"] == type(generator._training.family).__name__
    assert np.abs(images[0] - images[1]).max() > 0


def trainer(loaded, name: str, dtype: str = "float32", **training):
    import torch

    from generators.text_to_image.settings import Thrift, Training
    from generators.text_to_image.training import Trainer

    pipeline, family, call = loaded(name, dtype)
    chosen = option(name, Path("unused"), **training)
    thrift = {each: chosen[each] for each in Thrift.model_fields}
    values = OmegaConf.to_container(chosen.training) | thrift | {"family": family}
    return pipeline, Trainer(pipeline, Training(**values), call, 0, torch.device("cpu"))


def lessons(train, word: str = "level"):
    from generators.text_to_image.training import Lessons

    return Lessons(train.pixels, [f"{word} {place % 3}" for place in range(len(train))], SIZE, "pad")


def adapter_of(loaded, train, folder: Path, name: str, word: str = "level", **training) -> bytes:
    from generators.text_to_image.adapter import ADAPTER

    learner = trainer(loaded, name, **training)[1]
    learner.train(lessons(train, word), folder, "key")
    learner.save(folder)
    return (folder / ADAPTER).read_bytes()


@pytest.mark.parametrize("name", SAMPLED)
def test_the_loss_falls(name, loaded, train, tmp_path) -> None:
    import torch

    network = loaded(name)[1].network(loaded(name)[0])
    layers = [path for path, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)]
    layers += ["conv_in", "conv_out"]
    _, learner = trainer(loaded, name, layers=layers, steps=40, checkpoint_every=100)

    def loss() -> float:
        with torch.no_grad():
            pixels = lessons(train).batch(np.arange(6).repeat(4))
            return learner._loss(pixels, ["level 1"] * 24, torch.Generator().manual_seed(7)).item()

    before = loss()
    learner.train(lessons(train), tmp_path, "key")
    assert loss() < 0.9 * before


@pytest.mark.parametrize("name", OTHERS)
def test_a_killed_training_goes_on_to_the_same_bytes(name, loaded, train, tmp_path) -> None:
    from generators.text_to_image.adapter import ADAPTER

    (tmp_path / "whole").mkdir()
    whole = adapter_of(loaded, train, tmp_path / "whole", name)
    with killed_at(3):
        adapter_of(loaded, train, tmp_path, name)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3, "losses can be watched while it trains"
    assert not (tmp_path / ADAPTER).exists()
    assert adapter_of(loaded, train, tmp_path, name) == whole
    assert (tmp_path / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_the_saved_adapter_predicts_as_the_trained_one(name, loaded, train, tmp_path) -> None:
    import torch

    from generators.text_to_image.adapter import ADAPTER, lay
    from generators.text_to_image.families import Captions
    from generators.text_to_image.settings import Lora

    pipeline, learner = trainer(loaded, name, learning_rate=0.05)
    learner.train(lessons(train), tmp_path, "key")
    learner.save(tmp_path)
    fresh, family, call = loaded(name)
    noisy = family.latents(fresh, lessons(train).batch(np.arange(2)), torch.Generator().manual_seed(0))
    times = torch.tensor([300, 700])
    heard = Captions(fresh, family, call, 0)(WORDS)
    with torch.no_grad():
        plain = family.predict(fresh, noisy, times, heard)
        trained = family.predict(pipeline, noisy, times, heard)
        facts = lay(fresh, Lora(path=str(tmp_path), file=ADAPTER))
        laid = family.predict(fresh, noisy, times, heard)
    assert (trained - plain).abs().max() > 1e-3 and torch.allclose(laid, trained, atol=1e-5, rtol=0)
    assert facts["layers"] == sum("lora_A" in path for path in learner._weights)


def test_an_adapter_without_a_loader_in_the_library_is_laid_at_its_scale(loaded, train, tmp_path) -> None:
    import torch

    from generators.text_to_image.adapter import lay
    from generators.text_to_image.families import Captions
    from generators.text_to_image.settings import Lora

    adapter_of(loaded, train, tmp_path, "pixart_sigma", learning_rate=0.05)

    def predicted(**lora) -> torch.Tensor:
        pipeline, family, call = loaded("pixart_sigma")
        noisy = family.latents(pipeline, lessons(train).batch(np.arange(2)), torch.Generator().manual_seed(0))
        if lora:
            lay(pipeline, Lora(path=str(tmp_path), adapter="xray", **lora))
        with torch.no_grad():
            return family.predict(pipeline, noisy, torch.tensor([300, 700]), Captions(pipeline, family, call, 0)(WORDS))

    plain, full = predicted(), predicted(scale=1.0)
    assert torch.equal(predicted(scale=0.0), plain) and (full - plain).abs().max() > 1e-3
    assert torch.allclose(predicted(scale=1.0, fuse=True), full, atol=1e-4, rtol=0)
    with pytest.raises(BenchError, match="does not exist"):
        predicted(file="other.safetensors")
    adapter_of(loaded, train, tmp_path, "sd35_medium")
    with pytest.raises(BenchError, match="does not fit PixArtTransformer2DModel"):
        predicted(scale=1.0)
    adapter_of(loaded, train, tmp_path, "stable_diffusion")
    with pytest.raises(BenchError, match="holds no adapter of a transformer"):
        predicted(scale=1.0)
    (tmp_path / "torn.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(BenchError, match=r"generator\.lora: .*torn\.safetensors is damaged .*; copy it again"):
        predicted(file="torn.safetensors")


@pytest.mark.parametrize("name", SAMPLED)
def test_dropped_captions_are_not_heard(name, loaded, train, tmp_path) -> None:
    hearing, deaf = (
        [adapter_of(loaded, train, tmp_path, name, word, steps=2, caption_dropout=share) for word in ("level", "side")]
        for share in (0.0, 1.0)
    )
    assert deaf[0] == deaf[1]
    assert hearing[0] != hearing[1] and hearing[0] != deaf[0]


@pytest.mark.parametrize("name", SAMPLED)
def test_saving_memory_changes_no_byte(name, loaded, train, tmp_path) -> None:
    plain, checkpointed = (
        adapter_of(loaded, train, tmp_path, name, gradient_checkpointing=each) for each in (False, True)
    )
    assert checkpointed == plain
    assert trainer(loaded, name, gradient_checkpointing=True)[1]._network.is_gradient_checkpointing
    assert adapter_of(loaded, train, tmp_path, name, caption_memory=0.0) == plain


@pytest.mark.parametrize("name", SAMPLED)
def test_the_base_keeps_its_number_format_and_the_adapter_learns_in_float32(name, loaded, train, tmp_path) -> None:
    import torch
    from safetensors.torch import load

    from generators.text_to_image.adapter import pack

    pipeline, learner = trainer(loaded, name, "bfloat16", steps=2)
    network = learner._family.network(pipeline)
    before = {path: value.clone() for path, value in network.state_dict().items()}
    learner.train(lessons(train), tmp_path, "key")
    assert np.isfinite(learner.losses).all()
    changed = {path for path, value in network.state_dict().items() if not torch.equal(value, before[path])}
    assert changed and all("lora_" in path for path in changed)
    kinds = {str(value.dtype) for path, value in network.state_dict().items() if "lora_" not in path}
    assert "torch.bfloat16" in kinds
    assert {value.dtype for value in load(pack(network, learner._family.denoiser)).values()} == {torch.float32}
