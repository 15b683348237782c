"""BioViL-T: the space that chest radiographs and their reports share, as CheXGenBench measures alignment in it.

The networks are those of Microsoft's ``hi-ml-multimodal`` (Bannur et al. 2023, arXiv 2301.04558), an optional extra;
what it does not do with the libraries of today, making tokens, is done here by its rules. Of the folder with the
weights only tensors, the configuration and the vocabulary are read: code that lies there is never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.api import BenchError, Images, ReadsText, Rows
from bench.storage.checkpoints import Weights
from evaluators.encoders.deep import Compute, Deep, Network, exact, load_state, read_state
from evaluators.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

RESIZED, SIDE = 512, 448
WANTED = (
    ("biovil_t_image_model_proj_size_128.pt", "biovil_t_image_model.safetensors"),
    ("model.safetensors",),
    ("config.json",),
    ("vocab.txt",),
)
TOOLBOX = "health_multimodal"
REMEDY = "run pip install 'medical-image-bench[biovil]'"
LAST_MARKS = "!?."  # taken off the end of a text, as the toolbox does


def cut(images: Images) -> Images:
    """What BioViL-T is given of a picture: ``(B, 448, 448)`` uint8.

    Stretched to all grey levels from its darkest to its brightest pixel, fractions dropped; the shorter side brought to
    512 pixels by Pillow's bilinear filter; the middle cut out. An image of one grey level is black.
    """
    from PIL import Image
    from torchvision.transforms import CenterCrop, Compose, Resize

    prepare = Compose([Resize(RESIZED), CenterCrop(SIDE)])
    return np.stack([np.asarray(prepare(Image.fromarray(_stretched(image)))) for image in images])


def _stretched(image: Images) -> Images:
    levels = image.astype(float) - image.min()
    most = levels.max()
    return (levels / most * 255 if most else levels).astype(np.uint8)


class BioViLT(Deep, ReadsText):
    """The projected embedding of a whole image, without an earlier one; texts are embedded in the same space."""

    def __call__(self, images: Images) -> Rows:
        return super().__call__(cut(images))

    def texts(self, prompts: Sequence[str]) -> Rows:
        """Embed texts: ``(len(prompts), dim)`` float32, not normalised.

        Raises:
            BenchError: a text is longer than the network takes, or holds one of its marks such as ``[SEP]``; the text
                half cannot be had from the folder of the weights.
        """
        import torch

        tokenizer, model = self._text_half
        self._check(prompts, tokenizer)
        made = []
        with torch.inference_mode(), exact():
            for start in range(0, len(prompts), self.block):
                plain = [each.rstrip(LAST_MARKS) for each in prompts[start : start + self.block]]
                tokens = tokenizer(plain, padding="longest", return_tensors="pt").to(self.device)
                self._check_length(plain, tokens["attention_mask"], model.config.max_position_embeddings)
                ids = tokens["input_ids"], tokens["attention_mask"]
                made.append(model.get_projected_text_embeddings(*ids, normalize_embeddings=False).cpu().numpy())
        return np.concatenate(made)

    def _check(self, prompts: Sequence[str], tokenizer: Any) -> None:
        """The toolbox refuses all marks but that for a hidden word."""
        marks = [each for each in tokenizer.all_special_tokens if each != tokenizer.mask_token]
        for prompt in prompts:
            if found := [mark for mark in marks if mark in prompt]:
                raise BenchError(
                    f"encoder {self.weights.name}: the text {prompt[:80]!r} holds {found[0]}, a mark of the network's "
                    "own; take it out of the prompts"
                )

    def _check_length(self, texts: Sequence[str], mask: torch.Tensor, most: int) -> None:
        lengths = mask.sum(dim=1)
        worst = int(lengths.argmax())
        if int(lengths[worst]) > most:
            raise BenchError(
                f"encoder {self.weights.name}: the text {texts[worst][:80]!r}... has {int(lengths[worst])} tokens, the "
                f"network takes {most} at most; shorten the prompts"
            )

    @cached_property
    def _text_half(self) -> tuple[Any, Any]:
        """The tokenizer, and the network on its device."""
        _, network = toolbox(self.weights.name)
        import torch
        from transformers import BertTokenizer

        files = self.weights.files()
        folder = files[1].parent
        here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
        try:
            tokenizer = BertTokenizer(vocab=str(files[3]), do_lower_case=True)
            model, report = network.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **here)
        except Exception as error:  # whatever the libraries raise for files that are damaged or do not fit
            raise BenchError(
                f"encoder {self.weights.name}: {folder} holds no text half: {type(error).__name__}: {error}; copy it "
                "again from where it is published"
            ) from error
        if missing := sorted(report["missing_keys"]):
            raise BenchError(f"encoder {self.weights.name}: {folder} lacks {len(missing)} tensors, e.g. {missing[0]}")
        return tokenizer, model.eval().requires_grad_(False).to(self.device)


def biovil_t(
    name: str,
    network: Mapping[str, Any],
    path: str | None,
    origin: Mapping[str, Any],
    compute: Mapping[str, Any],
) -> BioViLT:
    """An encoder giving the projected embedding of the image, not normalised.

    Args:
        name: the encoder's name in the configuration, for messages.
        network: ``architecture`` (``resnet50_multi_image``, as in the toolbox) and ``dim``, the features it gives.
        path: a folder with the files of ``WANTED``; null fetches ``origin.hub``.
        origin: see ``checkpoints.Origin``.
        compute: see ``deep.Compute``.

    Raises:
        BenchError: the toolbox is not installed.
    """
    if find_spec(TOOLBOX) is None:
        raise BenchError(f"encoder {name} needs hi-ml-multimodal, which is not installed; {REMEDY}")
    architecture, dim = str(network["architecture"]), int(network["dim"])
    kind = f"biovil-t-1 {architecture} global stretched resize={RESIZED} bilinear"
    made = Network(kind, dim, partial(build, name, architecture, dim))
    preprocessing = Preprocessing(SIDE, (0.0,) * 3, (1.0,) * 3, "crop", "bilinear")
    return BioViLT(made, Weights.of(name, path, origin, WANTED), preprocessing, Compute.of(name, compute))


def toolbox(name: str) -> tuple[Any, Any]:
    """The classes of the image half and of the text half.

    Raises:
        BenchError: the toolbox cannot be imported.
    """
    try:
        from health_multimodal.image.model.model import ImageModel
        from health_multimodal.text.model import CXRBertModel
    except ImportError as error:
        raise BenchError(f"encoder {name}: hi-ml-multimodal cannot be imported ({error}); {REMEDY}") from error
    return ImageModel, CXRBertModel


def build(name: str, architecture: str, dim: int, files: Sequence[Path]) -> torch.nn.Module:
    """The image half with only its global projected embedding as output."""
    import torch

    image_model, _ = toolbox(name)
    with torch.random.fork_rng():  # it is born random
        try:
            empty = image_model(architecture, dim)
        except NotImplementedError as error:
            raise BenchError(f"encoder {name}: network.architecture={architecture}: {error}") from error
    whole = load_state(name, empty, read_state(name, files[0]))

    class Global(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = whole

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.body(batch).projected_global_embedding

    return Global()
