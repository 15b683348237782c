"""Text-to-image pipelines of the diffusers library."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.api import BenchError, Generator, Images, ImageSet, Part, Request
from bench.runtime.device import resolve
from bench.storage.image_reader import size_span
from generators.accounting import accounting_record
from generators.text_to_image.prompts import fields, prompt_text, token_counts
from generators.text_to_image.settings import Settings, read
from generators.training_statement import training_statement

log = logging.getLogger(__name__)


class DiffusersPipeline(Generator):
    """Samples a trained pipeline, from a folder or from the model hub, with one noise source for each request.

    ``conf/generator/diffusers.yaml`` lists and explains the settings. Only safetensors are opened, only classes of
    diffusers and transformers are used, and whatever decides the images is in ``facts``: hashes of the parts,
    number formats, every argument of the call, the prompt template, the size it renders at (twice: ``own_size``, least
    and greatest), and how many prompts were cut short.
    """

    learns_from: ClassVar[Part | None] = None
    incidental: ClassVar[tuple[str, ...]] = ("device", "bad_tolerance", "offload", "trained_on", "accounting")
    runs_code: ClassVar[tuple[str, ...]] = ("remote_code",)

    def __init__(self, **settings: Any) -> None:
        self._settings = read(Settings, settings)
        self.block = self._settings.block
        self.uses = fields(self._settings.prompt)
        self.reads = self._settings.places
        self.trained_on = training_statement(self._settings.trained_on)
        self.accounted = accounting_record(self._settings.accounting)
        self.facts: dict[str, Any] = {}
        self._bad: dict[str, str] = {}

    def fit(self, train: ImageSet, folder: Path, seed: int) -> None:
        """Load the pipeline; it comes trained."""
        from generators.text_to_image.adapter import lay
        from generators.text_to_image.load import load_pipeline
        from generators.text_to_image.sample import call_arguments

        settings = self._settings
        self._size = train.size
        self._labels = {label.name: label for label in train.info.labels}
        self._pipeline, facts = load_pipeline(settings)
        self._call = call_arguments(self._pipeline, settings.call)
        if settings.lora:
            facts["lora"] = lay(self._pipeline, settings.lora)
        self._place()
        self.facts = facts | {
            "call": self._call,
            "size": list(settings.size),
            "own_size": size_span([settings.size]),
            "resize": settings.resize,
            "grey": "0.299 R + 0.587 G + 0.114 B",
            "prompt": settings.prompt,
            "block": self.block,
        }

    def plan(self, requests: Sequence[Request]) -> None:
        """Count tokens, so that prompts which are cut short are known before any image is made."""
        texts = [self._text(each) for each in requests]
        self.facts["tokens"] = token_counts(self._pipeline, texts, self._call) if texts else {}
        for name, count in self.facts["tokens"].items():
            if count["truncated"]:
                log.warning("%s cuts %d of %d prompts", name, count["truncated"], count["prompts"])

    def sample(self, requests: Sequence[Request]) -> Images:
        from generators.text_to_image.sample import faults, render, to_grey

        texts, seeds = [self._text(each) for each in requests], [each.seed for each in requests]
        rendered = render(self._pipeline, texts, seeds, self._settings.size, self._call)
        images = to_grey(rendered, self._size, self._settings.resize)
        self._count(requests, faults(rendered, images))
        return images

    def _text(self, request: Request) -> str:
        return prompt_text(self._settings.prompt, request, self._labels)

    def _count(self, requests: Sequence[Request], reasons: Sequence[str | None]) -> None:
        self._bad |= {each.request_id: reason for each, reason in zip(requests, reasons, strict=True) if reason}
        self.facts["bad_images"] = len(self._bad)
        if len(self._bad) > self._settings.bad_tolerance:
            first = ", ".join(f"{name} ({reason})" for name, reason in list(self._bad.items())[:5])
            raise BenchError(
                f"{len(self._bad)} images show nothing, tolerated are {self._settings.bad_tolerance}: {first}. Numbers "
                "that overflow are the usual cause: try generator.dtype=bfloat16 or float32, at least for the vae"
            )

    def _place(self) -> None:
        device = resolve(self._settings.device)
        self._pipeline.set_progress_bar_config(disable=True)
        if self._settings.offload == "model":
            self._pipeline.enable_model_cpu_offload(device=device)
        elif self._settings.offload == "sequential":
            self._pipeline.enable_sequential_cpu_offload(device=device)
        else:
            self._pipeline.to(device)
