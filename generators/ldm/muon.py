"""An optimiser for the kernels of convolutions and for matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

SMALLEST = 16  # rows and columns from which on a weight counts as a matrix


class Muon(torch.optim.Muon):
    """Steps along momentum whose singular values are made equal, so that every direction of a weight learns.

    Jordan et al. 2024; Liu et al., arXiv:2502.16982. The library's takes matrices only: here a kernel (outputs,
    inputs, height, width) is the matrix of its outputs and all the rest.
    """

    def __init__(self, weights: Iterable[torch.Tensor], rate: float, weight_decay: float) -> None:
        self._weights = list(weights)
        self._matrices = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in self._weights]
        super().__init__(self._matrices, lr=rate, weight_decay=weight_decay, adjust_lr_fn="original")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        pairs = list(zip(self._matrices, self._weights, strict=True))
        for matrix, weight in pairs:
            # copied, for a kernel with its channels last in memory cannot be seen as a matrix
            matrix.copy_(weight.flatten(1))
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        super().step(closure)
        for matrix, weight in pairs:
            weight.copy_(matrix.view_as(weight))


def matrices(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weights of ``module`` that ``Muon`` is for, and all others."""
    fit: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for weight in module.parameters():
        large = weight.ndim > 1 and min(weight.flatten(1).shape) >= SMALLEST
        (fit if large else others).append(weight)
    return fit, others
