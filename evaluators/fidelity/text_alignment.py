"""Whether images fit their own texts better than other texts."""

from __future__ import annotations

import numpy as np

from bench.api import Metric, Rows
from bench.statistics.arrays import Floats, Indices
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import fold_count, jackknife
from evaluators.fidelity.cmmd import unit

ALIGNMENT = Metric(
    key="alignment",
    title="Image-text alignment",
    better="higher",
    reference="arXiv:2104.08718",
    area="fidelity",
    bounds=(-2.0, 2.0),
    minimum=50,
    summary=(
        "Mean cosine between synthetic images and their own prompts less that between them and other prompts: 0 if the "
        "prompts are ignored."
    ),
)
ALIGNMENT_REAL = Metric(
    key="alignment_real",
    title="Image-text alignment of real images",
    better="neither",
    reference="arXiv:2104.08718",
    role="ceiling",
    area="fidelity",
    ceiling_of="alignment",
    bounds=(-2.0, 2.0),
    minimum=50,
    summary="The same of test images and their own prompts: as much as the encoder can tell.",
)


def alignment(images: Rows, texts: Rows, which: Indices, folds: Indices) -> Estimate:
    """Mean cosine of images with their own texts less the mean over all pairs of an image and another text.

    Args:
        images: ``(N, D)``.
        texts: ``(T, D)`` embeddings of the different texts.
        which: ``(N,)`` the text of each image.
        folds: ``(N,)`` left out in turn for the standard error.

    The second mean is that of every derangement at once: a text is weighed by how many images have it, and never
    paired with an image of its own. The first alone says little, since cosines with any text differ by encoder
    (Hessel et al. 2021, arXiv 2104.08718, scale it instead).
    """
    cosines = unit(images) @ unit(texts).T
    return jackknife([_gap(cosines[folds != g], which[folds != g]) for g in range(-1, fold_count(folds))])


def _gap(cosines: Floats, which: Indices) -> float:
    have = np.bincount(which, minlength=cosines.shape[1])
    own = cosines[np.arange(len(which)), which]
    others = (cosines @ have - have[which] * own).sum() / (len(which) - have[which]).sum()
    return float(own.mean() - others)
