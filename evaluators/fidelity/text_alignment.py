"""Whether images fit their own texts better than other texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.api import Rows
from bench.statistics.estimate import Estimate
from bench.statistics.resampling import jackknife_se
from evaluators.fidelity.cmmd import unit

Indices = npt.NDArray[np.int64]


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
    count = int(folds.max()) + 1
    values = np.array([_gap(cosines[folds != g], which[folds != g]) for g in range(-1, count)])
    return Estimate(float(values[0]), jackknife_se(values[1:]), count)


def _gap(cosines: npt.NDArray[np.float64], which: Indices) -> float:
    have = np.bincount(which, minlength=cosines.shape[1])
    own = cosines[np.arange(len(which)), which]
    others = (cosines @ have - have[which] * own).sum() / (len(which) - have[which]).sum()
    return float(own.mean() - others)
