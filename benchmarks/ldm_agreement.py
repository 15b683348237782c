"""Whether ours and MONAI's sampler compute the same thing, without which their speeds could not be compared."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from bench.api import BenchError
from benchmarks.ldm_loops import Material, Preset, Variant, by_context, ddim_scheduler, networks, seeds_of, starts
from generators.ldm.model import Model
from generators.ldm.sampler import sample_times, solved, solver

STEPS = 20
LIMIT = 1e-4


@torch.no_grad()
def stir(module: nn.Module, seed: int, spread: float = 0.05) -> None:
    """Add noise to every weight: fresh denoisers end in zeros, and any two samplers agree on those."""
    draw = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight += spread * torch.randn(weight.shape, generator=draw).to(weight)


def every_time(preset: Preset, steps: int) -> Preset:
    """``preset`` with so short a noise schedule, as strong in all, that ``steps`` of DDIM visit each of its times.

    Elsewhere the two differ by design: with n of T times MONAI looks at times (T-1)/(n-1) apart and moves by T // n,
    ours looks at times T/n apart and moves exactly to the next. The grids are one only at n = T.
    """
    first, last = (min(0.9, beta * preset.diffusion.noise_steps / steps) for beta in preset.diffusion.noise)
    return replace(preset, diffusion=replace(preset.diffusion, noise_steps=steps, noise=(first, last)))


def states(model: Model, start: torch.Tensor, condition: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (steps, B, C, h, w) after every step of DDIM, by our sampler and by MONAI's inferer."""
    from monai.inferers import DiffusionInferer

    seen: list[torch.Tensor] = []

    def speed(state: torch.Tensor, time: int) -> torch.Tensor:
        seen.append(state)
        return model.denoiser(state, torch.full((len(state),), time, device=model.device), condition)

    ours = solver(model.diffusion, sample_times(model.diffusion.noise_steps, steps, spacing=1), order=1)
    scheduler = ddim_scheduler(model.diffusion, steps)
    with torch.no_grad(), model.working():
        last = solved(speed, start, ours)
        _, theirs = DiffusionInferer(scheduler).sample(
            start,
            by_context(model.denoiser),
            scheduler,
            save_intermediates=True,
            intermediate_steps=1,
            conditioning=condition,
            verbose=False,
        )
    return torch.stack([*seen[1:], last]), torch.stack(theirs)


def check(preset: Preset, material: Material, device: torch.device) -> float:
    """The largest difference of any latent at any step over the largest latent, of two images in float32.

    Raises:
        BenchError: it is over ``LIMIT``.
    """
    model = networks(every_time(preset, STEPS), material, Variant("float32"), device)
    stir(model.denoiser, 1)
    model.denoiser.eval()
    ours, theirs = states(model, starts(model, seeds_of(2)), material.labels[:2].to(device), STEPS)
    found = float((ours - theirs).abs().max() / theirs.abs().max())
    if not found <= LIMIT:
        raise BenchError(f"ldm_speed: latents of ours and MONAI differ by {found:.2g} of the largest, allowed {LIMIT}")
    return found
