"""Fine-tuning a pipeline on the training images with a low-rank adapter."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from bench.api import BenchError, ImageSet, Part, Request
from bench.runtime.device import resolve
from bench.storage.files import content_key
from bench.storage.image_reader import enlargement
from generators.text_to_image.adapter import ADAPTER
from generators.text_to_image.pipeline import DiffusersPipeline
from generators.text_to_image.prompts import prompt_text
from generators.text_to_image.settings import Lora, Recipe, Thrift, Training, read

log = logging.getLogger(__name__)


class LoraTraining(DiffusersPipeline):
    """Trains an adapter, then samples as ``DiffusersPipeline`` with it.

    Only layers of the denoiser learn; autoencoder and text encoders stay as they came. ``training.family`` says how
    pipelines of this kind are trained. Training hears texts as ``call`` says; ``sampling`` holds the arguments of the
    pipeline's call that come in only afterwards. Hu et al., LoRA, arXiv:2106.09685.

    What the base learned from, before it came here, the bench cannot know: ``trained_on`` states it, and without a
    statement it is unknown what the adapted pipeline learned from.
    """

    learns_from: ClassVar[Part | None] = "train"
    incidental: ClassVar[tuple[str, ...]] = (*DiffusersPipeline.incidental, *Thrift.model_fields)
    sampling_only: ClassVar[tuple[str, ...]] = ("block", "sampling")

    def __init__(self, training: Mapping[str, Any], sampling: Mapping[str, Any] | None = None, **settings: Any) -> None:
        from generators.text_to_image.families import Family

        thrift = read(Thrift, {name: settings.pop(name) for name in Thrift.model_fields if name in settings})
        super().__init__(**settings)
        if self._settings.lora:
            raise BenchError("generator.lora is set, but this generator trains its own adapter; set it to null")
        if self.accounted is not None:
            raise BenchError(
                "generator.accounting is set, but no accountant saw the training that goes on here; set it to null"
            )
        recipe = read(Recipe, training, "generator.training")
        if not isinstance(recipe.family, Family):
            raise BenchError(
                f"generator.training.family is {recipe.family!r}; it must be a family such as "
                "{_target_: generators.text_to_image.families.StableDiffusion}"
            )
        self._training = Training(**dict(recipe), **dict(thrift))
        self._heard = self._settings.call
        self._settings = self._settings.model_copy(update={"call": _joined(self._heard, sampling or {})})

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Train, go on training, or load the finished adapter from ``folder``.

        Raises:
            BenchError: training images smaller than ``size``, captions missing, a pipeline that the family does not
                fit or that cannot be loaded, a loss that is no number.
        """
        if not (folder / ADAPTER).is_file():
            self._train(train, folder, seed)
        self._settings = self._settings.model_copy(update={"lora": Lora(path=str(folder), file=ADAPTER)})
        super().fit(train, folder, seed)
        self.facts |= {"training": self._training.described()}

    def _train(self, train: ImageSet, folder: Path, seed: int) -> None:
        self._check_size(train)
        import torch

        from generators.text_to_image.load import load_pipeline
        from generators.text_to_image.sample import call_arguments
        from generators.text_to_image.training import Lessons, Trainer

        settings = self._settings
        pipeline, facts = load_pipeline(settings)
        self._training.family.check(pipeline, settings.size)
        call_arguments(pipeline, settings.call)  # a wrong one must not come to light only after the training
        call = call_arguments(pipeline, self._heard)
        texts = captions(train, settings.prompt)
        lessons = Lessons(train.pixels, texts, settings.size, settings.resize)
        trainer = Trainer(pipeline, self._training, call, seed, torch.device(resolve(settings.device)))
        seen = [train.digest, texts, settings.size, settings.resize]
        key = content_key([facts, call, self._training.described(), seen, seed])
        trainer.train(lessons, folder, key)
        trainer.save(folder)

    def _check_size(self, train: ImageSet) -> None:
        wanted = self._settings.size
        if enlargement(train.size, wanted, self._settings.resize) > 1:
            (height, width), (rows, columns) = train.size, wanted
            raise BenchError(
                f"generator.size is {rows} x {columns}, but the working images of {train.info.name} are {height} x "
                f"{width} (height x width): enlarged, they would teach the adapter their blur; set "
                f"dataset.image_size=[{rows},{columns}], or a smaller generator.size, if the pipeline in "
                "generator.path renders at one"
            )
        if train.own_size and enlargement(train.own_size[0], train.size, "pad") > 1:
            log.warning(
                "%s has files of %d x %d pixels (height x width, the least of each), brought to %d x %d: what was "
                "enlarged teaches the adapter its blur",
                train.info.name,
                *train.own_size[0],
                *train.size,
            )


def _joined(call: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    both = sorted(call.keys() & sampling.keys())
    if both:
        raise BenchError(
            f"generator.call and generator.sampling both set {', '.join(both)}; leave in call what training depends "
            "on too, and in sampling the rest"
        )
    return {**call, **sampling}


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
