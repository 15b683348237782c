"""Low-rank adapters. Hu et al., LoRA, arXiv:2106.09685."""

from __future__ import annotations

from typing import Any

from bench.api import BenchError
from bench.storage.files import file_digest
from generators.text_to_image.settings import Lora
from generators.text_to_image.source import resolve


def add_lora(pipeline: Any, lora: Lora) -> dict[str, Any]:
    """Lay the adapter over ``pipeline`` at its scale; its facts.

    Raises:
        BenchError: no safetensors file, or nothing in it matches the pipeline.
    """
    folder = resolve(lora, "generator.lora")
    path = folder / lora.file
    if path.suffix != ".safetensors" or path.parent != folder:
        raise BenchError(f"generator.lora.file is {lora.file!r}; it must be a safetensors file in generator.lora.path")
    if not path.is_file():
        there = sorted(each.name for each in folder.glob("*.safetensors"))
        raise BenchError(f"generator.lora.file: {path} does not exist; the folder has {there or 'no safetensors'}")
    if not hasattr(pipeline, "load_lora_weights"):
        raise BenchError(f"generator.lora: {type(pipeline).__name__} takes no adapters")
    try:
        pipeline.load_lora_weights(
            str(folder),
            weight_name=lora.file,
            adapter_name=lora.adapter,
            use_safetensors=True,
            local_files_only=True,
        )
    except Exception as error:  # whatever the libraries raise for an adapter that does not fit
        raise BenchError(f"generator.lora: {path} does not fit {type(pipeline).__name__}: {error}") from error
    layers = adapted_layers(pipeline, lora.adapter)
    if not layers:
        raise BenchError(f"generator.lora: no weight in {path} belongs to a layer of {type(pipeline).__name__}")
    pipeline.set_adapters([lora.adapter], adapter_weights=[lora.scale])
    if lora.fuse:
        pipeline.fuse_lora(adapter_names=[lora.adapter])
        pipeline.unload_lora_weights()
    return {**lora.model_dump(), "sha256": file_digest(path), "layers": layers}


def adapted_layers(pipeline: Any, adapter: str) -> int:
    """How many layers of the pipeline hold weights of ``adapter``."""
    import torch

    models = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    return sum(adapter in getattr(layer, "lora_A", {}) for model in models for layer in model.modules())
