"""Networks in the format of open_clip: the image half as an encoder, the text half beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.api import BenchError, ReadsText, Rows
from bench.storage.checkpoints import Weights
from bench.storage.foreign_code import check_no_code, unasked
from evaluators.encoders.deep import Compute, Deep, Network, exact, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

WANTED = (("open_clip_model.safetensors", "open_clip_pytorch_model.bin"), ("open_clip_config.json",))
IMAGE_HALF = "visual."


class OpenClip(Deep, ReadsText):
    """The image embedding; texts can be embedded in the same space."""

    def texts(self, prompts: Sequence[str]) -> Rows:
        """Embed texts: ``(len(prompts), dim)`` float32, not normalised; those longer than its context are cut off.

        Raises:
            BenchError: the tokenizer or the text half cannot be had from the folder of the weights.
        """
        import torch

        tokenizer, model = self._whole
        made = []
        with torch.inference_mode(), exact():
            for start in range(0, len(prompts), self.block):
                tokens = tokenizer(list(prompts[start : start + self.block])).to(self.device)
                made.append(model.encode_text(tokens).float().cpu().numpy())
        return np.concatenate(made)

    @cached_property
    def _whole(self) -> tuple[Any, Any]:
        import open_clip

        weights, config = self.weights.files()
        folder = weights.parent
        check_no_code(folder, f"set {self.weights.setting} to a folder without it")
        try:
            # the tokenizer of open_clip itself knows no such switch
            switch = {"trust_remote_code": False} if _text(config).get("hf_tokenizer_name") else {}
            with unasked():
                tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", **switch)
                model = open_clip.create_model_from_pretrained(f"local-dir:{folder}", return_transform=False)
        except Exception as error:  # open_clip, its tokenizers and the hub client share no base class
            raise BenchError(
                f"encoder {self.weights.name}: no text half: {type(error).__name__}: {str(error).splitlines()[0]}; put "
                f"the tokenizer's files into {folder} and fetch the text network it names once while connected"
            ) from error
        return tokenizer, model.eval().requires_grad_(False).to(self.device)


def _text(config: Path) -> Mapping[str, Any]:
    """What the configuration says of the text half."""
    said = json.loads(config.read_text(encoding="utf-8")).get("model_cfg", {}).get("text_cfg", {})
    return said if isinstance(said, dict) else {}


def open_clip_model(
    name: str,
    dim: int,
    path: str | None,
    origin: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    compute: Mapping[str, Any],
) -> OpenClip:
    """An encoder giving the image embedding, not normalised.

    Args:
        name: the encoder's name in the configuration, for messages.
        dim: size of the embedding.
        path: a folder with ``open_clip_config.json`` and the weights; null fetches ``origin.hub``.
        origin: see ``checkpoints.Origin``.
        preprocessing: see ``preprocessing.Preprocessing``.
        compute: see ``deep.Compute``.
    """
    network = Network("open-clip-1 image", int(dim), partial(build, name))
    weights = Weights.of(name, path, origin, WANTED)
    return OpenClip(network, weights, Preprocessing.of(name, preprocessing), Compute.of(name, compute))


def build(name: str, files: Sequence[Path]) -> torch.nn.Module:
    """The image half alone: the text half may name a tokenizer that has to be fetched from elsewhere."""
    from open_clip.model import _build_vision_tower

    try:
        config = json.loads(files[1].read_text())["model_cfg"]
        _check_here(name, files[1], config["vision_cfg"])
        half = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BenchError(f"encoder {name}: {files[1]} describes no network: {error!r}") from error
    state = read_state(name, files[0])
    image = {key.removeprefix(IMAGE_HALF): tensor for key, tensor in state.items() if key.startswith(IMAGE_HALF)}
    return load_state(name, half, image)


def _check_here(name: str, path: Path, vision: Mapping[str, Any]) -> None:
    """A network is described by its name; one with a place in its name would be fetched, at no commit."""
    if ":" in str(vision.get("timm_model_name") or "") or vision.get("timm_model_pretrained"):
        raise BenchError(
            f"encoder {name}: {path} takes its image half from elsewhere (timm_model_name "
            f"{vision.get('timm_model_name')!r}, timm_model_pretrained {vision.get('timm_model_pretrained')!r}); "
            "needed the name of a network without a place, and its weights in this folder"
        )
