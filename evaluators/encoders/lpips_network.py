"""The network of LPIPS itself, apart from its encoder, so that configuring one does not load torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from evaluators.encoders.deep import read_state

STOPS = (1, 4, 7, 9, 11)  # AlexNet's five ReLUs


def fitted() -> list[torch.Tensor]:
    """The weights ``w`` of the five layers, from torchmetrics."""
    import torchmetrics.functional.image

    path = Path(torchmetrics.functional.image.__file__).parent / "lpips_models" / "alex.pth"
    state = read_state("lpips", path)
    return [state[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(STOPS))]


class Layers(torch.nn.Module):
    """``(B, 3, size, size)`` to rows of LPIPS."""

    def __init__(self, body: torch.nn.Sequential, weights: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.body = body
        self.weights = torch.nn.ParameterList([torch.nn.Parameter(each.sqrt()) for each in weights])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        made = []
        for place, layer in enumerate(self.body):
            batch = layer(batch)
            if place in STOPS:
                weight = self.weights[STOPS.index(place)][:, None, None]
                unit = batch / (batch.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
                made.append((unit * weight / batch[0, 0].numel() ** 0.5).flatten(1))
        return torch.cat(made, dim=1)
