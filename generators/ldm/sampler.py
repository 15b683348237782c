"""From noise to latents: the probability-flow equation of the denoiser, solved by a scheduler of diffusers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DPMSolverMultistepScheduler

from generators.ldm.settings import DiffusionSettings

NAMES = {1: "DDIM", 2: "DPM-Solver++(2M)"}  # by order; DPM-Solver++ of the first order is DDIM


def sample_times(noise_steps: int, steps: int, spacing: float) -> list[int]:
    """``steps`` falling times of the schedule, of which the first is the noisiest.

    They go with the share of the steps to come to the power of ``spacing``: evenly at 1 ("trailing" in
    arXiv:2305.08891), closer towards the end above.
    """
    # at least one apart, however many there are
    return [max(round(noise_steps * (1 - done / steps) ** spacing), steps - done) - 1 for done in range(steps)]


def solver(diffusion: DiffusionSettings, times: Sequence[int], order: int) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ (Lu et al., arXiv:2211.01095) through falling ``times`` and on to no noise, for one start only.

    A step costs one evaluation at either ``order``; the second order looks back at the evaluation before.
    """
    first, last = diffusion.noise
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=diffusion.noise_steps,
        beta_start=first,
        beta_end=last,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        solver_order=order,
    )
    scheduler.set_timesteps(timesteps=list(times))
    return scheduler


def solved(
    speed: Callable[[torch.Tensor, int], torch.Tensor], start: torch.Tensor, scheduler: DPMSolverMultistepScheduler
) -> torch.Tensor:
    """Latents from noise ``start`` (B, C, h, w) by evaluating ``speed(state, time)`` once at each time of the solver.

    Nothing is computed across rows: a latent depends on its own row of ``start`` and of the velocities.
    """
    state = start
    for time in scheduler.timesteps.tolist():
        state = scheduler.step(speed(state, time), time, state, return_dict=False)[0]
    return state
