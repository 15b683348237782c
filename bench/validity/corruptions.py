"""What can be wrong with synthetic images, in known doses: pure functions of images, or of which images there are.

Strengths are free of the image size: lengths are shares of the shorter side. Strength 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.api import Images
from bench.statistics.arrays import Indices, Mask, Singles

WAVE = 1 / 12  # standard deviation of the window that smooths a warp, as a share of the shorter side
ROWS = 256  # images handled at once, so that floats of all images need not fit in memory


def blur(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Gaussian blur of ``(N, H, W)``; ``strength`` is its standard deviation over the shorter side."""
    from scipy.ndimage import gaussian_filter

    sigma = strength * min(images.shape[1:])
    return each_block(images, lambda part: gaussian_filter(part, (0, sigma, sigma), mode="nearest"))


def noise(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """White Gaussian noise added to every pixel; ``strength`` is its standard deviation in grey levels."""
    return each_block(images, lambda part: part + strength * rng.standard_normal(part.shape, dtype=np.float32))


def contrast(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Every image drawn towards its own mean; ``strength`` in 0..1 is the share of its contrast that is lost."""

    def flatten(part: Singles) -> Singles:
        mean = part.mean(axis=(1, 2), keepdims=True)
        return mean + (1 - strength) * (part - mean)

    return each_block(images, flatten)


def warp(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """A smooth random deformation; ``strength`` is the root mean square shift along each axis over the shorter side."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    height, width = images.shape[1:]
    side = min(height, width)
    grid = np.mgrid[:height, :width].astype(np.float64)
    warped = np.empty_like(images)
    for i, image in enumerate(images):
        shift = gaussian_filter(rng.standard_normal((2, height, width)), (0, side * WAVE, side * WAVE), mode="wrap")
        shift *= strength * side / np.sqrt(np.mean(shift**2, axis=(1, 2), keepdims=True))
        moved = map_coordinates(image.astype(np.float64), grid + shift, order=3, mode="nearest")
        warped[i] = np.clip(np.rint(moved), 0, 255)
    return warped


def each_block(images: Images, change: Callable[[Singles], Singles]) -> Images:
    """``change`` applied in float32 to blocks of images, rounded and clipped to 0..255."""
    changed = np.empty_like(images)
    for start in range(0, len(images), ROWS):
        part = change(images[start : start + ROWS].astype(np.float32))
        changed[start : start + ROWS] = np.clip(np.rint(part), 0, 255)
    return changed


def fewer_groups(groups: Sequence[str], chosen: Indices, strength: float, rng: np.random.Generator) -> Indices:
    """Drop the rarest groups of ``chosen`` rows until at least a share ``strength`` of the rows is gone.

    At least one group stays. The lost places are filled with other rows of the groups kept, those not among
    ``chosen`` first, each as rarely as possible.

    Args:
        groups: the group of every row there is, ``chosen`` being indices into them.
    """
    names = np.asarray(groups, dtype=np.str_)
    known, counts = np.unique(names[chosen], return_counts=True)
    rarest = np.argsort(counts, kind="stable")
    lost = np.concatenate(([0], counts[rarest].cumsum()))
    dropped = min(int(np.searchsorted(lost, strength * len(chosen))), len(known) - 1)
    kept = known[rarest[dropped:]]
    stay = np.isin(names[chosen], kept)
    spare = np.setdiff1d(np.flatnonzero(np.isin(names, kept)), chosen)
    return _filled(chosen, ~stay, np.concatenate([rng.permutation(spare), rng.permutation(chosen[stay])]))


def repeats(chosen: Indices, strength: float, rng: np.random.Generator) -> Indices:
    """Only a share ``1 - strength`` of the rows, at least one, each repeated until there are as many as before."""
    distinct = max(1, round((1 - strength) * len(chosen)))
    return np.resize(rng.permutation(chosen)[:distinct], len(chosen))


def copies(chosen: Indices, train: Indices, strength: float, rng: np.random.Generator) -> Indices:
    """A share ``strength`` of the rows replaced by random rows of ``train``, a larger share including a smaller one."""
    replaced = np.zeros(len(chosen), bool)
    replaced[rng.permutation(len(chosen))[: round(strength * len(chosen))]] = True
    return _filled(chosen, replaced, rng.permutation(train))


def others_images(chosen: Indices, strength: float, rng: np.random.Generator) -> Indices:
    """A share ``strength`` of the rows handed on in a ring of random order, so that each goes to another place.

    Where what is asked for stays, each of these gets another's image; two of one condition may exchange theirs.
    """
    ring = rng.permutation(len(chosen))[: round(strength * len(chosen))]
    moved = chosen.copy()
    moved[ring] = chosen[np.roll(ring, 1)]
    return moved


def _filled(chosen: Indices, lost: Mask, source: Indices) -> Indices:
    """``chosen`` with the lost places taken by ``source`` in order, from its start again when it runs out."""
    filled = chosen.copy()
    filled[lost] = np.resize(source, int(lost.sum()))
    return filled
