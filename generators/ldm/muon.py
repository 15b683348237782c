"""An optimiser for the kernels of convolutions and for matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

SMALLEST = 16  # rows and columns from which on a weight counts as a matrix
MOMENTUM = 0.95
ROUNDS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steepest at singular values near 0


class Muon(torch.optim.Optimizer):
    """Steps along momentum whose singular values are made equal, so that every direction of a weight learns.

    Jordan et al. 2024; Liu et al., arXiv:2502.16982. A kernel (outputs, inputs, height, width) is the matrix of its
    outputs and all the rest. ``torch.optim.Muon`` takes matrices only and multiplies them in bfloat16: processors
    without instructions for it need twenty times as long, which was half of a step of training.
    """

    def __init__(self, weights: Iterable[torch.Tensor], rate: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group["lr"], group["weight_decay"])

    def _move(self, weight: torch.Tensor, rate: float, decay: float) -> None:
        """Nesterov's momentum, equalised; taller matrices take longer steps, as their rows are more."""
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean = state["momentum_buffer"].lerp_(weight.grad, 1 - MOMENTUM)
        step = equalised(weight.grad.lerp(mean, MOMENTUM).flatten(1))
        rows, columns = step.shape
        weight.mul_(1 - rate * decay)
        weight.add_(step.view(weight.shape), alpha=-rate * max(1, rows / columns) ** 0.5)


def equalised(matrix: torch.Tensor) -> torch.Tensor:
    """``matrix`` with its singular values made about 1, from 0.7 to 1.2, where they are not too close to 0.

    A Newton-Schulz iteration (Jordan et al. 2024): each round is an odd polynomial of degree five in every singular
    value, of which none exceeds 1 at the start.
    """
    first, second, third = COEFFICIENTS
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp_min(1e-7)
    for _ in range(ROUNDS):
        gram = wide @ wide.T
        factor = torch.addmm(gram, gram, gram, beta=second, alpha=third)
        wide = torch.addmm(wide, factor, wide, beta=first)
    return (wide.T if len(matrix) > matrix.shape[1] else wide).contiguous()


def matrices(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weights of ``module`` that ``Muon`` is for, and all others."""
    fit: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for weight in module.parameters():
        large = weight.ndim > 1 and min(weight.flatten(1).shape) >= SMALLEST
        (fit if large else others).append(weight)
    return fit, others
