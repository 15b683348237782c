"""Train the shipped small network: ``python -m tools.train_small_cnn``. About three minutes of CPU.

The network tells masking, density and area of phantom mammograms and, since those are damaged on purpose, how they were
damaged: mirrored, blurred, noisy, faint. The latter make its features see what generators get wrong.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch.nn.functional import conv2d, mse_loss, pad

from bench.api import Images
from bench.datasets.csaw_preprocess import Acquisition, preprocess
from bench.datasets.mammogram import Anatomy, draw
from bench.datasets.masking import TRAIN_CASES, imagine
from bench.runtime.progress import track
from bench.storage.files import write_atomic
from evaluators.encoders.small_cnn import FEATURES, INPUT, SHIPPED, SIDE, TARGETS
from evaluators.encoders.small_cnn_network import SmallCnn

log = logging.getLogger(__name__)
SEED = 7_100_001  # apart from the seeds of data sets, so that no split holds these pictures
BATCH, EPOCHS, RATE, DECAY = 64, 12, 2e-3, 1e-2
BLUR, NOISE, GAIN, TAPS = 1.2, 12.0, 0.25, 4
CPU = torch.device("cpu")


class Lesson(NamedTuple):
    """Pictures ``(N, 64, 64)``, what they show ``(N, 3)`` in about unit spread, the median reader's level ``(N,)``."""

    images: Images
    facts: npt.NDArray[np.float32]
    level: npt.NDArray[np.int64]


def lesson(count: int, seed: int) -> Lesson:
    """Draw ``count`` phantoms; picture ``i`` depends on ``seed`` and ``i`` only."""
    images, facts, levels = [], [], []
    for index in track(range(count), "draw phantoms", total=count, unit="image"):
        rng = np.random.default_rng([seed, index])
        woman = imagine(rng, TRAIN_CASES)
        mammogram = draw(Anatomy(woman.percent_density, woman.breast_area, woman.rank), (SIDE, SIDE), rng)
        images.append(preprocess(mammogram.raw, Acquisition("L")))
        density, area = np.log(mammogram.percent_density + 1), np.log(mammogram.breast_area)
        facts.append(((woman.rank - 0.5) * np.sqrt(12), (density - 2.8) / 0.7, (area - 5.1) / 0.4))
        levels.append(woman.median)
    return Lesson(np.stack(images), np.array(facts, np.float32), np.array(levels))


def blurred(batch: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of ``(B, H, W)`` by a standard deviation for each picture, in pixels; none below 0.05."""
    places = torch.arange(-TAPS, TAPS + 1)
    kernel = torch.exp(-0.5 * (places / sigma.clamp(min=0.05)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, None]
    rows = pad(batch[None], (TAPS, TAPS, TAPS, TAPS), mode="replicate")
    rows = conv2d(rows, kernel[..., None, :], groups=len(batch))
    return conv2d(rows, kernel[..., :, None], groups=len(batch))[0]


def damaged(images: torch.Tensor, source: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror, blur, fade and add noise to grey levels ``(B, H, W)``; each to about half of the pictures.

    Returns:
        Whole grey levels as float32, and how much of each damage, ``(B, 4)``, of about unit spread.
    """
    count = len(images)
    amount = torch.rand(count, 3, generator=source) * (torch.rand(count, 3, generator=source) < 0.6)
    mirror = torch.rand(count, generator=source) < 0.5
    gain = 1 + GAIN * (2 * torch.rand(count, generator=source) - 1) * (amount[:, 2] > 0)
    made = torch.where(mirror[:, None, None], images.flip(2), images)
    made = blurred(made, BLUR * amount[:, 0]) * gain[:, None, None]
    made = made + NOISE * amount[:, 1, None, None] * torch.randn(made.shape, generator=source)
    told = torch.stack((2 * mirror - 1, 3 * amount[:, 0] - 1, 3 * amount[:, 1] - 1, (gain - 1) * 8), dim=1)
    return made.round().clamp(0, 255), told.float()


def batches(lesson: Lesson, source: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs ``(B, 1, 64, 64)`` and targets ``(B, 7)``, every picture once, in random order."""
    order = torch.randperm(len(lesson.images), generator=source)
    for chosen in order.split(BATCH):
        grey, damage = damaged(torch.from_numpy(lesson.images[chosen.numpy()]).float(), source)
        inputs = INPUT(grey.numpy().astype(np.uint8), CPU)
        yield inputs, torch.cat((torch.from_numpy(lesson.facts[chosen.numpy()]), damage), dim=1)


def train(lesson: Lesson, seed: int, epochs: int = EPOCHS) -> SmallCnn:
    """The trained network, in evaluation mode: the same bytes for the same arguments on one kind of machine."""
    source = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallCnn(FEATURES, len(TARGETS))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * -(-len(lesson.images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in track(range(epochs), "train small_cnn", total=epochs, unit="epoch"):
        for inputs, targets in batches(lesson, source):
            optimiser.zero_grad()
            mse_loss(network(inputs), targets).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def examine(network: SmallCnn, lesson: Lesson) -> dict[str, float]:
    """Kendall's tau of told masking and the median reader's level on undamaged pictures; then, on damaged ones,
    Pearson's correlation of told and true for every target."""
    from scipy.stats import kendalltau

    with torch.inference_mode():
        told = network(INPUT(lesson.images, CPU))[:, 0].numpy()
        pairs = [(network(x), y) for x, y in batches(lesson, torch.Generator().manual_seed(0))]
    got, true = (torch.cat(side).numpy() for side in zip(*pairs, strict=True))
    marks = {"masking level, Kendall's tau": float(kendalltau(told, lesson.level).statistic)}
    return marks | {name: float(np.corrcoef(got[:, i], true[:, i])[0, 1]) for i, name in enumerate(TARGETS)}


def main() -> None:
    """Train and write the file of weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the weights go")
    parser.add_argument("--count", type=int, default=4096, help="phantoms to learn from")
    parser.add_argument("--examine", type=int, default=512, help="phantoms to examine it on afterwards")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = train(lesson(options.count, SEED), SEED)
    for name, mark in examine(network, lesson(options.examine, SEED + 1)).items():
        log.info("%-30s %.3f", name, mark)
    write_atomic(options.out, save({name: value.contiguous() for name, value in network.state_dict().items()}))
    log.info("wrote %s", options.out)


if __name__ == "__main__":
    main()
