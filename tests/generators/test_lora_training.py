import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.api import BenchError
from generators.lora_training import ADAPTER, LoraTraining, captions

TRAINING = {"rank": 4, "steps": 6, "batch": 4, "learning_rate": 0.01, "warmup_steps": 1, "checkpoint_every": 2}


def make(folder: Path, training: dict | None = None, **settings) -> LoraTraining:
    from generators.diffusion.families import StableDiffusion

    values = {
        "path": str(folder),
        "size": [32, 32],
        "call": {"num_inference_steps": 2},
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


def test_captions_are_made_like_prompts(train):
    level, side = train.column("level")[0], train.column("side")[0]
    assert captions(train, "level {level}, {side}")[0] == f"level {level}, {['left', 'right'][side]}"
    with pytest.raises(BenchError, match="i0 has no prompt"):
        captions(train, "{prompt}")


def test_the_adapter_changes_the_images_and_is_reported(finished, tiny, toy):
    generator, folder = finished
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(2)]
    base = make(tiny("stable_diffusion"), {"steps": 1, "learning_rate": 1e-12})
    base.fit(toy.labelled(10, size=(32, 32)), folder / "base", 3)
    assert np.abs(generator.sample(requests).astype(int) - base.sample(requests)).max() > 2
    assert generator.facts["training"]["steps"] == 6
    assert generator.facts["lora"]["layers"] == 32
    assert sorted(path.name for path in folder.glob("*.*")) == ["history.csv", ADAPTER]
    assert len((folder / "history.csv").read_text().splitlines()) == 7


def test_a_killed_training_goes_on_to_the_same_bytes(finished, tiny, train, tmp_path, monkeypatch):
    from generators.diffusion.training import CHECKPOINT, Trainer

    step = Trainer._step

    def killed(self, lessons, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, lessons, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_step", killed)
        make(tiny("stable_diffusion")).fit(train, tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "history.csv"]
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


def test_a_finished_adapter_is_loaded_and_another_seed_gives_another(finished, tiny, train, tmp_path, monkeypatch):
    other = make(tiny("stable_diffusion"))
    other.fit(train, tmp_path, 4)
    assert (tmp_path / ADAPTER).read_bytes() != (finished[1] / ADAPTER).read_bytes()
    monkeypatch.setattr(LoraTraining, "_train", lambda *_: pytest.fail("trained twice"))
    again = make(tiny("stable_diffusion"))
    again.fit(train, tmp_path, 4)
    assert again.facts["lora"]["sha256"] == other.facts["lora"]["sha256"]


def test_every_image_is_seen_once_an_epoch():
    from generators.diffusion.training import batch_indices

    seen = np.concatenate([batch_indices(10, 4, step, seed=1) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])


def test_what_cannot_be_trained_is_refused(tiny, train, tmp_path):
    with pytest.raises(BenchError, match=r"StableDiffusion trains a .* this is a FluxPipeline that lacks unet"):
        make(tiny("flux_dev")).fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match=r"generator\.training\.family is 'Sana'; it must be a family such as"):
        make(tiny("sana"), {"family": "Sana"})
    with pytest.raises(BenchError, match=r"generator\.training\.layers"):
        make(tiny("stable_diffusion"), {"layers": ["nothing"]}).fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match=r"generator\.training\.rank.*generator\.training\.epochs"):
        make(tiny("stable_diffusion"), {"rank": 0, "epochs": 3})
    with pytest.raises(BenchError, match="trains its own"):
        make(tiny("stable_diffusion"), lora={"path": "x"})
    with pytest.raises(BenchError, match="the loss is"):
        make(tiny("stable_diffusion"), {"learning_rate": 1e30, "clip_norm": 1e30}).fit(train, tmp_path, 0)
