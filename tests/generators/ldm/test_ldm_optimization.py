"""How the denoiser of the latent diffusion generator is optimised, and what is done to the levels near black."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from generators.ldm.diffusion import loss_weights, signal_shares
from generators.ldm.model import floored
from generators.ldm.muon import Muon, equalised, matrices
from tests.generators.ldm.test_ldm import digest, micro


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(16, 32, 3), nn.GroupNorm(4, 32), nn.Conv2d(32, 8, 3), nn.Linear(24, 48))


def test_kernels_and_large_matrices_are_matrices() -> None:
    module = network(0)
    large, others = matrices(module)
    assert [each.shape for each in large] == [(32, 16, 3, 3), (48, 24)]
    assert {id(each) for each in (*large, *others)} == {id(each) for each in module.parameters()}
    assert len(large) + len(others) == len(list(module.parameters()))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_kernels_move_as_the_librarys_optimizer_moves_their_matrices(layout: torch.memory_format) -> None:
    """The library's multiplies in bfloat16, so that its step is off by up to a few parts in a hundred."""
    draw = torch.Generator().manual_seed(1)
    kernel = nn.Parameter(torch.randn(32, 16, 3, 3, generator=draw).to(memory_format=layout))
    flat = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([kernel], rate=0.02, weight_decay=0.1)
    known = torch.optim.Muon([flat], lr=0.02, weight_decay=0.1, adjust_lr_fn="original")
    before = kernel.detach().clone()
    for _ in range(5):
        gradient = torch.randn(32, 16, 3, 3, generator=draw)
        kernel.grad, flat.grad = gradient.to(memory_format=layout), gradient.flatten(1)
        ours.step()
        known.step()
    moved, expected = kernel.detach() - before, flat.detach().view_as(before) - before
    assert kernel.is_contiguous(memory_format=layout)
    assert (moved - expected).norm() < 0.02 * expected.norm() and expected.abs().max() > 0.001


def test_a_kernel_without_a_gradient_stays() -> None:
    kernel = nn.Parameter(torch.ones(16, 16, 1, 1))
    Muon([kernel], rate=0.02, weight_decay=0.0).step()
    assert torch.equal(kernel.detach(), torch.ones(16, 16, 1, 1))


def test_every_direction_of_a_kernel_moves_alike() -> None:
    """The definition: the step is the gradient with all singular values made about one."""
    kernel = nn.Parameter(torch.zeros(16, 2, 3, 3))
    left, _ = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(2)))
    right, _ = torch.linalg.qr(torch.randn(18, 18, generator=torch.Generator().manual_seed(3)))
    spread = torch.logspace(0, -1, 16)
    kernel.grad = (left @ torch.diag(spread) @ right[:, :16].T).reshape(16, 2, 3, 3)
    Muon([kernel], rate=1.0, weight_decay=0.0).step()
    moved = torch.linalg.svdvals(kernel.detach().flatten(1))
    assert moved.min() > 0.5 and moved.max() < 1.5


@pytest.mark.parametrize("shape", [(16, 90), (64, 64), (90, 16)])
def test_equalising_keeps_the_directions_and_applies_the_polynomial_to_the_singular_values(
    shape: tuple[int, int],
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = left @ torch.diag(values) @ right
    torch.testing.assert_close(equalised(matrix).double(), expected, rtol=0, atol=2e-5)
    assert not equalised(torch.zeros(shape)).any()


def test_loss_weights_are_those_of_the_paper() -> None:
    shares = signal_shares((0.0005, 0.012), 1000).double()
    ratio = shares / (1 - shares)
    expected = torch.minimum(ratio, torch.tensor(5.0)) / (ratio + 1)
    found = loss_weights(shares, 5.0)
    torch.testing.assert_close(found, expected / expected.mean())
    assert found.mean() == pytest.approx(1)
    assert torch.equal(loss_weights(shares, None), torch.ones_like(shares))
    ends = loss_weights(torch.tensor([0.0, 0.5, 1.0]), 5.0)
    assert torch.isfinite(ends).all() and ends[0] == ends[2] == 0


@pytest.mark.parametrize("changes", [{"matrix_rate": None}, {"snr_gamma": None}])
def test_optimizer_and_weights_decide_the_model(changes: dict, toy: SimpleNamespace, tmp_path_factory) -> None:
    train = toy.labelled(6, size=(16, 12))
    folders = [tmp_path_factory.mktemp("ldm") for _ in range(2)]
    micro().fit(train, folders[0], seed=0)
    micro("diffusion", **changes).fit(train, folders[1], seed=0)
    assert digest(folders[0]) != digest(folders[1])


def test_levels_between_black_and_the_darkest_are_background_or_holes() -> None:
    image = np.full((9, 9), 100, np.uint8)
    image[:, :4] = 0
    image[2, 1] = 20  # a speck in the background
    image[5, 7] = 3  # a hole in the picture
    image[5, 3] = 35  # dim, and bright enough
    found = floored(image[None], 32)[0]
    assert found[2, 1] == 0 and found[5, 7] == 32 and found[5, 3] == 35
    assert not ((found > 0) & (found < 32)).any()
    assert np.array_equal(found[:, 4:7], image[:, 4:7])
    assert found.dtype == np.uint8


def test_the_edge_of_the_frame_is_no_hole() -> None:
    black = np.zeros((1, 8, 8), np.uint8)
    assert np.array_equal(floored(black, 32), black)
