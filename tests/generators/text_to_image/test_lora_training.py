import inspect
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import BenchError, Generator
from bench.runtime.identity import Identity
from bench.runtime.plugins import build
from generators.text_to_image.lora_training import ADAPTER, LoraTraining, captions
from tests.generators.text_to_image.tiny_families import OPTIONS, family_of, killed_at, option

TRAINING = {"rank": 4, "steps": 6, "batch": 4, "learning_rate": 0.01, "warmup_steps": 1}
# settings that decide nothing about the adapter, each unlike what ``make`` has
UNTRAINED: dict[str, Any] = {
    "device": "auto",
    "bad_tolerance": 7,
    "offload": "model",
    "checkpoint_every": 3,
    "gradient_checkpointing": True,
    "caption_memory": 0.5,
    "trained_on": "elsewhere",
    "block": 5,
    "sampling": {"num_inference_steps": 4, "guidance_scale": 2.0},
}


def make(folder: Path, training: dict | None = None, **settings) -> LoraTraining:
    from generators.text_to_image.families import StableDiffusion

    values = {
        "path": str(folder),
        "size": [32, 32],
        "sampling": {"num_inference_steps": 2},
        "checkpoint_every": 2,
        "prompt": "a picture, level {level}, {side}",
        "device": "cpu",
        "block": 2,
    }
    return LoraTraining({"family": StableDiffusion()} | TRAINING | (training or {}), **values | settings)


@pytest.fixture(scope="module")
def train(toy):
    return toy.labelled(10, size=(32, 32))


