"""Pipelines that predict the noise or the velocity of a variance-preserving diffusion at whole times."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from bench.api import BenchError
from generators.text_to_image.families.family import Family

if TYPE_CHECKING:
    import torch

    from generators.text_to_image.families.family import Heard


class Noising(Family):
    """Times are uniform. Ho et al., DDPM, arXiv:2006.11239; velocity: Salimans and Ho, arXiv:2202.00512."""

    def check_scheduler(self, scheduler: Any) -> None:
        kind = scheduler.config.get("prediction_type")
        if "beta_schedule" not in scheduler.config or kind not in ("epsilon", "v_prediction"):
            raise BenchError(
                f"generator.components.scheduler: {type(scheduler).__name__} with prediction_type={kind} cannot be "
                "trained for; it must have a beta_schedule and predict epsilon or v_prediction"
            )

    def times(self, pipeline: Any, latents: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        import torch

        last = pipeline.scheduler.config.num_train_timesteps
        return torch.randint(last, (len(latents),), generator=source).to(latents.device)

    def noised(self, pipeline: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return _schedule(pipeline.scheduler).add_noise(latents, noise, times)

    def target(self, pipeline: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        if pipeline.scheduler.config.prediction_type == "epsilon":
            return noise
        return _schedule(pipeline.scheduler).get_velocity(latents, noise, times)


class StableDiffusion(Noising):
    """Stable Diffusion 1 and 2. Rombach et al., arXiv:2112.10752."""

    pipeline: ClassVar[str] = "StableDiffusionPipeline"
    parts: ClassVar = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
    denoiser: ClassVar = "unet"
    heard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 0}
    unheard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 1}


class PixArtSigma(Noising):
    """PixArt-Sigma, which predicts the noise and its variance; only the noise is learned, as only it is sampled.

    Chen et al., arXiv:2403.04692.
    """

    pipeline: ClassVar[str] = "PixArtSigmaPipeline"
    heard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 0, "encoder_attention_mask": 1}
    unheard: ClassVar[Mapping[str, int]] = {"encoder_hidden_states": 2, "encoder_attention_mask": 3}

    def predict(self, pipeline: Any, noisy: torch.Tensor, times: torch.Tensor, heard: Heard) -> torch.Tensor:
        micro = {"resolution": None, "aspect_ratio": None}
        network = self.network(pipeline)
        output = network(noisy, timestep=times, added_cond_kwargs=micro, return_dict=False, **heard)[0]
        return output[:, : noisy.shape[1]]


@lru_cache(maxsize=1)
def _schedule(scheduler: Any) -> Any:
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(scheduler.config)
