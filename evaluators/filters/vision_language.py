"""A vision-language model says whether an image is worth keeping."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from bench.api import BenchError, FeatureReader, Filter, ImageSet, Label, Split, Verdict
from bench.runtime.device import resolve
from bench.storage.checkpoints import Location, check_safetensors, folder_digest
from bench.storage.foreign_code import check_no_code

Unparsed = Literal["keep", "drop"]
DTYPES = ("float32", "bfloat16")
UNPARSED = "unparsed"
FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")  # of a model; all of them decide its answers
SHOWN = 80  # characters of an unparsed answer that the table shows


class VisionLanguage(Filter):
    """Grades every image against its description with a model of transformers' image-text-to-text pipeline.

    The way SynthCheX-75K was filtered (Dutt 2025, arXiv:2505.10496), with any model. One image at a time and greedy
    decoding, so no answer depends on another image. ``conf/filter/vision_language.yaml`` explains the settings.
    """

    block = 8

    def __init__(self, path: str | None = None, revision: str | None = None, **settings: Any) -> None:
        """``settings``: ``meta_prompt``, ``answers``, ``keep``, ``unparsed``, ``answer_tokens``, ``dtype``, ``device``.

        Raises:
            BenchError: a setting is unknown, missing or not among its choices.
        """
        self._path, self._revision = path, revision
        known = {"meta_prompt", "answers", "keep", "unparsed", "answer_tokens", "dtype", "device"}
        if settings.keys() - known or "meta_prompt" not in settings or "answers" not in settings:
            raise BenchError(f"filter has {sorted(settings)}, needed meta_prompt and answers, may have {sorted(known)}")
        self.meta_prompt = str(settings["meta_prompt"])
        self.answers = tuple(str(each) for each in settings["answers"])
        self.keep = tuple(str(each) for each in settings.get("keep", self.answers))
        self.unparsed = settings.get("unparsed", "keep")
        self.answer_tokens = int(settings.get("answer_tokens", 16))
        self._dtype, self._device = settings.get("dtype", "float32"), settings.get("device", "auto")
        self._check()

    def _check(self) -> None:
        if "{description}" not in self.meta_prompt:
            raise BenchError("filter.meta_prompt lacks {description}; the model would not know what to compare with")
        if strange := sorted(set(self.keep) - set(self.answers)):
            raise BenchError(f"filter.keep has {strange}, needed some of filter.answers {list(self.answers)}")
        plain = {_plain(each) for each in self.answers}
        if len(plain) < len(self.answers) or plain & {"", UNPARSED}:
            raise BenchError(f"filter.answers {list(self.answers)}: needed different ones, none of them {UNPARSED!r}")
        if self.unparsed not in get_args(Unparsed) or self._dtype not in DTYPES or self.answer_tokens < 1:
            raise BenchError(
                f"filter: unparsed={self.unparsed!r}, dtype={self._dtype!r}, answer_tokens={self.answer_tokens}; "
                f"needed keep or drop, {' or '.join(DTYPES)}, and 1 or more"
            )

    @cached_property
    def id(self) -> str:  # type: ignore[override]  # known only once the weights are found
        """Weights, prompt and rules; the device is left out. Raises ``BenchError`` if there are no weights."""
        rules = f"{'|'.join(self.answers)} keep={'|'.join(self.keep)} {UNPARSED}={self.unparsed}"
        model = f"weights={folder_digest(self._folder(), FILES)} {self._dtype} tokens={self.answer_tokens}"
        return f"vision_language-1 {model} meta_prompt={self.prompt_digest[:16]} {rules}"

    @property
    def prompt_digest(self) -> str:
        """SHA-256 of the meta-prompt, 64 hex digits."""
        return hashlib.sha256(self.meta_prompt.encode()).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:  # type: ignore[override]  # computed
        return {
            "model": self._path,
            "revision": self._revision,
            "meta_prompt": self.meta_prompt,
            "meta_prompt_sha256": self.prompt_digest,
            "answers": list(self.answers),
            "keep": list(self.keep),
            UNPARSED: self.unparsed,
        }

    def __call__(self, images: ImageSet, split: Split, features: FeatureReader) -> list[Verdict]:
        from PIL import Image

        texts = [self.meta_prompt.replace("{description}", each) for each in descriptions(images)]
        shown = [Image.fromarray(pixels).convert("RGB") for pixels in images.pixels()]
        return [self._verdict(self._answer(image, text)) for image, text in zip(shown, texts, strict=True)]

    def _verdict(self, answer: str) -> Verdict:
        grade = parse(answer, self.answers)
        if grade is None:
            return Verdict(self.unparsed == "keep", UNPARSED, f"answered {answer[:SHOWN]!r}")
        return Verdict(grade in self.keep, grade, f"answered {grade}")

    def _answer(self, image: Any, text: str) -> str:
        content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
        greedy = {"do_sample": False, "num_beams": 1, "max_new_tokens": self.answer_tokens}
        said = self.pipeline(
            text=[{"role": "user", "content": content}], return_full_text=False, generate_kwargs=greedy
        )
        return str(said[0]["generated_text"])

    def _folder(self) -> Path:
        """The checked folder of the model, fetched from the hub if it is not local."""
        folder = Location.of("filter", self._path, self._revision).folder(FILES)
        check_safetensors(folder, "filter.path", needed=True)
        check_no_code(folder, "choose another model")
        return folder

    @cached_property
    def pipeline(self) -> Any:
        """Model and processor, loaded when first asked for."""
        import torch
        import transformers

        folder = self._folder()
        safe = {"local_files_only": True, "trust_remote_code": False}
        dtype = getattr(torch, self._dtype)
        device = resolve(self._device)
        try:
            model, report = transformers.AutoModelForImageTextToText.from_pretrained(
                folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **safe
            )
            processor = transformers.AutoProcessor.from_pretrained(folder, **safe)
        except Exception as error:  # whatever the libraries raise for files that are damaged or do not fit
            raise BenchError(f"filter.path: {folder} is no loadable vision-language model: {error}") from error
        if missing := sorted(report["missing_keys"]):
            raise BenchError(f"filter.path: {folder} lacks {len(missing)} tensors, the first is {missing[0]}")
        if getattr(processor, "chat_template", None) is None:
            raise BenchError(f"filter.path: {folder} has no chat template; choose a model that was trained to answer")
        return transformers.pipeline("image-text-to-text", model=model.eval(), processor=processor, device=device)


def parse(answer: str, answers: Sequence[str]) -> str | None:
    """The one of ``answers`` that ``answer`` is, capitals, quotes and a full stop aside; ``None`` for anything else."""
    return {_plain(each): each for each in answers}.get(_plain(answer))


def descriptions(images: ImageSet) -> list[str]:
    """What each image should show: its prompt, or its condition labels where it has none."""
    labels = [images.info.label(name) for name in images.info.conditions]
    columns = {label.name: images.column(label.name) for label in labels}
    prompts = images.column("prompt")
    return [
        prompt or _labels(images.info.modality, {label: columns[label.name][i] for label in labels})
        for i, prompt in enumerate(prompts)
    ]


def _labels(modality: str, values: dict[Label, int | None]) -> str:
    named = "; ".join(f"{label.name.replace('_', ' ')}: {label.text(value)}" for label, value in values.items())
    return f"{modality}, {named}" if named else modality


def _plain(answer: str) -> str:
    return " ".join(answer.strip().strip("\"'`*").rstrip(".").strip("\"'`*").split()).casefold()
