"""The fidelity protocol of CheXGenBench as its code has it, for numbers that stand beside the published ones.

Dutt et al. 2025, arXiv 2505.10496, code at commit 9a201c1 with torchmetrics 1.7.1 and prdc 0.2. What is kept though it
is wrong: images squashed to 299 pixels even for RAD-DINO; plain Fréchet distances, at the full number of images of each
group, whatever it is; KID "subsets" of all images of the smaller side; an inception score on pooled features; real rows
with a prompt seen before left out, synthetic ones not; an alignment that no other prompt is compared with; three
decimals; no intervals. What differs: RAD-DINO's enlarged
input is not rounded to whole grey levels, and the random order of the inception score is this run's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from bench.api import (
    BenchError,
    Evaluator,
    ImageSet,
    Material,
    Metric,
    Purpose,
    ReadsText,
    Refused,
    Rows,
    Score,
    Split,
)
from bench.runtime.told import Standing, standing
from bench.statistics.arrays import Floats, Indices, Mask
from bench.statistics.clusters import Clusters
from bench.statistics.inception_score import SPLITS, score
from bench.statistics.neighbours import neighbourhood
from bench.storage.disk_errors import DiskError
from evaluators.chexgenbench.metrics import (
    ALIGNMENT,
    ALL,
    COVERAGE,
    DENSITY,
    FID,
    FID_RAD_DINO,
    INCEPTION_SCORE,
    KID,
    KID_RAD_DINO,
    OF_SETS,
    PRECISION,
    RECALL,
)

NEAREST = 5
SUBSETS = 100
AS_PUBLISHED = "the published protocol has no interval; see the fidelity evaluator"


class CheXGenBench(Evaluator):
    """Ten numbers over all images, and over those of each label asked for that is positive.

    A label's synthetic images are those whose prompt a real image of that label has. Where the generator was never told
    the label its numbers are shown and not ranked, and where too few got the images they asked for they are refused.

    Attributes:
        smallest: pixels that the smaller side of the working images must have: the fewest the published images have.
    """

    smallest: ClassVar[int] = 512
    metrics: ClassVar[tuple[Metric, ...]] = ALL
    purposes: ClassVar[tuple[Purpose, ...]] = ("fidelity",)
    id: ClassVar[str] = "chexgenbench"
    encoders: tuple[str, ...]

    def __init__(self, inception: str, rad_dino: str, labels: Sequence[str] = (), biovil_t: str | None = None) -> None:
        """``inception`` and ``rad_dino`` name configured encoders, ``labels`` binary labels of the data set.

        So does ``biovil_t``; without it there is no alignment score.
        """
        self.judges = (inception, rad_dino)
        self.reader = biovil_t
        self.encoders = self.judges if biovil_t is None else (*self.judges, biovil_t)
        self.labels = tuple(labels)

    def check(self, split: Split) -> None:
        """See before anything is sampled whether the working images are large enough.

        Raises:
            BenchError: their smaller side is under ``smallest`` pixels.
        """
        if complaint := self._too_small(split):
            raise BenchError(complaint)

    def _too_small(self, split: Split) -> str | None:
        height, width = split.test.size
        if min(height, width) >= self.smallest:
            return None
        return (
            f"chexgenbench_asis: the working images of {split.info.name} are {height} x {width} (height x width), "
            f"needed {self.smallest} or more on the smaller side, as the published images have: numbers of smaller "
            f"ones compare with nothing published; set dataset.image_size={self.smallest}"
        )

    def __call__(self, material: Material) -> Iterator[Score]:
        if complaint := self._too_small(material.split):
            raise Refused(complaint)
        yield from self._measured(material, self.labels)

    def conformance(self, material: Material) -> Iterator[Score]:
        """The formulas on images of whatever size, over all images and those of the material's own binary labels."""
        yield from self._measured(material, [each.name for each in material.split.info.labels if each.kind == "binary"])

    def _measured(self, material: Material, labels: Sequence[str]) -> Iterator[Score]:
        if self.reader is not None and not isinstance(material.encoders[self.reader], ReadsText):
            raise BenchError(f"chexgenbench_asis.biovil_t={self.reader}: this encoder reads no text; needed biovil_t")
        real, fake = material.split.test, material.images["fidelity"]
        first = first_of_each(real.column("prompt"))
        prompts = np.array([str(each) for each in fake.column("prompt")])
        for group in ("all", *labels):
            i, j = first, np.arange(len(fake))
            if group != "all":
                i = first[_positive(real, group)[first]]
                wanted = {str(real.column("prompt")[each]) for each in i}
                j = np.flatnonzero([each in wanted for each in prompts])
            if group == "all":
                yield from self._of_group(material, "all", Standing(), (real.select(i), fake.select(j)))
                continue
            value = real.info.label(group).text(1)
            stands = standing(material, group, value)
            yield from self._of_group(material, f"{group}={value}", stands, (real.select(i), fake.select(j)))

    def _of_group(
        self, material: Material, group: str, stands: Standing, sides: tuple[ImageSet, ImageSet]
    ) -> Iterator[Score]:
        """The scores of real and synthetic images of a group, as the generator's standing in the group allows."""
        n = min(map(len, sides))
        if stands.refusal:
            yield from (self._refused(metric, stands.refusal, n, group) for metric in ALL)
            return
        found = [*self._scores(material, group, *sides), self._alignment(material, group, sides[1])]
        yield from map(stands.marked, found)

    def _scores(self, material: Material, group: str, real: ImageSet, fake: ImageSet) -> Iterator[Score]:
        n = min(len(real), len(fake))
        if n < FID.minimum:
            reason = f"{n} images, {FID.minimum} are needed"
            yield from (self._refused(metric, reason, n, group) for metric in OF_SETS)
            return
        values: dict[Metric, float] = {}
        for name, fid, kid in zip(self.judges, (FID, FID_RAD_DINO), (KID, KID_RAD_DINO), strict=True):
            rows = material.features(name, real), material.features(name, fake)
            values[fid] = frechet(*rows)
            values[kid] = kernel_distance(*rows, material.rng)
        values[INCEPTION_SCORE] = inception_score(material.features(self.judges[0], fake), material.rng)
        real_rows, fake_rows = (material.features(self.judges[1], each) for each in (real, fake))
        clusters = (Clusters.apart(np.arange(len(rows)) % 8) for rows in (real_rows, fake_rows))
        found = neighbourhood(real_rows, fake_rows, NEAREST, *clusters).view(0, 0)
        values |= {PRECISION: found.precision(), RECALL: found.recall()}
        values |= {DENSITY: found.density(), COVERAGE: found.coverage()}
        for metric in OF_SETS:
            where = {"n": n, "group": group, "encoder": self._encoder(metric)}
            yield metric(round(values[metric], 3), reason=AS_PUBLISHED, **where)  # type: ignore[arg-type]

    def _alignment(self, material: Material, group: str, fake: ImageSet) -> Score:
        where = {"n": len(fake), "group": group, "encoder": self.reader}
        prompts = fake.column("prompt")
        if self.reader is None:
            reason = (
                "set evaluator.chexgenbench_asis.biovil_t=biovil_t and add encoder=[...,biovil_t], which reads prompts"
            )
            return ALIGNMENT.refused(reason, **where)  # type: ignore[arg-type]
        if len(fake) < ALIGNMENT.minimum or None in prompts:
            reason = f"{len(fake)} images, {prompts.count(None)} of them without a prompt; needed {ALIGNMENT.minimum}"
            return ALIGNMENT.refused(reason, **where)  # type: ignore[arg-type]
        encoder = material.encoders[self.reader]
        assert isinstance(encoder, ReadsText)
        kinds, which = np.unique(np.asarray(prompts, dtype=np.str_), return_inverse=True)
        try:
            texts = encoder.texts(kinds.tolist())[which]
        except DiskError:
            raise
        except BenchError as missing:
            return ALIGNMENT.refused(str(missing), **where)  # type: ignore[arg-type]
        value = alignment_score(material.features(self.reader, fake), texts)
        return ALIGNMENT(value, reason=AS_PUBLISHED, **where)  # type: ignore[arg-type]

    def _refused(self, metric: Metric, reason: str, n: int, group: str) -> Score:
        return metric.refused(reason, n=n, group=group, encoder=self._encoder(metric))

    def _encoder(self, metric: Metric) -> str | None:
        if metric is ALIGNMENT:
            return self.reader
        return self.judges[0 if metric in (FID, KID, INCEPTION_SCORE) else 1]


