"""How the two stages of a latent diffusion model are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn

from bench.runtime.processes import DataParallelGroup
from generators.ldm.settings import Decay

REMEDY = "lower rate, or use precision=float32"  # where losses are no numbers


@dataclass(frozen=True)
class TrainingContext:
    """How the networks are trained.

    Attributes:
        seed: decides first weights and all that is drawn.
        precision: of what autocast covers.
        compiled: whether ``torch.compile`` makes kernels for the one size of batch.
        group: the processes that train together.
    """

    seed: int
    precision: torch.dtype = torch.float32
    compiled: bool = False
    group: DataParallelGroup = field(default_factory=DataParallelGroup)

    def running(self, module: nn.Module) -> nn.Module:
        """What to call in place of ``module``, whose weights and their names stay where they are."""
        joined = self.group.joined(module)
        return torch.compile(joined, dynamic=False) if self.compiled else joined

    def mixed(self, device: torch.device) -> torch.autocast:
        """The configured precision."""
        return torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32)


def learning_rate(step: int, steps: int, rate: float, decay: Decay) -> float:
    """Linear warm-up over the first twentieth, then down a half cosine to a twentieth of ``rate``."""
    if decay == "constant":
        return rate
    done = (step + 1) / steps
    return rate * min(1.0, 20 * done) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
