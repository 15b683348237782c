"""Fine-tuning a pipeline on the training images with a low-rank adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.api import BenchError, ImageSet, Request
from bench.device import resolve
from bench.store import content_key
from generators.diffusers_pipeline import DiffusersPipeline
from generators.diffusion.adapter import ADAPTER
from generators.diffusion.prompts import prompt_text
from generators.diffusion.settings import Lora, Training, read


class LoraTraining(DiffusersPipeline):
    """Trains an adapter, then samples as ``DiffusersPipeline`` with it.

    Only layers of the denoiser learn; autoencoder and text encoders stay as they came. ``training.family`` says how
    pipelines of this kind are trained. Hu et al., LoRA, arXiv:2106.09685.
    """

    def __init__(self, training: Mapping[str, Any], **settings: Any) -> None:
        from generators.diffusion.families import Family

        super().__init__(**settings)
        if self._settings.lora:
            raise BenchError("generator.lora is set, but this generator trains its own adapter; set it to null")
        self._training = read(Training, training, "generator.training")
        if not isinstance(self._training.family, Family):
            raise BenchError(
                f"generator.training.family is {self._training.family!r}; it must be a family such as "
                "{_target_: generators.diffusion.families.StableDiffusion}"
            )

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Train, go on training, or load the finished adapter from ``folder``."""
        if not (folder / ADAPTER).is_file():
            self._train(train, folder, seed)
        self._settings = self._settings.model_copy(update={"lora": Lora(path=str(folder), file=ADAPTER)})
        super().fit(train, folder, seed)
        self.facts["training"] = self._training.described()

    def _train(self, train: ImageSet, folder: Path, seed: int) -> None:
        import torch

        from generators.diffusion.load import load_pipeline
        from generators.diffusion.sample import call_arguments
        from generators.diffusion.training import Lessons, Trainer

        settings = self._settings
        pipeline, facts = load_pipeline(settings)
        self._training.family.check(pipeline, settings.size)
        call = call_arguments(pipeline, settings.call)
        lessons = Lessons(train.pixels, captions(train, settings.prompt), settings.size, settings.resize)
        trainer = Trainer(pipeline, self._training, call, seed, torch.device(resolve(settings.device)))
        key = content_key([facts, call, self._training.described(), train.digest, seed])
        trainer.train(lessons, folder, key)
        trainer.save(folder)


def captions(images: ImageSet, template: str) -> list[str]:
    """The prompt of every image, made like that of a request for its conditions."""
    labels = {label.name: label for label in images.info.labels}
    columns = {name: images.column(name) for name in (*labels, *images.info.attributes)}
    texts = []
    for place, (name, prompt) in enumerate(zip(images.ids, images.column("prompt"), strict=True)):
        values = {label: columns[label][place] for label in labels}
        further = {attribute: columns[attribute][place] for attribute in images.info.attributes}
        texts.append(prompt_text(template, Request(name, "utility", values, further, prompt, 0, name), labels))
    return texts
