"""Whether a generator has seen the holdout, which is then no control for anything."""

from __future__ import annotations

import numpy as np

from bench.api import ImageSet
from evaluators.privacy.near_duplicates import NearCopies

VOID_LEVEL = 0.001


def void_control(images: ImageSet, train: ImageSet, holdout: ImageSet, near: NearCopies) -> str | None:
    """Why the holdout cannot be what the generator never saw, if so; ``near`` is of ``train``, then ``holdout``.

    One exact copy of a holdout picture that is neither constant nor a training picture is enough. Else the holdout
    pictures are counted of which there are near copies that stand out, each once, however often it is repeated. No real
    picture stands out, for the extremes of the real ones are the limits: the count is judged by the exact test of
    exceedances (Gumbel & von Schelling 1950) at ``VOID_LEVEL``, in which a chance likeness is one to a holdout picture
    as often as the holdout's share of the real ones says. Where there are more synthetic than real pictures, as many
    of them, evenly spaced, are judged.
    """
    return _exactly(images, train, holdout, near) or _nearly(images, train, holdout, near)


def _exactly(images: ImageSet, train: ImageSet, holdout: ImageSet, near: NearCopies) -> str | None:
    keys, ours = images.pixel_keys, holdout.pixel_keys
    exact = np.isin(keys, ours) & ~np.isin(keys, train.pixel_keys) & (near.made.correlation > 0)
    if not exact.any():
        return None
    place = int(exact.argmax())
    found = int((ours == keys[place]).argmax())
    return (
        f"the holdout is no control: {int(exact.sum())} of {len(images)} synthetic images have exactly the pixels "
        f"of a holdout image, which the generator must not have seen; first synthetic {images.ids[place]} and holdout "
        f"{holdout.ids[found]}"
    )


def _nearly(images: ImageSet, train: ImageSet, holdout: ImageSet, near: NearCopies) -> str | None:
    first, real = len(train), len(near.real.where)
    judged = np.unique(np.linspace(0, len(images) - 1, min(len(images), real)).astype(np.int64))
    copies = judged[near.stands_out[judged] & (near.made.where[judged] >= first)]
    hits = len(np.unique(near.made.where[copies]))
    chance = (len(judged), real, len(holdout) / real)
    p = exceedance_p(hits, *chance)
    if not hits or p >= VOID_LEVEL:
        return None
    allowed = next(count - 1 for count in range(1, hits + 1) if exceedance_p(count, *chance) < VOID_LEVEL)
    trained = int((near.stands_out[judged] & (near.made.where[judged] < first)).sum())
    expected = len(judged) * len(holdout) / real / (real + 1)
    place, found = int(copies[0]), int(near.made.where[copies[0]]) - first
    return (
        f"the holdout is no control: {len(copies)} of {len(judged)} synthetic images are near copies of {hits} holdout "
        f"images, which the generator must not have seen ({expected:.2g} expected, {allowed} allowed by chance, p = "
        f"{p:.1g}; {trained} are near copies of training images, and none of {real} real images is one of another "
        f"patient's); first synthetic {images.ids[place]} and holdout {holdout.ids[found]} (correlation "
        f"{near.made.correlation[place]:.4f}, above {near.threshold:.4f})"
    )


def exceedance_p(hits: int, made: int, real: int, share: float) -> float:
    """The chance that ``hits`` or more of ``made`` images stand out beyond all of ``real`` exchangeable ones, towards a
    part that holds ``share`` of the real ones."""
    from scipy import stats

    towards = np.arange(made + 1)
    beyond = stats.hypergeom.sf(hits - 1, real + towards, towards, hits)
    return float((stats.binom.pmf(towards, made, share) * np.where(towards >= hits, beyond, 0.0)).sum())
