"""Calling a pipeline with checked arguments, and turning what it renders into grey images."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Images
from bench.storage.image_reader import BLANK_SPREAD, resize

Rendered = npt.NDArray[np.float32]  # (N, H, W, C) in 0-1
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
OURS = {
    "prompt": "generator.prompt",
    "generator": "seed",
    "height": "generator.size",
    "width": "generator.size",
    "num_images_per_prompt": "requests",
    "batch_size": "generator.block",
    "output_type": None,
    "return_dict": None,
    "latents": None,
}


def call_arguments(pipeline: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Every plain argument the pipeline will be called with: its defaults that say anything, then ``asked``.

    Raises:
        BenchError: an argument that the pipeline does not have, or that the benchmark sets itself.
    """
    parameters = inspect.signature(pipeline.__call__).parameters
    for name in asked:
        if name in OURS:
            remedy = f"; use {OURS[name]}" if OURS[name] else ""
            raise BenchError(f"generator.call.{name} is set by the benchmark itself{remedy}")
        if name not in parameters or parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            near = difflib.get_close_matches(name, parameters, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(parameters)}"
            raise BenchError(f"generator.call.{name}: {type(pipeline).__name__} has no such argument; {hint}")
    defaults = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in OURS and "callback" not in name and parameter.default is not None and _plain(parameter.default)
    }
    return {**defaults, **asked}


def render(
    pipeline: Any, texts: Sequence[str], seeds: Sequence[int], size: tuple[int, int], call: Mapping[str, Any]
) -> Rendered:
    """One batch of pictures (N, H, W, C) in 0-1; each has its own source of noise on the CPU, of its own seed.

    Raises:
        BenchError: out of memory, number formats that do not go together, or a picture of another size than asked for.
    """
    import torch

    known = inspect.signature(pipeline.__call__).parameters
    given: dict[str, Any] = {"generator": [torch.Generator().manual_seed(seed) for seed in seeds], "output_type": "np"}
    if "prompt" in known:
        given["prompt"] = list(texts)
    else:
        given["batch_size"] = len(seeds)
    if "height" in known and "width" in known:
        given |= {"height": size[0], "width": size[1]}
    try:
        with torch.inference_mode():
            pictures = pipeline(**given, **call).images
    except torch.OutOfMemoryError as error:
        raise BenchError(
            f"out of memory with {len(seeds)} images of {size[0]} x {size[1]} at a time: lower generator.block "
            "(it belongs to the protocol: give it for every seed), or set generator.offload=model"
        ) from error
    except RuntimeError as error:
        if "dtype" not in str(error):
            raise
        raise BenchError(
            f"{type(pipeline).__name__} does not work with these number formats ({error}); "
            "give all its parts the same one, for example generator.dtype=bfloat16"
        ) from error
    rendered = np.asarray(pictures, np.float32)
    if rendered.shape[:3] != (len(seeds), *size):
        raise BenchError(
            f"{type(pipeline).__name__} rendered {rendered.shape[1]} x {rendered.shape[2]}, generator.size is "
            f"{size[0]} x {size[1]}; ask for a multiple of 16, and keep use_resolution_binning off"
        )
    return rendered


def to_grey(rendered: Rendered, size: tuple[int, int], aspect: Literal["pad", "crop"]) -> Images:
    """(N, *size) uint8: luminance 0.299 R + 0.587 G + 0.114 B in float, rounded, then resized if need be.

    A picture with a value that is no number becomes black all over.
    """
    sound = np.array([np.isfinite(picture).all() for picture in rendered])
    values = np.where(sound[:, None, None, None], rendered, 0).astype(np.float64)
    grey = values[..., 0] if values.shape[-1] == 1 else values[..., :3] @ LUMINANCE
    rounded = np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)
    return np.stack([resize(image, size, aspect) for image in rounded])


def faults(rendered: Rendered, images: Images) -> list[str | None]:
    """For each picture why it shows nothing: ``not a number``, ``blank``, or ``None`` if it is sound."""
    reasons: list[str | None] = []
    for picture, image in zip(rendered, images, strict=True):
        if not np.isfinite(picture).all():
            reasons.append("not a number")
        else:
            reasons.append("blank" if image.std() < BLANK_SPREAD else None)
    return reasons


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(each) for each in value)
    return value is None or isinstance(value, bool | int | float | str)