def first_of_each(prompts: Sequence[str | None]) -> Indices:
    """Rows whose prompt was not seen before, in order; all rows where none has a prompt."""
    if all(each is None for each in prompts):
        return np.arange(len(prompts))
    seen: dict[str, int] = {}
    for place, prompt in enumerate(prompts):
        seen.setdefault(str(prompt), place)
    return np.array(sorted(seen.values()), np.int64)


def _positive(images: ImageSet, label: str) -> Mask:
    known = [each.name for each in images.info.labels if each.kind == "binary"]
    if label not in known:
        raise BenchError(
            f"chexgenbench_asis is asked for label {label!r}; {images.info.name} has binary labels {known}"
        )
    return np.array([value == 1 for value in images.column(label)])


def frechet(real: Rows, fake: Rows) -> float:
    """FD by torchmetrics' formula: eigenvalues of the product of the covariances, of full rank or not."""
    import torch

    means, covariances = [], []
    for rows in (real, fake):
        wide = torch.from_numpy(rows.astype(np.float64))
        mean = wide.mean(dim=0)
        means.append(mean)
        covariances.append((wide.T @ wide - len(wide) * torch.outer(mean, mean)) / (len(wide) - 1))
    a, b = covariances
    cross = torch.linalg.eigvals(a @ b).sqrt().real.sum()
    return float((means[0] - means[1]).square().sum() + a.trace() + b.trace() - 2 * cross)


