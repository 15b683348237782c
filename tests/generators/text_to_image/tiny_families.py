"""Fresh tiny pipelines with the family and the options that fine-tune them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from bench.runtime.plugins import build
from generators.text_to_image.families import Family
from generators.text_to_image.settings import Thrift

CONF = Path(__file__).parents[3] / "conf" / "generator"
OPTIONS = {
    "stable_diffusion": "sd_lora",
    "sana": "sana_lora",
    "pixart_sigma": "pixart_lora",
    "sd35_medium": "sd35_lora",
    "lumina2": "lumina2_lora",
    "flux_dev": "flux_lora",
}
SOLVER = {
    "class": "diffusers.DPMSolverMultistepScheduler",
    "config": {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0},
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in OPTIONS} | {
    "velocity": ("stable_diffusion", {"config": {"prediction_type": "v_prediction"}}),
    "solver": ("sana", SOLVER),
}
SIZE = (32, 32)


def option(name: str, folder: Path, **training: Any) -> DictConfig:
    """The configuration that fine-tunes this pipeline, on the tiny one and for a few steps."""
    config = OmegaConf.create({"device": "cpu", "blank_tolerance": 0})
    config.generator = OmegaConf.load(CONF / f"{OPTIONS[name]}.yaml")
    chosen = config.generator
    chosen.update({"path": str(folder), "size": list(SIZE), "dtype": "float32", "block": 2})
    chosen.prompt = "level {level}, {side}"
    chosen.sampling.num_inference_steps = 3
    texts = {"max_sequence_length": 64, "system_prompt": "draw", "complex_human_instruction": ["say "]}
    for key, value in texts.items():
        if key in chosen.call:
            chosen.call[key] = value
    few = {"rank": 4, "alpha": 6, "steps": 4, "batch": 2, "learning_rate": 0.01, "warmup_steps": 1}
    for key, value in (few | {"checkpoint_every": 2} | training).items():
        (chosen if key in Thrift.model_fields else chosen.training)[key] = value
    OmegaConf.resolve(config)
    return chosen


def family_of(name: str) -> Any:
    """The family in the configuration that fine-tunes this pipeline."""
    return build(option(name, Path("unused")).training.family, Family)


def loader(tiny: Callable[[str], Path]) -> Callable[..., tuple[Any, Any, dict[str, Any]]]:
    """A function that gives a fresh pipeline of a case, its family, and the arguments it is called with."""
    from generators.text_to_image.load import load_pipeline
    from generators.text_to_image.sample import call_arguments
    from generators.text_to_image.settings import Settings, read

    kept: dict[tuple[str, str], Any] = {}

    def load(case: str, dtype: str = "float32") -> tuple[Any, Any, dict[str, Any]]:
        name, scheduler = CASES[case]
        if (case, dtype) not in kept:
            parts = {"scheduler": scheduler} if scheduler else {}
            settings = {"path": str(tiny(name)), "size": SIZE, "components": parts, "dtype": dtype}
            kept[case, dtype] = load_pipeline(read(Settings, settings))[0]
        pipeline = copy.deepcopy(kept[case, dtype])
        pipeline.set_progress_bar_config(disable=True)
        chosen = option(name, tiny(name))
        call = call_arguments(pipeline, OmegaConf.to_container(chosen.call) | OmegaConf.to_container(chosen.sampling))
        return pipeline, family_of(name), call

    return load


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """A training inside ends as if killed, before this step."""
    from generators.text_to_image.training import Trainer

    whole = Trainer._step

    def part(self: Any, lessons: Any, number: int) -> float:
        if number == step:
            raise KeyboardInterrupt
        return whole(self, lessons, number)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_step", part)
        yield
