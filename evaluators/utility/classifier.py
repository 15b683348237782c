"""A small convolutional classifier with one head a target, trained the same way on whatever it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import Images, Keep, made_anew
from bench.runtime.device import resolve
from bench.runtime.progress import track
from bench.runtime.setting_types import Count, Positive
from bench.statistics.arrays import Integers, array_digest
from bench.statistics.resampling import Floats

if TYPE_CHECKING:
    import torch


UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every classifier is trained: the same number of update steps whatever the number of images.

    Attributes:
        steps: updates; ``batch``: images in each.
        width: channels of the first of four layers, doubled in the second and third.
        rate: peak learning rate of AdamW, warmed up over a tenth of the steps, then down a cosine to zero.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    steps: Count
    batch: Count
    width: Count
    rate: Positive
    device: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a classifier learns from.

    Attributes:
        images: ``(N, H, W)`` uint8.
        truths: ``(N, T)`` class of each target, -1 where unknown.
        classes: number of classes of each of the ``T`` targets.
    """

    images: Images
    truths: Integers
    classes: tuple[int, ...]


def train_and_score(
    lesson: Lesson, papers: Sequence[Images], recipe: Recipe, seed: int, keep: Keep = made_anew
) -> list[list[Floats]]:
    """Train on ``lesson`` from scratch and score each of ``papers (M, H, W)``: log-odds over the prior.

    The log of a target's class shares in the lesson is taken off its logits, so that the highest score is the best
    guess for balanced classes (Menon et al. 2020, arXiv 2007.07314). The same seed gives the same scores on one
    device type, and the scores of one paper do not depend on the others. ``keep`` is given what was learned where the
    lesson is of real images alone.

    Returns:
        By paper and target ``(M, K)``.
    """
    import torch

    device = torch.device(resolve(recipe.device))
    generator = torch.Generator().manual_seed(seed)
    with _exact_kernels(), torch.random.fork_rng(devices=[]):
        network = _network(recipe.width, sum(lesson.classes), generator).to(device)

        def learned() -> Mapping[str, npt.NDArray[Any]]:
            _fit(network, lesson, recipe, generator)
            return {name: weight.cpu().numpy() for name, weight in network.state_dict().items()}

        known = [*astuple(replace(recipe, device=device.type)), seed, *lesson.classes]
        weights = keep(["classifier", *known, array_digest(lesson.images), array_digest(lesson.truths)], learned)
        network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
        logits = [_logits(network, images, device) for images in papers]
    starts = np.cumsum(lesson.classes)[:-1]
    priors = [log_prior(lesson.truths[:, t], count) for t, count in enumerate(lesson.classes)]
    parts = [np.split(each, starts, axis=1) for each in logits]
    return [[score - prior for score, prior in zip(scores, priors, strict=True)] for scores in parts]


def log_prior(truth: Integers, classes: int) -> Floats:
    """Log of each class's share among the known, a class without any counted once."""
    counts = np.maximum(np.bincount(truth[truth != UNKNOWN], minlength=classes), 1).astype(np.float64)
    return np.log(counts / counts.sum())


def batches(images: int, steps: int, batch: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """``steps`` index vectors of length ``batch``: one random order of the images after another."""
    import torch

    waiting = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(waiting) < batch:
            waiting = torch.cat([waiting, torch.randperm(images, generator=generator)])
        yield waiting[:batch]
        waiting = waiting[batch:]


@contextmanager
def _exact_kernels() -> Iterator[None]:
    """One CPU thread and deterministic convolutions: sums in the same order on every machine of a kind."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(threads)


def _network(width: int, outputs: int, generator: torch.Generator) -> Any:
    """Four convolutions of stride two, each halving the image, then the mean over places and one linear layer."""
    from torch import nn

    channels = (1, width, 2 * width, 4 * width, 4 * width)
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], outputs))
    for module in network:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    nn.init.zeros_(network[-1].bias)
    return network


def _fit(network: Any, lesson: Lesson, recipe: Recipe, generator: torch.Generator) -> None:
    import torch

    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.steps, pct_start=0.1)
    images, truths = torch.from_numpy(lesson.images), torch.from_numpy(lesson.truths)
    network.train()
    rows = batches(len(images), recipe.steps, recipe.batch, generator)
    for chosen in track(rows, "training a classifier", total=recipe.steps, unit="step"):
        logits = network(_scaled(images[chosen].to(device)))
        loss = _loss(logits, truths[chosen].to(device), lesson.classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _loss(logits: torch.Tensor, truths: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
    """Sum over the targets of the cross-entropy over the images whose class is known, divided by all images."""
    from torch.nn import functional

    parts = logits.split(list(classes), dim=1)
    losses = [
        functional.cross_entropy(part, truths[:, t], ignore_index=UNKNOWN, reduction="sum")
        for t, part in enumerate(parts)
    ]
    total = losses[0]
    for each in losses[1:]:
        total = total + each
    return total / len(truths)


def _logits(network: Any, images: Images, device: torch.device) -> Floats:
    import torch

    network.eval()
    with torch.inference_mode():
        parts = [network(_scaled(torch.from_numpy(images[i : i + 64]).to(device))) for i in range(0, len(images), 64)]
    return torch.cat(parts).double().cpu().numpy()


def _scaled(images: torch.Tensor) -> torch.Tensor:
    return (images.float().unsqueeze(1) - 128) / 64
