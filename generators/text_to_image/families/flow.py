"""Pipelines that predict the velocity of a straight flow from image to noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.api import BenchError
from generators.text_to_image.families.family import Family

if TYPE_CHECKING:
    import torch

    from generators.text_to_image.families.family import Heard


class Flow(Family):
    """At share s of the way the latents are ``(1 - s) image + s noise``, and the target is ``noise - image``.

    Esser et al., arXiv:2403.03206: s has the logit-normal density of section 3.1, shifted to more noise for larger
    images as in section 5.3.2.

    Attributes:
        mean: of the logit of s; above 0 more noise.
        spread: standard deviation of the logit of s.
        shift: s becomes ``shift s / (1 + (shift - 1) s)``; ``None`` is the shift that the scheduler samples with.
    """

    mean: float = 0.0
    spread: float = Field(default=1.0, gt=0)
    shift: float | None = Field(default=None, gt=0)

    def check_scheduler(self, scheduler: Any) -> None:
        config = scheduler.config
        solver = config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction"
        if not solver and ("shift" not in config or "beta_schedule" in config):
            raise BenchError(
                f"generator.components.scheduler: {type(scheduler).__name__} does not sample a flow; it must be "
                "FlowMatchEulerDiscreteScheduler, or have use_flow_sigmas and prediction_type=flow_prediction"
            )

    def times(self, pipeline: Any, latents: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        import torch

        logits = self.mean + self.spread * torch.randn(len(latents), generator=source)
        shift = self.shift or self.sampling_shift(pipeline, latents)
        share = torch.sigmoid(logits + math.log(shift))
        return (share * pipeline.scheduler.config.num_train_timesteps).to(latents.device)

    def sampling_shift(self, pipeline: Any, latents: torch.Tensor) -> float:
        """The shift of the pipeline's scheduler, which some schedulers let grow with the image."""
        config = pipeline.scheduler.config
        if not config.get("use_dynamic_shifting"):
            return float(config.flow_shift if config.get("use_flow_sigmas") else config.shift)
        tokens = latents.shape[-2] * latents.shape[-1] / self.patch(pipeline) ** 2
        few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        slope = (config.max_shift - config.base_shift) / (many - few)
        grown = config.base_shift + slope * (tokens - few)
        return float(grown if config.get("time_shift_type") == "linear" else math.exp(grown))

    def noised(self, pipeline: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        share = _share(pipeline, times)[:, None, None, None]
        return (1 - share) * latents + share * noise

    def target(self, pipeline: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return noise - latents


class StableDiffusion3(Flow):
    """Stable Diffusion 3 and 3.5, with or without the T5 encoder. Esser et al., arXiv:2403.03206."""

    pipeline: ClassVar[str] = "StableDiffusion3Pipeline"
    parts: ClassVar = ("transformer", "vae", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    heard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 0, "pooled_projections": 2}
    unheard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 1, "pooled_projections": 3}
    shifted: ClassVar = True


class Sana(Flow):
    """Sana, whose autoencoder gives one latent and no distribution. Xie et al., arXiv:2410.10629."""

    pipeline: ClassVar[str] = "SanaPipeline"
    heard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 0, "encoder_attention_mask": 1}
    unheard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 2, "encoder_attention_mask": 3}

    def code(self, vae: Any, pixels: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        return vae.encode(pixels).latent

    def predict(self, pipeline: Any, noisy: torch.Tensor, times: torch.Tensor, heard: Heard) -> torch.Tensor:
        scale = self.network(pipeline).config.timestep_scale
        return super().predict(pipeline, noisy, times * scale, heard)[:, : noisy.shape[1]]


class Lumina2(Flow):
    """Lumina Image 2.0, whose own time runs from noise (0) to image (1) and whose velocity points to the image.

    Qin et al., arXiv:2503.21758.
    """

    pipeline: ClassVar[str] = "Lumina2Pipeline"
    heard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 0, "encoder_attention_mask": 1}
    unheard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 2, "encoder_attention_mask": 3}
    shifted: ClassVar = True

    def predict(self, pipeline: Any, noisy: torch.Tensor, times: torch.Tensor, heard: Heard) -> torch.Tensor:
        return -super().predict(pipeline, noisy, 1 - _share(pipeline, times), heard)


class Flux(Flow):
    """Flux.1, whose denoiser takes 2 x 2 latent pixels as one token, and in its dev version the guidance as an input.

    Attributes:
        guidance: that input while training; 1 keeps the distilled guidance out of what is learned.
    """

    pipeline: ClassVar[str] = "FluxPipeline"
    parts: ClassVar = ("transformer", "vae", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    heard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 0, "pooled_projections": 1}
    unheard: ClassVar[Mapping[str, int]] = heard
    shifted: ClassVar = True
    guidance: float = Field(default=1.0, ge=0)

    def patch(self, pipeline: Any) -> int:
        return 2

    def predict(self, pipeline: Any, noisy: torch.Tensor, times: torch.Tensor, heard: Heard) -> torch.Tensor:
        import torch

        network, words = self.network(pipeline), heard["encoder_hidden_states"]
        count, channels, height, width = noisy.shape
        guided = network.config.guidance_embeds
        output = network(
            pipeline._pack_latents(noisy, count, channels, height, width),
            # rounded to the number format before the division, as the pipeline does
            timestep=times.to(noisy.dtype) / 1000,
            guidance=torch.full([count], self.guidance, device=noisy.device) if guided else None,
            txt_ids=torch.zeros(words.shape[1], 3, device=noisy.device, dtype=noisy.dtype),
            img_ids=pipeline._prepare_latent_image_ids(count, height // 2, width // 2, noisy.device, noisy.dtype),
            return_dict=False,
            **heard,
        )[0]
        scale = pipeline.vae_scale_factor
        return pipeline._unpack_latents(output, height * scale, width * scale, scale)


def _share(pipeline: Any, times: torch.Tensor) -> torch.Tensor:
    """How much of the latents is noise (0-1)."""
    return times / pipeline.scheduler.config.num_train_timesteps
