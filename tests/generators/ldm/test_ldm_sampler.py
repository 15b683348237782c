"""The solver between noise and latents: exact where there is a closed form, of the order it claims, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch

from generators.ldm.diffusion import noisy, signal_shares, velocity
from generators.ldm.sampler import sample_times, solved, solver
from generators.ldm.settings import DiffusionSettings

SETTINGS = DiffusionSettings(channels=(8,), attention=(False,), head_channels=(8,), steps=1, batch=1, rate=1e-3)
SHARES = signal_shares(SETTINGS.noise, SETTINGS.noise_steps).double()
MEAN, SPREAD = 1.5, 0.6  # of the Gaussian latents of which all is known


def gaussian_velocity(state: torch.Tensor, time: int) -> torch.Tensor:
    """What a perfect denoiser of N(``MEAN``, ``SPREAD``²) predicts."""
    share = SHARES[time]
    variance = share * SPREAD**2 + 1 - share
    latent = MEAN + share.sqrt() * SPREAD**2 / variance * (state - share.sqrt() * MEAN)
    return velocity(latent, (state - share.sqrt() * latent) / (1 - share).sqrt(), share)


def exact(start: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Where the probability-flow equation leads ``start``: as many standard deviations from the mean as before."""
    deviation = [(each * SPREAD**2 + 1 - each).sqrt() for each in (share, SHARES[-1])]
    return share.sqrt() * MEAN + (start - SHARES[-1].sqrt() * MEAN) * deviation[0] / deviation[1]


def starts(count: int = 64) -> torch.Tensor:
    return torch.randn(count, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def error_before_the_last_step(order: int, times: Sequence[int]) -> float:
    """The largest over the starts; the last step ends at no noise and is of the first order whatever ``order``."""
    seen = list[torch.Tensor]()

    def speed(state: torch.Tensor, time: int) -> torch.Tensor:
        seen.append(state)
        return gaussian_velocity(state, time)

    solved(speed, starts(), solver(SETTINGS, times, order))
    return float((seen[-1] - exact(starts(), SHARES[times[-1]])).abs().max())


@pytest.mark.parametrize(("order", "low", "high"), [(1, 1.9, 2.1), (2, 3.4, 4.3)])
def test_twice_the_steps_divide_the_error_by_two_to_the_order(order: int, low: float, high: float) -> None:
    errors = [error_before_the_last_step(order, range(999, 98, -apart)) for apart in (20, 10, 5)]
    ratios = [errors[0] / errors[1], errors[1] / errors[2]]
    assert all(low < ratio < high for ratio in ratios), (errors, ratios)


def error_at_the_end(order: int, steps: int) -> float:
    """Root of the mean squared error of the latents over their standard deviation."""
    found = solved(gaussian_velocity, starts(), solver(SETTINGS, sample_times(1000, steps, 1.5), order))
    return float((found - exact(starts(), torch.tensor(1.0))).pow(2).mean().sqrt()) / SPREAD


@pytest.mark.parametrize("steps", [6, 8, 10, 12, 20, 50])
def test_at_equal_steps_the_second_order_is_nearer_to_the_exact_latents(steps: int) -> None:
    assert error_at_the_end(2, steps) < error_at_the_end(1, steps) / 2


def test_ten_steps_of_the_second_order_come_nearer_than_forty_of_the_first() -> None:
    assert error_at_the_end(2, 10) < min(0.02, error_at_the_end(1, 40))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("steps", [1, 7])
def test_the_true_velocity_recovers_the_latent(order: int, steps: int) -> None:
    latent, noise = torch.randn(2, 1, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    shares = SHARES.float()
    scheduler = solver(SETTINGS, sample_times(1000, steps, 1.5), order)
    made = solved(lambda _, time: velocity(latent, noise, shares[time]), noisy(latent, noise, shares[-1]), scheduler)
    torch.testing.assert_close(made, latent, rtol=1e-4, atol=1e-4)


def test_the_noise_schedule_is_that_of_the_training() -> None:
    scheduler = solver(SETTINGS, sample_times(1000, 10, 1.5), 2)
    torch.testing.assert_close(scheduler.alphas_cumprod, SHARES.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("spacing", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("noise_steps", [2, 37, 1000])
def test_times_fall_from_the_noisiest_without_a_repetition(noise_steps: int, spacing: float) -> None:
    for steps in range(1, noise_steps + 1, max(1, noise_steps // 40)):
        times = sample_times(noise_steps, steps, spacing)
        assert times[0] == noise_steps - 1 and times[-1] >= 0 and len(times) == steps
        assert all(first > second for first, second in pairwise(times))
    assert sample_times(noise_steps, noise_steps, spacing) == list(range(noise_steps))[::-1]


def test_times_are_even_at_a_spacing_of_one_and_closer_towards_the_end_above() -> None:
    assert sample_times(1000, 5, 1.0) == [999, 799, 599, 399, 199]
    assert sample_times(1000, 5, 1.5) == [999, 715, 464, 252, 88]


@pytest.mark.parametrize("order", [1, 2])
def test_a_latent_is_that_of_its_own_start_whatever_stands_beside_it(order: int) -> None:
    def latents(start: torch.Tensor) -> torch.Tensor:
        return solved(gaussian_velocity, start, solver(SETTINGS, sample_times(1000, 10, 1.5), order))

    together = latents(starts(9))
    assert torch.equal(torch.cat([latents(each[None]) for each in starts(9)]), together)
    assert torch.equal(latents(starts(9).flip(0)).flip(0), together)
