"""What a trainer must know of a kind of pipeline, in the conventions that the pipeline itself samples with."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from bench.api import BenchError, Configurable
from generators.text_to_image.settings import Strict

if TYPE_CHECKING:
    import torch

    Heard = dict[str, torch.Tensor]


class Family(Configurable, Strict, ABC):
    """One kind of pipeline. It keeps no state: every method is given the pipeline.

    ``times`` are those of the pipeline's scheduler, 0 (image) to ``num_train_timesteps`` (noise). A prediction is what
    the pipeline hands to ``scheduler.step``, so that nothing is learned that sampling reads otherwise.

    Attributes:
        pipeline: the class of diffusers.
        parts: what the pipeline must have.
        denoiser: the part that is adapted.
        heard: arguments of the denoiser, and their places in what ``encode_prompt`` returns.
        unheard: the same for no caption, which guidance compares with.
        shifted: whether latents are centred on the autoencoder's ``shift_factor``.
    """

    pipeline: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ("transformer", "vae", "scheduler", "text_encoder", "tokenizer")
    denoiser: ClassVar[str] = "transformer"
    heard: ClassVar[Mapping[str, int]]
    unheard: ClassVar[Mapping[str, int]]
    shifted: ClassVar[bool] = False

    def check(self, pipeline: Any, size: tuple[int, int]) -> None:
        """Whether ``pipeline`` can be trained on images of ``size``.

        Raises:
            BenchError: another pipeline, a missing part, an unfit scheduler, number format or size.
        """
        import diffusers
        import torch

        name, kind = type(self).__name__, type(pipeline).__name__
        lacking = [part for part in self.parts if getattr(pipeline, part, None) is None]
        if lacking or not isinstance(pipeline, getattr(diffusers, self.pipeline)):
            detail = f" that lacks {', '.join(lacking)}" if lacking else ""
            raise BenchError(
                f"generator.training.family: {name} trains a {self.pipeline}, this is a {kind}{detail}; take the "
                "family of this pipeline, or train the adapter elsewhere and give it as generator.lora"
            )
        self.check_scheduler(pipeline.scheduler)
        if self.network(pipeline).dtype == torch.float16:
            raise BenchError(
                f"generator.dtype: the {self.denoiser} is in float16, where small gradients vanish; "
                "train in bfloat16 or float32"
            )
        multiple = pipeline.vae_scale_factor * self.patch(pipeline)
        if any(side % multiple for side in size):
            raise BenchError(f"generator.size is {list(size)}; {kind} is trained at multiples of {multiple}")

    @abstractmethod
    def check_scheduler(self, scheduler: Any) -> None:
        """Raises ``BenchError`` if the scheduler samples something else than is trained here."""

    def network(self, pipeline: Any) -> Any:
        """The part that is adapted."""
        return getattr(pipeline, self.denoiser)

    def patch(self, pipeline: Any) -> int:
        """Side of the square of latent pixels that the denoiser takes as one."""
        return int(self.network(pipeline).config.get("patch_size") or 1)

    def latents(self, pipeline: Any, pixels: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        """(B, 3, H, W) pixels in -1 to 1 as (B, C, h, w) float32 latents, scaled as the denoiser knows them."""
        import torch

        vae = pipeline.vae
        # one by one: the last bits of an image then do not depend on its neighbours, and memory stays small
        coded = torch.cat([self.code(vae, each[None].to(vae.device, vae.dtype), source) for each in pixels]).float()
        centre = (vae.config.shift_factor or 0.0) if self.shifted else 0.0
        return (coded - centre) * vae.config.scaling_factor

    def code(self, vae: Any, pixels: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        """The autoencoder's own latents: a draw from the distribution it gives."""
        import torch

        spread = vae.encode(pixels).latent_dist
        chance = torch.randn(spread.mean.shape, generator=source).to(vae.device)
        return spread.mean.float() + spread.std.float() * chance

    def encode(self, pipeline: Any, caption: str | None, call: Mapping[str, Any]) -> Heard:
        """What the denoiser hears of one caption, encoded with the arguments ``call`` that sampling will use.

        ``None`` is no caption: exactly what the pipeline compares with when it guides without a negative prompt, which
        for some families is not the encoding of an empty caption.
        """
        known = inspect.signature(pipeline.encode_prompt).parameters
        needed = [name for name, each in known.items() if each.default is each.empty and each.kind != each.VAR_KEYWORD]
        given: dict[str, Any] = dict.fromkeys(needed)
        given |= {name: value for name, value in call.items() if name in known and not name.startswith("negative")}
        given |= {"prompt": [caption or ""], "device": self.network(pipeline).device, "num_images_per_prompt": 1}
        if "do_classifier_free_guidance" in known:
            given |= {"do_classifier_free_guidance": caption is None, "negative_prompt": [""]}
        encoded = pipeline.encode_prompt(**given)
        return {name: encoded[place] for name, place in (self.unheard if caption is None else self.heard).items()}

    @abstractmethod
    def times(self, pipeline: Any, latents: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        """(B,) random times, one for each of ``latents``."""

    @abstractmethod
    def noised(self, pipeline: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """``latents`` as far on their way to ``noise`` as ``times`` says."""

    def predict(self, pipeline: Any, noisy: torch.Tensor, times: torch.Tensor, heard: Heard) -> torch.Tensor:
        """(B, C, h, w): what the pipeline would hand to its scheduler without guidance."""
        return self.network(pipeline)(noisy, timestep=times, return_dict=False, **heard)[0]

    @abstractmethod
    def target(self, pipeline: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """What a perfect prediction would be."""


class Captions:
    """What the denoiser hears of captions, each encoded once and kept in memory while there is room.

    Each is encoded alone, so that no bit depends on which others were encoded before: a training that went on after a
    kill hears the same.
    """

    def __init__(self, pipeline: Any, family: Family, call: Mapping[str, Any], room: int) -> None:
        self._pipeline, self._family, self._call, self._room = pipeline, family, call, room
        self._kept: dict[str | None, Heard] = {}

    def __call__(self, captions: Sequence[str | None]) -> Heard:
        """Tensors with one row a caption, by argument of the denoiser, in its number format and on its device."""
        import torch

        network = self._family.network(self._pipeline)
        rows = [self._one(each) for each in captions]
        joined = {name: torch.cat([row[name] for row in rows]).to(network.device) for name in rows[0]}
        return {name: each.to(network.dtype) if each.is_floating_point() else each for name, each in joined.items()}

    def _one(self, caption: str | None) -> Heard:
        if caption in self._kept:
            return self._kept[caption]
        import torch

        with torch.no_grad():
            heard = self._family.encode(self._pipeline, caption, self._call)
        heard = {name: each.cpu() for name, each in heard.items()}
        size = sum(each.nbytes for each in heard.values())
        if size <= self._room:
            self._room -= size
            self._kept[caption] = heard
        return heard
