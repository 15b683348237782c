"""Adapters trained here: as bytes of a file, and laid over a pipeline again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.files import file_digest
from generators.text_to_image.lora import adapted_layers, add_lora
from generators.text_to_image.settings import Lora
from generators.text_to_image.source import resolve

ADAPTER = "pytorch_lora_weights.safetensors"
NAME = "default"  # of an adapter while it is trained
METADATA = "lora_adapter_metadata"  # where diffusers looks for its settings


def pack(network: Any, part: str) -> bytes:
    """The adapter of ``network`` as safetensors in the layout of diffusers; ``part`` is its name in the pipeline."""
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save

    tensors = {f"{part}.{name}": value for name, value in get_peft_model_state_dict(network).items()}
    config = network.peft_config[NAME]
    settings = {"r": config.r, "lora_alpha": config.lora_alpha, "target_modules": sorted(config.target_modules)}
    metadata = {METADATA: json.dumps({f"{part}.{name}": value for name, value in settings.items()})}
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)


def lay(pipeline: Any, lora: Lora) -> dict[str, Any]:
    """Lay an adapter over ``pipeline`` at its scale, also where the library has no loader for it; its facts.

    Raises:
        BenchError: nothing in the file fits the pipeline.
    """
    if hasattr(pipeline, "load_lora_weights") or not hasattr(pipeline, "transformer"):
        return add_lora(pipeline, lora)
    path = resolve(lora, "generator.lora") / lora.file
    if not path.is_file():
        raise BenchError(f"generator.lora.file: {path} does not exist")
    _lay_on_transformer(pipeline.transformer, path, lora)
    return {**lora.model_dump(), "sha256": file_digest(path), "layers": adapted_layers(pipeline, lora.adapter)}


def _lay_on_transformer(network: Any, path: Path, lora: Lora) -> None:
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import set_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as kept:
            settings = _inner(json.loads((kept.metadata() or {}).get(METADATA, "{}")))
            tensors = _inner({name: kept.get_tensor(name) for name in kept.keys()})  # noqa: SIM118 - no mapping
    except (SafetensorError, ValueError) as error:
        raise BenchError(f"generator.lora: {path} is damaged ({error}); copy it again, or train it again") from error
    if not settings or not tensors:
        raise BenchError(f"generator.lora: {path} holds no adapter of a transformer, or not the settings of one")
    try:
        inject_adapter_in_model(LoraConfig(**settings), network, lora.adapter)
        unread = set_peft_model_state_dict(network, tensors, lora.adapter).unexpected_keys
    except (TypeError, ValueError, RuntimeError) as error:
        raise BenchError(f"generator.lora: {path} does not fit {type(network).__name__}: {error}") from error
    if unread:
        raise BenchError(f"generator.lora: {path} does not fit {type(network).__name__}: it has no {unread[0]}")
    for layer in network.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.set_scale(lora.adapter, lora.scale)
            if lora.fuse:
                layer.merge()


def _inner(values: dict[str, Any]) -> dict[str, Any]:
    start = "transformer."
    return {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