@pytest.fixture(scope="module")
def finished(tiny, train, tmp_path_factory):
    """A generator that has learned, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    generator = make(tiny("stable_diffusion"))
    generator.fit(train, folder, 3)
    return generator, folder


def test_captions_are_made_like_prompts(train) -> None:
    level, side = train.column("level")[0], train.column("side")[0]
    assert captions(train, "level {level}, {side}")[0] == f"level {level}, {['left', 'right'][side]}"
    with pytest.raises(BenchError, match="i0 has no prompt"):
        captions(train, "{prompt}")


def test_the_adapter_changes_the_images_and_is_reported(finished, tiny, toy) -> None:
    generator, folder = finished
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(2)]
    base = make(tiny("stable_diffusion"), {"steps": 1, "learning_rate": 1e-12})
    base.fit(toy.labelled(10, size=(32, 32)), folder / "base", 3)
    assert np.abs(generator.sample(requests).astype(int) - base.sample(requests)).max() > 2
    assert generator.facts["training"]["steps"] == 6
    assert generator.facts["lora"]["layers"] == 32
    assert sorted(path.name for path in folder.glob("*.*")) == ["history.csv", ADAPTER]
    assert len((folder / "history.csv").read_text().splitlines()) == 7


def test_a_killed_training_goes_on_to_the_same_bytes(finished, tiny, train, tmp_path, monkeypatch) -> None:
    from generators.text_to_image.training import Trainer

    step = Trainer._step

    with killed_at(5):
        make(tiny("stable_diffusion")).fit(train, tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "lora.checkpoint.safetensors"]
    other = shutil.copytree(tmp_path, tmp_path / "other")
    taken: list[int] = []
    monkeypatch.setattr(Trainer, "_step", lambda *given: taken.append(given[2]) or step(*given))
    make(tiny("stable_diffusion"), {"learning_rate": 0.02}).fit(train, other, 3)
    assert taken == list(range(6)), "a checkpoint of other settings must not be continued"
    taken.clear()
    make(tiny("stable_diffusion")).fit(train, tmp_path, 3)
    assert taken == [4, 5]
    assert (tmp_path / ADAPTER).read_bytes() == (finished[1] / ADAPTER).read_bytes()
    assert (tmp_path / "history.csv").read_bytes() == (finished[1] / "history.csv").read_bytes()


def test_a_finished_adapter_is_loaded_and_another_seed_gives_another(
    finished, tiny, train, tmp_path, monkeypatch
) -> None:
    other = make(tiny("stable_diffusion"))
    other.fit(train, tmp_path, 4)
    assert (tmp_path / ADAPTER).read_bytes() != (finished[1] / ADAPTER).read_bytes()
    monkeypatch.setattr(LoraTraining, "_train", lambda *_: pytest.fail("trained twice"))
    again = make(tiny("stable_diffusion"))
    again.fit(train, tmp_path, 4)
    assert again.facts["lora"]["sha256"] == other.facts["lora"]["sha256"]


def test_the_list_of_what_decides_nothing_is_whole() -> None:
    refused = {"accounting"}  # see tests/generators/test_accounting.py
    assert set(UNTRAINED) == {*LoraTraining.incidental, *LoraTraining.sampling_only} - refused


@pytest.mark.parametrize("setting", sorted(set(UNTRAINED) - {"offload"}))  # which needs a GPU
def test_the_finished_adapter_is_found_again(setting, finished, tiny, toy, train, tmp_path, monkeypatch) -> None:
    generator, folder = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(LoraTraining, "_train", lambda *_: pytest.fail("trained twice"))
    again = make(tiny("stable_diffusion"), **{setting: UNTRAINED[setting]})
    again.fit(train, tmp_path, 3)
    assert again.facts["lora"]["sha256"] == generator.facts["lora"]["sha256"]
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(2)]
    if setting != "device":  # another one may round otherwise
        assert np.array_equal(again.sample(requests), generator.sample(requests)) == (setting != "sampling")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_key_of_a_training_leaves_out_what_decides_nothing(name) -> None:
    """The settings under which a run keeps its trained generators, with the options as they stand in ``conf/``."""

    def key(**changed: Any) -> dict[str, Any]:
        chosen = option(name, Path("unused"))
        chosen.update(changed)
        assert isinstance(build(chosen, Generator), LoraTraining)
        left_out = (*LoraTraining.incidental, *LoraTraining.sampling_only)
        return {
            each: value
            for each, value in Identity(Path("unused")).settings(chosen, at_home=True).items()
            if each not in left_out
        }

    before = Identity(Path("unused")).settings(option(name, Path("unused")), at_home=True)
    others = UNTRAINED | {"gradient_checkpointing": not before["gradient_checkpointing"]}
    assert all(before[each] != value for each, value in others.items())
    assert key(**others) == key() != key(resize="crop")


@pytest.mark.parametrize("name", OPTIONS)
def test_training_depends_on_those_arguments_of_the_call_that_encode_texts(name) -> None:
    import diffusers

    encode = getattr(diffusers, family_of(name).pipeline).encode_prompt
    chosen, heard = option(name, Path("unused")), inspect.signature(encode).parameters
    assert chosen.sampling and set(chosen.call) <= set(heard) and not set(chosen.sampling) & set(heard)


@pytest.mark.parametrize(
    "changed", [{"sampling": UNTRAINED["sampling"]}, {"checkpoint_every": 1}, {"caption_memory": 0}]
)
def test_a_checkpoint_is_continued_whatever_decides_nothing(
    changed, tiny, train, tmp_path, monkeypatch, finished
) -> None:
    from generators.text_to_image.training import Trainer

    step = Trainer._step
    taken: list[int] = []

    with killed_at(5):
        make(tiny("stable_diffusion")).fit(train, tmp_path, 3)
    monkeypatch.setattr(Trainer, "_step", lambda *given: taken.append(given[2]) or step(*given))
    make(tiny("stable_diffusion"), **changed).fit(train, tmp_path, 3)
    assert taken == [4, 5]
    assert (tmp_path / ADAPTER).read_bytes() == (finished[1] / ADAPTER).read_bytes()


@pytest.mark.parametrize(
    ("size", "wanted", "resize", "named"),
    [
        ((64, 64), (512, 512), "pad", ("64 x 64", "512 x 512")),
        ((64, 48), (64, 64), "crop", ("64 x 48", "64 x 64")),
        ((48, 48), (64, 96), "pad", ("48 x 48", "64 x 96")),
    ],
)
def test_training_images_are_never_enlarged(size, wanted, resize, named, toy, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("generators.text_to_image.load.load_pipeline", lambda _: pytest.fail("the pipeline was loaded"))
    with pytest.raises(BenchError) as error:
        make(tmp_path, size=list(wanted), resize=resize).fit(toy.labelled(2, size=size), tmp_path, 0)
    message = str(error.value)
    assert all(each in message for each in named)
    assert f"dataset.image_size=[{wanted[0]},{wanted[1]}], or a smaller generator.size" in message


@pytest.mark.parametrize(("least", "warned"), [((40, 50), True), ((64, 64), False)])
def test_files_that_the_data_set_enlarged_are_warned_of(least, warned, toy, tmp_path, monkeypatch, caplog) -> None:
    def loaded(_):
        raise BenchError("loading begins")

    monkeypatch.setattr("generators.text_to_image.load.load_pipeline", loaded)
    images = replace(toy.labelled(2, size=(64, 64)), own_size=(least, (512, 512)))
    with pytest.raises(BenchError, match="loading begins"):
        make(tmp_path, size=[64, 64]).fit(images, tmp_path, 0)
    assert ("toy has files of 40 x 50 pixels" in caplog.text) == warned


@pytest.mark.parametrize(("size", "resize"), [((64, 48), "pad"), ((64, 64), "crop"), ((70, 96), "crop")])
def test_training_images_of_the_size_or_larger_are_learned_from(size, resize, toy, tmp_path, monkeypatch) -> None:
    def loaded(_):
        raise BenchError("loading begins")

    monkeypatch.setattr("generators.text_to_image.load.load_pipeline", loaded)
    with pytest.raises(BenchError, match="loading begins"):
        make(tmp_path, size=[64, 64], resize=resize).fit(toy.labelled(2, size=size), tmp_path, 0)


def test_every_image_is_seen_once_an_epoch() -> None:
    from generators.training.loop import batch_indices

    seen = np.concatenate([batch_indices(step, 4, 10, lambda epoch: [1, 0, epoch]) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])


def test_what_cannot_be_trained_is_refused(tiny, train, tmp_path, monkeypatch) -> None:
    with pytest.raises(BenchError, match=r"StableDiffusion trains a .* this is a FluxPipeline that lacks unet"):
        make(tiny("flux_dev")).fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match=r"generator\.training\.family is 'Sana'; it must be a family such as"):
        make(tiny("sana"), {"family": "Sana"})
    with pytest.raises(BenchError, match=r"generator\.training\.layers"):
        make(tiny("stable_diffusion"), {"layers": ["nothing"]}).fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match=r"generator\.training\.rank.*generator\.training\.epochs"):
        make(tiny("stable_diffusion"), {"rank": 0, "epochs": 3})
    with pytest.raises(BenchError, match=r"generator\.training\.checkpoint_every"):
        make(tiny("stable_diffusion"), {"checkpoint_every": 2})
    for setting, value in (("checkpoint_every", 0), ("caption_memory", -1), ("gradient_checkpointing", "perhaps")):
        with pytest.raises(BenchError, match=rf"generator\.{setting}: "):
            make(tiny("stable_diffusion"), **{setting: value})
    with pytest.raises(BenchError, match=r"call and generator\.sampling both set guidance_scale;"):
        make(tiny("stable_diffusion"), call={"guidance_scale": 3.0}, sampling={"guidance_scale": 2.0})
    with monkeypatch.context() as patch, pytest.raises(BenchError, match="guidance_scale"):
        patch.setattr("generators.text_to_image.training.Trainer.train", lambda *_: pytest.fail("trained first"))
        make(tiny("stable_diffusion"), sampling={"guidance_scal": 2.0}).fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match="trains its own"):
        make(tiny("stable_diffusion"), lora={"path": "x"})
    with pytest.raises(BenchError, match=r"the losses are .*; lower generator\.training\.learning_rate"):
        make(tiny("stable_diffusion"), {"learning_rate": 1e30, "clip_norm": 1e30}).fit(train, tmp_path, 0)
