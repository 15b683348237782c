"""Fine-tuning a Stable Diffusion pipeline on the training images with a low-rank adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.api import BenchError, ImageSet, Request
from bench.device import resolve
from bench.store import content_key
from generators.diffusers_pipeline import DiffusersPipeline
from generators.diffusion.prompts import prompt_text
from generators.diffusion.settings import Lora, Training, read

ADAPTER = "pytorch_lora_weights.safetensors"


class LoraTraining(DiffusersPipeline):
    """Trains an adapter, then samples as ``DiffusersPipeline`` with it.

    Only the denoiser's attention learns; autoencoder and text encoder stay as they came. For pipelines with a
    ``unet`` that predicts noise or velocity (Stable Diffusion 1 and 2). Hu et al., LoRA, arXiv:2106.09685.
    """

    def __init__(self, training: Mapping[str, Any], **settings: Any) -> None:
        super().__init__(**settings)
        if self._settings.lora:
            raise BenchError("generator.lora is set, but this generator trains its own adapter; set it to null")
        self._training = read(Training, training, "generator.training")

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Train, go on training, or load the finished adapter from ``folder``."""
        if not (folder / ADAPTER).is_file():
            self._train(train, folder, seed)
        self._settings = self._settings.model_copy(update={"lora": Lora(path=str(folder), file=ADAPTER)})
        super().fit(train, folder, seed)
        self.facts["training"] = self._training.model_dump()

    def _train(self, train: ImageSet, folder: Path, seed: int) -> None:
        import torch

        from generators.diffusion.load import load_pipeline
        from generators.diffusion.training import Lessons, Trainer

        pipeline, facts = load_pipeline(self._settings)
        if not all(hasattr(pipeline, part) for part in ("unet", "vae", "text_encoder", "tokenizer")):
            raise BenchError(
                f"{type(pipeline).__name__} cannot be fine-tuned here: it needs a unet, a vae and one text encoder; "
                "train the adapter elsewhere and give it as generator.lora"
            )
        device = torch.device(resolve(self._settings.device))
        lessons = Lessons(
            train.pixels, captions(train, self._settings.prompt), self._settings.size, self._settings.resize
        )
        trainer = Trainer(pipeline, self._training, seed, device)
        trainer.train(lessons, folder, content_key([facts, self._training.model_dump(), train.digest, seed]))
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