def kernel_distance(real: Rows, fake: Rows, rng: np.random.Generator) -> float:
    """KID over 100 subsets of the size of the smaller set: all the same where both sets have that size.

    A subset is a vector of 0 and 1, and a sum of the kernel over it a product with the whole kernel.
    """
    size = min(len(real), len(fake))
    repeats = SUBSETS if len(real) != len(fake) else 1
    x, y = (_subsets(len(rows), size, repeats, rng) for rows in (real, fake))
    within = _inside(real, x) + _inside(fake, y)
    between = ((_kernel(real, fake) @ y.T) * x.T).sum(axis=0)
    return float((within / (size * (size - 1.0)) - 2 * between / size**2).mean())


def _subsets(n: int, size: int, repeats: int, rng: np.random.Generator) -> Floats:
    if n == size:
        return np.ones((repeats, n))
    chosen = np.zeros((repeats, n))
    for row in chosen:
        row[rng.permutation(n)[:size]] = 1
    return chosen


def _kernel(first: Rows, second: Rows) -> Floats:
    return (first.astype(np.float64) @ second.astype(np.float64).T / first.shape[1] + 1) ** 3


def _inside(rows: Rows, subsets: Floats) -> Floats:
    kernel = _kernel(rows, rows)
    np.fill_diagonal(kernel, 0)
    return ((kernel @ subsets.T) * subsets.T).sum(axis=0)


def alignment_score(images: Rows, texts: Rows) -> float:
    """Mean cosine of rows of the same place, rounded to three decimals a row, and again."""
    first, second = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    return round(float(np.mean([round(float(each), 3) for each in (first * second).sum(axis=1)])), 3)


def inception_score(pooled: Rows, rng: np.random.Generator) -> float:
    """The mean over ten parts of what would be the inception score if pooled features were logits.

    Parts are those of ``torch.chunk``: all of the greater length but the last.
    """
    shuffled = pooled[rng.permutation(len(pooled))]
    length = -(-len(shuffled) // SPLITS)
    return float(np.mean([score(shuffled[start : start + length]) for start in range(0, len(shuffled), length)]))
